"""A panel made in passes: the place first, then one character at a time. Here is where in the picture each comes."""

from ...common import Box


def even_regions(count: int, front: int) -> list[Box]:
    """Where characters stand, in parts of the picture: columns from left to right. Of more than `front` the others
    are a crowd: a row of smaller boxes behind, which the lower boxes of the front row overlap."""
    if count <= front:
        return [Box.of_size(index / count, 0.0, 1 / count, 1.0) for index in range(count)]
    behind = count - front
    return ([Box.of_size(index / front, 0.3, 1 / front, 0.7) for index in range(front)]
            + [Box.of_size(index / behind, 0.05, 1 / behind, 0.55) for index in range(behind)])

"""A panel made in passes: the place first, then one character at a time. Here is where in the picture each comes."""

from collections.abc import Sequence

from ..story.fields import Region
from .masks import PixelBox


def even_regions(count: int, front: int) -> list[Region]:
    """Where characters stand, in parts of the picture: columns from left to right. Of more than `front` the others
    are a crowd: a row of smaller boxes behind, which the lower boxes of the front row overlap."""
    if count <= front:
        return [(index / count, 0.0, 1 / count, 1.0) for index in range(count)]
    behind = count - front
    return ([(index / front, 0.3, 1 / front, 0.7) for index in range(front)]
            + [(index / behind, 0.05, 1 / behind, 0.55) for index in range(behind)])


def pixel_box(region: Sequence[float], width: int, height: int) -> PixelBox:
    """A region (left, top, width, height in 0..1) in whole pixels, at least one each way."""
    left, top = min(width - 1, round(region[0] * width)), min(height - 1, round(region[1] * height))
    right, bottom = round((region[0] + region[2]) * width), round((region[1] + region[3]) * height)
    return left, top, max(left + 1, min(width, right)), max(top + 1, min(height, bottom))

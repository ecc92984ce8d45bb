"""A panel made in passes: the place first, then one character at a time, each inside a box of the picture."""

from collections.abc import Sequence

import torch

from .fields import Region
from .pictures import Picture

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom

_FEATHER = 0.08  # of the box's shorter side: how wide the result fades in at the box's edges


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


def paste(picture: Picture, result: Picture, box: PixelBox) -> Picture:
    """The picture with the result in the box, faded in at those edges of the box that lie inside the picture. Every
    pixel outside the box is the picture's, bit for bit. Both pictures have one size."""
    left, top, right, bottom = box
    mask = box_mask(box, picture.shape[1], picture.shape[0]).unsqueeze(-1)
    pasted = picture.clone()
    old, new = picture[top:bottom, left:right], result[top:bottom, left:right]
    pasted[top:bottom, left:right] = torch.lerp(old, new, mask)
    return pasted


def box_mask(box: PixelBox, width: int, height: int) -> torch.Tensor:
    """float32 [height of the box, width of the box]: 1 inside, falling to the edges that lie inside the picture."""
    left, top, right, bottom = box
    feather = max(1, round(_FEATHER * min(right - left, bottom - top)))

    def ramp(start: int, end: int, length: int) -> torch.Tensor:
        place = torch.arange(end - start, dtype=torch.float32)
        rising = (place + 1) / (feather + 1) if start > 0 else torch.ones_like(place)
        falling = (end - start - place) / (feather + 1) if end < length else torch.ones_like(place)
        return torch.minimum(rising, falling).clamp(max=1)

    return ramp(top, bottom, height)[:, None] * ramp(left, right, width)[None, :]

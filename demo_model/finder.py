"""Finds the figures of the drawn world: a small convolutional network paints a heat map of heads, and at each head says
where the figure's edges are (after CenterNet, Zhou et al. 2019, arXiv 1904.07850)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..common import Box

HEIGHT = 128  # pixels a picture is brought to: the unit of the drawn world is the picture's height
STRIDE = 8
_WIDTHS = (16, 32, 48)
_DILATIONS = (1, 2, 4, 1)
_SURE = 0.35
_WIDEST = 4  # a picture's width / height
_MOST = 12  # figures of a picture


class HeatMap(nn.Module):
    """`float [N, 3, H, W]` in -1..1, multiples of 8, to `[N, 5, H / 8, W / 8]`: the heat before its sigmoid, and the
    distances to the left, top, right and bottom edge in units of 128 pixels."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU()]
            before = width
        for dilation in _DILATIONS:
            layers += [nn.Conv2d(before, before, 3, 1, dilation, dilation), nn.GroupNorm(8, before), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(before, 5, 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(pictures)


class FigureFinder:
    """kontext's `Finder` for the drawn world, on the CPU. `path` is a safetensors file of `HeatMap`."""

    name = "drawn world finder"

    def __init__(self, path: str | Path):
        from safetensors.torch import load

        self._net = HeatMap()
        self._net.load_state_dict({key: value.float() for key, value in load(Path(path).read_bytes()).items()})
        self._net.eval().requires_grad_(False)

    def find(self, picture: torch.Tensor) -> list[Box]:
        """Boxes, in parts of the picture, of head and trunk in `float32 [H, W, 3]`, the surest first."""
        height, width = picture.shape[:2]
        columns = min(max(2, round(width * HEIGHT / height / STRIDE)), _WIDEST * HEIGHT // STRIDE)
        planes = F.interpolate(picture.permute(2, 0, 1)[None] * 2 - 1, size=(HEIGHT, columns * STRIDE),
                               mode="bilinear", antialias=True)
        with torch.no_grad():
            return read_heat(self._net(planes)[0])


def read_heat(maps: torch.Tensor) -> list[Box]:
    """The boxes in `HeatMap`'s answer `[5, rows, columns]`: at each peak of the heat, the surest first."""
    heat, edges = maps[0].sigmoid(), maps[1:] * (128 / STRIDE)
    rows, columns = heat.shape
    peaks = (heat == F.max_pool2d(heat[None], 3, 1, 1)[0]) & (heat > _SURE)
    places = sorted(peaks.nonzero().tolist(), key=lambda place: -float(heat[place[0], place[1]]))
    boxes = []
    for y, x in places:
        left, top, right, bottom = edges[:, y, x].tolist()
        box = Box(max(0.0, (x + 0.5 - left) / columns), max(0.0, (y + 0.5 - top) / rows),
                  min(1.0, (x + 0.5 + right) / columns), min(1.0, (y + 0.5 + bottom) / rows))
        if box.width > 0 and box.height > 0 and all(overlap(box, other) < 0.6 for other in boxes):
            boxes.append(box)
    return boxes[:_MOST]


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / (areas - both) if areas > both else 0.0

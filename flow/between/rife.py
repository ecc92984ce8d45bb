"""RIFE's network for pictures in between (Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame
Interpolation", ECCV 2022), in the form of Practical-RIFE 4.25 and 4.26 and their lite, large and heavy variants.

Five blocks look at the pictures from coarse to fine. Each corrects two flows, from the wanted picture back into the
one and on into the other, and a mask that says how to mix what is fetched along them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from ..weights import fill, refused

_SCALES, _LITE_SCALES = (16, 8, 4, 2, 1), (32, 16, 8, 4, 1)  # how much smaller the picture is that a block looks at
_LITE_CHANNELS = 24  # of the last block of 4.25 lite; all others have 32 or more
_FEATURES = 8  # channels that a block hands on to the next one
_REMEDY = "use RIFE 4.25 or 4.26 (rife_v4.26.safetensors, or flownet.pkl of Practical-RIFE)"


class IFNet(nn.Module):
    """Args: head: channels that are extracted from each picture; channels: width of the five blocks, coarse first."""

    name = "RIFE"
    work_bytes = 1200  # a pixel, about: pictures, features, flows, and the finest block's layers

    def __init__(self, head: int, channels: tuple[int, ...]):
        super().__init__()
        self.scales = _LITE_SCALES if channels[-1] == _LITE_CHANNELS else _SCALES
        self.align = 4 * self.scales[0]  # both sides of the pictures are multiples of this
        self.encode = _Head(head)
        inputs = 2 * (3 + head) + 1  # two pictures, their features, the time
        widths = [inputs] + [inputs + 1 + _FEATURES + 4] * (len(channels) - 1)  # and mask, features, two flows
        self.blocks = nn.ModuleList(_Block(*pair) for pair in zip(widths, channels, strict=True))

    def prepare(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on time: both pictures ``[1, 3, H, W]`` with their features, ``[1, 3 + head, H, W]``."""
        return torch.cat([a, self.encode(a)], 1), torch.cat([b, self.encode(b)], 1)

    def make(self, prepared: tuple[Tensor, Tensor], t: float) -> Tensor:
        """The picture at ``t`` in 0..1, ``[1, 3, H, W]``, of what ``prepare`` returned."""
        a, b = moved_a, moved_b = prepared
        time = torch.full_like(a[:, :1], t)
        flow, mask = None, time  # there is none of a block before the first
        seen: list[Tensor] = []
        for block, scale in zip(self.blocks, self.scales, strict=True):
            # the pictures first, then their features
            inputs = [moved_a[:, :3], moved_b[:, :3], moved_a[:, 3:], moved_b[:, 3:], time, *seen]
            change, mask, features = block(torch.cat(inputs, 1), flow, scale)
            flow = change if flow is None else flow + change
            moved_a, moved_b = _fetch(a, flow[:, :2]), _fetch(b, flow[:, 2:])
            seen = [mask, features]
        return torch.lerp(moved_b[:, :3], moved_a[:, :3], torch.sigmoid(mask))


class _Head(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.cnn1 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn2 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn3 = nn.ConvTranspose2d(16, channels, 4, stride=2, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        x = picture
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = _bent(layer(x))
        return self.cnn3(x)


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _bent(x + self.conv(x) * self.beta)


class _Block(nn.Module):
    def __init__(self, inputs: int, channels: int):
        super().__init__()
        sides = ((inputs, channels // 2), (channels // 2, channels))
        self.conv0 = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(*side, 3, stride=2, padding=1), nn.LeakyReLU(0.2)) for side in sides))
        self.convblock = nn.Sequential(*(_Residual(channels) for _ in range(8)))
        outputs = 4 + 1 + _FEATURES
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(channels, 4 * outputs, 4, stride=2, padding=1),
                                      nn.PixelShuffle(2))

    def forward(self, x: Tensor, flow: Tensor | None, scale: int) -> tuple[Tensor, Tensor, Tensor]:
        """Two flows ``[1, 4, H, W]`` in pixels, a mask ``[1, 1, H, W]`` before its sigmoid, and features."""
        x = interpolate(x, scale_factor=1 / scale, mode="bilinear")
        if flow is not None:
            x = torch.cat([x, interpolate(flow, scale_factor=1 / scale, mode="bilinear") / scale], 1)
        x = self.lastconv(self.convblock(self.conv0(x)))
        x = interpolate(x, scale_factor=scale, mode="bilinear")
        return x[:, :4] * scale, x[:, 4:5], x[:, 5:]


def _bent(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, 0.2)


def _fetch(values: Tensor, flow: Tensor) -> Tensor:
    """``values(p + flow[p])``, bilinear, the edge continued outwards; ``[1, C, H, W]``, flow ``[1, 2, H, W]``."""
    height, width = values.shape[2:]
    xs = torch.linspace(-1, 1, width, device=flow.device) + flow[:, 0] * (2 / (width - 1))
    ys = torch.linspace(-1, 1, height, device=flow.device)[:, None] + flow[:, 1] * (2 / (height - 1))
    return grid_sample(values, torch.stack([xs, ys], 3), "bilinear", "border", align_corners=True)


def is_rife(state: dict[str, Tensor]) -> bool:
    """Do these look like the weights of some RIFE?"""
    return any(name.endswith(("block0.conv0.0.0.weight", "blocks.0.conv0.0.0.weight")) for name in state)


def rife_of(state: dict[str, Tensor], path: Path, where: str) -> IFNet:
    """The network of a file's tensors; ``InputError`` if they are not those of RIFE 4.25 or 4.26."""
    state = {_name(name): value for name, value in state.items()}
    state = {name: value for name, value in state.items()
             if not name.startswith(("teacher.", "caltime."))}  # of its training only
    count = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    if count != len(_SCALES):
        raise refused(path, where, f"is a RIFE of {count} blocks, before 4.25 (5 blocks)", _REMEDY)
    sizes = {}
    for name in ("encode.cnn3.weight", *(f"blocks.{block}.conv0.1.0.weight" for block in range(count))):
        if name not in state or state[name].ndim != 4:
            raise refused(path, where, f"does not fit: there is no {name}", _REMEDY)
        sizes[name] = state[name].shape[:2]
    head, *channels = sizes.values()
    with torch.device("meta"):
        network = IFNet(head[1], tuple(outputs for outputs, _ in channels))
    return fill(network, state, path, _REMEDY, where)


def _name(name: str) -> str:
    """A tensor's name without the wrappers it was trained in; ``block0`` of the release is ``blocks.0``."""
    for prefix in ("module.", "flownet."):
        name = name.removeprefix(prefix)
    first, _, rest = name.partition(".")
    return f"blocks.{first[5:]}.{rest}" if first.startswith("block") and first[5:].isdigit() else name

"""FILM's network for pictures in between (Reda et al., "FILM: Frame Interpolation for Large Motion", ECCV 2022).

Both pictures become pyramids of features. From coarse to fine their flows to each other are found; pictures, features
and flows, brought to the wanted time, are fused. Published weights were trained for the time 0.5; other times scale
the flows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, leaky_relu, pad

from ..weights import fill, refused

_LEVELS = 7  # of the pyramids
_FUSED = 5  # of them, the finest, are fused
_DEEP = 4  # layers of features that a picture of the pyramid gives; also how many levels have networks of their own
_FIRST = "extract.extract_sublevels.convs.0.0.conv.weight"
FILM_WORK_BYTES = 5200  # a pixel, about, with 64 filters: features of both pictures, moved, side by side, and fused
_REMEDY = "use film_net_fp16.safetensors or film_net_fp32 as a state dict"


class FilmNet(nn.Module):
    """Args: filters: features of the finest level (64 in the published one); flow_filters: width of the networks that
    find flow, finest first (32, 64, 128, 256)."""

    name = "FILM"
    align = 1 << (_LEVELS - 1)
    work_bytes = FILM_WORK_BYTES
    extract: Any  # modules that hold others under the names of the published files
    predict_flow: Any
    fuse: Any

    def __init__(self, filters: int, flow_filters: tuple[int, ...]):
        super().__init__()
        self.extract = nn.Module()
        self.extract.extract_sublevels = nn.Module()
        widths = [3, *(filters << depth for depth in range(_DEEP))]
        self.extract.extract_sublevels.convs = nn.ModuleList(
            nn.ModuleList([_Conv(before, after, 3), _Conv(after, after, 3)])
            for before, after in zip(widths, widths[1:], strict=False))
        finders = [_flow_finder(2 * _features(filters, level), width) for level, width in enumerate(flow_filters)]
        self.predict_flow = nn.Module()
        self.predict_flow._predictor = finders[-1]  # of this level and all coarser ones
        self.predict_flow._predictors = nn.ModuleList(finders[-2::-1])
        self.fuse = nn.Module()
        self.fuse.convs = nn.ModuleList()
        before = _aligned(filters, _FUSED - 1)
        for level in range(_FUSED - 2, -1, -1):
            after = filters << level
            self.fuse.convs.append(nn.ModuleList([
                _Conv(before, after, 2), _Conv(_aligned(filters, level) + after, after, 3), _Conv(after, after, 3)]))
            before = after
        self.fuse.output_conv = nn.Conv2d(filters, 3, 1)

    def prepare(self, a: Tensor, b: Tensor) -> list[tuple[Tensor, ...]]:
        """What does not depend on time: for each fused level, finest first, both pictures ``[1, 3, h, w]`` with their
        features, the flow from a to b and that from b to a ``[1, 2, h, w]`` in its pixels."""
        pictures_a, pictures_b = _pyramid(a), _pyramid(b)
        features_a, features_b = self._features(pictures_a), self._features(pictures_b)
        forward, backward = self._flows(features_a, features_b), self._flows(features_b, features_a)
        return [(torch.cat(pair_a, 1), torch.cat(pair_b, 1), there, back)
                for pair_a, pair_b, there, back in zip(
                    zip(pictures_a, features_a, strict=True), zip(pictures_b, features_b, strict=True),
                    forward, backward, strict=True)][:_FUSED]

    def make(self, prepared: list[tuple[Tensor, ...]], t: float) -> Tensor:
        """The picture at ``t`` in 0..1, ``[1, 3, H, W]``, of what ``prepare`` returned."""
        out = None
        for level in range(_FUSED - 1, -1, -1):
            a, b, forward, backward = prepared[level]
            to_a, to_b = backward * t, forward * (1 - t)  # taken where they are, not where they would have moved to
            aligned = torch.cat([_fetch(a, to_a), _fetch(b, to_b), to_a, to_b], 1)
            if out is None:
                out = aligned
                continue
            shrink, mix, finish = self.fuse.convs[_FUSED - 2 - level]
            out = shrink(pad(interpolate(out, size=aligned.shape[2:], mode="nearest"), (0, 1, 0, 1)))
            out = leaky_relu(mix(torch.cat([aligned, out], 1)), 0.2)
            out = leaky_relu(finish(out), 0.2)
        return self.fuse.output_conv(out)

    def _features(self, pictures: list[Tensor]) -> list[Tensor]:
        """For each level what the pictures of this and the next finer levels show at its size: shallow first."""
        levels = [[] for _ in pictures]
        for start, x in enumerate(pictures):
            for depth, layers in enumerate(self.extract.extract_sublevels.convs):
                if start + depth == len(pictures):
                    break
                x = x if depth == 0 else avg_pool2d(x, 2)
                for layer in layers:
                    x = leaky_relu(layer(x), 0.2)
                levels[start + depth].insert(0, x)
        return [torch.cat(features, 1) for features in levels]

    def _flows(self, features_a: list[Tensor], features_b: list[Tensor]) -> list[Tensor]:
        """The flow from a to b at each level, finest first."""
        own = self.predict_flow._predictors
        flow, flows = None, []
        for level in range(len(features_a) - 1, -1, -1):
            finder = own[len(own) - 1 - level] if level < len(own) else self.predict_flow._predictor
            a, b = features_a[level], features_b[level]
            if flow is not None:
                flow = interpolate(flow, size=a.shape[2:], mode="bilinear") * 2
                b = _fetch(b, flow)
            x = torch.cat([a, b], 1)
            for number, layer in enumerate(finder._convs, 1):
                x = layer(x)
                if number < len(finder._convs):
                    x = leaky_relu(x, 0.2)
            flow = x if flow is None else flow + x
            flows.insert(0, flow)
        return flows


class _Conv(nn.Module):
    """A convolution under the name the published files give it."""

    def __init__(self, before: int, after: int, size: int):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, padding=size // 2 if size % 2 else 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _flow_finder(inputs: int, width: int) -> Any:
    finder: Any = nn.Module()
    finder._convs = nn.ModuleList([_Conv(inputs, width, 3), _Conv(width, width, 3), _Conv(width, width, 3),
                                   _Conv(width, width // 2, 1), _Conv(width // 2, 2, 1)])
    return finder


def _features(filters: int, level: int) -> int:
    """Channels of a picture's features at a level."""
    return sum(filters << depth for depth in range(min(level + 1, _DEEP)))


def _aligned(filters: int, level: int) -> int:
    """Channels of both pictures, their features and their flows."""
    return 2 * (3 + _features(filters, level) + 2)


def _pyramid(picture: Tensor) -> list[Tensor]:
    pictures = [picture]
    while len(pictures) < _LEVELS:
        pictures.append(avg_pool2d(pictures[-1], 2))
    return pictures


def _fetch(values: Tensor, flow: Tensor) -> Tensor:
    """``values(p + flow[p])``, bilinear, the edge continued outwards; ``[1, C, h, w]``, flow ``[1, 2, h, w]``."""
    height, width = values.shape[2:]
    xs = (torch.arange(width, device=flow.device) + 0.5 + flow[:, 0]) * (2 / width) - 1
    ys = (torch.arange(height, device=flow.device)[:, None] + 0.5 + flow[:, 1]) * (2 / height) - 1
    return grid_sample(values, torch.stack([xs, ys], 3), "bilinear", "border", align_corners=False)


def is_film(state: dict[str, Tensor]) -> bool:
    """Do these look like the weights of FILM?"""
    return any(name.startswith("extract.extract_sublevels.") for name in state)


def film_of(state: dict[str, Tensor], path: Path, where: str) -> FilmNet:
    """The network of a file's tensors; ``InputError`` if they are not those of FILM."""
    # the first port to torch calls a convolution "0", ComfyUI's files call it "conv"
    state = {re.sub(r"\.0\.(weight|bias)$", r".conv.\1", name): value for name, value in state.items()}
    finders = [*(f"predict_flow._predictors.{_DEEP - 2 - level}" for level in range(_DEEP - 1)),
               "predict_flow._predictor"]
    sizes = []
    for name in (_FIRST, *(f"{finder}._convs.0.conv.weight" for finder in finders)):
        if name not in state or state[name].ndim != 4:
            raise refused(path, where, f"does not fit: there is no {name}", _REMEDY)
        sizes.append(state[name].shape[0])
    with torch.device("meta"):
        network = FilmNet(sizes[0], tuple(sizes[1:]))
    return fill(network, state, path, _REMEDY, where)

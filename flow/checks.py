"""Can it be worked on? Pictures, masks, flow fields and settings are asked once, where they come in.

All raise ``InputError``; ``where`` is what it names first: the node, or "motion" for callers without one.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..common import InputError, check_shape, check_values

WHERE = "motion"
MIN_SIDE = 16  # pixels; below this DIS has no room for one pyramid level of 8-pixel patches
_RANGE_SLACK = 1e-3  # rounding of encoders; no overshoot of a sharpening filter


def check_picture(picture: Tensor, where: str = WHERE, field: str = "picture") -> None:
    """Refuse what is not ``float32 [H, W, 3]`` in 0..1 on the CPU, both sides at least 16 pixels: alpha channels and
    NaN too."""
    check_shape(picture, where, field)
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(where, field, f"{width}x{height}", "is too small to find motion in",
                         f"both sides must be at least {MIN_SIDE} pixels")
    if picture.dtype != torch.float32 or picture.device.type != "cpu":
        kind = f"{str(picture.dtype).removeprefix('torch.')} on {picture.device}"
        raise InputError(where, field, kind, "is not float32 on the CPU", "convert it to float32 in 0..1 on the CPU")
    check_values(picture, where, field, overshoot=_RANGE_SLACK)


def check_one_size(a: Tensor, b: Tensor, where: str = WHERE,
                   fields: tuple[str, str] = ("first picture", "second picture")) -> None:
    """Refuse two pictures ``[H, W, C]`` of different shapes."""
    if a.shape != b.shape:
        sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (a, b)]
        raise InputError(where, fields[1], sizes[1], f"has not the size of the {fields[0]}, {sizes[0]}",
                         "bring them to one size first")


def check_pair(a: Tensor, b: Tensor, where: str = WHERE,
               fields: tuple[str, str] = ("first picture", "second picture")) -> None:
    """Refuse what are not two pictures of one size."""
    check_picture(a, where, fields[0])
    check_picture(b, where, fields[1])
    check_one_size(a, b, where, fields)


def check_masks(masks: tuple[Tensor, Tensor] | None, picture: Tensor, where: str = WHERE) -> None:
    """Refuse what is neither None nor two masks ``bool [H, W]`` of the picture's size."""
    if masks is None:
        return
    if not isinstance(masks, (tuple, list)) or len(masks) != 2:
        raise InputError(where, "figure", type(masks).__name__, "is not two masks",
                         "give one of the first and one of the second picture")
    for mask in masks:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != picture.shape[:2]:
            kind = f"{list(mask.shape)} {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
            raise InputError(where, "figure", kind, f"is no mask of the picture, bool {list(picture.shape[:2])}",
                             "give masks of these very pictures")


def check_flow(flow: Tensor, where: str = WHERE, field: str = "flow", remedy: str = "estimate it again") -> None:
    """Refuse what is not a finite flow field, floating ``[H, W, 2]``."""
    if not isinstance(flow, Tensor) or flow.ndim != 3 or flow.shape[2] != 2 or not flow.is_floating_point():
        kind = list(flow.shape) if isinstance(flow, Tensor) else type(flow).__name__
        raise InputError(where, field, kind, "is not a flow field [height, width, 2] of floats", remedy)
    if not torch.isfinite(flow.sum()) and not torch.isfinite(flow).all():  # a finite sum says all, and quickly
        raise InputError(where, field, list(flow.shape), "contains NaN or infinity", remedy)


def check_choice(choice: str, choices: Iterable[str], where: str, field: str) -> None:
    """Refuse a setting that is none of its choices."""
    if choice not in choices:
        raise InputError(where, field, choice, "is unknown", f"use one of {', '.join(choices)}")


def check_count(count: int, where: str = WHERE) -> None:
    """Refuse fewer than two pictures."""
    if count < 2:
        raise InputError(where, "pictures", count, "are too few for a motion", "give at least two")

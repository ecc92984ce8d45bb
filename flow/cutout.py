"""Cut-outs: pictures with alpha, ``float32 [H, W, 4]`` in 0..1, their colours not multiplied by it.

What is computed with are colours multiplied by alpha, beside alpha (Porter and Duff, "Compositing Digital Images",
SIGGRAPH 1984): their mean is what the mean of the pictures on any background would be, and a hidden colour counts for
nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .field import FlowError, check_picture

_LEAST = 1e-4  # of alpha; a colour that is less visible cannot be told


def multiplied(picture: Tensor) -> Tensor:
    """A cut-out's colours times alpha, and alpha."""
    return torch.cat([picture[..., :3] * picture[..., 3:], picture[..., 3:]], -1)


def separated(values: Tensor) -> Tensor:
    """The cut-out whose ``multiplied`` these values are; overshoots are cut."""
    alpha = values[..., 3:].clamp(0, 1)
    return torch.cat([(values[..., :3] / alpha.clamp_min(_LEAST)).clamp(0, 1), alpha], -1)


def is_cut_out(*pictures: Tensor) -> bool:
    """Do all have four channels?"""
    return all(isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[2] == 4 for picture in pictures)


def check_cut_out(picture: Tensor, name: str) -> None:
    """Refuse colours that are no picture, and an alpha that is not in 0..1, with a ``FlowError``."""
    check_picture(picture[..., :3], name)
    low, high = (value.item() for value in picture[..., 3].aminmax())
    if not (low >= 0 and high <= 1):  # NaN neither
        raise FlowError(f"{name}: alpha is {low:.3g}..{high:.3g}; bring it to 0..1")


def on_a_ground(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two cut-outs on black or on white, whichever their colours stand out from: motion is looked for there."""
    first, second = multiplied(a), multiplied(b)
    sums = first.sum((0, 1)) + second.sum((0, 1))
    ground = 0.0 if sums[:3].mean() > 0.5 * sums[3] else 1.0
    return tuple(values[..., :3] + ground * (1 - values[..., 3:]) for values in (first, second))

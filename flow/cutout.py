"""Cut-outs: pictures with alpha, ``float32 [H, W, 4]`` in 0..1, their colours not multiplied by it.

What is computed with are colours multiplied by alpha, beside alpha (Porter and Duff, "Compositing Digital Images",
SIGGRAPH 1984): their mean is what the mean of the pictures on any background would be, and a hidden colour counts for
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..common import InputError
from .checks import check_one_size, check_pair, check_picture

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


def check_cut_out(picture: Tensor, where: str, field: str) -> None:
    """Refuse colours that are no picture, and an alpha that is not in 0..1. Raises InputError."""
    check_picture(picture[..., :3], where, field)
    low, high = (value.item() for value in picture[..., 3].aminmax())
    if not (low >= 0 and high <= 1):  # NaN neither
        raise InputError(where, field, f"alpha {low:.3g}..{high:.3g}", "has alpha outside 0..1", "bring it to 0..1")


@dataclass(frozen=True)
class PairPixels:
    """Two pictures as they are worked on.

    Attributes:
        seen: both ``[H, W, 3]``: what motion is looked for in. Cut-outs are laid on a plain ground.
        values: what is moved and mixed: the same, or of transparent cut-outs ``multiplied``, ``[H, W, 4]``.
        with_alpha: were they given with alpha?
    """

    seen: tuple[Tensor, Tensor]
    values: tuple[Tensor, Tensor]
    with_alpha: bool

    @property
    def transparent(self) -> bool:
        """Is there a transparent part?"""
        return self.values[0].shape[2] == 4

    def swapped(self) -> PairPixels:
        """The same the other way round."""
        return PairPixels((self.seen[1], self.seen[0]), (self.values[1], self.values[0]), self.with_alpha)

    def as_given(self, values: Tensor) -> Tensor:
        """Values that were moved and mixed, as a picture with alpha or without, as the two are."""
        if self.transparent:
            return separated(values)
        return torch.cat([values, torch.ones_like(values[..., :1])], 2) if self.with_alpha else values


def checked_pixels(a: Tensor, b: Tensor, where: str) -> PairPixels:
    """The pixels of two pictures or of two cut-outs of one size. Raises InputError if they are neither."""
    if not is_cut_out(a, b):
        check_pair(a, b, where)
        return PairPixels((a, b), (a, b), False)
    check_cut_out(a, where, "first picture")
    check_cut_out(b, where, "second picture")
    check_one_size(a, b, where)
    if min(picture[..., 3].min().item() for picture in (a, b)) < 1:
        values = multiplied(a), multiplied(b)
        return PairPixels(_on_a_ground(*values), values, True)
    opaque = a[..., :3].contiguous(), b[..., :3].contiguous()
    return PairPixels(opaque, opaque, True)


def _on_a_ground(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """``multiplied`` cut-outs on black or on white, whichever their colours stand out from."""
    sums = first.sum((0, 1)) + second.sum((0, 1))
    ground = 0.0 if sums[:3].mean() > 0.5 * sums[3] else 1.0
    return (first[..., :3] + ground * (1 - first[..., 3:]), second[..., :3] + ground * (1 - second[..., 3:]))

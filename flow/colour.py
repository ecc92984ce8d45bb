"""The colours of one picture brought to those of another that shows the same: a gain and an offset for each channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_POINTS = 1 << 15  # pixels that are looked at, on a grid
_KEPT = 0.6  # share of them that is fitted: the rest may show something else
_ROUNDS = 3
_SAME = 8 / 255  # difference up to which a pixel counts as matched
_ENOUGH = 0.4  # share of the pixels that must be
_FLAT = 0.01  # standard deviation below which a channel tells no gain
_GAINS, _OFFSETS = (0.5, 2.0), 0.4  # beyond, it is another picture


@dataclass(frozen=True)
class ColourMatch:
    """``gain * colour + offset``, ``float32 [3]`` each."""

    gain: Tensor
    offset: Tensor

    @classmethod
    def none(cls) -> ColourMatch:
        """Changes nothing."""
        return cls(torch.ones(3), torch.zeros(3))

    def towards(self, other: ColourMatch, share: float) -> ColourMatch:
        """This at ``share`` 0, ``other`` at 1, linear between them."""
        return ColourMatch(torch.lerp(self.gain, other.gain, share), torch.lerp(self.offset, other.offset, share))

    def applied(self, picture: Tensor) -> Tensor:
        """A picture ``float32 [H, W, 3]`` in the other's colours, clamped to 0..1."""
        return (picture * self.gain + self.offset).clamp(0, 1)

    @property
    def change(self) -> float:
        """The most it changes a colour of 0..1, on any channel."""
        return max(self.offset.abs().max().item(), (self.gain + self.offset - 1).abs().max().item())


def match_colours(picture: Tensor, wanted: Tensor) -> ColourMatch | None:
    """What brings the colours of ``picture`` to those of ``wanted``.

    Mean and spread of each channel (Reinhard et al., "Color Transfer between Images", 2001, in RGB), of the 60 % of the
    pixels that agree best; so a part that shows something else, or stands elsewhere, does not count.

    Args:
        picture, wanted: ``float32 [H, W, 3]`` of one size.
    Returns:
        None if under 40 % of the pixels agree afterwards, or the change is more than a drift of colours: the two do not
        show the same.
    """
    step = max(1, round((picture.shape[0] * picture.shape[1] / _POINTS) ** 0.5))
    here, there = (p[::step, ::step].reshape(-1, 3).double() for p in (picture, wanted))
    match, chosen = ColourMatch.none(), torch.ones(len(here), dtype=torch.bool)
    kept = max(1, int(_KEPT * len(here)))
    for _ in range(_ROUNDS):
        match = _fit(here[chosen], there[chosen])
        off = (here.float() * match.gain + match.offset - there.float()).abs().amax(1)
        chosen = off <= off.kthvalue(kept).values
    if off.le(_SAME).double().mean() < _ENOUGH or not _GAINS[0] <= match.gain.min() <= match.gain.max() <= _GAINS[1] \
            or match.offset.abs().max() > _OFFSETS:
        return None
    return match


def _fit(here: Tensor, there: Tensor) -> ColourMatch:
    spread_here, spread_there = here.std(0, correction=0), there.std(0, correction=0)
    gain = torch.where(spread_here > _FLAT, spread_there / spread_here.clamp_min(_FLAT), 1.0)
    return ColourMatch(gain.float(), (there.mean(0) - gain * here.mean(0)).float())

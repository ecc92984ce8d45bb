"""Colour that goes evenly from one end to the other."""

from __future__ import annotations

from ...common import Picture
from .ends import Ends

_MOST = 1.25  # by how much a channel's contrast may be changed


def carried(picture: Picture, ends: Ends, part: float) -> Picture:
    """The picture with each channel's mean and spread brought to those between the ends at `part` (0..1)."""
    (mean_a, spread_a), (mean_b, spread_b), (mean, spread) = (
        (values.mean((0, 1)), values.std((0, 1))) for values in (ends.start, ends.end, picture))
    gain = (spread_a.lerp(spread_b, part) / spread.clamp_min(1e-6)).clamp(1 / _MOST, _MOST)
    return ((picture - mean) * gain + mean_a.lerp(mean_b, part)).clamp(0, 1)

"""A clip at another frame rate: which times it needs, and the pictures at these times.

Drawn animation seldom has a new drawing for every frame: *on twos* each is held for two frames, *on threes* for three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

from ..between.frame_pair import MODES, Between
from ..between.learnt import InBetweenModel
from ..cutout import check_cut_out, is_cut_out
from ..field import FlowError, check_picture
from ..motion import Estimator
from .sequence import EASINGS, MAX_MULTIPLIER, InBetween

MIN_RATE, MAX_RATE = 0.01, 1000  # frames a second
CADENCES = {"on ones": 1, "on twos": 2, "on threes": 3}
"""For how many frames a drawing is held."""
HOLDS = ("keep", "remove")
_LONGEST_CADENCE = 4  # frames; what is held for longer stands still on purpose
_NOISE = 6 / 255  # mean difference of 8 x 8 pixels: a codec's from frame to frame is less, a blink is more


def frame_rate(rate: float) -> Fraction:
    """Frames a second as the fraction that is meant: 23.976 is 24000/1001, 29.97 is 30000/1001.

    Raises:
        FlowError: not from 0.01 to 1000.
    """
    if not MIN_RATE <= rate <= MAX_RATE:  # also false for NaN
        raise FlowError(f"frame rate {rate:g}: must be from {MIN_RATE} to {MAX_RATE} pictures a second")
    broadcast = Fraction(round(rate * 1.001) * 1000, 1001)
    if abs(broadcast - Fraction(rate)) < Fraction(1, 200) and rate != round(rate):
        return broadcast
    return Fraction(rate).limit_denominator(1000)


def frame_times(count: int, source_rate: float, target_rate: float) -> list[Fraction]:
    """Where the pictures of the new clip are in the old one, counted in old pictures from 0 to ``count - 1``.

    The new clip begins with the first picture, and ends at the last one or less than one new picture before it.

    Raises:
        FlowError: fewer than two pictures, a rate that is none, or more than 64 new pictures for an old one.
    """
    if count < 2:
        raise FlowError(f"pictures: there are {count}; give at least two")
    step = frame_rate(source_rate) / frame_rate(target_rate)
    if step * MAX_MULTIPLIER < 1:
        raise FlowError(f"frame rate {target_rate:g}: is more than {MAX_MULTIPLIER} times {source_rate:g}; "
                        "choose a lower one")
    return [index * step for index in range(int((count - 1) / step) + 1)]


def on_cadence(times: list[Fraction], cadence: str) -> list[Fraction]:
    """Times of which each is held for two or three frames; as many as before. ``cadence``: a key of ``CADENCES``."""
    if cadence not in CADENCES:
        raise FlowError(f"cadence '{cadence}': is unknown; use one of {', '.join(CADENCES)}")
    every = CADENCES[cadence]
    return [times[index - index % every] for index in range(len(times))]


def pictures_at(
    pictures: Iterable[Tensor],
    times: Iterable[Fraction],
    easing: str = "linear",
    mode: str = "auto",
    estimator: Estimator | None = None,
    model: InBetweenModel | None = None,
    holds: str = "keep",
    figures: Sequence[Tensor] | None = None,
) -> Iterator[InBetween]:
    """The pictures at rising times; where a given picture stands, that picture itself.

    Args:
        pictures: of one size, all with alpha (``cutout.py``) or all without; read as they are needed, two are held at
            a time.
        times: see ``frame_times``; never falling. The motion is estimated once for each gap that a time falls into.
        easing, mode, estimator, model: see ``in_betweens``.
        holds: what to do with a drawing that is held for two to four frames: "keep" it so, or "remove" the hold: the
            motion to the next drawing then takes all this time. Longer holds and cuts stay where they are.
        figures: the masks of a figure, one for each picture, where they are known; see ``Between``.
    Raises:
        FlowError: a setting that cannot be used (at once); a picture that cannot be used, or a time outside the clip
            (when it is reached).
    """
    if easing not in EASINGS:
        raise FlowError(f"easing '{easing}': is unknown; use one of {', '.join(EASINGS)}")
    if mode not in MODES:
        raise FlowError(f"mode '{mode}': is unknown; use one of {', '.join(MODES)}")
    if holds not in HOLDS:
        raise FlowError(f"holds '{holds}': is unknown; use one of {', '.join(HOLDS)}")
    drawings = _drawings(pictures, holds == "remove")

    def between(here: _Drawing, following: _Drawing) -> Between:
        figure = None if figures is None else (figures[here.first], figures[following.first])
        try:
            return Between(here.picture, following.picture, mode, estimator, figure=figure, model=model)
        except FlowError as error:
            raise FlowError(f"pictures {here.first + 1} and {following.first + 1}: {error}") from error

    return _pictures_at(drawings, times, EASINGS[easing], between)


class _Drawing(NamedTuple):
    """A picture and the numbers, from 0, of the first and the last frame that shows it."""

    picture: Tensor
    first: int
    last: int

    @property
    def leaves(self) -> int:
        """The frame from which on it moves."""
        return self.first if self.last - self.first < _LONGEST_CADENCE else self.last


def _drawings(pictures: Iterable[Tensor], join: bool) -> Iterator[_Drawing]:
    """Every picture as a drawing, or (``join``) equal ones in a row as one."""
    current = None
    for number, picture in enumerate(pictures):
        check = check_cut_out if is_cut_out(picture) else check_picture
        check(picture, f"picture {number + 1}")
        if not join:
            yield _Drawing(picture, number, number)
        elif current is not None and _same_drawing(current.picture, picture):
            current = current._replace(last=number)
        else:
            if current is not None:
                yield current
            current = _Drawing(picture, number, number)
    if current is not None:
        yield current


def _same_drawing(a: Tensor, b: Tensor) -> bool:
    """Equal but for a codec's noise, which differs less than anything drawn where eight pixels are averaged."""
    import cv2

    if a.shape != b.shape:
        return False
    difference = cv2.absdiff(a.numpy(), b.numpy())
    size = (-(-a.shape[1] // 8), -(-a.shape[0] // 8))
    return float(cv2.resize(difference, size, interpolation=cv2.INTER_AREA).max()) < _NOISE


def _pictures_at(drawings, times, ease, between) -> Iterator[InBetween]:
    here, following = next(drawings, None), next(drawings, None)
    pair, made, shown = None, None, None
    for time in times:
        if time == shown:
            yield made
            continue
        while following is not None and following.first <= time:
            here, following, pair = following, next(drawings, None), None
        if here is None or following is None and time > here.last:
            raise FlowError(f"times: picture {math.ceil(time) + 1} is asked for, and there is none")
        if following is None or time <= here.leaves:
            made = InBetween(here.picture, float(time), None)
        else:
            pair = pair or between(here, following)
            start = here.last if pair.report.decision == "hold" else here.leaves
            share = max(0.0, float((time - start) / (following.first - start)))
            made = InBetween(pair.at(ease(share)), float(time), pair.report, (here.first, following.first))
        shown = time
        yield made

"""A clip at another frame rate: which times it needs, and the pictures at these times.

Drawn animation seldom has a new drawing for every frame: *on twos* each is held for two frames, *on threes* for three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

from ...common import InputError
from ..between.choose import MODES, Report
from ..between.frame_pair import FramePair, prepare_pair
from ..between.learnt import InBetweenModel
from ..checks import WHERE, check_choice, check_count, check_picture
from ..cutout import check_cut_out, is_cut_out
from ..motion import Estimator

MAX_MULTIPLIER = 64
EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease in": lambda t: 1 - math.cos(t * math.pi / 2),
    "ease out": lambda t: math.sin(t * math.pi / 2),
    "ease in and out": lambda t: (1 - math.cos(t * math.pi)) / 2,
}
"""How far the motion is, 0..1, at a time 0..1 between two pictures; the sine family of Penner's easing equations."""
MIN_RATE, MAX_RATE = 0.01, 1000  # frames a second
CADENCES = {"on ones": 1, "on twos": 2, "on threes": 3}
"""For how many frames a drawing is held."""
HOLDS = ("keep", "remove")
_LONGEST_CADENCE = 4  # frames; what is held for longer stands still on purpose
_NOISE = 6 / 255  # mean difference of 8 x 8 pixels: a codec's from frame to frame is less, a blink is more


class ClipPicture(NamedTuple):
    """A picture of the new clip. ``time`` counts in given pictures (2.5: half-way from the third to the fourth);
    ``report`` is that of its pair, ``between`` says which given pictures (from 0) the pair is; both are None for given
    pictures, which are handed on as they are."""

    picture: Tensor
    time: float
    report: Report | None
    between: tuple[int, int] | None = None


def frame_rate(rate: float, where: str = WHERE, field: str = "fps") -> Fraction:
    """Frames a second as the fraction that is meant: 23.976 is 24000/1001, 29.97 is 30000/1001.

    Raises:
        InputError: not from 0.01 to 1000.
    """
    if not MIN_RATE <= rate <= MAX_RATE:  # also false for NaN
        raise InputError(where, field, f"{rate:g}", "is no frame rate",
                         f"it must be from {MIN_RATE} to {MAX_RATE} pictures a second")
    broadcast = Fraction(round(rate * 1.001) * 1000, 1001)
    if abs(broadcast - Fraction(rate)) < Fraction(1, 200) and rate != round(rate):
        return broadcast
    return Fraction(rate).limit_denominator(1000)


def frame_times(count: int, source_rate: float, target_rate: float, where: str = WHERE) -> list[Fraction]:
    """Where the pictures of the new clip are in the old one, counted in old pictures from 0 to ``count - 1``.

    The new clip begins with the first picture, and ends at the last one or less than one new picture before it.

    Raises:
        InputError: fewer than two pictures, a rate that is none, or more than 64 new pictures for an old one.
    """
    check_count(count, where)
    step = frame_rate(source_rate, where, "source_fps") / frame_rate(target_rate, where, "target_fps")
    if step * MAX_MULTIPLIER < 1:
        raise InputError(where, "target_fps", f"{target_rate:g}",
                         f"is more than {MAX_MULTIPLIER} times {source_rate:g}", "choose a lower frame rate")
    return [index * step for index in range(int((count - 1) / step) + 1)]


def on_cadence(times: list[Fraction], cadence: str, where: str = WHERE) -> list[Fraction]:
    """Times of which each is held for two or three frames; as many as before. ``cadence``: a key of ``CADENCES``, else
    an ``InputError`` is raised."""
    check_choice(cadence, CADENCES, where, "cadence")
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
    where: str = WHERE,
) -> Iterator[ClipPicture]:
    """The pictures at rising times; where a given picture stands, that picture itself.

    Args:
        pictures: of one size, all with alpha (``cutout.py``) or all without; read as they are needed, two are held at
            a time.
        times: see ``frame_times``; never falling. The motion is estimated once for each gap that a time falls into.
        easing: a key of ``EASINGS``, applied between each two pictures.
        mode, estimator, model: see ``prepare_pair``.
        holds: what to do with a drawing that is held for two to four frames: "keep" it so, or "remove" the hold: the
            motion to the next drawing then takes all this time. Longer holds and cuts stay where they are.
        figures: the masks of a figure, one for each picture, where they are known; see ``prepare_pair``.
        where: for messages.
    Raises:
        InputError: a setting that cannot be used (at once); a picture that cannot be used, or a time outside the clip
            (when it is reached).
    """
    check_choice(easing, EASINGS, where, "easing")
    check_choice(mode, MODES, where, "mode")
    check_choice(holds, HOLDS, where, "holds")

    def prepare(here: _Drawing, following: _Drawing) -> FramePair:
        figure = None if figures is None else (figures[here.first], figures[following.first])
        return prepare_pair(here.picture, following.picture, mode, estimator, figure=figure, model=model,
                            where=f"{where}: pictures {here.first + 1} and {following.first + 1}")

    return _pictures_at(_drawings(pictures, holds == "remove", where), times, EASINGS[easing], prepare, where)


class _Drawing(NamedTuple):
    """A picture and the numbers, from 0, of the first and the last frame that shows it."""

    picture: Tensor
    first: int
    last: int

    @property
    def leaves(self) -> int:
        """The frame from which on it moves."""
        return self.first if self.last - self.first < _LONGEST_CADENCE else self.last


def _drawings(pictures: Iterable[Tensor], join: bool, where: str) -> Iterator[_Drawing]:
    """Every picture as a drawing, or (``join``) equal ones in a row as one."""
    current = None
    for number, picture in enumerate(pictures):
        check = check_cut_out if is_cut_out(picture) else check_picture
        check(picture, where, f"picture {number + 1}")
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


def _pictures_at(drawings, times, ease, prepare, where) -> Iterator[ClipPicture]:
    here, following = next(drawings, None), next(drawings, None)
    pair, shown, shown_at = None, None, None
    for time in times:
        if shown is not None and time == shown_at:
            yield shown
            continue
        while following is not None and following.first <= time:
            here, following, pair = following, next(drawings, None), None
        if here is None or following is None and time > here.last:
            raise InputError(where, "times", f"picture {math.ceil(time) + 1}", "is asked for, and there is none",
                             "give more pictures")
        if following is None or time <= here.leaves:
            shown = ClipPicture(here.picture, float(time), None)
        else:
            pair = pair or prepare(here, following)
            start = here.last if pair.report.decision == "hold" else here.leaves
            share = max(0.0, float((time - start) / (following.first - start)))
            shown = ClipPicture(pair.at(ease(share)), float(time), pair.report, (here.first, following.first))
        shown_at = time
        yield shown

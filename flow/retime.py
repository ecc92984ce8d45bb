"""A clip at another frame rate: which times it needs, and the pictures at these times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from torch import Tensor

from .estimate import Estimator
from .field import FlowError, check_picture
from .interpolate import MODES, Between
from .learnt import InBetweenModel
from .sequence import EASINGS, MAX_MULTIPLIER, InBetween

MIN_RATE, MAX_RATE = 0.01, 1000  # frames a second


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


def pictures_at(
    pictures: Iterable[Tensor],
    times: Iterable[Fraction],
    easing: str = "linear",
    mode: str = "auto",
    estimator: Estimator | None = None,
    model: InBetweenModel | None = None,
) -> Iterator[InBetween]:
    """The pictures at rising times; at whole times the given pictures themselves.

    Args:
        pictures: of one size; read as they are needed, two are held at a time.
        times: see ``frame_times``; never falling. The motion is estimated once for each gap that a time falls into.
        easing, mode, estimator, model: see ``in_betweens``.
    Raises:
        FlowError: a setting that cannot be used (at once); a picture that cannot be used, or a time outside the clip
            (when it is reached).
    """
    if easing not in EASINGS:
        raise FlowError(f"easing '{easing}': is unknown; use one of {', '.join(EASINGS)}")
    if mode not in MODES:
        raise FlowError(f"mode '{mode}': is unknown; use one of {', '.join(MODES)}")
    return _pictures_at(enumerate(pictures), times, EASINGS[easing], mode, estimator, model)


def _pictures_at(pictures, times, ease, mode, estimator, model) -> Iterator[InBetween]:
    held: dict[int, Tensor] = {}
    pair, gap = None, -1

    def picture(index: int) -> Tensor:
        while index not in held:
            number, following = next(pictures, (None, None))
            if following is None:
                raise FlowError(f"times: picture {index + 1} is asked for, and there is none")
            check_picture(following, f"picture {number + 1}")
            held.pop(number - 2, None)
            held[number] = following
        return held[index]

    for time in times:
        index = int(time)
        if time == index:
            yield InBetween(picture(index), float(time), None)
            continue
        if index != gap:
            first, second = picture(index), picture(index + 1)
            try:
                pair, gap = Between(first, second, mode, estimator, model=model), index
            except FlowError as error:
                raise FlowError(f"pictures {index + 1} and {index + 2}: {error}") from error
        yield InBetween(pair.at(ease(float(time - index))), float(time), pair.report)

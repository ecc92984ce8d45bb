"""Pictures between all pictures of a sequence, one at a time: memory does not grow with its length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from ..between.frame_pair import MODES, Between, Report
from ..between.learnt import InBetweenModel
from ..field import FlowError, check_picture
from ..motion import Estimator

MAX_MULTIPLIER = 64
EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease in": lambda t: 1 - math.cos(t * math.pi / 2),
    "ease out": lambda t: math.sin(t * math.pi / 2),
    "ease in and out": lambda t: (1 - math.cos(t * math.pi)) / 2,
}
"""How far the motion is, 0..1, at a time 0..1 between two pictures; the sine family of Penner's easing equations."""


class InBetween(NamedTuple):
    """A picture of the new sequence. ``time`` counts in given pictures (2.5: half-way from the third to the fourth);
    ``report`` is that of its pair, ``between`` says which given pictures (from 0) the pair is; both are None for given
    pictures, which are handed on as they are."""

    picture: Tensor
    time: float
    report: Report | None
    between: tuple[int, int] | None = None


def in_betweens(
    pictures: Iterable[Tensor],
    multiplier: int,
    easing: str = "linear",
    mode: str = "auto",
    estimator: Estimator | None = None,
    model: InBetweenModel | None = None,
) -> Iterator[InBetween]:
    """A sequence with ``multiplier - 1`` new pictures in each gap: N pictures become ``(N - 1) * multiplier + 1``.

    Args:
        pictures: at least two of one size; read as they are needed, two are held at a time.
        multiplier: 1..64.
        easing: a key of ``EASINGS``, applied between each two pictures.
        mode, estimator, model: see ``Between``.
    Yields:
        ``InBetween``, in order.
    Raises:
        FlowError: a setting that cannot be used (at once); a picture that cannot be used (when it is reached).
    """
    if isinstance(multiplier, bool) or not isinstance(multiplier, int) or not 1 <= multiplier <= MAX_MULTIPLIER:
        raise FlowError(f"multiplier {multiplier!r}: must be a whole number from 1 to {MAX_MULTIPLIER}")
    if easing not in EASINGS:
        raise FlowError(f"easing '{easing}': is unknown; use one of {', '.join(EASINGS)}")
    if mode not in MODES:
        raise FlowError(f"mode '{mode}': is unknown; use one of {', '.join(MODES)}")
    return _make(iter(pictures), multiplier, EASINGS[easing], mode, estimator, model)


def _make(pictures, multiplier, ease, mode, estimator, model) -> Iterator[InBetween]:
    first = next(pictures, None)
    if first is None:
        raise FlowError("pictures: there are none; give at least two")
    check_picture(first, "picture 1")
    number = 1
    for second in pictures:
        check_picture(second, f"picture {number + 1}")
        yield InBetween(first, number - 1.0, None)
        if multiplier > 1:
            try:
                pair = Between(first, second, mode, estimator, model=model)
            except FlowError as error:
                raise FlowError(f"pictures {number} and {number + 1}: {error}") from error
            for step in range(1, multiplier):
                time = number - 1 + step / multiplier
                yield InBetween(pair.at(ease(step / multiplier)), time, pair.report, (number - 1, number))
        elif second.shape != first.shape:
            raise FlowError(f"picture {number + 1}: has another size than picture {number}; bring them to one size")
        first, number = second, number + 1
    if number == 1:
        raise FlowError("pictures: there is only one; give at least two")
    yield InBetween(first, number - 1.0, None)

"""Keyframes where two pictures are too far apart to go from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from ..field import FlowError, check_pair, check_picture
from ..motion import Estimator, estimate_motion
from .score import explained

_GAIN = 0.02  # less is within what re-drawing changes


class Keyed(NamedTuple):
    """A picture of the new sequence; ``note`` says what was found about the gap before it (None for the first picture),
    ``made`` that it is a new keyframe."""

    picture: Tensor
    note: str | None
    made: bool = False


def insert_keyframes(
    pictures: Iterable[Tensor],
    ask: Callable[[int, Tensor, Tensor], Tensor],
    threshold: float = 0.3,
    estimator: Estimator | None = None,
) -> Iterator[Keyed]:
    """The pictures, with a keyframe between two of which motion explains less than ``threshold``, if it helps.

    What counts is the share of what changed (`explained`). A keyframe helps if that is higher in the worse of its two
    gaps than in the gap it divides; one that only repeats a neighbour does not.

    Args:
        pictures: at least two of one size; two are held at a time.
        ask: ``(gap, 0 for the first; picture before; picture after) -> a picture half-way, of the same size``.
        threshold: 0 (never ask) .. 1.
        estimator: see ``Estimator``.
    Raises:
        FlowError: fewer than two pictures, pictures that cannot be used, or an answer of another size.
    """
    first, count = None, 0
    for second in pictures:
        check_picture(second, f"picture {count + 1}")
        if first is None:
            yield Keyed(second, None)
        else:
            yield from _gap(count - 1, first, second, ask, threshold, estimator)
        first, count = second, count + 1
    if count < 2:
        raise FlowError(f"pictures: there are {count}; give at least two")


def _gap(gap, first, second, ask, threshold, estimator) -> Iterator[Keyed]:
    try:
        before = _explained(first, second, estimator)
    except FlowError as error:
        raise FlowError(f"pictures {gap + 1} and {gap + 2}: {error}") from error
    if before >= threshold:
        yield Keyed(second, f"motion explains {before:.0%} of what changed, near enough")
        return
    middle = ask(gap, first, second)
    check_pair(first, middle, ("first picture", "keyframe"))
    halves = [_explained(a, b, estimator) for a, b in ((first, middle), (middle, second))]
    found = f"motion explains {before:.0%} of what changed, with a keyframe {halves[0]:.0%} and {halves[1]:.0%}"
    if min(halves) > before + _GAIN:
        yield Keyed(middle, f"{found}: keyframe inserted", True)
        yield Keyed(second, None)
    else:
        yield Keyed(second, f"{found}: no better, left out")


def _explained(first: Tensor, second: Tensor, estimator: Estimator | None) -> float:
    return explained(first, second, estimate_motion(first, second, estimator))

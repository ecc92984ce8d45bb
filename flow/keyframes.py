"""Keyframes where two pictures are too far apart to go from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from .estimate import Estimator, estimate_motion
from .field import FlowError, check_pair, check_picture

_GAIN = 0.02  # of coverage: less is within what re-drawing changes


class Keyed(NamedTuple):
    """A picture of the new sequence; ``note`` says what was found about the gap before it (None for the first picture),
    ``made`` that it is a new keyframe."""

    picture: Tensor
    note: str | None
    made: bool = False


def insert_keyframes(
    pictures: Iterable[Tensor],
    ask: Callable[[int, Tensor, Tensor], Tensor],
    threshold: float = 0.55,
    estimator: Estimator | None = None,
) -> Iterator[Keyed]:
    """The pictures, with a keyframe between two whose motion covers less than ``threshold``, if it helps.

    A keyframe helps if the worse of its two gaps is covered better than the gap it divides. One that only repeats a
    neighbour does not.

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
        covered = estimate_motion(first, second, estimator).coverage
    except FlowError as error:
        raise FlowError(f"pictures {gap + 1} and {gap + 2}: {error}") from error
    if covered >= threshold:
        yield Keyed(second, f"{covered:.0%} covered, near enough")
        return
    middle = ask(gap, first, second)
    check_pair(first, middle, ("first picture", "keyframe"))
    halves = [estimate_motion(a, b, estimator).coverage for a, b in ((first, middle), (middle, second))]
    found = f"{covered:.0%} covered, with a keyframe {halves[0]:.0%} and {halves[1]:.0%}"
    if min(halves) > covered + _GAIN:
        yield Keyed(middle, f"{found}: keyframe inserted", True)
        yield Keyed(second, None)
    else:
        yield Keyed(second, f"{found}: no better, left out")

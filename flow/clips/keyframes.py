"""Keyframes where two pictures are too far apart to go from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from ..between.estimate import estimate_motion
from ..checks import WHERE, check_count, check_pair, check_picture
from ..motion import Estimator
from ..occlusion import explained

_GAIN = 0.02  # less is within what re-drawing changes


class KeyedPicture(NamedTuple):
    """A picture of the new sequence; ``note`` says what was found about the gap before it (None for the first picture),
    ``is_new`` that it is a new keyframe."""

    picture: Tensor
    note: str | None
    is_new: bool = False


def insert_keyframes(
    pictures: Iterable[Tensor],
    ask: Callable[[int, Tensor, Tensor], Tensor],
    threshold: float = 0.3,
    estimator: Estimator | None = None,
    where: str = WHERE,
) -> Iterator[KeyedPicture]:
    """The pictures, with a keyframe between two of which motion explains less than ``threshold``, if it helps.

    What counts is the share of what changed (`explained`). A keyframe helps if that is higher in the worse of its two
    gaps than in the gap it divides; one that only repeats a neighbour does not.

    Args:
        pictures: at least two of one size; two are held at a time.
        ask: ``(gap, 0 for the first; picture before; picture after) -> a picture half-way, of the same size``.
        threshold: 0 (never ask) .. 1.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        where: for messages.
    Raises:
        InputError: fewer than two pictures, pictures that cannot be used, or an answer of another size.
    """
    first, count = None, 0
    for second in pictures:
        check_picture(second, where, f"picture {count + 1}")
        if first is None:
            yield KeyedPicture(second, None)
        else:
            yield from _gap(count - 1, first, second, ask, threshold, estimator, where)
        first, count = second, count + 1
    check_count(count, where)


def _gap(gap, first, second, ask, threshold, estimator, where) -> Iterator[KeyedPicture]:
    where = f"{where}: pictures {gap + 1} and {gap + 2}"
    before = explained(first, second, estimate_motion(first, second, estimator, where=where))
    if before >= threshold:
        yield KeyedPicture(second, f"motion explains {before:.0%} of what changed, near enough")
        return
    middle = ask(gap, first, second)
    check_pair(first, middle, where, ("first picture", "keyframe"))
    halves = [explained(*half, estimate_motion(*half, estimator, where=where))
              for half in ((first, middle), (middle, second))]
    note = f"motion explains {before:.0%} of what changed, with a keyframe {halves[0]:.0%} and {halves[1]:.0%}"
    if min(halves) > before + _GAIN:
        yield KeyedPicture(middle, f"{note}: keyframe inserted", True)
        yield KeyedPicture(second, None)
    else:
        yield KeyedPicture(second, f"{note}: no better, left out")

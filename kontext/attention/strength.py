"""How strongly each reference is looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from ...common import InputError
from .plan import UNSEEN

MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class ReferenceStrength:
    """How strongly a reference is looked at.

    The log of `value` is added to the scores of its tokens: with 0.5 they count half as much beside all else, with 2
    twice; 1 changes nothing, and 0 leaves them out. (One softmax over two keys and values mixed so is the outer
    interpolation of He et al. 2024, arXiv 2403.17924.)

    Attributes:
        value: 0..2.
        start, end: 0..1; it counts in the steps that begin at this part of all steps or later, and before that one;
            in the others the strength is 1.
    """

    value: float = 1.0
    start: float = 0.0
    end: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether it changes nothing."""
        return self.value == 1 or self.start >= self.end

    @property
    def is_absent(self) -> bool:
        """Whether the reference is left out in every step."""
        return self.value == 0 and self.start == 0 and self.end == 1

    def bias(self, step: int, steps: int) -> float:
        """What is added to the scores in a step (from 0); -inf: it is not seen."""
        if self.is_plain or not self.start <= step / steps < self.end:
            return 0.0
        return math.log(self.value) if self.value > 0 else UNSEEN


def check_strengths(strengths: Sequence[ReferenceStrength], references: int, where: str) -> None:
    """Refuse strengths out of range, and another number of them than references (none at all is fine).

    Raises:
        InputError: names the reference by its number, from 1.
    """
    if strengths and len(strengths) != references:
        raise InputError(where, "strengths", f"{len(strengths)} for {references} references", "are not one for each",
                         "give each reference a strength; 1 changes nothing")
    for number, strength in enumerate(strengths, 1):
        field = "strength" if references == 1 else f"strength of reference {number}"
        if not is_number(strength.value) or not 0 <= strength.value <= MAX_STRENGTH:
            raise InputError(where, field, strength.value, f"is not a number in 0..{MAX_STRENGTH:g}",
                             "1 is plain Kontext, 0 leaves the reference out")
        for name, value in (("start", strength.start), ("end", strength.end)):
            if not is_number(value) or not 0 <= value <= 1:
                raise InputError(where, f"{name} of the {field}", value, "is not a number in 0..1",
                                 "0 is the first step and 1 the last")
        if strength.start >= strength.end:
            raise InputError(where, f"start of the {field}", strength.start, f"is not before its end {strength.end:g}",
                             "0 and 1 are all steps")


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)

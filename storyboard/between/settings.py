"""How a series is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from ...common import InputError
from ..story.models import MAX_FRAMES, MIN_FRAMES

MAX_CANDIDATES = 8


@dataclass(frozen=True)
class InBetweens:
    """How a series of pictures is wanted.

    Attributes:
        frames: how many it has, both ends included, 3..33.
        made: how many of them Kontext makes at most; flow fills the rest. 0: as many as are wanted.
        prompts: what happens on the way, in its order, e.g. ("the hand goes up", "the hand waves"): each is said of an
            equal share of the pictures. None is needed.
        candidates: how many pictures Kontext makes of each, 1..8; those of the best path through all are kept.
        confident: 0..1: flow fills a gap in which it explains this share of what changes (`flow.explained`); 1: only
            what it explains whole.
        seed: 0..2**64-1, one for the whole series: its noise is the same in every picture.
    """

    frames: int = 7
    made: int = 0
    prompts: tuple[str, ...] = ()
    candidates: int = 1
    confident: float = 0.97
    seed: int = 0

    def part(self, number: int) -> float:
        """How far on the way frame `number` (from 0) is, 0..1."""
        return number / (self.frames - 1)

    def prompt(self, part: float) -> str:
        """What is said to happen there; empty without prompts."""
        return self.prompts[min(len(self.prompts) - 1, int(part * len(self.prompts)))].strip() if self.prompts else ""


def check_settings(settings: InBetweens, where: str) -> None:
    """Raises InputError for a count out of range and an empty prompt among several."""
    ranges = (("frames", settings.frames, MIN_FRAMES, MAX_FRAMES, "7 is usual"),
              ("made", settings.made, 0, MAX_FRAMES, "0 makes as many as are wanted"),
              ("candidates", settings.candidates, 1, MAX_CANDIDATES, "1 is usual"))
    for field, value, low, high, remedy in ranges:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(where, field, value, f"is not a whole number in {low}..{high}", remedy)
    share = settings.confident
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
        raise InputError(where, "confident", share, "is not a number in 0..1", "0.97 is usual")
    for number, prompt in enumerate(settings.prompts, 1):
        if not prompt.strip():
            raise InputError(where, f"prompt {number}", prompt, "is empty", "say what happens there, or leave it out")

"""What comes of a job: its candidates, the one that is kept, and how many of them are handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common import Picture
from ...kontext import PictureScore
from ..between.series import SeriesFrame
from ..plan.jobs import PanelJob, SeriesJob

CANDIDATE_BYTES = 4 * 2**30  # of those not kept: 340 of 1024x1024


@dataclass(frozen=True)
class Candidate:
    """One picture that was made for a panel. Its number counts from 0, which has the panel's own seed."""

    number: int
    seed: int
    picture: Picture = field(compare=False, repr=False)
    score: PictureScore | None

    @property
    def total(self) -> float:
        """0..1; 0 without a score."""
        return self.score.total if self.score else 0.0

    def as_json(self) -> dict[str, Any]:
        """For records."""
        return {"number": self.number, "seed": self.seed, **(self.score.as_json() if self.score else {})}

    def __str__(self) -> str:
        return f"candidate {self.number} (seed {self.seed}): {self.score or 'no score'}"


@dataclass(frozen=True)
class PanelResult:
    """A panel that was made, or taken over from an earlier run.

    `job` is the one of the candidate kept, with its seed and, unless it was taken over, with every reference that was
    used. `tried` are all candidates in the order in which they were made, `chosen` is the one kept.
    """

    job: PanelJob
    tried: tuple[Candidate, ...]
    chosen: Candidate

    @property
    def picture(self) -> Picture:
        """The panel's picture: that of the candidate kept."""
        return self.chosen.picture


@dataclass(frozen=True)
class SeriesResult:
    """A panel that was made as a series, or taken over from an earlier run: its pictures, what is said of each where
    they were made now, and lines on the whole."""

    job: SeriesJob
    ends: tuple[Picture, Picture] = field(compare=False, repr=False)
    pictures: tuple[Picture, ...] = field(compare=False, repr=False)
    frames: tuple[SeriesFrame, ...] = field(default=(), compare=False, repr=False)
    remarks: tuple[str, ...] = ()


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of the highest score; of equals the first."""
    return max(candidates, key=lambda candidate: candidate.total)


class Shortlist:
    """The candidates that a run hands out: all of a panel's while there is `room` (bytes of pictures), from then on
    only the one kept, so that a long board does not fill the memory. `without` are the panels whose others are gone."""

    def __init__(self, room: int = CANDIDATE_BYTES):
        self._room = room
        self.without: list[str] = []

    def of(self, result: PanelResult) -> tuple[Candidate, ...]:
        """What is handed out of a panel."""
        others = [candidate for candidate in result.tried if candidate is not result.chosen]
        self._room -= sum(candidate.picture.nbytes for candidate in others)
        if self._room >= 0 or not others:
            return result.tried
        self.without.append(result.job.panel_id)
        return (result.chosen,)

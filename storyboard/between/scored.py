"""How well a picture that Kontext made fits its place in a series."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...common import Picture
from ...flow import Estimator, estimate_motion, moving_region
from ...kontext import Scorer
from .ends import Ends
from .path import best_path


@dataclass(frozen=True)
class Candidate:
    """A picture that Kontext made for a place in a series.

    Attributes:
        part: the place, how far on the way: above 0, below 1.
        number: of the candidate, from 0.
        identity: how like its figure is to the ends' (`PictureScore.total`), 0..1; None without a scorer.
        alignment: how much of the motion from the start to the place it shows (`flow.moving_region`), 0..1; None where
            the motion between the ends is not known.
        progress: how far on the way it looks: by its motion, else by its distance to both ends. 0 is the start and 1
            the end; less and more is possible by motion.
    """

    part: float
    number: int
    picture: Picture
    identity: float | None
    alignment: float | None
    progress: float

    @property
    def cost(self) -> float:
        """What is missing of identity and alignment, 0 (nothing) up."""
        return sum(1 - score for score in (self.identity, self.alignment) if score is not None)

    def __str__(self) -> str:
        scores = [f"{name} {score:.2f}" for name, score in
                  (("identity", self.identity), ("motion", self.alignment)) if score is not None]
        return ", ".join([*scores, f"looks {self.progress:.0%} of the way"])


class Judge:
    """Scores the candidates of a series."""

    def __init__(self, ends: Ends, scorer: Scorer | None, estimator: Estimator | None, where: str):
        self._ends, self._estimator, self._where = ends, estimator, where
        self._figures = scorer.cast({"the figure": (ends.start, ends.end)}) if scorer else None

    def __call__(self, part: float, number: int, picture: Picture) -> Candidate:
        """The candidate, scored. A picture as large as the ends."""
        identity = self._figures.score(picture).total if self._figures else None
        motion = self._ends.pair.motion
        if motion is None or not (motion.forward * part).norm(dim=2).max() > _least_motion(picture):
            return Candidate(part, number, picture, identity, None, _by_distance(picture, self._ends))
        found = estimate_motion(self._ends.start, picture, self._estimator, where=self._where)
        region = moving_region(found.forward, motion.forward * part, self._where)
        return Candidate(part, number, picture, identity, region.score / 100, region.progress * part)


def _least_motion(picture: Picture) -> float:
    """Pixels; less is an estimator's noise (`flow.moving_region`)."""
    return max(1.0, 0.002 * (picture.shape[0] ** 2 + picture.shape[1] ** 2) ** 0.5)


def _by_distance(picture: Picture, ends: Ends) -> float:
    there, back = ((picture - end).abs().mean() for end in (ends.start, ends.end))
    return float(there / torch.clamp_min(there + back, 1e-6))


def smoothest(candidates: list[list[Candidate]]) -> list[Candidate]:
    """One candidate of each place, in their order: the least cost, and steps as long as the parts say."""
    return best_path(candidates, lambda candidate: candidate.cost,
                     lambda a, b: abs((b.progress - a.progress) - (b.part - a.part)))

"""How well a picture that Kontext made fits its place in a series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ...common import Picture
from ...flow import Estimator, estimate_motion, moving_region
from ...kontext import Scorer
from .ends import Ends
from .mended import mended, torn
from .path import best_path

MOST_OFF = 0.055  # the demo model is off by 0.02 to 0.04 with its in-between LoRA, by 0.07 to 0.11 without


@dataclass(frozen=True)
class Candidate:
    """A picture that Kontext made for a place in a series.

    Attributes:
        part: the place, how far on the way: above 0, below 1.
        number: of the candidate, from 0.
        identity: how like its figure is to the ends' (`PictureScore.total`), 0..1; None without a scorer.
        alignment: how much of the motion from the start to the place it shows (`flow.moving_region`), 0..1; None where
            the motion between the ends is not known, and where there is nothing to choose from.
        progress: how far on the way it looks: by its motion where that was looked at, else by its distance to both
            ends. 0 is the start and 1 the end; less and more is possible by motion.
        off: how far Kontext's picture was off where flow is sure, 0..1. From `MOST_OFF` on flow's was taken instead.
    """

    part: float
    number: int
    picture: Picture
    identity: float | None
    alignment: float | None
    progress: float
    off: float

    @property
    def is_kontexts(self) -> bool:
        """Whether it is a picture by Kontext, and not by flow alone."""
        return self.off < MOST_OFF

    @property
    def cost(self) -> float:
        """What is missing of identity and alignment, 0 (nothing) up; more than of any by Kontext where it is none."""
        missing = sum(1 - score for score in (self.identity, self.alignment) if score is not None)
        return missing if self.is_kontexts else missing + 2

    def __str__(self) -> str:
        scores = [f"{name} {score:.2f}" for name, score in
                  (("identity", self.identity), ("motion", self.alignment)) if score is not None]
        return ", ".join([*scores, f"looks {self.progress:.0%} of the way"])


class Judge:
    """Scores the candidates of a series. With `choice` there are several of each place, and their motion is looked at:
    that takes as long as flow between two pictures."""

    def __init__(self, ends: Ends, scorer: Scorer | None, estimator: Estimator | None, choice: bool, where: str):
        self._ends, self._estimator, self._choice, self._where = ends, estimator, choice, where
        self._figures = scorer.cast({"the figure": (ends.start, ends.end)}) if scorer else None

    def __call__(self, part: float, moved: Picture, answers: Iterable[Picture]) -> list[Candidate]:
        """Kontext's pictures of a place, as large as the ends, each put on what flow carries over, `moved`, and
        scored."""
        new = torn(self._ends.pair, part)
        return [self._scored(part, number, moved, *mended(made, moved, new)) for number, made in enumerate(answers)]

    def _scored(self, part: float, number: int, moved: Picture, picture: Picture, off: float) -> Candidate:
        if off >= MOST_OFF:
            picture = moved
        identity = self._figures.score(picture).total if self._figures else None
        motion = self._ends.pair.motion
        if not self._choice or motion is None or not (motion.forward * part).norm(dim=2).max() > _least_motion(picture):
            return Candidate(part, number, picture, identity, None, _by_distance(picture, self._ends), off)
        found = estimate_motion(self._ends.start, picture, self._estimator, where=self._where)
        region = moving_region(found.forward, motion.forward * part, self._where)
        return Candidate(part, number, picture, identity, region.score / 100, region.progress * part, off)


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

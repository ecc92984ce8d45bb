"""Best of several: a panel is made from one seed after another until a picture is good enough, and the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common import Box, Picture
from ...kontext import PictureScore, Scorer
from ..story.models import Panel, Story
from ..story.seeds import panel_seed

CANDIDATE_BYTES = 4 * 2**30  # of those not kept: 340 of 1024x1024
Judge = Callable[[str, Picture], PictureScore | None]  # the panel's id, and a picture of it


@dataclass(frozen=True)
class Wish:
    """How good a panel is to be: the best of `candidates` pictures; fewer if one reaches `stop_score`; more, up to
    `most`, while none reaches `min_score`. Scores are `PictureScore.total`, 0..1; None: no such limit."""

    candidates: int = 1
    min_score: float | None = None
    stop_score: float | None = None

    @property
    def most(self) -> int:
        """The most pictures of one panel: with a `min_score` twice the candidates and at least 4."""
        return self.candidates if self.min_score is None else max(4, 2 * self.candidates)

    @property
    def chooses(self) -> bool:
        """Whether scores make a difference."""
        return self.candidates > 1 or self.min_score is not None

    def is_enough(self, scores: list[float]) -> bool:
        """Whether to stop after pictures of these scores."""
        best = max(scores)
        if self.stop_score is not None and best >= self.stop_score:
            return True
        return len(scores) >= self.candidates and (self.min_score is None or best >= self.min_score)


@dataclass(frozen=True)
class Candidate:
    """One picture that was made for a panel."""

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


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a panel's candidate: number 0 has the panel's own."""
    return seed if number == 0 else panel_seed(seed, f"candidate {number}")


def candidates_of(wish: Wish, first: int, most: int, make: Callable[[int], Candidate]) -> list[Candidate]:
    """Make candidates, the first of number `first`, at least one and at most `most`; see `Wish`. Without a score there
    is nothing to choose by, and one is all."""
    made = [make(first)]
    while made[-1].score and len(made) < min(most, wish.most) and not wish.is_enough([one.total for one in made]):
        made.append(make(first + len(made)))
    return made


def best_of(candidates: list[Candidate]) -> Candidate:
    """The one of the highest score; of equals the first."""
    return max(candidates, key=lambda one: one.total)


class Shortlist:
    """The candidates that a run hands out: all of a panel's while there is `room` (bytes of pictures), from then on
    only the one kept, so that a long board does not fill the memory. `without` are the panels whose others are gone."""

    def __init__(self, room: int = CANDIDATE_BYTES):
        self._room = room
        self.without: list[str] = []

    def of(self, panel_id: str, tried: Sequence[Candidate], chosen: int) -> list[Candidate]:
        """What is handed out of a panel; `chosen` is the number of the candidate kept."""
        others = [one for one in tried if one.number != chosen]
        self._room -= sum(one.picture.nbytes for one in others)
        if self._room >= 0 or not others:
            return list(tried)
        self.without.append(panel_id)
        return [one for one in tried if one.number == chosen]


def own_references(name: str, pictures: Mapping[str, Picture]) -> list[Picture]:
    """All pictures of a character, of `name` and `name/role`, each once."""
    return list({id(picture): picture for key, picture in pictures.items() if key.split("/")[0] == name}.values())


def story_judge(story: Story, pictures: Mapping[str, Picture], scorer: Scorer) -> Judge:
    """What scores the panels of a story: each figure against all reference pictures of its own character. A panel
    without characters has no score."""
    references = {name: own for name in story.characters if (own := own_references(name, pictures))}
    everybody = scorer.cast(references)

    def judge(panel_id: str, picture: Picture) -> PictureScore | None:
        panel = story.panel(panel_id)
        names = [name for name in story.cast(panel) if name in references]
        return everybody.only(names).score(picture, regions(panel)) if names else None
    return judge


def regions(panel: Panel) -> dict[str, Box]:
    """Where a panel says its characters are: left, top, right, bottom."""
    regions = {name: panel.appearance(name).region for name in panel.characters or ()}
    return {name: region for name, region in regions.items() if region}

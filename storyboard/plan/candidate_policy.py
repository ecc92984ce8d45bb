"""How many candidates of a panel are made, and the seed of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..story.seeds import panel_seed


@dataclass(frozen=True)
class CandidatePolicy:
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
    def needs_scores(self) -> bool:
        """Whether scores make a difference."""
        return self.candidates > 1 or self.min_score is not None

    def is_enough(self, scores: Sequence[float]) -> bool:
        """Whether to stop after pictures of these scores, at least one."""
        best = max(scores)
        if self.stop_score is not None and best >= self.stop_score:
            return True
        return len(scores) >= self.candidates and (self.min_score is None or best >= self.min_score)


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a panel's candidate: number 0 has the panel's own."""
    return seed if number == 0 else panel_seed(seed, f"candidate {number}")

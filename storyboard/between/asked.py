"""What Kontext is asked for one picture of a series."""

from __future__ import annotations

from dataclasses import replace

from ...kontext import MIN_SIDE, EditRequest, KontextModel, ReferenceStrength, whole_size
from ..plan.board import Sampling
from ..plan.candidate_policy import candidate_seed
from .ends import Ends
from .settings import InBetweens


def in_between_prompt(part: float, more: str = "") -> str:
    """The words that the in-between LoRA was trained with (`demo_model/training/between.py`), then `more`."""
    return f"In-between at {round(part * 100)}%. {more}".strip()


def in_between_requests(ends: Ends, part: float, model: KontextModel, sampling: Sampling, settings: InBetweens,
                        where: str) -> list[EditRequest]:
    """The requests for the picture at `part` (above 0, below 1) of the way, one for each candidate.

    References are what flow makes of both ends there, and the ends themselves, with 1 - part and part for their
    strength. Each candidate has a noise of its own, the same for all parts.
    """
    width, height = whole_size(*ends.size, model.settings.width * model.settings.height, MIN_SIDE)
    request = EditRequest(
        prompt=in_between_prompt(part, settings.prompt(part)),
        references=(ends.moved(part), ends.start, ends.end),
        width=width, height=height, seed=settings.seed, steps=sampling.steps, guidance=sampling.guidance,
        reference_method="offset", where=f"{where}, {part:.0%} of the way",
        strengths=(ReferenceStrength(), ReferenceStrength(1 - part), ReferenceStrength(part)),
    )
    return [replace(request, seed=candidate_seed(settings.seed, number)) for number in range(settings.candidates)]

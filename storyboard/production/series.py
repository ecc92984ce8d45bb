"""Panels that are series: checked with all others, made when their turn comes."""

from collections.abc import Callable

import numpy as np
import torch

from ...common import Picture
from ...kontext import EditRequest, KontextModel, ReferenceStrength, Scorer
from ..between.asked import in_between_prompt
from ..between.ends import check_ends
from ..between.series import Series, make_in_betweens
from ..between.settings import InBetweens, check_settings
from ..observer import Observer
from ..plan.jobs import SeriesJob

MakeSeries = Callable[[SeriesJob, Picture, Picture], Series]  # the job, its start frame and its end frame


def check_series(job: SeriesJob, model: KontextModel) -> None:
    """Raise every InputError that can be found before the panels it begins and ends with are made."""
    check_settings(_settings(job), job.where)
    if isinstance(job.start, torch.Tensor) and isinstance(job.end, torch.Tensor):
        check_ends(job.start, job.end, job.where)
    references = (torch.zeros(1, 1, 1).expand(64, 64, 3),) * 3  # in the place of those that are still to be made
    for phase in job.prompts or ("",):
        model.check(EditRequest(
            prompt=in_between_prompt(0.99, phase), references=references, width=model.settings.width,
            height=model.settings.height, seed=job.seed, steps=job.sampling.steps, guidance=job.sampling.guidance,
            where=job.where, strengths=(ReferenceStrength(), ReferenceStrength(0.5), ReferenceStrength(0.5))))


def series_maker(model: KontextModel, scorer: Scorer | None, observer: Observer) -> MakeSeries:
    """What makes the series of a run that `observer` watches."""
    watcher = _Watcher(observer)
    return lambda job, start, end: make_in_betweens(start, end, model, job.sampling, watcher, _settings(job),
                                                    scorer=scorer, where=job.where)


def _settings(job: SeriesJob) -> InBetweens:
    return InBetweens(frames=job.frames, prompts=job.prompts, candidates=job.candidates, seed=job.seed)


class _Watcher:
    """Of one series among the panels of a run, whose observer has begun already and does not end with it."""

    def __init__(self, observer: Observer):
        self._observer = observer

    def begin(self, steps: int) -> None:
        """See Observer."""

    def step(self, preview: np.ndarray | None) -> None:
        """See Observer."""
        self._observer.step(preview)

    def end(self) -> None:
        """See Observer."""

"""Rendering: jobs become pictures, one panel at a time, and of several candidates the best is kept."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from ...common import Picture
from ...kontext import KontextModel, StepInfo
from ..plan.candidate_policy import CandidatePolicy
from ..plan.jobs import Job, PanelJob, SeriesJob, sources_first
from ..plan.masks import box_share, mask_share, paste
from .judge import Judge
from .results import Candidate, PanelResult, SeriesResult, best_of
from .series import MakeSeries

log = logging.getLogger("kontinuity")

OnStep = Callable[[PanelJob, StepInfo], None]


def render(jobs: Iterable[Job], model: KontextModel, on_step: OnStep | None = None, *, judge: Judge | None = None,
           budget: int = 0, first: int = 0, done: Mapping[str, Picture] | None = None,
           make_series: MakeSeries | None = None) -> Iterator[PanelResult | SeriesResult]:
    """Make the pictures lazily: a panel is sampled when its turn comes, so each can be kept before the next begins.

    Panels come in the order of `jobs`, except that one comes after the panel it is made from. Jobs that are not wanted
    are made and not handed out. `on_step(job, info)` is called after each sampling step; an exception it raises cancels
    and propagates unchanged.

    `judge` scores pictures, and the best candidate of a panel is kept (see CandidatePolicy); without it each panel is
    made once. `budget` is the most pictures of all jobs together; every job gets one anyway; 0 means no limit. `first`
    is the number of the first candidate of a wanted panel: another number is a re-roll. Pictures that are `done`, by
    panel id (see finished_panels), are handed out as they are, in their turn, each as its panel's only candidate.

    `make_series` makes the panels that are series; its pictures do not count in the budget.
    """
    jobs, done = list(jobs), done or {}
    left = [job for job in jobs if job.panel_id not in done]
    model.prepare([pass_.request for job in left if isinstance(job, PanelJob) for pass_ in job.passes])  # encoders once
    sources = {name for job in jobs for name in job.sources}
    pictures: dict[str, Picture] = dict(done)  # of the panels that others are made from
    spare = budget - len(left) if budget else math.inf
    for job in sources_first(jobs):
        if isinstance(job, SeriesJob):
            series = _series(job, pictures, done, make_series)
            pictures[job.panel_id] = series.pictures[-1]
            if job.wanted:
                yield series
            continue
        if job.panel_id in done:
            if job.wanted:
                only = Candidate(0, job.seed, done[job.panel_id], None)
                yield PanelResult(job, (only,), only)
            continue
        result = _best_candidate(job, pictures[job.source] if job.source else None, model, on_step, judge,
                                 first=first if job.wanted else 0, most=1 + max(0, spare))
        spare -= len(result.tried) - 1
        if job.panel_id in sources:
            pictures[job.panel_id] = result.picture
        if job.wanted:
            yield result


def _series(job: SeriesJob, pictures: Mapping[str, Picture], done: Mapping[str, Picture],
            make_series: MakeSeries | None) -> SeriesResult:
    """A series, made or done."""
    start, end = (pictures[frame] if isinstance(frame, str) else frame for frame in (job.start, job.end))
    if job.panel_id in done:
        return SeriesResult(job, (start, end), tuple(done[name] for name in job.frame_ids))
    assert make_series is not None, "whoever has series among the jobs says how they are made"
    made = make_series(job, start, end)
    return SeriesResult(job, (start, end), tuple(frame.picture for frame in made.frames), made.frames, made.remarks)


def _best_candidate(job: PanelJob, source: Picture | None, model: KontextModel, on_step: OnStep | None,
                    judge: Judge | None, first: int, most: int | float) -> PanelResult:
    """Make candidates of a panel, the first of number `first`, at least one and at most `most`; keep the best."""
    policy = job.policy
    tried: list[Candidate] = []
    jobs: dict[int, PanelJob] = {}
    while not tried or _goes_on(policy, tried, most):
        number = first + len(tried)
        jobs[number], picture = _make(job.candidate(number), source, model, on_step)
        score = judge(job.panel_id, picture) if judge else None
        tried.append(Candidate(number, jobs[number].seed, picture, score))
    best = best_of(tried)
    if policy.min_score is not None and best.score and best.total < policy.min_score:
        log.warning("panel '%s': the best of %d pictures scores %.2f, less than its min_score %.2f", job.panel_id,
                    len(tried), best.total, policy.min_score)
    return PanelResult(jobs[best.number], tuple(tried), best)


def _goes_on(policy: CandidatePolicy, tried: list[Candidate], most: int | float) -> bool:
    """Whether another candidate is made. Without a score there is nothing to choose by, and one is all."""
    return (tried[-1].score is not None and len(tried) < min(most, policy.most)
            and not policy.is_enough([candidate.total for candidate in tried]))


def _make(job: PanelJob, source: Picture | None, model: KontextModel,
          on_step: OnStep | None) -> tuple[PanelJob, Picture]:
    """One picture of a panel, and the job with the references that were used."""
    picture, passes = source, []
    for pass_ in job.passes:
        before = picture
        if pass_.on_picture and before is not None:
            pass_ = pass_.on(before)
        picture = model.edit(pass_.request, partial(on_step, job) if on_step else None)
        if pass_.box is not None and before is not None:
            picture = paste(before, picture, box_share(pass_.box, pass_.request.width, pass_.request.height))
        passes.append(pass_)
    assert picture is not None, "a job has at least one pass"
    if job.masks:
        kept = job.request.references[0] if source is None else source
        picture = paste(kept, picture, mask_share(job.masks))
    return replace(job, passes=tuple(passes)), picture

"""The use case: a board becomes pictures on disk. Whoever runs it (a node, a queue, a test) brings who watches it and
where files go."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...common import Picture
from ...kontext import KontextModel, Scorer
from ..observer import Observer
from ..plan.board import Board, Sampling
from ..plan.jobs import Job, PanelJob, SeriesJob
from ..plan.panels import plan_panels
from ..prompts import Advice, PromptToCheck, check_before_sampling, said_apart
from ..story.models import Panel, Story
from .judge import story_judge
from .records import record, series_records
from .render import render
from .results import Candidate, PanelResult, SeriesResult, Shortlist
from .resume import finished_panels
from .series import check_series, series_maker

log = logging.getLogger("kontinuity")


class Store(Protocol):
    """Where the pictures of a run go."""

    def claim(self) -> None:
        """Find a place for this run's files; called once, before anything is sampled. Raises InputError or OSError."""
        ...

    def earlier(self) -> Mapping[str, Sequence[Path]]:
        """What earlier runs have saved there, by panel id, the newest first."""
        ...

    def save(self, panel_id: str, picture: Picture, record: Mapping[str, Any]) -> Path:
        """Save a panel; `record` says how it was made. Returns the file. Raises OSError, for a full disk."""
        ...


@dataclass(frozen=True)
class SavedPanel:
    """A picture of a run: a panel, or one of a panel that is a series. `name` is the panel's id, of a series walk_00,
    walk_01, ... `path` is its file, `candidates` are those handed out: all that were made, or the one kept; none of a
    series."""

    name: str
    panel: Panel
    picture: Picture
    path: Path
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class StoryboardResult:
    """The panels of a run in the story's order, and what there is to say of it, on one or more lines each."""

    panels: tuple[SavedPanel, ...]
    remarks: tuple[str, ...]


def make_storyboard(board: Board, model: KontextModel, sampling: Sampling, observer: Observer, store: Store, *,
                    only: Iterable[str] = (), scorer: Scorer | None = None, first: int = 0, budget: int = 0,
                    resume: bool = False, originals: Mapping[str, str] | None = None, advice: Advice | None = None,
                    where: str = "storyboard") -> StoryboardResult:
    """Make the panels of a board, and save each the moment it is finished: what is saved stays whatever happens next.

    All panels are planned and their prompts looked through before the first is sampled.

    Args:
        only: the ids of the panels to make; none: all.
        scorer: chooses among candidates; without one a panel has only one.
        first: the number of the first candidate of each panel; another one than 0 is a re-roll.
        budget: the most pictures of the run, candidates included; every panel gets one anyway; 0: no limit.
        resume: take over what the store has of earlier runs, as far as it would come out the same.
        originals: prompts as they were written before translation, by panel id, for the records.
        advice: see check_before_sampling.
        where: who asks, for error messages.

    Raises InputError for all that plan_panels, check_before_sampling and the store's `claim` find, before anything is
    sampled; and what the observer and the store raise.
    """
    jobs = plan_panels(board, model, sampling, only=only, where=where)
    for job in jobs:
        if isinstance(job, SeriesJob):
            check_series(job, model)
    remarks = [look] if (look := check_before_sampling([*_prompts(board.story, jobs)], model, advice)) else []
    judge = story_judge(board, scorer) if scorer else None
    unjudged = [job.panel_id for job in jobs if isinstance(job, PanelJob) and job.policy.needs_scores]
    if judge is None and unjudged:
        remarks.append(f"One picture is made of {', '.join(unjudged)}: candidates and min_score need a scorer. Connect "
                       "Load Identity Scorer.")
        log.warning("%s: %s", where, remarks[-1])
    store.claim()
    finished = finished_panels(jobs, store.earlier(), model.name, judged=judge is not None, first=first) \
        if resume else {}
    if finished:
        remarks.append("Taken over from earlier runs: "
                       f"{', '.join(name for name in finished if name in {job.panel_id for job in jobs})}.")
    observer.begin(sum(_most_steps(job, judge is not None) for job in jobs if job.panel_id not in finished))
    shortlist = Shortlist()
    saved: dict[int, list[SavedPanel]] = {}  # by number: a panel that is made from a later one comes after it
    scores: dict[int, list[str]] = {}
    for result in render(jobs, model, lambda _, info: observer.step(model.preview(info)), judge=judge, budget=budget,
                         first=first, done={name: panel.picture for name, panel in finished.items()},
                         make_series=series_maker(model, scorer, observer)):
        job, panel = result.job, board.story.panel(result.job.panel_id)
        if isinstance(result, SeriesResult):
            records = series_records(result, model.name, judge is not None)
            paths = [finished[name].path if name in finished else store.save(name, picture, entry)
                     for name, picture, entry in zip(result.job.frame_ids, result.pictures, records, strict=True)]
            saved[job.number] = [SavedPanel(name, panel, picture, path, ()) for name, picture, path in
                                 zip(result.job.frame_ids, result.pictures, paths, strict=True)]
            scores[job.number] = [f"{result.job.where}, {line}" for line in result.remarks]
            continue
        path = finished[job.panel_id].path if job.panel_id in finished else store.save(
            job.panel_id, result.picture, _history(result, model, originals or {}))
        saved[job.number] = [SavedPanel(panel.id, panel, result.picture, path, shortlist.of(result))]
        scores[job.number] = _scores(result)
    observer.end()
    remarks += [line for number in sorted(scores) for line in scores[number]]
    if shortlist.without:
        remarks.append(f"Of {', '.join(shortlist.without)} only the picture kept is handed out: all candidates would "
                       "take too much memory. To choose by hand, name a few panels in panels.")
    return StoryboardResult(tuple(panel for number in sorted(saved) for panel in saved[number]), tuple(remarks))


def _most_steps(job: Job, judged: bool) -> int:
    if isinstance(job, SeriesJob):
        return job.steps
    return job.steps * (job.policy.most if judged and job.characters else 1)  # nobody has no score to choose by


def _prompts(story: Story, jobs: Iterable[Job]) -> Iterator[PromptToCheck]:
    """What is asked for in every pass of every job, in each of its regions, and in every phase of a series, with who is
    in its picture."""
    for job in jobs:
        if isinstance(job, SeriesJob):
            for phase in job.prompts:
                yield PromptToCheck(job.where, phase, story.traits(job.characters))
            continue
        for pass_ in job.passes:
            yield PromptToCheck(pass_.request.where, pass_.request.prompt,
                                story.traits([pass_.character] if pass_.character else job.characters))
        if job.combine == "regions":
            yield from said_apart(story, story.panel(job.panel_id))


def _history(result: PanelResult, model: KontextModel, originals: Mapping[str, str]) -> dict[str, Any]:
    """The record of a panel, with its prompt as it was written if that is another."""
    entry = record(result, model.name)
    if (original := originals.get(result.job.panel_id)) is not None:
        entry["prompt_as_written"] = original
    return entry


def _scores(result: PanelResult) -> list[str]:
    """A line on each candidate that was scored."""
    return [f"panel '{result.job.panel_id}', {candidate}" + (" - kept" if candidate is result.chosen else "")
            for candidate in result.tried if candidate.score]

"""Panels that an earlier run has saved: taken over where their record says that they would be made the same again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ...common import InputError, Picture, open_picture
from ..plan.jobs import Job, PanelJob, SeriesJob, sources_first
from .records import RECORD_KEY, frame_record, job_record

# May differ between two equal panels:
_OF_THE_RUN = ("number", "candidate", "candidates", "prompt_as_written", "origin", "said")


@dataclass(frozen=True)
class Finished:
    """A saved panel."""

    path: Path
    picture: Picture = field(compare=False, repr=False)


def finished_panels(jobs: Iterable[Job], files: Mapping[str, Sequence[Path]], model_name: str, *,
                    judged: bool = False, first: int = 0) -> dict[str, Finished]:
    """The panels that need not be made again, by id.

    A file counts if its record is the one that its job would get now: same prompt, seed, references, size, steps, model
    and so on, and a choice of candidates that is as wide as the panel wants it. Of a panel made from another one, that
    one has to be there, too. Of a series all pictures have to be there: they are in it by their names, and the last one
    by the panel's id as well. Files that cannot be read are passed over.

    Args:
        jobs: as from `plan_panels`.
        files: saved pictures by panel id, those to be preferred first.
        model_name: of the model that would make them.
        judged, first: whether candidates are scored, and the number of a wanted panel's first one (see render).
    """
    finished: dict[str, Finished] = {}
    for job in sources_first(list(jobs)):
        if any(name not in finished for name in job.sources):
            continue
        if isinstance(job, SeriesJob):
            finished |= _finished_series(job, finished, files, model_name, judged)
            continue
        if job.source:
            job = replace(job, passes=(job.passes[0].on(finished[job.source].picture), *job.passes[1:]))
        for path in files.get(job.panel_id, ()):
            if not _is_of(read_record(path), job, model_name, judged, first if job.wanted else 0):
                continue
            try:
                finished[job.panel_id] = Finished(path, open_picture(path, "finished", job.panel_id))
                break
            except InputError:
                continue
    return finished


def _finished_series(job: SeriesJob, finished: Mapping[str, Finished], files: Mapping[str, Sequence[Path]],
                     model_name: str, judged: bool) -> dict[str, Finished]:
    """The pictures of a series, if all of them are there."""
    start, end = (finished[frame].picture if isinstance(frame, str) else frame for frame in (job.start, job.end))
    found: dict[str, Finished] = {}
    for number, name in enumerate(job.frame_ids):
        ours = _without_run(frame_record(job, (start, end), number, model_name, judged))
        for path in files.get(name, ()):
            entry = read_record(path)
            if isinstance(entry, dict) and _without_run(entry) == ours:
                try:
                    found[name] = Finished(path, open_picture(path, "finished", name))
                    break
                except InputError:
                    continue
        if name not in found:
            return {}
    return {**found, job.panel_id: found[job.frame_ids[-1]]}


def _without_run(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in _OF_THE_RUN}


def read_record(path: Path) -> Any:
    """The record in a saved panel; None if there is none that can be read."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return json.loads(cast(PngImageFile, image).text[RECORD_KEY])
    except Exception:  # Pillow's readers raise nearly anything on a broken file
        return None


def _is_of(entry: Any, job: PanelJob, model_name: str, judged: bool, first: int) -> bool:
    try:
        tried = entry.get("candidates") or [{"number": 0}]
        chosen = entry.get("candidate", 0)
        if tried[0]["number"] != first:
            return False
        if judged and job.policy.needs_scores and job.characters:  # nobody has no score, see story_judge
            if len(tried) < job.policy.most and not job.policy.is_enough([candidate["score"] for candidate in tried]):
                return False
        elif chosen != first:
            return False
        theirs = _without_run(entry)
        for later in theirs.get("passes", ())[1:]:
            del later["references"][:1]  # the picture as the pass before left it
            del later.get("strengths", [])[:1]
        ours = json.loads(json.dumps(job_record(job.candidate(chosen), model_name)))
        return theirs == _without_run(ours)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # not what we write
        return False

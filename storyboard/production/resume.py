"""Panels that an earlier run has saved: taken over where their record says that they would be made the same again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ...common import InputError, Picture, open_picture
from ..plan.jobs import PanelJob, sources_first
from .records import RECORD_KEY, job_record

_OF_THE_RUN = ("number", "candidate", "candidates", "prompt_as_written")  # may differ between two equal panels


@dataclass(frozen=True)
class Finished:
    """A saved panel."""

    path: Path
    picture: Picture = field(compare=False, repr=False)


def finished_panels(jobs: Iterable[PanelJob], files: Mapping[str, Sequence[Path]], model_name: str, *,
                    judged: bool = False, first: int = 0) -> dict[str, Finished]:
    """The panels that need not be made again, by id.

    A file counts if its record is the one that its job would get now: same prompt, seed, references, size, steps, model
    and so on, and a choice of candidates that is as wide as the panel wants it. Of a panel made from another one, that
    one has to be there, too. Files that cannot be read are passed over.

    Args:
        jobs: as from `plan_panels`.
        files: saved pictures by panel id, those to be preferred first.
        model_name: of the model that would make them.
        judged, first: whether candidates are scored, and the number of a wanted panel's first one (see render).
    """
    finished: dict[str, Finished] = {}
    for job in sources_first(list(jobs)):
        if job.source:
            if job.source not in finished:
                continue
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
        if judged and job.policy.needs_scores:
            if len(tried) < job.policy.most and not job.policy.is_enough([candidate["score"] for candidate in tried]):
                return False
        elif chosen != first:
            return False
        theirs = {key: value for key, value in entry.items() if key not in _OF_THE_RUN}
        for later in theirs.get("passes", ())[1:]:
            del later["references"][:1]  # the picture as the pass before left it
            del later.get("strengths", [])[:1]
        ours = json.loads(json.dumps(job_record(job.candidate(chosen), model_name)))
        return theirs == {key: value for key, value in ours.items() if key not in _OF_THE_RUN}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # not what we write
        return False

"""Planning: the panels of a board become jobs, and every one of them is checked."""

import logging
from collections.abc import Callable, Iterable

import torch

from ...common import InputError, did_you_mean
from ...kontext import MIN_SIDE, EditRequest, KontextModel, ModelSettings, whole_size
from ..cast.references import panel_references, panel_strengths
from ..prompts.instruction import whole_prompt
from ..story.models import Panel, Story
from ..story.resolved import ResolvedPanel, resolve
from .board import Board, Sampling
from .candidate_policy import CandidatePolicy
from .combine import way_to_combine
from .jobs import Job, PanelJob
from .masks import panel_masks
from .passes import panel_passes
from .regions import given_areas
from .series import frame_size, series_job

log = logging.getLogger("kontinuity")

MOST_EDITS = 3  # in a row; Kontext's pictures decay visibly after about six
_SOME_PICTURE = torch.zeros(1, 1, 1).expand(64, 64, 3)  # for checks, where the real one is still to be made


def plan_panels(board: Board, model: KontextModel, sampling: Sampling, *, only: Iterable[str] = (),
                where: str = "storyboard") -> list[Job]:
    """Turn the panels of a story into jobs, in the story's order, and check every one of them before any is sampled.

    `only` names the panels wanted; none named means all. A panel that a wanted one is made from is planned too, as not
    wanted. `where` is who asks, for error messages; a panel's own errors are said by "panel 'beach'".

    Raises InputError for an unknown panel in `only`, a picture of somebody who is not in the story, a character without
    a picture, passes or masks on a picture of another size, masks of a panel that is made from no picture or from
    several, masks that are not in the board or fit badly (see check_masks), what way_to_combine and series_job refuse,
    and all that model.check finds.
    """
    story = board.story
    wanted, needed = _choose(story, {only} if isinstance(only, str) else set(only), where)
    for name in (key.split("/")[0] for key in board.pictures):
        if name not in story.characters:
            raise InputError(where, "characters", name, "has a picture but is not a character of this story",
                             f"add `{name}: {{}}` to the story's characters, or leave the picture out")
    jobs = [_job(resolve(story, panel), board, model.settings, sampling, number, panel.id in wanted)
            for number, panel in enumerate(story.panels, start=1) if panel.id in needed]
    for job in jobs:
        for pass_ in job.passes if isinstance(job, PanelJob) else ():
            model.check(pass_.on(_SOME_PICTURE).request if pass_.on_picture else pass_.request)
    return jobs


def _choose(story: Story, only: set[str], where: str) -> tuple[set[str], set[str]]:
    """The ids of the panels that are wanted, and of these with all that they are made from."""
    ids = [panel.id for panel in story.panels]
    for name in sorted(only.difference(ids)):
        raise InputError(where, "panels", name, "is not a panel of this story", did_you_mean(name, ids))
    wanted = only or set(ids)
    sources = {panel.id: [source.id for source in story.sources(panel)] for panel in story.panels}
    needed: set[str] = set()
    to_add = list(wanted)
    while to_add:
        if (panel_id := to_add.pop()) not in needed:
            needed.add(panel_id)
            to_add += story.panel(panel_id).needs.values()
    if far := [panel_id for panel_id in ids if panel_id in needed and len(sources[panel_id]) > MOST_EDITS]:
        log.warning("panels %s are more than %d edits away from a reference; quality falls with every one. Make some "
                    "panel between from reference.", ", ".join(far), MOST_EDITS)
    return wanted, needed


def _job(resolved: ResolvedPanel, board: Board, settings: ModelSettings, sampling: Sampling, number: int,
         wanted: bool) -> Job:
    """A panel's job, unchecked by the model."""
    panel, story = resolved.panel, board.story

    def size_of(panel: Panel) -> tuple[int, int]:
        if panel.is_series:
            return frame_size(panel.start_frame or "", board.frames, story, size_of)
        return _size(panel.size or story.size, story.aspect, settings)

    if panel.is_series:
        return series_job(resolved, board, sampling, number, wanted, size_of)
    size = size_of(panel)
    references = panel_references(resolved, board.pictures)
    strengths = panel_strengths(resolved, board.pictures, board.strengths)
    areas = given_areas(panel, resolved.newcomers, board.regions.get(panel.id, {}), size)

    def place_of(character: str) -> str:  # for messages
        line = story.line("panels", number - 1, "characters", character, "region")
        return f"{resolved.where}, line {line}" if line else resolved.where

    combine = way_to_combine(resolved, settings.combine, strengths, areas, size, place_of)
    request = EditRequest(prompt=whole_prompt(resolved), references=references, width=size[0], height=size[1],
                          seed=resolved.seed, steps=sampling.steps, guidance=sampling.guidance, where=resolved.where,
                          strengths=strengths)
    masks = panel_masks(panel, board.masks.get(panel.id), size, references, in_passes=combine == "passes")
    if combine == "passes" or masks:
        _check_size_of_source(resolved, size, size_of, story, "passes" if combine == "passes" else "masks")
    passes = panel_passes(resolved, request, combine, areas)
    return PanelJob(panel.id, number, resolved.characters, passes, resolved.source, combine, wanted, resolved.seed,
                    CandidatePolicy(panel.candidates, panel.min_score, panel.stop_score), masks=masks)


def _size(size: tuple[int, int] | None, aspect: float | None, settings: ModelSettings) -> tuple[int, int]:
    """Width and height in pixels: those that are given, or the model's native area in the story's shape."""
    if size or aspect is None:
        return size or (settings.width, settings.height)
    return whole_size(aspect, 1.0, settings.width * settings.height, MIN_SIDE)


def _check_size_of_source(resolved: ResolvedPanel, size: tuple[int, int], size_of: Callable[[Panel], tuple[int, int]],
                          story: Story, keeping: str) -> None:
    """Raise InputError if a panel of which `keeping` keep the source's pixels has another size than that."""
    if resolved.source and size_of(story.panel(resolved.source)) != size:
        raise InputError(resolved.where, "size", f"{size[0]}x{size[1]}",
                         f"is not that of panel '{resolved.source}', and {keeping} keep its pixels",
                         "give both one size")

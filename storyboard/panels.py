"""Panels: a story and its pictures become edit requests, and edit requests become pictures, one at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ..kontext import EditRequest, InputError, KontextModel, StepInfo
from .pictures import Picture
from .reading import did_you_mean
from .seeds import panel_seed
from .story import Panel, Story


@dataclass(frozen=True)
class PanelJob:
    """One panel to make. `number` is its 1-based position in the story; `characters` are the names behind
    `request.references`, in the same order."""

    panel_id: str
    number: int
    characters: tuple[str, ...]
    request: EditRequest


def plan(story: Story, pictures: Mapping[str, Picture], model: KontextModel, *, only: Iterable[str] = (),
         steps: int = 20, guidance: float = 2.5, where: str = "storyboard") -> list[PanelJob]:
    """Turn the panels of a story into jobs, in the story's order, and check every one of them before any is sampled.

    `pictures` are the reference pictures by character name (see story_pictures). `only` names the panels wanted; none
    named means all. `where` is who asks, for error messages; a panel's own errors are said by "panel 'beach'".

    Raises InputError for an unknown panel in `only`, a picture of somebody who is not in the story, a character without
    a picture, and all that model.check finds.
    """
    wanted = {only} if isinstance(only, str) else set(only)
    ids = [panel.id for panel in story.panels]
    for name in sorted(wanted.difference(ids)):
        raise InputError(where, "panels", name, "is not a panel of this story", did_you_mean(name, ids))
    for name in pictures:
        if name not in story.characters:
            raise InputError(where, "characters", name, "has a picture but is not a character of this story",
                             f"add `{name}: {{}}` to the story's characters, or leave the picture out")
    jobs = [_job(story, panel, number, pictures, model, steps, guidance)
            for number, panel in enumerate(story.panels, start=1) if not wanted or panel.id in wanted]
    for job in jobs:
        model.check(job.request)
    return jobs


def render(jobs: Iterable[PanelJob], model: KontextModel,
           on_step: Callable[[PanelJob, StepInfo], None] | None = None) -> Iterator[tuple[PanelJob, Picture]]:
    """Make the pictures lazily: a panel is sampled when its turn comes, so each can be kept before the next begins.

    `on_step(job, info)` is called after each sampling step; an exception it raises cancels and propagates unchanged.
    """
    jobs = list(jobs)
    model.prepare([job.request for job in jobs])  # the text encoders come once, and not between the panels
    for job in jobs:
        yield job, model.edit(job.request, partial(on_step, job) if on_step else None)


def _job(story: Story, panel: Panel, number: int, pictures: Mapping[str, Picture], model: KontextModel, steps: int,
         guidance: float) -> PanelJob:
    where = f"panel '{panel.id}'"
    cast = story.cast(panel)
    for name in cast:
        if name not in pictures:
            raise InputError(where, "characters", name, "has no reference picture",
                             f"write `{name}: {{reference: FILE}}` in the story, or connect a Character node '{name}'")
    width, height = panel.size or story.size or (model.settings.width, model.settings.height)
    request = EditRequest(
        prompt=panel.prompt,
        references=tuple(pictures[name] for name in cast),
        width=width,
        height=height,
        seed=panel_seed(story.seed, panel.id) if panel.seed is None else panel.seed,
        steps=steps,
        guidance=guidance,
        where=where,
    )
    return PanelJob(panel.id, number, cast, request)

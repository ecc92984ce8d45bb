"""Panels: a story and its pictures become jobs, and jobs become pictures, one at a time."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from ...common import Box, InputError, Picture, did_you_mean
from ...kontext import MIN_SIDE, EditRequest, KontextModel, StepInfo, whole_size
from ..cast.references import choose_reference, stitch
from ..production.candidates import Candidate, Judge, Wish, best_of, candidate_seed, candidates_of
from ..prompts.instruction import figure_prompt, panel_prompt, place_prompt
from ..story.models import REFERENCE, ROLES, Panel, Story
from ..story.seeds import panel_seed
from .masks import PanelMasks, box_share, check_masks, mask_files, mask_share, paste
from .passes import even_regions

log = logging.getLogger("kontinuity")

MOST_FIGURES = 3  # at once; nobody has seen more work
MOST_EDITS = 3  # in a row; Kontext's pictures decay visibly after about six


@dataclass(frozen=True)
class Pass:
    """One sampling. With `on_picture` the panel's picture so far is its first reference, before those of `request`.
    With a `box` its result goes into that box of the picture so far, else it is the picture. `character` is who it
    adds."""

    request: EditRequest
    on_picture: bool = False
    box: Box | None = None
    character: str = ""


@dataclass(frozen=True)
class PanelJob:
    """One panel to make.

    `number` is its 1-based position in the story, `characters` are the names of those in it. `passes` are made in
    order; most panels have one. `source` is the id of the panel whose picture they start from. `together` says how
    several references are combined: "stitch", "offset", "passes", or "" with fewer than two. A job that is not `wanted`
    is made only because another one starts from it. `seed` is the panel's, `wish` how many candidates are made to
    choose from; `tried` are those of a finished job, and `chosen` is the number of the one kept. `masks` say where the
    picture may differ from the one it is made from: the source's, or its only reference.
    """

    panel_id: str
    number: int
    characters: tuple[str, ...]
    passes: tuple[Pass, ...]
    source: str | None = None
    together: str = ""
    wanted: bool = True
    seed: int = 0
    wish: Wish = Wish()
    tried: tuple[Candidate, ...] = ()
    chosen: int = 0
    masks: PanelMasks = field(default_factory=dict, compare=False, repr=False)

    @property
    def request(self) -> EditRequest:
        """The request of the first pass, for most panels the only one."""
        return self.passes[0].request

    @property
    def steps(self) -> int:
        """Sampling steps of all passes."""
        return sum(one.request.steps for one in self.passes)

    def candidate(self, number: int) -> "PanelJob":
        """The same job with the seed of another candidate; 0 is the job itself."""
        if number == 0:
            return self
        seed = candidate_seed(self.seed, number)
        return replace(self, seed=seed, passes=tuple(
            replace(one, request=replace(one.request, seed=panel_seed(seed, one.character) if one.character else seed))
            for one in self.passes))


def plan_panels(story: Story, pictures: Mapping[str, Picture], model: KontextModel, *, only: Iterable[str] = (),
         steps: int = 20, guidance: float = 2.5, where: str = "storyboard",
         masks: Mapping[str, PanelMasks] | None = None) -> list[PanelJob]:
    """Turn the panels of a story into jobs, in the story's order, and check every one of them before any is sampled.

    `pictures` are the reference pictures by character name (see story_pictures). `only` names the panels wanted; none
    named means all. A panel that a wanted one is made from is planned too, as not wanted. `where` is who asks, for
    error messages; a panel's own errors are said by "panel 'beach'". `masks` are those of the panels by id (see
    story_masks).

    Raises InputError for an unknown panel in `only`, a picture of somebody who is not in the story, a character without
    a picture, passes or masks on a picture of another size, masks of a panel that is made from no picture or from
    several, masks that fit badly (see check_masks), and all that model.check finds.
    """
    wanted = {only} if isinstance(only, str) else set(only)
    ids = [panel.id for panel in story.panels]
    for name in sorted(wanted.difference(ids)):
        raise InputError(where, "panels", name, "is not a panel of this story", did_you_mean(name, ids))
    for name in (key.split("/")[0] for key in pictures):
        if name not in story.characters:
            raise InputError(where, "characters", name, "has a picture but is not a character of this story",
                             f"add `{name}: {{}}` to the story's characters, or leave the picture out")
    wanted = wanted or set(ids)
    needed = wanted | {source.id for panel in story.panels if panel.id in wanted for source in story.sources(panel)}
    far = [panel.id for panel in story.panels if panel.id in needed and len(list(story.sources(panel))) > MOST_EDITS]
    if far:
        log.warning("panels %s are more than %d edits away from a reference; quality falls with every one. Make some "
                    "panel between from reference.", ", ".join(far), MOST_EDITS)
    board = _Board(story, pictures, model, steps, guidance, masks or {})
    jobs = [board.job(panel, number, panel.id in wanted)
            for number, panel in enumerate(story.panels, start=1) if panel.id in needed]
    for job in jobs:
        for one in job.passes:
            model.check(with_picture(one, _SOME_PICTURE).request if one.on_picture else one.request)
    return jobs


def render(jobs: Iterable[PanelJob], model: KontextModel,
           on_step: Callable[[PanelJob, StepInfo], None] | None = None, *, judge: Judge | None = None,
           budget: int = 0, first: int = 0,
           done: Mapping[str, Picture] | None = None) -> Iterator[tuple[PanelJob, Picture]]:
    """Make the pictures lazily: a panel is sampled when its turn comes, so each can be kept before the next begins.

    Panels come in the order of `jobs`, except that one comes after the panel it is made from. The jobs that come back
    hold every reference that was used. Jobs that are not wanted are made and not handed out. `on_step(job, info)` is
    called after each sampling step; an exception it raises cancels and propagates unchanged.

    `judge` scores pictures, and the best candidate of a panel is kept (see Wish); without it each panel is made once.
    `budget` is the most pictures of all jobs together; every job gets one anyway; 0 means no limit. `first` is the
    number of the first candidate of a wanted panel: another number is a re-roll. Pictures that are `done`, by panel id
    (see finished_panels), are handed out as they are, in their turn, each as its panel's only candidate.
    """
    jobs, done = list(jobs), done or {}
    left = [job for job in jobs if job.panel_id not in done]
    model.prepare([one.request for job in left for one in job.passes])  # the text encoders come once
    sources = {job.source for job in jobs}
    made: dict[str, Picture] = dict(done)
    spare = budget - len(left) if budget else math.inf
    for job in sources_first(jobs):
        if job.panel_id in done:
            if job.wanted:
                only = Candidate(0, job.seed, done[job.panel_id], None)
                yield replace(job, tried=(only,)), only.picture
            continue
        rolled: dict[int, PanelJob] = {}

        def candidate(number: int, job: PanelJob = job, rolled: dict[int, PanelJob] = rolled) -> Candidate:
            rolled[number], picture = _make(job.candidate(number), made.get(job.source), model, on_step)
            score = judge(job.panel_id, picture) if judge else None
            return Candidate(number, rolled[number].seed, picture, score)

        tried = candidates_of(job.wish, first if job.wanted else 0, 1 + max(0, spare), candidate)
        spare -= len(tried) - 1
        best = best_of(tried)
        if job.wish.min_score is not None and best.score and best.total < job.wish.min_score:
            log.warning("panel '%s': the best of %d pictures scores %.2f, less than its min_score %.2f", job.panel_id,
                        len(tried), best.total, job.wish.min_score)
        if job.panel_id in sources:
            made[job.panel_id] = best.picture
        if job.wanted:
            yield replace(rolled[best.number], tried=tuple(tried), chosen=best.number), best.picture


def _make(job: PanelJob, source: Picture | None, model: KontextModel,
          on_step: Callable[[PanelJob, StepInfo], None] | None) -> tuple[PanelJob, Picture]:
    """One picture of a panel, and the job with the references that were used."""
    picture, passes = source, []
    for one in job.passes:
        one = with_picture(one, picture) if one.on_picture else one
        result = model.edit(one.request, partial(on_step, job) if on_step else None)
        if one.box is not None:
            result = paste(picture, result, box_share(one.box, one.request.width, one.request.height))
        picture = result
        passes.append(one)
    if job.masks:
        picture = paste(source if job.source else job.request.references[0], picture, mask_share(job.masks))
    return replace(job, passes=tuple(passes)), picture


class _Board:
    """What all jobs of a plan share."""

    def __init__(self, story: Story, pictures: Mapping[str, Picture], model: KontextModel, steps: int, guidance: float,
                 masks: Mapping[str, PanelMasks]):
        self.story, self.pictures, self.model = story, pictures, model
        self.steps, self.guidance, self.masks = steps, guidance, masks

    def job(self, panel: Panel, number: int, wanted: bool) -> PanelJob:
        """A panel's job, unchecked by the model."""
        story, where = self.story, f"panel '{panel.id}'"
        source = None if panel.from_ == REFERENCE else panel.from_
        new = cast = story.cast(panel)
        if source:
            shown = story.cast(story.panel(source))
            new = tuple(name for name in cast if name not in shown)
        references = tuple(self.reference(panel, name) for name in new)
        together = self.together(panel, new)
        request = EditRequest(prompt=panel_prompt(story, panel), references=references, width=self.size(panel)[0],
                              height=self.size(panel)[1], seed=self.seed(panel), steps=self.steps,
                              guidance=self.guidance, where=where)
        if together == "passes":
            passes = self.passes(panel, request, new, source)
        else:
            if together == "stitch":
                request = replace(request, references=(stitch(references),))
            passes = (Pass(request, on_picture=source is not None),)
        return PanelJob(panel.id, number, cast, passes, source, together, wanted, self.seed(panel),
                        Wish(panel.candidates, panel.min_score, panel.stop_score),
                        masks=self.panel_masks(panel, source, references, together))

    def passes(self, panel: Panel, request: EditRequest, names: tuple[str, ...],
               source: str | None) -> tuple[Pass, ...]:
        """The place first, unless the panel starts from another, then each character in a box of the picture."""
        passes = []
        if source is None:
            prompt = place_prompt(self.story, panel)
            passes.append(Pass(replace(request, prompt=prompt, references=())))
        else:
            self.check_size_of_source(panel, source, "passes")
        places = dict(zip(names, even_regions(len(names), MOST_FIGURES), strict=True))
        for name in (*names[MOST_FIGURES:], *names[:MOST_FIGURES]):  # the crowd first: it stands behind
            region = panel.appearance(name).region or places[name]
            figure = replace(request, prompt=figure_prompt(self.story, panel, name, region),
                             references=(request.references[names.index(name)],), seed=panel_seed(request.seed, name))
            passes.append(Pass(figure, True, region.in_pixels(request.width, request.height), name))
        return tuple(passes)

    def panel_masks(self, panel: Panel, source: str | None, references: tuple[Picture, ...],
                    together: str) -> PanelMasks:
        """A panel's masks, {} without; they fit the panel, and so does the one picture it is made from."""
        if not (named := mask_files(panel)):
            return {}
        where, files = f"panel '{panel.id}'", ", ".join(named.values())
        if panel.id not in self.masks:
            raise InputError(where, "masks", files, "are not opened", "give plan what story_masks opens")
        masks, (width, height) = self.masks[panel.id], self.size(panel)
        check_masks(panel, masks, width, height)
        if source:
            self.check_size_of_source(panel, source, "masks")
        elif "from_" not in panel.model_fields_set:
            raise InputError(where, "masks", files, "keep pixels of a picture, and this panel is made anew",
                             "write `from:` with the panel that it changes, or `from: reference`")
        elif len(references) != 1 or together == "passes":
            raise InputError(where, "masks", files, "keep pixels of one picture, and this panel is made from "
                             + ("none in its first pass" if together == "passes" else f"{len(references)} references"),
                             "make it `from:` a panel, or put one character into it, without passes")
        elif references[0].shape[:2] != (height, width):
            raise InputError(where, "masks", files, "keep pixels of the reference, which is "
                             f"{references[0].shape[1]}x{references[0].shape[0]}, and the panel is {width}x{height}",
                             "give the panel the size of the reference, or scale the reference")
        return masks

    def check_size_of_source(self, panel: Panel, source: str, keeping: str) -> None:
        """Raise InputError if a panel of which `keeping` keep the source's pixels has another size than that."""
        width, height = self.size(panel)
        if self.size(self.story.panel(source)) != (width, height):
            raise InputError(f"panel '{panel.id}'", "size", f"{width}x{height}",
                             f"is not that of panel '{source}', and {keeping} keep its pixels", "give both one size")

    def reference(self, panel: Panel, name: str) -> Picture:
        """The picture of a character for a panel."""
        picture, role = choose_reference(self.pictures, panel, name), panel.appearance(name).reference
        if picture is None:
            raise InputError(f"panel '{panel.id}'", "characters", name, "has no reference picture",
                             f"write `{name}: {{reference: FILE}}` in the story, or connect a Character node '{name}'")
        if role not in (None, ROLES[0]) and f"{name}/{role}" not in self.pictures:
            raise InputError(f"panel '{panel.id}'", f"characters {name} reference", role,
                             "is no picture this character has", "bring one with this role, or ask for another")
        return picture

    def together(self, panel: Panel, names: tuple[str, ...]) -> str:
        """How the references of these characters are combined."""
        method = panel.together or self.story.together
        if len(names) > MOST_FIGURES and method != "passes":
            log.warning("panel '%s': %d characters at once; Kontext mixes up more than %d. %s", panel.id, len(names),
                        MOST_FIGURES, "Each gets a pass of its own, the first three in front." if method == "auto" else
                        "Leave `together` out, or write `together: passes`, and each gets a pass of its own.")
        if len(names) < 2:
            # One character joins another panel, or the panel itself asks: only then is one a pass.
            alone = method == "passes" and names and (panel.from_ != REFERENCE or panel.together)
            return "passes" if alone else ""
        if method == "auto":
            return self.model.settings.together if len(names) <= MOST_FIGURES else "passes"
        return method

    def seed(self, panel: Panel) -> int:
        """The panel's own seed, or the one from its id."""
        return panel_seed(self.story.seed, panel.id) if panel.seed is None else panel.seed

    def size(self, panel: Panel) -> tuple[int, int]:
        """Width and height in pixels: the panel's, the story's, or the model's native area in the story's shape."""
        settings = self.model.settings
        if panel.size or self.story.size or self.story.aspect is None:
            return panel.size or self.story.size or (settings.width, settings.height)
        return whole_size(self.story.aspect, 1.0, settings.width * settings.height, MIN_SIDE)


_SOME_PICTURE = torch.zeros(1, 1, 1).expand(64, 64, 3)  # for checks, where the real one is still to be made


def with_picture(one: Pass, picture: Picture) -> Pass:
    """The pass with the picture it begins from as its first reference."""
    return replace(one, request=replace(one.request, references=(picture, *one.request.references)))


def sources_first(jobs: list[PanelJob]) -> Iterator[PanelJob]:
    """The jobs in their order, each after the one it is made from."""
    waiting = {job.panel_id: job for job in jobs}
    for job in jobs:
        way = []
        while job is not None and waiting.pop(job.panel_id, None):
            way.append(job)
            job = waiting.get(job.source)
        yield from reversed(way)

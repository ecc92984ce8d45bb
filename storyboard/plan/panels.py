"""Planning: the panels of a board become jobs, and every one of them is checked."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import torch

from ...common import InputError, Picture, did_you_mean
from ...kontext import MIN_SIDE, EditRequest, KontextModel, whole_size
from ..cast.references import choose_reference, stitch
from ..prompts.instruction import figure_prompt, panel_prompt, place_prompt
from ..story.models import REFERENCE, ROLES, Panel
from ..story.seeds import panel_seed
from .board import Board, Sampling
from .candidate_policy import CandidatePolicy
from .jobs import PanelJob, Pass
from .masks import PanelMasks, check_masks, mask_files
from .passes import even_regions

log = logging.getLogger("kontinuity")

MOST_FIGURES = 3  # at once; nobody has seen more work
MOST_EDITS = 3  # in a row; Kontext's pictures decay visibly after about six
_SOME_PICTURE = torch.zeros(1, 1, 1).expand(64, 64, 3)  # for checks, where the real one is still to be made


def plan_panels(board: Board, model: KontextModel, sampling: Sampling, *, only: Iterable[str] = (),
                where: str = "storyboard") -> list[PanelJob]:
    """Turn the panels of a story into jobs, in the story's order, and check every one of them before any is sampled.

    `only` names the panels wanted; none named means all. A panel that a wanted one is made from is planned too, as not
    wanted. `where` is who asks, for error messages; a panel's own errors are said by "panel 'beach'".

    Raises InputError for an unknown panel in `only`, a picture of somebody who is not in the story, a character without
    a picture, passes or masks on a picture of another size, masks of a panel that is made from no picture or from
    several, masks that are not in the board or fit badly (see check_masks), and all that model.check finds.
    """
    story = board.story
    wanted = {only} if isinstance(only, str) else set(only)
    ids = [panel.id for panel in story.panels]
    for name in sorted(wanted.difference(ids)):
        raise InputError(where, "panels", name, "is not a panel of this story", did_you_mean(name, ids))
    for name in (key.split("/")[0] for key in board.pictures):
        if name not in story.characters:
            raise InputError(where, "characters", name, "has a picture but is not a character of this story",
                             f"add `{name}: {{}}` to the story's characters, or leave the picture out")
    wanted = wanted or set(ids)
    needed = wanted | {source.id for panel in story.panels if panel.id in wanted for source in story.sources(panel)}
    far = [panel.id for panel in story.panels if panel.id in needed and len(list(story.sources(panel))) > MOST_EDITS]
    if far:
        log.warning("panels %s are more than %d edits away from a reference; quality falls with every one. Make some "
                    "panel between from reference.", ", ".join(far), MOST_EDITS)
    planner = _Planner(board, model, sampling)
    jobs = [planner.job(panel, number, panel.id in wanted)
            for number, panel in enumerate(story.panels, start=1) if panel.id in needed]
    for job in jobs:
        for pass_ in job.passes:
            model.check(pass_.on(_SOME_PICTURE).request if pass_.on_picture else pass_.request)
    return jobs


class _Planner:
    """Makes the jobs of a board's panels."""

    def __init__(self, board: Board, model: KontextModel, sampling: Sampling):
        self.board, self.story, self.model, self.sampling = board, board.story, model, sampling

    def job(self, panel: Panel, number: int, wanted: bool) -> PanelJob:
        """A panel's job, unchecked by the model."""
        story, where = self.story, f"panel '{panel.id}'"
        source = None if panel.from_ == REFERENCE else panel.from_
        new = cast = story.cast(panel)
        if source:
            shown = story.cast(story.panel(source))
            new = tuple(name for name in cast if name not in shown)
        references = tuple(self.reference(panel, name) for name in new)
        combine = self.combine(panel, new)
        request = EditRequest(prompt=panel_prompt(story, panel), references=references, width=self.size(panel)[0],
                              height=self.size(panel)[1], seed=self.seed(panel), steps=self.sampling.steps,
                              guidance=self.sampling.guidance, where=where)
        if combine == "passes":
            passes = self.passes(panel, request, new, source)
        else:
            if combine == "stitch":
                request = replace(request, references=(stitch(references),))
            passes = (Pass(request, on_picture=source is not None),)
        return PanelJob(panel.id, number, cast, passes, source, combine, wanted, self.seed(panel),
                        CandidatePolicy(panel.candidates, panel.min_score, panel.stop_score),
                        masks=self.panel_masks(panel, source, references, combine))

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
                             references=(request.references[names.index(name)],))
            box = region.in_pixels(request.width, request.height)
            passes.append(Pass(figure, on_picture=True, box=box, character=name).with_seed(request.seed))
        return tuple(passes)

    def panel_masks(self, panel: Panel, source: str | None, references: tuple[Picture, ...],
                    combine: str) -> PanelMasks:
        """A panel's masks, {} without; they fit the panel, and so does the one picture it is made from."""
        if not (named := mask_files(panel)):
            return {}
        where, files = f"panel '{panel.id}'", ", ".join(named.values())
        if panel.id not in self.board.masks:
            raise InputError(where, "masks", files, "are not opened", "give plan what story_masks opens")
        masks, (width, height) = self.board.masks[panel.id], self.size(panel)
        check_masks(panel, masks, width, height)
        if source:
            self.check_size_of_source(panel, source, "masks")
        elif "from_" not in panel.model_fields_set:
            raise InputError(where, "masks", files, "keep pixels of a picture, and this panel is made anew",
                             "write `from:` with the panel that it changes, or `from: reference`")
        elif len(references) != 1 or combine == "passes":
            raise InputError(where, "masks", files, "keep pixels of one picture, and this panel is made from "
                             + ("none in its first pass" if combine == "passes" else f"{len(references)} references"),
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
        picture, role = choose_reference(self.board.pictures, panel, name), panel.appearance(name).reference
        if picture is None:
            raise InputError(f"panel '{panel.id}'", "characters", name, "has no reference picture",
                             f"write `{name}: {{reference: FILE}}` in the story, or connect a Character node '{name}'")
        if role not in (None, ROLES[0]) and f"{name}/{role}" not in self.board.pictures:
            raise InputError(f"panel '{panel.id}'", f"characters {name} reference", role,
                             "is no picture this character has", "bring one with this role, or ask for another")
        return picture

    def combine(self, panel: Panel, names: tuple[str, ...]) -> str:
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
            return self.model.settings.combine if len(names) <= MOST_FIGURES else "passes"
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

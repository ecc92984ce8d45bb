"""The passes of a panel: most have one; in several, the place comes first, then one character at a time in its box."""

from collections.abc import Mapping
from dataclasses import replace

from ...kontext import EditRequest
from ..cast.references import stitch
from ..prompts.instruction import figure_prompt, place_prompt
from ..story.models import MOST_FIGURES
from ..story.resolved import ResolvedPanel
from .jobs import Pass
from .regions import Area, areas_apart, box_of, edit_regions, even_regions


def panel_passes(resolved: ResolvedPanel, request: EditRequest, combine: str,
                 areas: Mapping[str, Area]) -> tuple[Pass, ...]:
    """The passes of a panel whose whole request is known. `combine`: see PanelJob. `areas`: see given_areas."""
    if combine == "passes":
        return _one_by_one(resolved, request, areas)
    if combine == "regions":
        request = _in_regions(resolved, request, areas_apart(resolved.newcomers, areas))
    elif combine == "stitch":
        request = _stitched(request)
    return (Pass(request, on_picture=resolved.source is not None),)


def _in_regions(resolved: ResolvedPanel, request: EditRequest, areas: Mapping[str, Area]) -> EditRequest:
    """The request with a region for each newcomer, its references in the order in which they stand, from left to right:
    where a reference sits among the others says to the model where its figure is to stand."""
    names = sorted(areas, key=lambda name: box_of(areas[name]).centre[0])
    order = list(map(resolved.newcomers.index, names))
    return replace(request, references=tuple(request.references[i] for i in order),
                   strengths=tuple(request.strengths[i] for i in order) if request.strengths else (),
                   regions=edit_regions(resolved, {name: areas[name] for name in names}))


def _one_by_one(resolved: ResolvedPanel, request: EditRequest, areas: Mapping[str, Area]) -> tuple[Pass, ...]:
    """The place first, unless the panel starts from another, then each character in a box of the picture."""
    names = resolved.newcomers
    boxes = dict(zip(names, even_regions(len(names), MOST_FIGURES), strict=True))
    boxes |= {name: box_of(area) for name, area in areas.items()}
    references = dict(zip(names, request.references, strict=True))
    strengths = dict(zip(names, request.strengths, strict=False))  # for all of them, or for none
    place = replace(request, prompt=place_prompt(resolved), references=(), strengths=())
    passes = [] if resolved.source else [Pass(place)]
    for name in (*names[MOST_FIGURES:], *names[:MOST_FIGURES]):  # the crowd first: it stands behind
        figure = replace(request, prompt=figure_prompt(resolved, name, boxes[name]), references=(references[name],),
                         strengths=(strengths[name],) if strengths else ())
        box = boxes[name].in_pixels(request.width, request.height)
        passes.append(Pass(figure, on_picture=True, box=box, character=name).with_seed(request.seed))
    return tuple(passes)


def _stitched(request: EditRequest) -> EditRequest:
    """The request with all its pictures as one, but for those that are left out. What strength they have is one."""
    kept = request.without_absent()
    return replace(kept, references=(stitch(kept.references),) if kept.references else (),
                   strengths=kept.strengths[:1])

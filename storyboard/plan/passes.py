"""The passes of a panel: most have one; in several, the place comes first, then one character at a time in its box."""

from dataclasses import replace

from ...common import Box
from ...kontext import EditRequest
from ..cast.references import stitch
from ..prompts.instruction import figure_prompt, place_prompt
from ..story.models import MOST_FIGURES
from ..story.resolved import ResolvedPanel
from .jobs import Pass


def panel_passes(resolved: ResolvedPanel, request: EditRequest, combine: str) -> tuple[Pass, ...]:
    """The passes of a panel whose whole request is known. `combine`: see PanelJob."""
    if combine == "passes":
        return _one_by_one(resolved, request)
    if combine == "stitch":
        request = replace(request, references=(stitch(request.references),))
    return (Pass(request, on_picture=resolved.source is not None),)


def _one_by_one(resolved: ResolvedPanel, request: EditRequest) -> tuple[Pass, ...]:
    """The place first, unless the panel starts from another, then each character in a box of the picture."""
    names = resolved.newcomers
    places = dict(zip(names, even_regions(len(names), MOST_FIGURES), strict=True))
    references = dict(zip(names, request.references, strict=True))
    passes = [] if resolved.source else [Pass(replace(request, prompt=place_prompt(resolved), references=()))]
    for name in (*names[MOST_FIGURES:], *names[:MOST_FIGURES]):  # the crowd first: it stands behind
        region = resolved.panel.appearance(name).region or places[name]
        figure = replace(request, prompt=figure_prompt(resolved, name, region), references=(references[name],))
        box = region.in_pixels(request.width, request.height)
        passes.append(Pass(figure, on_picture=True, box=box, character=name).with_seed(request.seed))
    return tuple(passes)


def even_regions(count: int, front: int) -> list[Box]:
    """Where characters stand, in parts of the picture: columns from left to right. Of more than `front` the others
    are a crowd: a row of smaller boxes behind, which the lower boxes of the front row overlap."""
    if count <= front:
        return [Box.of_size(index / count, 0.0, 1 / count, 1.0) for index in range(count)]
    behind = count - front
    return ([Box.of_size(index / front, 0.3, 1 / front, 0.7) for index in range(front)]
            + [Box.of_size(index / behind, 0.05, 1 / behind, 0.55) for index in range(behind)])

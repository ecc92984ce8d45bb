"""Where characters stand: the region that a panel gives each, or a column; and the regions of an edit."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from ...common import Box, InputError
from ...kontext import MULTIPLE, Region, Regions, tokens_inside
from ..prompts.instruction import region_phrase
from ..story.models import Panel
from ..story.resolved import ResolvedPanel
from .masks import check_mask_size

Area = Box | torch.Tensor  # in parts of the picture, or a mask: bool [height, width]


def given_areas(panel: Panel, names: Iterable[str], masks: Mapping[str, torch.Tensor],
                size: tuple[int, int] | None = None) -> dict[str, Area]:
    """Where a panel says that these characters are; those of whom it says nothing are not in it.

    Args:
        masks: what story_regions opened of this panel.
        size: width and height of the panel; None: masks may have any.

    Raises:
        InputError: a mask that is not opened, or of another size.
    """
    areas: dict[str, Area] = {}
    for name in names:
        region = panel.appearance(name).region
        if isinstance(region, str):
            where, field = f"panel '{panel.id}'", f"characters {name} region"
            if name not in masks:
                raise InputError(where, field, region, "is not opened", "give the board what story_regions opens")
            if size:
                check_mask_size(masks[name], *size, where, field, region)
            areas[name] = masks[name]
        elif region:
            areas[name] = region
    return areas


def box_of(area: Area) -> Box:
    """The area, or the box around a mask, in parts of the picture."""
    if isinstance(area, Box):
        return area
    height, width = area.shape
    y, x = area.nonzero(as_tuple=True)
    return Box(int(x.min()) / width, int(y.min()) / height, (int(x.max()) + 1) / width, (int(y.max()) + 1) / height)


def even_regions(count: int, front: int) -> list[Box]:
    """Where characters stand, in parts of the picture: columns from left to right. Of more than `front` the others
    are a crowd: a row of smaller boxes behind, which the lower boxes of the front row overlap."""
    if count <= front:
        return [Box(index / count, 0.0, (index + 1) / count, 1.0) for index in range(count)]
    behind = count - front
    return ([Box.of_size(index / front, 0.3, 1 / front, 0.7) for index in range(front)]
            + [Box.of_size(index / behind, 0.05, 1 / behind, 0.55) for index in range(behind)])


def areas_apart(names: Sequence[str], given: Mapping[str, Area]) -> dict[str, Area]:
    """An area for each: the one given, or its column of as many as there are characters."""
    columns = even_regions(len(names), front=len(names))
    return {name: given.get(name, column) for name, column in zip(names, columns, strict=True)}


def check_apart(areas: Mapping[str, Area], size: tuple[int, int], where: Callable[[str], str]) -> None:
    """Refuse areas that overlap, or hold not a single token of a picture of `size` (width, height).

    Args:
        where: how error messages name the place where a character's region is given.

    Raises:
        InputError: names the characters.
    """
    rows, columns = size[1] // MULTIPLE, size[0] // MULTIPLE
    owner: list[str | None] = [None] * (rows * columns)
    for name, area in areas.items():
        field, inside = f"characters {name} region", tokens_inside(area, rows, columns).nonzero()[:, 0].tolist()
        if not inside:
            raise InputError(where(name), field, _written(area), f"is too small: it holds no {MULTIPLE} x {MULTIPLE} "
                             "pixels", "make it larger, or leave it out")
        for token in inside:
            if (other := owner[token]) is not None:
                raise InputError(where(name), field, _written(area), f"overlaps that of {other}, "
                                 f"{_written(areas[other])}",
                                 "part them (who has none gets a column), or write `together: passes`")
            owner[token] = name


def _written(area: Area) -> str:
    """An area as a story has it."""
    if isinstance(area, torch.Tensor):
        return "a mask"
    return f"[{area.left:.3g}, {area.top:.3g}, {area.width:.3g}, {area.height:.3g}]"


def edit_regions(resolved: ResolvedPanel, areas: Mapping[str, Area]) -> Regions:
    """The regions of an edit whose references are those of these characters, in this order: each sees its own."""
    return Regions(tuple(Region(area, region_phrase(resolved, name), (index,))
                         for index, (name, area) in enumerate(areas.items())))

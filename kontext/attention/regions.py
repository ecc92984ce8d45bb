"""A region of the picture for each character: what stands there sees its own words and its own references only.

After LAMIC (Chen et al. 2025, arXiv 2508.00477), which needs no training: a region and its references see each other; a
region looks at the other places and at the whole prompt only after the first steps, in which it is settled who stands
where; the places of nobody never look at a reference. Unlike there, a phrase is seen by its region only. What every
rule is worth: docs/decisions/attention_plan.md.
"""

from dataclasses import dataclass

import torch

from ...common import Box, InputError
from .strength import is_number

ALONE = 0.1  # the default of LAMIC's pipeline, for Kontext itself; the demo model's figures are the same at 0 to 0.2


@dataclass(frozen=True)
class Region:
    """Where a character is.

    Attributes:
        area: in parts of the picture, 0..1; or bool [height, width] of the picture, True inside.
        phrase: what is said of it alone, such as "The woman with red hair is waving"; at most 512 T5 tokens.
        references: which of the edit's references are its own, counted from 0. Of a model that was taught references
            side by side, the one of the region on the left is best the first.
    """

    area: Box | torch.Tensor
    phrase: str
    references: tuple[int, ...]


@dataclass(frozen=True)
class Regions:
    """The regions of an edit; no place of the picture is in two of them.

    Attributes:
        regions: one for each character.
        alone: 0..1, the part of the steps in which a region sees itself, its phrase and its references only.
    """

    regions: tuple[Region, ...]
    alone: float = ALONE


def check_regions(regions: Regions, references: int, width: int, height: int, where: str) -> None:
    """Refuse regions that leave the picture, hold no token of it, overlap, or do not share the references out.

    Args:
        regions: to be checked.
        references: how many the edit has.
        width, height: of the picture in pixels.

    Raises:
        InputError: names the region by its number, from 1.
    """
    if not is_number(regions.alone) or not 0 <= regions.alone <= 1:
        raise InputError(where, "alone", regions.alone, "is not a number in 0..1", f"{ALONE:g} is usual")
    taken = torch.zeros(height // 16 * (width // 16), dtype=torch.int64)
    for number, region in enumerate(regions.regions, 1):
        field = f"region {number}"
        _check_area(region.area, width, height, field, where)
        inside = tokens_inside(region.area, height // 16, width // 16)
        if not inside.any():
            raise InputError(where, field, _named(region.area), "is too small: it holds no square of 16 x 16 pixels",
                             "make it larger")
        if taken[inside].any():
            raise InputError(where, field, _named(region.area), f"overlaps region {int(taken[inside].max())}",
                             "part them, or use another way than regions")
        taken[inside] = number
        if not region.phrase.strip():
            raise InputError(where, f"{field} phrase", "", "is empty", "say who is there and what they do")
        if unknown := [index for index in region.references if not 0 <= index < references]:
            raise InputError(where, f"{field} references", unknown[0], f"is none of the {references} references",
                             "count them from 0")
    shared = [index for region in regions.regions for index in region.references]
    if missing := sorted(set(range(references)) - set(shared)):
        raise InputError(where, "regions", f"reference {missing[0] + 1}", "belongs to no region: nothing would see it",
                         "give it to a region, or leave it out")


def _check_area(area: Box | torch.Tensor, width: int, height: int, field: str, where: str) -> None:
    if isinstance(area, torch.Tensor):
        if area.dtype != torch.bool or area.shape != (height, width):
            raise InputError(where, field, f"{area.dtype} {list(area.shape)}",
                             f"is not a bool mask of {height} rows and {width} columns, the picture's",
                             "make the mask as large as the picture")
    elif not (all(map(is_number, area)) and 0 <= area.left < area.right <= 1 and 0 <= area.top < area.bottom <= 1):
        raise InputError(where, field, _named(area), "is not inside the picture", "give left, top, right and bottom as "
                         "parts of the picture, 0..1")


def _named(area: Box | torch.Tensor) -> str:
    return "a mask" if isinstance(area, torch.Tensor) else ", ".join(f"{side:g}" for side in area)


def tokens_inside(area: Box | torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """bool [rows * columns]: which tokens (16 x 16 pixels each) are inside, by their middle, or for a mask by more than
    half of their pixels."""
    if isinstance(area, torch.Tensor):
        share = area.float().reshape(rows, area.shape[0] // rows, columns, area.shape[1] // columns).mean(dim=(1, 3))
        return (share > 0.5).flatten()
    y, x = (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns
    return ((y >= area.top) & (y < area.bottom))[:, None].logical_and(
        (x >= area.left) & (x < area.right)).flatten()

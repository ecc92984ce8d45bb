"""The groups of an edit's tokens, and the plan that strengths and regions make of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .plan import UNSEEN, AttentionPlan
from .regions import Regions, tokens_inside
from .strength import ReferenceStrength


@dataclass(frozen=True)
class Groups:
    """How the groups of an edit are numbered: the prompt, each region's phrase, the places of nobody, each region's
    places, each reference."""

    regions: int
    references: int

    prompt = 0

    @property
    def nobody(self) -> int:
        """The picture's places outside all regions."""
        return 1 + self.regions

    def phrase(self, region: int) -> int:
        """What is said of a region alone."""
        return 1 + region

    def area(self, region: int) -> int:
        """A region's places."""
        return 2 + self.regions + region

    def reference(self, index: int) -> int:
        """A reference."""
        return 2 + 2 * self.regions + index

    @property
    def count(self) -> int:
        """How many there are."""
        return 2 + 2 * self.regions + self.references


def attention_plan(
    strengths: Sequence[ReferenceStrength],
    regions: Regions | None,
    *,
    text_tokens: Sequence[int],
    rows: int,
    columns: int,
    reference_tokens: Sequence[int],
    sigmas: torch.Tensor,
) -> AttentionPlan | None:
    """What attention follows in an edit; None: plain attention throughout.

    Args:
        strengths: one for each reference, or none at all: all 1.
        regions: checked; None: everything sees everything.
        text_tokens: of the prompt, then of each region's phrase.
        rows, columns: the picture's tokens.
        reference_tokens: of each reference.
        sigmas: float32 [steps + 1].
    """
    groups = Groups(len(regions.regions) if regions else 0, len(reference_tokens))
    steps = len(sigmas) - 1
    tables: dict[tuple[float, ...], torch.Tensor | None] = {}  # equal ones are one, so that they are made ready once
    of_steps = []
    for step in range(steps):
        table = torch.zeros(groups.count, groups.count)
        if regions:
            table.masked_fill_(~_seen(groups, regions, step / steps < regions.alone), UNSEEN)
        for index, strength in enumerate(strengths):
            table[:, groups.reference(index)] += strength.bias(step, steps)
        of_steps.append(tables.setdefault(tuple(table.flatten().tolist()), table if table.any() else None))
    if not any(table is not None for table in of_steps):
        return None
    return AttentionPlan(_groups_of_tokens(groups, regions, text_tokens, rows, columns, reference_tokens),
                         tuple(of_steps), sigmas)


def _groups_of_tokens(groups: Groups, regions: Regions | None, text_tokens: Sequence[int], rows: int, columns: int,
                      reference_tokens: Sequence[int]) -> torch.Tensor:
    """int64 [tokens], see AttentionPlan."""
    prompt, *phrases = text_tokens
    text = [torch.full([prompt], groups.prompt)]
    text += [torch.full([tokens], groups.phrase(region)) for region, tokens in enumerate(phrases)]
    picture = torch.full([rows * columns], groups.nobody)
    for number, region in enumerate(regions.regions if regions else ()):
        picture[tokens_inside(region.area, rows, columns)] = groups.area(number)
    references = [torch.full([tokens], groups.reference(index)) for index, tokens in enumerate(reference_tokens)]
    return torch.cat([*text, picture, *references])


def _seen(groups: Groups, regions: Regions, alone: bool) -> torch.Tensor:
    """bool [groups, groups]: whether the first sees the second. What each rule is worth: see
    docs/decisions/attention_plan.md."""
    seen = torch.zeros(groups.count, groups.count, dtype=torch.bool)
    picture = [groups.nobody, *map(groups.area, range(groups.regions))]
    seen[groups.prompt, [groups.prompt, *picture, *map(groups.reference, range(groups.references))]] = True
    seen[groups.nobody, [groups.prompt, groups.nobody] if alone else [groups.prompt, *picture]] = True
    for number, region in enumerate(regions.regions):
        area, phrase = groups.area(number), groups.phrase(number)
        references = [groups.reference(index) for index in region.references]
        for group in (area, *references):
            seen[group, [area, *references]] = True
        seen[phrase, [groups.prompt, phrase]] = True  # which nobody but its region sees
        seen[references, groups.prompt] = True
        seen[area, phrase] = True
        if not alone:
            seen[area, [groups.prompt, *picture]] = True
    return seen

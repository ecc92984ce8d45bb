"""What is each rule of the regions worth (kontext/attention/groups.py)? Each is changed once, in pictures of two unseen
characters; and in pictures of one, whose region leaves the rest of the picture to nobody.

Judged by the PSNR to the truth of the figures' pixels and of the others, case by case against the rules as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld.instructions import DOING, PLACES
from ..kontext import KontextModel, load_folder
from ..kontext.attention import groups as rules
from ..kontext.attention.groups import Groups
from ..kontext.attention.regions import Regions
from ._figures import Told, decibels, find_shot
from .regions import Pair, make, pair_of, panel_of_both, panel_of_one

Change = Callable[[torch.Tensor, Groups, bool], None]  # of bool [groups, groups], who sees whom; in the first steps?

SHARES = (0.0, 0.2, 0.3, 0.5, 1.0)  # of the steps in which a region is alone
AS_THEY_ARE = "as they are"


def _setting(value: bool, who: str, whom: str, *, early: bool = True, late: bool = True) -> Change:
    """Groups of a kind see, or do not see, all those of another, in the first steps, the later ones, or both."""
    def change(seen: torch.Tensor, groups: Groups, alone: bool) -> None:
        if early if alone else late:
            for a in _kinds(groups)[who]:
                for b in _kinds(groups)[whom]:
                    seen[a, b] = value
    return change


def _kinds(groups: Groups) -> dict[str, list[int]]:
    return {"prompt": [groups.prompt], "nobody": [groups.nobody],
            "phrases": list(map(groups.phrase, range(groups.regions))),
            "areas": list(map(groups.area, range(groups.regions))),
            "references": list(map(groups.reference, range(groups.references)))}


def _phrase_sees_its_own(seen: torch.Tensor, groups: Groups, alone: bool) -> None:
    for number in range(groups.regions):
        seen[groups.phrase(number), [groups.area(number), groups.reference(number)]] = True


def _reference_sees_its_phrase(seen: torch.Tensor, groups: Groups, alone: bool) -> None:
    for number in range(groups.regions):
        seen[groups.reference(number), groups.phrase(number)] = True


def _others_never(seen: torch.Tensor, groups: Groups, alone: bool) -> None:
    for a in range(groups.regions):
        for b in range(groups.regions):
            seen[groups.area(a), groups.area(b)] = a == b


OF_TWO: dict[str, Change] = {
    "the prompt sees no reference": _setting(False, "prompt", "references"),
    "the prompt sees the phrases": _setting(True, "prompt", "phrases"),
    "a reference sees its phrase": _reference_sees_its_phrase,
    "a reference does not see the prompt": _setting(False, "references", "prompt"),
    "a reference does not see its region": _setting(False, "references", "areas"),
    "a phrase sees its region and reference": _phrase_sees_its_own,
    "a phrase does not see the prompt": _setting(False, "phrases", "prompt"),
    "a region sees no phrase": _setting(False, "areas", "phrases"),
    "a region sees the whole prompt at once": _setting(True, "areas", "prompt"),
    "a region never sees the others": _others_never,
    "a region sees all references later": _setting(True, "areas", "references", early=False),
}
OF_ONE: dict[str, Change] = {
    "nobody's places see the reference": _setting(True, "nobody", "references"),
    "nobody's places see the region at once": _setting(True, "nobody", "areas"),
    "nobody's places do not see the prompt at first": _setting(False, "nobody", "prompt", late=False),
}
PHRASES: dict[str, Callable[[Pair, int], str]] = {
    "phrase: The character on the left is waving.":
        lambda pair, i: f"The character on the {('left', 'right')[i]} is {DOING[pair.actions[i]][0]}.",
    "phrase: The character.": lambda pair, i: "The character.",
    "phrase: what is asked of one alone": lambda pair, i: panel_of_one(pair, i)["prompt"],
    "phrase: the whole prompt": lambda pair, i: panel_of_both(pair, "regions")["prompt"],
}
BOXES = {"boxes with a free middle": ([0, 0, 0.4375, 1], [0.5625, 0, 0.4375, 1]),
         "small boxes": ([0.0625, 0.125, 0.375, 0.875], [0.5625, 0.125, 0.375, 0.875])}


class Trial:
    """Pictures of all cases in one way: dB of figures and rest, [cases, 2]."""

    def __init__(self, model: KontextModel, pairs: list[Pair], steps: int):
        self.model, self.pairs, self.steps = model, pairs, steps

    def run(self, told: Callable[[Pair], Told], panel: Callable[[Pair], dict], change: Change | None = None,
            share: float | None = None, phrase: Callable[[Pair, int], str] | None = None) -> np.ndarray:
        """Make and judge them, with one rule, share or phrase changed."""
        found = []
        for pair in self.pairs:
            with ExitStack() as stack:
                if change:
                    stack.enter_context(patch.object(rules, "_seen", _changed(change)))
                if share is not None or phrase:
                    stack.enter_context(patch("kontinuity.storyboard.plan.passes.edit_regions",
                                              _edited(pair, share, phrase)))
                made = make(self.model, pair, panel(pair), self.steps)
            found.append(decibels(made, told(pair), find_shot(made, told(pair))))
        print(end=".", file=sys.stderr, flush=True)
        return np.array(found)


def _changed(change: Change, seen: Callable = rules._seen) -> Callable:
    def changed(groups: Groups, regions: Regions, alone: bool) -> torch.Tensor:
        table = seen(groups, regions, alone)
        change(table, groups, alone)
        return table
    return changed


def _edited(pair: Pair, share: float | None, phrase: Callable[[Pair, int], str] | None) -> Callable:
    from ..storyboard.plan.regions import edit_regions

    def edited(*arguments):
        regions = edit_regions(*arguments)
        of = regions.regions
        if phrase:
            of = tuple(type(one)(one.area, phrase(pair, i), one.references) for i, one in enumerate(of))
        return Regions(of, regions.alone if share is None else share)
    return edited


def both(pair: Pair, **more) -> dict:
    """The panel of two in regions, with more or other fields."""
    return panel_of_both(pair, "regions") | more


def in_boxes(pair: Pair, boxes: tuple[list[float], ...]) -> dict:
    """The panel of two in these regions."""
    panel = both(pair)
    cast = {name: seen | {"region": box} for (name, seen), box in zip(panel["characters"].items(), boxes, strict=True)}
    return panel | {"characters": cast}


def one(pair: Pair, region: list[float] | None) -> dict:
    """The usual panel of the first one, in a region or without any."""
    panel = panel_of_one(pair, 0)
    if region is None:
        return panel
    seen = {"region": region, "action": DOING[pair.actions[0]][0]}
    return panel | {"together": "regions", "characters": {"one": seen}}


def against(base: np.ndarray, found: np.ndarray) -> dict:
    """The means, and how much more than the base, with standard errors over cases; figures, then rest."""
    more = found - base
    error = more.std(0, ddof=1) / len(more) ** 0.5
    return {name: {"db": round(float(found[:, i].mean()), 2), "more": round(float(more[:, i].mean()), 2),
                   "standard_error": round(float(error[i]), 2)} for i, name in enumerate(("figures", "rest"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("?")[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_folder())
    options = parser.parse_args()
    torch.set_num_threads(1)
    trial = Trial(load_folder(options.weights), [pair_of("tuning", i) for i in range(options.pairs)], options.steps)

    def of_two(panel: Callable[[Pair], dict] = both, **changed) -> np.ndarray:
        return trial.run(lambda pair: pair.told, panel, **changed)

    def of_one(region: list[float] | None, **changed) -> np.ndarray:
        return trial.run(lambda pair: Told(pair.scene, pair.cast[:1], pair.actions[:1], (0.5,)),
                         lambda pair: one(pair, region), **changed)

    base, middle = of_two(), [0.25, 0, 0.5, 1]
    two = {"offset": of_two(lambda pair: panel_of_both(pair, "offset"))}
    two |= {name: of_two(change=change) for name, change in OF_TWO.items()}
    two |= {f"alone in {share:g} of the steps": of_two(share=share) for share in SHARES}
    two |= {name: of_two(phrase=phrase) for name, phrase in PHRASES.items()}
    two |= {name: of_two(lambda pair, boxes=boxes: in_boxes(pair, boxes)) for name, boxes in BOXES.items()}
    two["whole prompt: the place alone"] = of_two(
        lambda pair: both(pair, prompt=f"Change the background to {PLACES[pair.scene][0]}."))
    base_of_one = of_one(middle)
    single = {"no region": of_one(None), "a region as large as the picture": of_one([0, 0, 1, 1])}
    single |= {name: of_one(middle, change=change) for name, change in OF_ONE.items()}
    print(json.dumps({
        "benchmark": "regions_rules", "pairs": options.pairs, "case_set": "tuning", "steps": options.steps,
        "two_characters": {AS_THEY_ARE: against(base, base)} | {name: against(base, x) for name, x in two.items()},
        "one_character_in_half_the_width": {AS_THEY_ARE: against(base_of_one, base_of_one)} | {
            name: against(base_of_one, x) for name, x in single.items()},
        "goals": []}))


if __name__ == "__main__":
    main()

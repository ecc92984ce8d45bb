"""Are two characters in one picture kept apart, and do they stay themselves? Unseen characters side by side, made as a
storyboard makes them: with `together: regions`, offset, stitch and passes; and each of them alone in the same place.

With --ingredients: the rules of who sees whom, each changed once, on another set of cases.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from ..common import Box
from ..demo_model import weights_folder
from ..demo_model.toonworld import ACTIONS, REFERENCE_SHOT, SCENES, Character, Shot, backdrop, draw, instruction
from ..demo_model.toonworld.instructions import DOING, PLACES
from ..demo_model.training.examples import random_character
from ..kontext import KontextModel, load_folder
from ..kontext.attention.groups import Groups
from ..kontext.attention.regions import ALONE, Regions
from ..storyboard import Board, Sampling, parse_story, plan_panels, render
from ._cases import as_drawing, as_picture
from ._figures import Seen, Told, see
from .demo_model import save_sheet

WAYS = ("offset", "regions", "stitch", "passes")
SIDES = {"left": 0.3, "right": 0.7}
SHEET_CASES = 12
APART, IDENTITY = 0.95, 0.03  # the goals: a share at least, and points below a single character at most


@dataclass(frozen=True)
class Pair:
    """Two characters in a place, from left to right, what they do, and the panel's seed."""

    cast: tuple[Character, ...]
    scene: str
    actions: tuple[str, ...]
    seed: int

    @property
    def told(self) -> Told:
        """What the picture is to show."""
        return Told(self.scene, self.cast, self.actions, tuple(SIDES.values()))


def pair_of(case_set: str, number: int) -> Pair:
    """The same case for the same arguments, of characters from the held-out part of the world."""
    rng = random.Random(f"regions/{case_set}/{number}")
    cast = tuple(random_character(rng, held_out=True) for _ in SIDES)
    return Pair(cast, rng.choice(SCENES), tuple(rng.choice(ACTIONS) for _ in SIDES), number)


def make(model: KontextModel, pair: Pair, panel: dict, steps: int) -> np.ndarray:
    """The picture of a panel (more of its entry in a story file) of the characters one and two, who are a pair."""
    story = parse_story(json.dumps({
        "version": 1, "locations": {"there": {"description": PLACES[pair.scene][0]}},
        "characters": {"one": {}, "two": {}}, "panels": [{"id": "panel", "seed": pair.seed} | panel]}))
    pictures = {name: as_picture(draw(who, REFERENCE_SHOT))
                for name, who in zip(story.characters, pair.cast, strict=True)}
    result, = render(plan_panels(Board(story, pictures), model, Sampling(steps)), model)
    return as_drawing(result.picture)


def panel_of_both(pair: Pair, way: str, swapped: bool = False) -> dict:
    """`swapped`: the story names the one on the right first."""
    left, right = (DOING[action][0] for action in pair.actions)
    cast = {"one": {"action": left, "region": "left"}, "two": {"action": right, "region": "right"}}
    return {"together": way, "location": "there", "characters": dict(reversed(cast.items())) if swapped else cast,
            "prompt": f"Both characters in {PLACES[pair.scene][0]}, the left one is {left}, the right one is {right}, "
                      "full body. Keep both faces, hair and clothes."}


def panel_of_one(pair: Pair, number: int) -> dict:
    """The usual panel of one of the two, alone in the middle of the same place."""
    return {"characters": [("one", "two")[number]], "prompt": instruction(Shot(pair.scene, pair.actions[number]))}


class Score:
    """Everything measured for one way."""

    def __init__(self):
        self.seen: list[Seen] = []
        self.seconds: list[float] = []

    def add(self, make_picture: Callable[[], np.ndarray], told: Told) -> np.ndarray:
        """Make a picture and judge it."""
        begun = time.perf_counter()
        made = make_picture()
        self.seconds.append(time.perf_counter() - begun)
        self.seen.append(see(made, told))
        return made

    def figures(self) -> dict[str, float]:
        """Shares 0..1; standard errors over pictures."""
        kept = np.array([np.mean(seen.kept) for seen in self.seen])
        return {
            "apart": round(float(np.mean([seen.apart for seen in self.seen])), 4),
            "identity": round(float(kept.mean()), 4),
            "identity_standard_error": round(float(kept.std(ddof=1) / len(kept) ** 0.5), 4),
            "scene": round(float(np.mean([seen.scene for seen in self.seen])), 4),
            "action": round(float(np.mean([action for seen in self.seen for action in seen.actions])), 4),
            "figure_db": round(float(np.mean([seen.figure_db for seen in self.seen])), 2),
            "rest_db": round(float(np.mean([seen.rest_db for seen in self.seen])), 2),
        }


def ways(model: KontextModel, pairs: list[Pair], steps: int) -> tuple[dict, list[np.ndarray]]:
    """The figures of each way and the first pictures, a row for each pair."""
    scores = {way: Score() for way in (*WAYS, *(f"{way}, right one named first" for way in WAYS[:2]))}
    alone, rows = Score(), []
    for done, pair in enumerate(pairs, 1):
        made = []
        for name, score in scores.items():
            panel = panel_of_both(pair, name.split(",")[0], swapped="," in name)
            made.append(score.add(lambda panel=panel: make(model, pair, panel, steps), pair.told))
        for number in range(len(pair.cast)):
            one = replace(pair, cast=pair.cast[number:] + pair.cast[:number])
            made.append(alone.add(
                lambda one=one, number=number: make(model, one, panel_of_one(pair, number), steps),
                Told(pair.scene, pair.cast[number:number + 1], pair.actions[number:number + 1], (0.5,))))
        if done <= SHEET_CASES:
            rows.append(np.hstack(made))
        print(f"\r{done}/{len(pairs)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    seconds = {name: sum(score.seconds) for name, score in scores.items()}
    return {name: score.figures() | {"cost_to_offset": round(seconds[name] / seconds["offset"], 2)}
            for name, score in scores.items()} | {"one character alone": alone.figures()}, rows


def goals(found: dict) -> list[dict]:
    """The issue's, of regions."""
    both, one = found["regions"], found["one character alone"]
    return [
        {"name": "kept apart", "goal": APART, "measured": both["apart"], "met": both["apart"] >= APART},
        {"name": "identity, points below a single character", "goal": IDENTITY,
         "measured": round(one["identity"] - both["identity"], 4),
         "met": both["identity"] >= one["identity"] - IDENTITY},
    ]

"""Are two characters in one picture kept apart, and do they stay themselves? Unseen characters side by side, made as a
storyboard makes them: with `together: regions`, offset, stitch and passes; and each of them alone in the same place.

What every rule of the regions is worth: regions_rules.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld import ACTIONS, REFERENCE_SHOT, SCENES, Character, Shot, draw, instruction
from ..demo_model.toonworld.instructions import DOING, PLACES
from ..demo_model.training.examples import random_character
from ..kontext import KontextModel, load_folder
from ..storyboard import Board, Sampling, parse_story, plan_panels, render
from ._cases import as_drawing, as_picture
from ._figures import Seen, Told, see
from .demo_model import save_sheet

ALONE = "one character alone"
WAYS = ("offset", "regions")
OTHERS = ("stitch", "passes")
SIDES = {"left": 0.3, "right": 0.7}
FEW = 6  # pairs on which all ways are tried
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
    """The usual panel of one of the two (the first character of the story), alone in the middle of the same place."""
    return {"characters": ["one"], "prompt": instruction(Shot(pair.scene, pair.actions[number]))}


class Score:
    """Everything measured for one way."""

    def __init__(self):
        self.seen: list[Seen] = []
        self.seconds = 0.0  # of the processor

    def add(self, make_picture: Callable[[], np.ndarray], told: Told) -> np.ndarray:
        """Make a picture and judge it."""
        begun = time.process_time()
        made = make_picture()
        self.seconds += time.process_time() - begun
        self.seen.append(see(made, told))
        return made

    def figures(self) -> dict[str, float]:
        """Shares 0..1; standard errors over pictures."""
        kept = np.array([np.mean(seen.kept) for seen in self.seen])
        return {
            "pictures": len(kept),
            "apart": round(float(np.mean([seen.apart for seen in self.seen])), 4),
            "identity": round(float(kept.mean()), 4),
            "identity_standard_error": round(float(kept.std(ddof=1) / len(kept) ** 0.5), 4),
            "scene": round(float(np.mean([seen.scene for seen in self.seen])), 4),
            "action": round(float(np.mean([action for seen in self.seen for action in seen.actions])), 4),
            "figure_db": round(float(np.mean([seen.figure_db for seen in self.seen])), 2),
            "rest_db": round(float(np.mean([seen.rest_db for seen in self.seen])), 2),
        }


def judged(pairs: list[Pair], weights: Path, steps: int) -> tuple[dict[str, Score], list[np.ndarray]]:
    """Each way's score, and the pictures of the first pairs, a row for each."""
    torch.set_num_threads(1)
    model = load_folder(weights)
    scores: dict[str, Score] = defaultdict(Score)
    rows = []
    for pair in pairs:
        panels = {way: panel_of_both(pair, way) for way in WAYS}
        if pair.seed < FEW:
            panels |= {way: panel_of_both(pair, way) for way in OTHERS}
            panels |= {f"{way}, right one named first": panel_of_both(pair, way, swapped=True) for way in WAYS}
        made = [scores[name].add(partial(make, model, pair, panel, steps), pair.told)
                for name, panel in panels.items()]
        for number in range(len(pair.cast)):
            one = replace(pair, cast=pair.cast[number:] + pair.cast[:number])
            made.append(scores[ALONE].add(
                partial(make, model, one, panel_of_one(pair, number), steps),
                Told(pair.scene, one.cast[:1], pair.actions[number:number + 1], (0.5,))))
        if pair.seed < FEW:
            rows.append(np.hstack(made))
        print(end=".", file=sys.stderr, flush=True)
    return dict(scores), rows


def goals(found: dict) -> list[dict]:
    """The issue's, of regions."""
    both, one = found["regions"], found[ALONE]
    return [
        {"name": "kept apart", "goal": APART, "measured": both["apart"], "met": both["apart"] >= APART},
        {"name": "identity, points below a single character", "goal": IDENTITY,
         "measured": round(one["identity"] - both["identity"], 4),
         "met": both["identity"] >= one["identity"] - IDENTITY},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("?")[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--set", choices=("tuning", "quoted"), default="quoted", help="of cases")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--sheet", type=Path, help="PNG of the pairs on which all ways are tried")
    options = parser.parse_args()
    pairs = [pair_of(options.set, number) for number in range(options.pairs)]
    shares = [pairs[worker::options.workers] for worker in range(options.workers)]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(judged, shares, *([[each] * options.workers for each in
                                                 (options.weights, options.steps)])))
    scores: dict[str, Score] = defaultdict(Score)
    for part, _ in parts:
        for name, score in part.items():
            scores[name].seen += score.seen
            scores[name].seconds += score.seconds
    if options.sheet:
        save_sheet(options.sheet, [row for _, rows in parts for row in rows], columns=1)
    offset = scores["offset"].seconds / len(scores["offset"].seen)
    found = {name: score.figures() | {"cost_to_offset": round(score.seconds / len(score.seen) / offset, 2)}
             for name, score in scores.items()}
    print(json.dumps({"benchmark": "regions", "pairs": len(pairs), "case_set": options.set, "steps": options.steps,
                      "ways": found, "goals": goals(found)}))


if __name__ == "__main__":
    main()

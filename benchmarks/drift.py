"""Does a character wear off over ten edits? Each round from the last round's picture (chained), as people do by hand,
against each round from the original reference (anchored), as Render Storyboard does. Same characters, instructions
and seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld import (
    ACTIONS,
    REFERENCE_SHOT,
    SCENES,
    Shot,
    draw,
    instruction,
    kept_attributes,
    read_layout,
    read_shot,
)
from ..demo_model.training.examples import random_character
from ..kontext import load_folder
from ._cases import Tally, edit
from .demo_model import save_sheet

ROUNDS = 10
SHEET_CHARACTERS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=24)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--sheet", type=Path, help=f"PNG of the first {SHEET_CHARACTERS} characters, all rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_folder(options.weights)
    rng = random.Random("drift")
    ways = ("chained", "anchored")
    kept = {way: [Tally() for _ in range(ROUNDS)] for way in ways}
    rows = []
    for number in range(options.characters):
        character = random_character(rng, held_out=True)
        # Full body throughout: a close-up would hide what the next round needs to see.
        shots = [Shot(rng.choice(SCENES), rng.choice(ACTIONS)) for _ in range(ROUNDS)]
        original = draw(character, REFERENCE_SHOT)
        for way in ways:
            reference, cells = original, [original]
            for step, shot in enumerate(shots):
                made = edit(model, reference, instruction(shot), number * ROUNDS + step, options.steps)
                truth = read_layout(made, shot, character)
                for hit in kept_attributes(made, character, truth).values():
                    kept[way][step].add("kept", hit)
                kept[way][step].add("scene", read_shot(made, character).scene == shot.scene)
                cells.append(made)
                if way == "chained":
                    reference = made
            if number < SHEET_CHARACTERS:
                rows.append(np.hstack(cells))
        print(f"\r{number + 1}/{options.characters}", end="", file=sys.stderr)
    print(file=sys.stderr)
    result = {
        "benchmark": "drift",
        "characters": options.characters,
        "steps": options.steps,
        "identity_by_round": {way: [tally.share("kept") for tally in kept[way]] for way in ways},
        "scene_by_round": {way: [tally.share("scene") for tally in kept[way]] for way in ways},
    }
    if options.sheet:
        save_sheet(options.sheet, rows, columns=1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

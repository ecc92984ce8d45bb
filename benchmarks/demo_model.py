"""Does the demo model keep the character? Edits of unseen characters, read back by the drawn world's own meter.

Beside each figure: the codec alone (the truth through the VAE), and the same edit from another character's reference
(what a model that ignores its reference would score).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld import (
    ATTRIBUTES,
    PHRASINGS,
    REFERENCE_SHOT,
    Character,
    Shot,
    draw,
    instruction,
    kept_attributes,
    read_shot,
)
from ..demo_model.training.examples import random_character, random_shot
from ..kontext import EditRequest, KontextModel, load_folder

KINDS = ("model", "wrong_reference", "codec")
SHEET_CASES = 24


def as_picture(drawing: np.ndarray) -> torch.Tensor:
    """``uint8`` drawing to the engine's picture."""
    return torch.from_numpy(drawing.astype(np.float32) / 255)


def as_drawing(picture: torch.Tensor) -> np.ndarray:
    """The engine's picture to a ``uint8`` drawing."""
    return (picture * 255).round().to(torch.uint8).numpy()


def edit(model: KontextModel, reference: np.ndarray, prompt: str, seed: int, steps: int) -> np.ndarray:
    """The model's answer at 128x128; drawings in, a drawing out."""
    request = EditRequest(prompt, (as_picture(reference),), width=128, height=128, seed=seed, steps=steps)
    return as_drawing(model.edit(request))


def edit_character(model: KontextModel, character: Character, shot: Shot, number: int, steps: int) -> np.ndarray:
    """The answer to ``instruction(shot)`` for the studio picture of ``character``; ``number`` is seed and phrasing."""
    return edit(model, draw(character, REFERENCE_SHOT), instruction(shot, number % PHRASINGS), number, steps)


@torch.no_grad()
def through_codec(model: KontextModel, drawing: np.ndarray) -> np.ndarray:
    """Encoded and decoded again, nothing else."""
    vae = model.components["vae"]
    pixels = (as_picture(drawing) * 2 - 1).permute(2, 0, 1)[None].to(vae.dtype)
    made = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.float()[0]
    return as_drawing((made.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1))


def squared_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over pixels, of 0..255 values."""
    return float(((a.astype(np.float32) - b) ** 2).mean())


class Tally:
    """Hits by name."""

    def __init__(self):
        self.hits: dict[str, int] = {}
        self.tries: dict[str, int] = {}

    def add(self, name: str, hit: bool) -> None:
        self.hits[name] = self.hits.get(name, 0) + hit
        self.tries[name] = self.tries.get(name, 0) + 1

    def share(self, *names: str) -> float:
        """Hits over tries of the names together, 0..1."""
        return round(sum(self.hits[n] for n in names) / max(1, sum(self.tries[n] for n in names)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=200)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument(
        "--sheet", type=Path, help=f"write a PNG of the first {SHEET_CASES} cases: reference, model, truth"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_folder(options.weights)
    rng = random.Random("benchmark")
    people = [random_character(rng, held_out=True) for _ in range(options.characters)]
    shots = [random_shot(rng) for _ in people]
    tallies = {kind: Tally() for kind in KINDS}
    errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cells, seconds = [], 0.0
    for number, (character, shot) in enumerate(zip(people, shots, strict=True)):
        truth = draw(character, shot)
        begun = time.perf_counter()
        made = edit_character(model, character, shot, number, options.steps)
        seconds += time.perf_counter() - begun
        answers = {
            "model": made,
            "codec": through_codec(model, truth),
            "wrong_reference": edit_character(model, people[number - 1], shot, number, options.steps),
        }
        for kind, picture in answers.items():
            tally = tallies[kind]
            errors[kind].append(squared_error(picture, truth))
            for name, hit in kept_attributes(picture, character, shot).items():
                tally.add(name, hit)
            seen = read_shot(picture, character)
            for part in ("scene", "action", "framing"):
                tally.add(part, getattr(seen, part) == getattr(shot, part))
        if number < SHEET_CASES:
            cells.append(np.hstack([draw(character, REFERENCE_SHOT), made, truth]))
        print(
            f"\r{number + 1}/{len(people)} kept {tallies['model'].share(*_identity(tallies['model'])):.3f}",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    result = {
        "benchmark": "demo_model",
        "characters": len(people),
        "steps": options.steps,
        "identity": {kind: tallies[kind].share(*_identity(tallies[kind])) for kind in KINDS},
        "attributes": {kind: {name: tallies[kind].share(name) for name in _identity(tallies[kind])} for kind in KINDS},
        **{part: {kind: tallies[kind].share(part) for kind in KINDS} for part in ("scene", "action", "framing")},
        "psnr_db": {kind: round(10 * math.log10(255**2 / np.mean(errors[kind])), 2) for kind in KINDS},
        "seconds_per_edit_over_steps": round(seconds / len(people) / options.steps, 4),
    }
    if options.sheet:
        save_sheet(options.sheet, cells)
    print(json.dumps(result))


def _identity(tally: Tally) -> list[str]:
    return [name for name in ATTRIBUTES if name in tally.tries]


def save_sheet(path: Path, cells: list[np.ndarray], columns: int = 4) -> None:
    """Rows of ``columns`` cells, white between them."""
    from PIL import Image

    height, width = cells[0].shape[:2]
    rows = math.ceil(len(cells) / columns)
    sheet = np.full((rows * (height + 8), columns * (width + 16), 3), 255, np.uint8)
    for i, cell in enumerate(cells):
        y, x = i // columns * (height + 8), i % columns * (width + 16)
        sheet[y : y + height, x : x + width] = cell
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)


if __name__ == "__main__":
    main()

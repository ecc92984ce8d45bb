"""Does the demo model do what it is told, and keep the character? Edits of unseen characters, read back by the drawn
world's own meter.

Beside each figure: the codec alone (the truth through the VAE), the same edit from another character's reference (what
a model that ignores its reference would score), and the reference itself, returned as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld import ATTRIBUTES, EDIT_KINDS, draw
from ..kontext import KontextModel, load_folder
from ._cases import Case, Tally, answer, judge, squared_error, through_codec, unseen_case

WAYS = ("model", "codec", "wrong_reference", "copy_of_reference")
PARTS = ("done", "scene", "action", "facing", "framing", "untouched")
STEPS = (1, 2, 4, 8, 20)
SIZES = ((160, 96), (96, 160), (192, 192))
SHEET_CASES = 24


class Score:
    """Everything measured for one way of answering."""

    def __init__(self):
        self.parts, self.attributes, self.errors = Tally(), Tally(), []

    def add(self, case: Case, made: np.ndarray) -> None:
        """Judge one answer."""
        parts, attributes = judge(case, made)
        for name, value in parts.items():
            self.parts.add(name, value)
        for name, hit in attributes.items():
            self.attributes.add(name.split("/")[0], hit)
        self.errors.append(squared_error(made, draw(case.edit.after.cast, case.truth(made), case.size)))

    def figures(self) -> dict[str, float]:
        """Shares 0..1 and the PSNR over all pixels together."""
        found = {"identity": self.attributes.share(*ATTRIBUTES)} | {part: self.parts.share(part) for part in PARTS}
        return {k: v for k, v in found.items() if v is not None} | {"psnr_db": psnr(self.errors)}


def psnr(errors: list[float]) -> float:
    """dB, of mean squared errors of 0..255 values."""
    return round(10 * math.log10(255**2 / max(float(np.mean(errors)), 1e-9)), 2)


def answers(model: KontextModel, case: Case, other: Case, steps: int) -> dict[str, np.ndarray]:
    """The picture of each of ``WAYS``; ``other``: whose reference is the wrong one."""
    made = answer(model, case, steps)
    pictures = {
        "model": made,
        "codec": through_codec(model, draw(case.edit.after.cast, case.truth(made), case.size)),
        "wrong_reference": answer(model, case, steps, other.reference),
    }
    if case.reference.shape == made.shape:
        pictures["copy_of_reference"] = case.reference
    return pictures


def seconds_of_20_steps(model: KontextModel, case: Case) -> float:
    """Of one edit at 128x128 on one thread, the second call."""
    answer(model, case, 20)
    begun = time.perf_counter()
    answer(model, case, 20)
    return round(time.perf_counter() - begun, 2)


def measure(model: KontextModel, kinds: tuple[str, ...], per_kind: int, steps: int) -> tuple[dict, list[np.ndarray]]:
    """The figures and the cells of the sheet: reference, model, truth of the first cases."""
    scores = {way: {kind: Score() for kind in kinds} for way in WAYS}
    overall = {way: Score() for way in WAYS}
    cells = []
    for seed in range(per_kind):
        for kind in kinds:
            case, other = unseen_case(kind, seed), unseen_case(kind, seed + 1)
            pictures = answers(model, case, other, steps)
            for way, picture in pictures.items():
                for score in (scores[way][kind], overall[way]):
                    score.add(case, picture)
            if len(cells) < SHEET_CASES:
                made = pictures["model"]
                cells.append(np.hstack([_fit(case.reference), made, draw(case.edit.after.cast, case.truth(made))]))
        print(f"\r{seed + 1}/{per_kind} {overall['model'].figures()}", end="", file=sys.stderr)
    print(file=sys.stderr)
    by_steps = {}
    few = [unseen_case(kind, seed) for seed in range(max(1, per_kind // 5)) for kind in kinds]
    for count in STEPS:
        score = Score()
        for case in few:
            score.add(case, answer(model, case, count))
        by_steps[str(count)] = score.figures()
    by_size = {}
    for size in SIZES:
        score = Score()
        for seed in range(per_kind):
            case = unseen_case(kinds[0], seed, size)
            score.add(case, answer(model, case, steps))
        by_size[f"{size[0]}x{size[1]}"] = score.figures()
    return {
        "overall": {way: overall[way].figures() for way in WAYS},
        "kinds": {
            kind: {way: scores[way][kind].figures() for way in WAYS if scores[way][kind].errors} for kind in kinds
        },
        "attributes": {way: {name: overall[way].attributes.share(name) for name in ATTRIBUTES} for way in WAYS},
        "by_steps": {"cases": len(few), **by_steps},
        "by_size": {"cases": per_kind, **by_size},
    }, cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=EDIT_KINDS, default=EDIT_KINDS, help="of edit; by default all")
    parser.add_argument("--per-kind", type=int, default=20, help="cases of each kind")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument(
        "--sheet", type=Path, help=f"write a PNG of the first {SHEET_CASES} cases: reference, model, truth"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_folder(options.weights)
    figures, cells = measure(model, tuple(options.kinds), options.per_kind, options.steps)
    characters = options.per_kind * (len(options.kinds) + ("two" in options.kinds))
    result = {
        "benchmark": "demo_model",
        "characters": characters,
        "cases_of_each_kind": options.per_kind,
        "steps": options.steps,
    }
    result |= figures | {
        "seconds_of_20_steps_on_one_core": seconds_of_20_steps(model, unseen_case(options.kinds[0], 0))
    }
    if options.sheet:
        save_sheet(options.sheet, cells)
    print(json.dumps(result))


def _fit(picture: np.ndarray, side: int = 128) -> np.ndarray:
    """A picture of any shape, centred on a white square."""
    import cv2

    scale = side / max(picture.shape[:2])
    small = cv2.resize(
        picture, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)), interpolation=cv2.INTER_AREA
    )
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square = np.full((side, side, 3), 255, np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


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

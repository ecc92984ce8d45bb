"""Pictures of a training run for the model card: the loss curves, and the same unseen edits as they became better."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .state import DEFAULT_STATE

CURVES = {"plain": (30, 90, 200), "wrong_reference": (210, 60, 50), "wrong_text": (230, 150, 30)}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 420, 60, 40


def read_log(path: Path) -> list[dict]:
    """The lines of a run's log, without those that a run cut off and begun again from its last state made twice."""
    lines: list[dict] = []
    for text in path.read_text("utf-8").splitlines():
        if text.strip():
            line = json.loads(text)
            lines = [earlier for earlier in lines if earlier["samples"] < line["samples"]] + [line]
    return lines


def plot(lines: list[dict]) -> Image.Image:
    """Velocity error (0 up) over training pictures, a line for each of ``CURVES``."""
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    most = max(line["samples"] for line in lines)
    top = max(line[name] for line in lines for name in CURVES) * 1.05

    def at(samples: float, error: float) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - 20) * samples / most,
            _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - 20) * error / top,
        )

    for i in range(5):
        y = at(0, top * i / 5)[1]
        pen.line([(_LEFT, y), (_WIDTH - 20, y)], (225, 225, 225))
        pen.text((10, y - 6), f"{top * i / 5:.2f}", (90, 90, 90))
        x = at(most * (i + 1) / 5, 0)[0]
        pen.text((x - 30, _HEIGHT - _BOTTOM + 8), f"{most * (i + 1) / 5:,.0f}", (90, 90, 90))
    for i, (name, colour) in enumerate(CURVES.items()):
        pen.line([at(line["samples"], line[name]) for line in lines], colour, 3)
        pen.text((_WIDTH - 330, 200 + 16 * i), f"unseen characters, {name.replace('_', ' ')}", colour)
    pen.text((_LEFT, 4), "velocity error over training pictures", (60, 60, 60))
    return picture


def sheet(folder: Path, rows: int) -> Image.Image:
    """Strips from ``folder`` (named by the number of training pictures), evenly chosen, oldest first."""
    files = sorted(folder.glob("*.png"))
    chosen = [files[round(i)] for i in np.linspace(0, len(files) - 1, min(rows, len(files)))]
    strips = [Image.open(file) for file in chosen]
    width, height = strips[0].size
    picture = Image.new("RGB", (width, (height + 16) * len(strips)), "white")
    pen = ImageDraw.Draw(picture)
    for i, (file, strip) in enumerate(zip(chosen, strips, strict=True)):
        pen.text((4, i * (height + 16) + 2), f"after {int(file.stem):,} pictures", (60, 60, 60))
        picture.paste(strip, (0, i * (height + 16) + 16))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--name", default="transformer")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent, help="folder of the model card")
    options = parser.parse_args()
    plot(read_log(options.state / f"{options.name}.jsonl")).save(options.out / "curves.png")
    sheet(options.state / f"{options.name}-samples", options.rows).save(options.out / "samples.jpg", quality=88)


if __name__ == "__main__":
    main()

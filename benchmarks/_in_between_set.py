"""Draw the set that the in-between LoRA learns from (`demo_model/training/between.py`): training characters before a
still background, both ends, what flow makes of them at some moments, and the truth there.

    python -m kontinuity.benchmarks._in_between_set --out in_between_set.safetensors
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ..demo_model.training.in_betweens import random_series
from ..flow import prepare_pair
from ._cases import as_drawing, as_picture

CHANGES = 0.0, 0.3  # of the width: how far a figure goes
PARTS = 10, 90  # per cent of the way


def draw_set(name: str, series: int, moments: int, held_out: bool = False) -> dict[str, torch.Tensor]:
    """`ends` uint8 [series, 2, H, W, 3]; `moved` (by flow) and `truth` uint8 [series, moments, H, W, 3]; `parts` int64
    [series, moments], per cent of the way."""
    rng = random.Random(f"in-between set/{name}")
    rows: dict[str, list] = {"ends": [], "moved": [], "truth": [], "parts": []}
    for _ in range(series):
        one = random_series(rng, rng.uniform(*CHANGES), held_out)
        ends = one.draw(0), one.draw(1)
        pair = prepare_pair(*map(as_picture, ends))
        parts = [rng.randint(*PARTS) for _ in range(moments)]
        rows["ends"].append(np.stack(ends))
        rows["moved"].append(np.stack([as_drawing(pair.at(part / 100)) for part in parts]))
        rows["truth"].append(np.stack([one.draw(part / 100) for part in parts]))
        rows["parts"].append(np.array(parts))
    return {key: torch.from_numpy(np.stack(value)) for key, value in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=192)
    parser.add_argument("--moments", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="of characters that are never trained on, to judge by")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    save_file(draw_set(str(options.seed), options.series, options.moments, options.held_out), options.out)


if __name__ == "__main__":
    main()

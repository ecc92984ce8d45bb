"""How well are pictures between two pictures made? Drawn figures in continuous motion, where the truth is known, and
(with ``--clips FOLDER``) real clips, whose left-out frames are the truth.

Beside each figure, from the same run: a cross-fade, and the naive use of the same kind of flow (each picture warped
backward along its own scaled flow, averaged).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..demo_model.toonworld import Character
from ..demo_model.toonworld.canvas import Canvas
from ..demo_model.toonworld.figure import Pose, draw_figure
from ..demo_model.toonworld.scenes import PAINTERS
from ..flow import Between, DisFlow, Report, estimate_motion

SIZE = 384
SCENES = ("city", "kitchen", "forest", "beach")
# how far the figure goes as a fraction of the side, and how far its limbs turn in degrees
MOTIONS = {"small": (0.025, 10), "medium": (0.065, 25), "large": (0.125, 45), "huge": (0.22, 70)}
METHODS = ("fade", "naive", "project", "splat", "auto")
GAPS = (1, 4)  # frames i - gap and i + gap are given, frame i is wanted
SAMPLES = 3  # per clip and gap


class MovedCanvas(Canvas):
    """A canvas on which everything is drawn ``shift`` (a fraction of the side) further right."""

    shift = 0.0

    @property
    def origin(self):
        return self._origin

    @origin.setter
    def origin(self, value):
        self._origin = (value[0] + self.shift, value[1])


def frame(seed: int, motion: str, t: float) -> Tensor:
    """The picture at time ``t`` (0..1) of a figure that crosses the scene and turns its limbs at constant speed."""
    way, turn = MOTIONS[motion]
    scene = Canvas.blank(SIZE)
    PAINTERS[SCENES[seed % len(SCENES)]](scene)
    canvas = MovedCanvas(scene.pixels)
    canvas.shift = (t - 0.5) * way * (1 if seed % 2 else -1)
    swing = (t - 0.5) * turn
    pose = Pose(
        left_arm=(60 + swing, 70 + swing),
        right_arm=(60 - swing, 40 - swing),
        left_leg=(20 + swing / 2, 10 + swing / 2),
        right_leg=(20 - swing / 2, 10 - swing / 2),
    )
    draw_figure(canvas, Character.from_seed(seed), pose, "full body")
    return torch.from_numpy(canvas.finish().astype(np.float32) / 255)


def read_clip(path: Path, count: int) -> list[Tensor]:
    """The first ``count`` frames of a video."""
    video, frames = cv2.VideoCapture(str(path)), []
    while len(frames) < count:
        there, picture = video.read()
        if not there:
            break
        frames.append(torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255))
    return frames


def psnr(made: Tensor, truth: Tensor) -> float:
    """dB on rounded 8-bit values; 99 at most."""
    error = (((made * 255).round() - (truth * 255).round()) ** 2).mean().item()
    return min(99.0, 10 * math.log10(255**2 / max(error, 1e-9)))


def fetch(picture: Tensor, flow: Tensor) -> Tensor:
    """``picture(p + flow[p])``, bilinear, the edge continued outwards, as everybody writes it first."""
    height, width = picture.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2) + flow.numpy()
    grid = grid.astype(np.float32)
    fetched = cv2.remap(picture.numpy(), grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(fetched)


def answers(a: Tensor, b: Tensor, quality: str) -> tuple[dict[str, Tensor], Report, float]:
    """Each method's picture half-way, what "auto" decided, and the seconds "auto" took for it."""
    estimator = DisFlow(quality)
    begun = time.perf_counter()
    pair = Between(a, b, estimator=estimator)
    made = {"auto": pair.at(0.5)}
    seconds = time.perf_counter() - begun
    plain = estimate_motion(a, b, estimator, large_motion=False)
    made["fade"] = (a + b) / 2
    made["naive"] = (fetch(a, -0.5 * plain.forward) + fetch(b, -0.5 * plain.backward)) / 2
    for mode in ("project", "splat"):
        made[mode] = Between(a, b, mode, motion=pair.motion).at(0.5)
    return made, pair.report, seconds


def row(name: str, triples, quality: str) -> dict:
    """Mean PSNR of each method over ``(a, truth, b)``, and the decisions."""
    results: dict[str, list[float]] = {method: [] for method in METHODS}
    decisions: dict[str, int] = {}
    coverages, spent = [], 0.0
    for a, truth, b in triples:
        made, report, seconds = answers(a, b, quality)
        spent += seconds
        decisions[report.decision] = decisions.get(report.decision, 0) + 1
        coverages.append(report.coverage or 0.0)
        for method in METHODS:
            results[method].append(psnr(made[method], truth))
    print(name, {method: round(float(np.mean(values)), 2) for method, values in results.items()}, file=sys.stderr)
    return {
        "name": name,
        "samples": len(coverages),
        "psnr_db": {method: round(float(np.mean(values)), 2) for method, values in results.items()},
        "coverage": round(float(np.mean(coverages)), 3),
        "decisions": decisions,
        "seconds_per_pair": round(spent / len(coverages), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="drawn figures per motion; 0: only the clips")
    parser.add_argument("--quality", default="best", choices=("fast", "normal", "best"))
    parser.add_argument("--clips", type=Path, help="a folder of .mp4 files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for motion in MOTIONS if options.seeds else ():
        triples = ([frame(seed, motion, t) for t in (0.0, 0.5, 1.0)] for seed in range(options.seeds))
        rows.append(row(f"drawn figure, {motion} motion", triples, options.quality))
    for path in sorted(options.clips.glob("*.mp4")) if options.clips else ():
        for gap in GAPS:
            clip = read_clip(path, 2 * gap * SAMPLES + 1)
            middles = range(gap, len(clip) - gap, 2 * gap)
            triples = ((clip[i - gap], clip[i], clip[i + gap]) for i in middles)
            rows.append(row(f"{path.stem}, gap {gap}", triples, options.quality))
    print(json.dumps({"benchmark": "interpolation", "quality": options.quality, "size": SIZE, "rows": rows}))


if __name__ == "__main__":
    main()

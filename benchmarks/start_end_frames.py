"""Pictures between a start and an end frame: made by Kontext, by flow, and cross-faded, against the true ones.

A figure of the drawn world goes a part of the width and takes another pose at constant speed, so every picture between
is known. Unseen characters: "measured" are those that are quoted, "tuning" others, on which choices were made. Identity
is read back by the world's meter; PSNR is of the pixels that the figure covers at the start, half-way or at the end;
"place" is where on the true way a picture looks most like the truth.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ..demo_model import figure_finder, identity_folder, in_between_lora, weights_folder
from ..demo_model.toonworld import backdrop, kept_attributes
from ..demo_model.training.in_betweens import Series, random_series
from ..flow import FramePair, consistent, prepare_pair
from ..kontext import EditRequest, Guide, KontextModel, Scorer, load_encoder, load_folder, read_lora
from ..storyboard import InBetweens, Sampling, make_in_betweens
from ._cases import Tally, as_drawing, as_picture, squared_error
from .demo_model import psnr, save_sheet

CHANGES = 0.12, 0.22  # of the width
FRAMES = 7
SHEET_CASES = 8
SECTIONS = ("half-way", "series", "half-way, left out", "series, left out", "cost")
Change = Callable[[EditRequest], EditRequest]


class Case:
    """Two ends of a series with everything that is measured by."""

    def __init__(self, series: Series):
        self.series = series
        self.first, self.last = series.draw(0), series.draw(1)
        self.start, self.end = as_picture(self.first), as_picture(self.last)
        empty = backdrop(series.start.scene, 128, series.start.variation).astype(np.int16)
        self._figure = np.any([np.abs(series.draw(part) - empty).max(2) > 8 for part in (0, 0.5, 1)], axis=0)

    @property
    @cache  # noqa: B019 (as long-lived as the case)
    def pair(self) -> FramePair:
        return prepare_pair(self.start, self.end)

    def error(self, made: np.ndarray, part: float) -> float:
        """Mean squared error where the figure is, of 0..255 values."""
        return squared_error(made[self._figure], self.series.draw(part)[self._figure])

    def identity(self, made: np.ndarray, part: float) -> list[bool]:
        """Which visible attributes are kept."""
        return list(kept_attributes(made, self.series.who, self.series.shot(part)).values())

    def place(self, made: np.ndarray) -> float:
        """Where on the way it is, 0..1 in steps of 1/48."""
        return min((squared_error(made, self.series.draw(i / 48)), i / 48) for i in range(49))[1]


def cases(which: str, change: float, count: int) -> list[Case]:
    """The same for the same arguments; of one character for every change."""
    return [Case(random_series(random.Random(f"start_end_frames/{which}/{number}"), change, held_out=True))
            for number in range(count)]


class Asked:
    """A model that is asked otherwise, and keeps what it answered."""

    def __init__(self, model: KontextModel, change: Change = lambda request: request):
        self._model, self._change, self.answers = model, change, []
        self.settings, self.check, self.preview = model.settings, model.check, model.preview

    def prepare(self, requests) -> None:
        """They are other ones."""

    def edit(self, request: EditRequest, on_step=None) -> torch.Tensor:
        self.answers.append(self._model.edit(self._change(request), on_step))
        return self.answers[-1]


class Nobody:
    """An observer that only lets it happen."""

    def begin(self, steps: int) -> None: ...

    def step(self, preview) -> None: ...

    def end(self) -> None: ...


def series_of(case: Case, model, settings: InBetweens, steps: int, scorer=None) -> list[np.ndarray]:
    """All frames of a series, the ends too."""
    made = make_in_betweens(case.start, case.end, model, Sampling(steps), Nobody(), settings, scorer=scorer)
    assert made.frames[0].picture is case.start and made.frames[-1].picture is case.end
    return [as_drawing(frame.picture) for frame in made.frames]


# What is asked otherwise than the library asks -----------------------------------------------------------------------


def ends_only(request: EditRequest) -> EditRequest:
    """Without what flow makes of the ends."""
    return replace(request, references=request.references[1:], strengths=request.strengths[1:])


def flow_only(request: EditRequest) -> EditRequest:
    """Without the ends."""
    return replace(request, references=request.references[:1], strengths=())


def evenly(request: EditRequest) -> EditRequest:
    """Both ends as strong as the model was trained."""
    return replace(request, strengths=())


def unchanged(request: EditRequest) -> EditRequest:
    """In words that the stock model knows."""
    return replace(request, prompt="Keep everything unchanged.")


def guided(until: float, free: bool) -> Change:
    """The first steps follow what flow makes of the ends; with `free` only where its motion there and back agrees."""
    def change(request: EditRequest) -> EditRequest:
        moved, start, end = request.references
        certain = torch.ones(moved.shape[:2])
        if free:
            certain = agreement(prepare_pair(start, end), request.strengths[2].value)
        return replace(request, guide=Guide(moved, certain, until))
    return change


def agreement(pair: FramePair, part: float) -> torch.Tensor:
    """1 where the motion of a pair agrees with itself, 0 elsewhere, at `part` of the way: `float32 [H, W]`."""
    motion = pair.motion
    if motion is None:
        return torch.zeros(pair.a.shape[:2])
    seen = [consistent(one.forward, one.backward).float()[..., None].expand(-1, -1, 3).contiguous()
            for one in (motion, motion.swapped())]
    return (prepare_pair(*seen, mode=pair.report.decision, motion=motion).at(part)[..., 0] > 0.5).float()


def then(*changes: Change) -> Change:
    """One after the other."""
    def change(request: EditRequest) -> EditRequest:
        for one in changes:
            request = one(request)
        return request
    return change


STOCK = {
    "both ends, weighed": then(ends_only, unchanged),
    "both ends, as trained": then(ends_only, unchanged, evenly),
    "both ends, weighed, guided by flow": then(guided(0.3, False), ends_only, unchanged),
    "both ends, weighed, guided by flow, free where uncertain": then(guided(0.3, True), ends_only, unchanged),
    "flow's picture as the reference": then(flow_only, unchanged),
}
LEFT_OUT = {
    "flow's picture": ends_only,
    "both ends": flow_only,
    "their weights": evenly,
    "the words": unchanged,
}
ADDED = {
    "guided by flow": guided(0.3, False),
    "guided by flow, free where uncertain": guided(0.6, True),
}


class Middle:
    """What was measured of one way of making pictures half-way."""

    def __init__(self):
        self.kept, self.errors, self.places = Tally(), [], []

    def add(self, case: Case, made: np.ndarray, part: float = 0.5) -> None:
        for hit in case.identity(made, part):
            self.kept.add("kept", hit)
        self.errors.append(case.error(made, part))
        self.places.append(case.place(made) - part)

    def figures(self) -> dict:
        """Identity 0..1; PSNR of the figure in dB; mean distance from the right place, in parts of the way."""
        return {"identity": self.kept.share("kept"), "figure_psnr_db": psnr(self.errors),
                "off_place": round(float(np.abs(self.places).mean()), 3)}


def middles(chosen: list[Case], ways: dict[str, Callable[[Case], np.ndarray]]) -> tuple[dict, list[np.ndarray]]:
    """The figures of each way, and rows of a sheet: start, each way, the truth, end."""
    figures, rows = {name: Middle() for name in ways}, []
    for number, case in enumerate(chosen):
        cells = [case.first]
        for name, way in ways.items():
            cells.append(way(case))
            figures[name].add(case, cells[-1])
        if number < SHEET_CASES:
            rows.append(np.hstack([*cells, case.series.draw(0.5), case.last]))
        print(f"\r{number + 1}/{len(chosen)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {name: middle.figures() for name, middle in figures.items()}, rows


def ways_of(model: KontextModel, tuned: KontextModel, steps: int, which: str) -> dict:
    """Name to what makes the picture half-way of a case."""
    one = InBetweens(frames=3, confident=1.0)

    def kontext(model: KontextModel, change: Change = lambda request: request, raw: bool = False):
        def way(case: Case) -> np.ndarray:
            asked = Asked(model, change)
            made = series_of(case, asked, one, steps)[1]
            return as_drawing(asked.answers[0]) if raw else made
        return way

    ways = {"cross-fade": lambda case: as_drawing((case.start + case.end) / 2),
            "flow": lambda case: as_drawing(case.pair.at(0.5)), "LoRA": kontext(tuned)}
    if which != "short":  # as it came: what is off by much would be left to flow
        ways["LoRA, as it came, not mended"] = kontext(tuned, raw=True)
        ways |= {f"LoRA as it came, without {name}": kontext(tuned, change, True) for name, change in LEFT_OUT.items()}
        ways |= {f"LoRA as it came, {name}": kontext(tuned, change, True) for name, change in ADDED.items()}
        ways |= {f"stock, {name}": kontext(model, change, True) for name, change in STOCK.items()}
    return ways


class Whole:
    """What was measured of whole series."""

    def __init__(self):
        self.inner, self.ordered, self.uneven, self.restless = Middle(), [], [], []

    def add(self, case: Case, frames: list[np.ndarray]) -> None:
        parts = [number / (FRAMES - 1) for number in range(FRAMES)]
        for part, frame in zip(parts[1:-1], frames[1:-1], strict=True):
            self.inner.add(case, frame, part)
        places = [case.place(frame) for frame in frames]
        steps = [after - before for before, after in itertools.pairwise(places)]
        self.ordered.append(all(step > 0 for step in steps))
        self.uneven.append(max(abs(step * (FRAMES - 1) - 1) for step in steps))
        still = np.ptp(np.stack([case.series.draw(part) for part in parts]).astype(np.int16), 0).max(2) == 0
        self.restless.append(np.mean([np.abs(a[still].astype(np.int16) - b[still]).mean()
                                      for a, b in itertools.pairwise(frames[1:-1])]))

    def figures(self) -> dict:
        """Those of the pictures between the ends; the share of series in which every frame is further on the way than
        the one before; by how much the worst step of a series is off, in steps (mean); the mean change between two
        made frames where nothing moves, of 255."""
        return self.inner.figures() | {
            "in_order": round(float(np.mean(self.ordered)), 4), "worst_step_off": round(float(np.mean(self.uneven)), 3),
            "restless": round(float(np.mean(self.restless)), 3)}


def whole_ways(tuned: KontextModel, steps: int, which: str) -> dict:
    """Name to what makes all frames of a case."""
    def kontext(change: Change = lambda request: request, scorer=None, **settings):
        wanted = InBetweens(**{"frames": FRAMES, "confident": 1.0} | settings)
        return lambda case: series_of(case, Asked(tuned, change), wanted, steps, scorer)

    ways = {"flow": lambda case: [as_drawing(case.pair.at(number / (FRAMES - 1))) for number in range(FRAMES)],
            "LoRA": kontext()}
    if which != "short":
        scorer = Scorer(load_encoder(identity_folder(), "demo", "start_end_frames"), figure_finder())
        ways |= {
            "LoRA, 3 made, flow between": kontext(made=3),
            "LoRA, 1 made, flow between": kontext(made=1),
            "LoRA, flow where it is confident (the default)": kontext(confident=InBetweens().confident),
            "LoRA without one noise": kontext(lambda request: replace(request, seed=len(request.prompt) * 7919 + int(
                request.strengths[2].value * 1000))),
            "LoRA, best path of 3 candidates": kontext(candidates=3, scorer=scorer),
        }
    return ways


def wholes(chosen: list[Case], ways: dict[str, Callable[[Case], list[np.ndarray]]]) -> tuple[dict, list[np.ndarray]]:
    """The figures of each way, and rows of a sheet: each way's frames, then the true ones."""
    figures, rows = {name: Whole() for name in ways}, []
    for number, case in enumerate(chosen):
        for name, way in ways.items():
            frames = way(case)
            figures[name].add(case, frames)
            if number < SHEET_CASES // 2:
                rows.append(np.hstack(frames))
        if number < SHEET_CASES // 2:
            rows.append(np.hstack([case.series.draw(part / (FRAMES - 1)) for part in range(FRAMES)]))
        print(f"\r{number + 1}/{len(chosen)} series", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {name: whole.figures() for name, whole in figures.items()}, rows


def cost(case: Case, tuned: KontextModel, steps: int, repeats: int = 5) -> dict:
    """Processor seconds of a series, all by Kontext, and of as many edits with two references, in turns; medians."""
    edit = EditRequest("Keep everything unchanged.", (case.start, case.end), 128, 128, seed=1, steps=steps)
    whole, seven = [], []
    for _ in range(repeats):
        begun = time.process_time()
        series_of(case, Asked(tuned), InBetweens(frames=FRAMES, confident=1.0), steps)
        whole.append(time.process_time() - begun)
        begun = time.process_time()
        for _ in range(FRAMES):
            tuned.edit(edit)
        seven.append(time.process_time() - begun)
    ratios = [a / b for a, b in zip(whole, seven, strict=True)]
    return {"series_s": round(statistics.median(whole), 2), "edits_s": round(statistics.median(seven), 2),
            "ratio": round(statistics.median(ratios), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--characters", type=int, default=60)
    parser.add_argument("--left-out", type=int, default=24, help="characters of the rows with one ingredient left out")
    parser.add_argument("--in-order", type=int, default=30, help="characters whose whole series are made")
    parser.add_argument("--set", choices=("measured", "tuning"), default="measured")
    parser.add_argument("--changes", type=float, nargs="+", default=CHANGES, help="of the width")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="what is measured")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--lora", type=Path, default=in_between_lora())
    parser.add_argument("--sheets", type=Path, help="folder for PNGs of the first cases")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, steps = load_folder(options.weights), options.steps
    tuned = model.adapted([(read_lora(options.lora), 1.0)])
    result: dict = {"benchmark": "start_end_frames", "set": options.set, "steps": steps, "frames": FRAMES}
    for change in options.changes:
        name = f"{change:.0%}"
        result[name] = {}
        for section, make, ways, count in (
            ("half-way", middles, lambda: ways_of(model, tuned, steps, "short"), options.characters),
            ("series", wholes, lambda: whole_ways(tuned, steps, "short"), options.in_order),
            ("half-way, left out", middles, lambda: ways_of(model, tuned, steps, "all"), options.left_out),
            ("series, left out", wholes, lambda: whole_ways(tuned, steps, "all"), options.left_out),
        ):
            if section not in options.sections:
                continue
            figures, rows = make(cases(options.set, change, count), ways())
            result[name][section] = {"characters": count} | figures
            if options.sheets:
                save_sheet(options.sheets / f"{section} {name}.png", rows, columns=1)
    if "cost" in options.sections:
        result["cost"] = cost(cases(options.set, CHANGES[1], 1)[0], tuned, steps)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

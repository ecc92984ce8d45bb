"""A training run that can be cut off: a time budget, state saved every five minutes, a log line now and then."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch

SAVE_EVERY = 300  # seconds
DEFAULT_STATE = Path.home() / ".cache" / "kontinuity" / "training"


class Run:
    """Elapsed training time over all sittings, and what is needed to go on.

    Args:
        name: file name of the state inside ``folder``.
        minutes: the whole budget; the learning rate's schedule follows the part of it that is used.
        parts: objects with ``state_dict``/``load_state_dict`` (modules, optimisers) to keep.
    """

    def __init__(self, folder: Path, name: str, minutes: float, parts: dict):
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._log = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self._parts, self.budget = parts, minutes * 60
        self.elapsed, self.step, self.samples = 0.0, 0, 0
        if self._path.exists():
            saved = torch.load(self._path, map_location="cpu", weights_only=True)
            for key, part in parts.items():
                part.load_state_dict(saved[key])
            self.elapsed, self.step, self.samples = saved["elapsed"], saved["step"], saved["samples"]
        self._begun = time.monotonic() - self.elapsed
        self._saved = self.elapsed

    @property
    def progress(self) -> float:
        """Part of the budget used, 0..1."""
        return min(1.0, self.elapsed / self.budget)

    def tick(self, samples: int, save: bool = True) -> bool:
        """Count one step; save when due, if this is the worker that saves. False when the budget is used up."""
        self.step += 1
        self.samples += samples
        self.elapsed = time.monotonic() - self._begun
        if save and (self.elapsed - self._saved > SAVE_EVERY or self.elapsed >= self.budget):
            self.save()
        return self.elapsed < self.budget

    def save(self) -> None:
        """Write the state so that a kill at any moment leaves a whole one."""
        temporary = self._path.with_suffix(".tmp")
        state = {key: part.state_dict() for key, part in self._parts.items()}
        torch.save(state | {"elapsed": self.elapsed, "step": self.step, "samples": self.samples}, temporary)
        os.replace(temporary, self._path)
        self._saved = self.elapsed

    def log(self, **figures: float | torch.Tensor) -> None:
        """Append one JSON line of figures and show it."""
        line = {
            "minutes": round(self.elapsed / 60, 2),
            "step": self.step,
            "samples": self.samples,
            **{key: round(float(value), 4) for key, value in figures.items()},
        }
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(line, flush=True)


def learning_rate(progress: float, peak: float, flat: float = 0.5, floor: float = 0.02) -> float:
    """``peak`` for the first ``flat`` of the budget, then a cosine down to ``floor * peak``."""
    if progress < flat:
        return peak
    phase = (progress - flat) / (1 - flat)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * phase)))


def arguments(description: str, minutes: float) -> argparse.ArgumentParser:
    """The options that every stage has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes, help="training time over all sittings")
    parser.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, help="folder for the state, outside the repository"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser


class Average:
    """Exponential moving average of a module's parameters (Polyak averaging), with a warm-up."""

    def __init__(self, module: torch.nn.Module, decay: float):
        self._decay, self._count = decay, 0
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Move towards the module's present weights."""
        self._count += 1
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        for name, value in module.named_parameters():
            self.values[name].lerp_(value.detach(), 1 - decay)

    @torch.no_grad()
    def swap(self, module: torch.nn.Module) -> None:
        """Exchange the module's weights with the average (call again to undo)."""
        for name, value in module.named_parameters():
            kept = value.detach().clone()
            value.copy_(self.values[name])
            self.values[name].copy_(kept)

    def state_dict(self) -> dict:
        return {"count": self._count, "values": self.values}

    def load_state_dict(self, state: dict) -> None:
        self._count, self.values = state["count"], state["values"]

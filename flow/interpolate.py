"""Pictures between two pictures.

*project* (for video) splats the flow to the wanted time and fetches both pictures along it; *splat* (for flat drawings)
pushes the colours themselves. Synthesis runs in float64, so that going from B to A gives the same pictures as from A
to B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .estimate import Estimator, Motion, estimate_motion
from .field import FlowError, background_flow, check_pair, is_flat
from .splat import fill_holes, splat
from .warp import inside_share, warp, warp_bicubic

MODES = ("auto", "project", "splat", "dissolve", "hold")
_SHARPNESS = 20.0  # softmax: how much a pixel that finds its colour again outweighs one that does not
_FRONT = 2.0  # in splat mode: what moves against the background lies in front of it
_FRONT_PIXELS = 2.0
_CUT_COVERAGE, _DISSOLVE_COVERAGE = 0.35, 0.55
_CUT_HISTOGRAM = 0.5


@dataclass(frozen=True)
class Report:
    """What was decided for a pair, and why.

    Attributes:
        decision: "duplicate" (the pictures are equal), "hold" (each picture stands for half the time: a cut),
            "dissolve" (a plain cross-fade), "project" or "splat".
        reason: one sentence.
        coverage: share of the pictures (0..1) where the motion there and back agrees; None if it was not looked for.
        change: how different the colours are as a whole, 0 (same histogram) to 1.
    """

    decision: str
    reason: str
    coverage: float | None
    change: float


class Between:
    """All pictures between two: the motion is estimated once, pictures are made as they are asked for.

    Args:
        a, b: pictures of one size, ``float32 [H, W, 3]``.
        mode: "auto" decides by itself; "project", "splat", "dissolve" and "hold" are done as told.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        motion: that of the pair if it is known already; the estimator is not asked then.
    Raises:
        FlowError: no pair of pictures, an unknown mode, or a motion that does not fit them.
    """

    def __init__(
        self,
        a: Tensor,
        b: Tensor,
        mode: str = "auto",
        estimator: Estimator | None = None,
        motion: Motion | None = None,
    ):
        if mode not in MODES:
            raise FlowError(f"mode '{mode}': is unknown; use one of {', '.join(MODES)}")
        check_pair(a, b)
        if motion is not None and not motion.forward.shape[:2] == motion.backward.shape[:2] == a.shape[:2]:
            shapes = f"{list(motion.forward.shape)} for pictures {list(a.shape)}"
            raise FlowError(f"motion: is {shapes}; same height and width")
        self.a, self.b = a, b
        self.motion = motion
        self._importance: tuple[Tensor, Tensor] | None = None
        self.report = self._decide(mode, estimator)

    def _decide(self, mode: str, estimator: Estimator | None) -> Report:
        a, b = self.a, self.b
        change = histogram_distance(a, b)
        if (a - b).abs().max().item() < 1 / 255:
            return Report("duplicate", "the pictures are equal", None, change)
        if mode in ("dissolve", "hold"):
            return Report(mode, "asked for", None, change)
        if self.motion is None:
            self.motion = estimate_motion(a, b, estimator)
        covered = self.motion.coverage
        if mode == "auto":
            share = f"{covered:.0%} of the motion agrees"
            if covered < _CUT_COVERAGE and change > _CUT_HISTOGRAM:
                return Report("hold", f"a cut: only {share} and the colours are others", covered, change)
            if covered < _DISSOLVE_COVERAGE:
                return Report("dissolve", f"too far apart: only {share}", covered, change)
            mode = "splat" if is_flat(a, b) else "project"
            reason = f"{'a flat drawing' if mode == 'splat' else 'shaded pictures'}, {share}"
        else:
            reason = "asked for"
        self._importance = (_importance(a, b, self.motion.forward, mode), _importance(b, a, self.motion.backward, mode))
        return Report(mode, reason, covered, change)

    def at(self, t: float) -> Tensor:
        """The picture at time ``t``, 0 (``a``) .. 1 (``b``); at 0 and 1 the given tensors themselves.

        ``Between(a, b).at(t)`` and ``Between(b, a).at(1 - t)`` agree to 1e-5, except where a hold changes pictures
        (at exactly 0.5 it shows its second one).
        """
        t = check_time(t)
        if t in (0.0, 1.0):
            return self.b if t else self.a
        decision = self.report.decision
        if decision == "hold":
            return self.b if t >= 0.5 else self.a
        if decision in ("duplicate", "dissolve"):
            return torch.lerp(self.a, self.b, t)
        make = _project if decision == "project" else _splat
        return make(self.a.double(), self.b.double(), self.motion, self._importance, t).clamp(0, 1).float()


def interpolate(
    a: Tensor, b: Tensor, t: float, mode: str = "auto", estimator: Estimator | None = None
) -> tuple[Tensor, Report]:
    """The picture at time ``t`` between ``a`` (0) and ``b`` (1), and how it was made; see ``Between``."""
    check_time(t)
    pair = Between(a, b, mode, estimator)
    return pair.at(t), pair.report


def check_time(t: float) -> float:
    """``t`` as a float in 0..1, else a ``FlowError``."""
    if isinstance(t, bool) or not isinstance(t, (int, float)) or math.isnan(t) or not 0 <= t <= 1:
        raise FlowError(f"time {t!r}: is not between 0 (first picture) and 1 (second picture)")
    return float(t)


def histogram_distance(a: Tensor, b: Tensor) -> float:
    """1 minus the intersection of two colour histograms of 8 x 8 x 8 bins; 0 (equal) .. 1 (no colour in common)."""
    counts = []
    for picture in (a, b):
        bins = (picture.clamp(0, 1) * 8).long().clamp(max=7)
        index = (bins[..., 0] * 8 + bins[..., 1]) * 8 + bins[..., 2]
        counts.append(torch.bincount(index.reshape(-1), minlength=512).double())
    return 1 - (torch.minimum(*counts).sum() / counts[0].sum()).item()


def _importance(a: Tensor, b: Tensor, flow: Tensor, mode: str) -> Tensor:
    """Logarithm of a weight, ``float64 [H, W]``: brightness constancy (Niklaus and Liu), and depth by motion."""
    weight = -_SHARPNESS * (a - warp(b, flow)).abs().mean(2).double()
    if mode == "splat":
        against = (flow - background_flow(flow)).norm(dim=2)
        weight += _FRONT * (against > _FRONT_PIXELS)
    return weight


def _together(
    values_a: Tensor, values_b: Tensor, motion: Motion, importance: tuple[Tensor, Tensor], t: float
) -> Tensor:
    """Both sides splatted to time ``t`` and averaged by weight and nearness in time, holes filled: ``[H, W, C]``."""
    top = max(importance[0].max().item(), importance[1].max().item())
    sums, weights, densities = 0.0, 0.0, 0.0
    sides = ((values_a, motion.forward, t, importance[0]), (values_b, motion.backward, 1 - t, importance[1]))
    for values, flow, time, weight in sides:
        weight = (weight - top).exp()[..., None] * (1 - time)
        landed = splat(torch.cat([values * weight, weight, torch.ones_like(weight)], 2), flow.double() * time)
        sums, weights, densities = sums + landed[..., :-2], weights + landed[..., -2:-1], densities + landed[..., -1]
    mean = torch.where(weights > 0, sums / weights.clamp_min(1e-300), 0)
    return fill_holes(mean, densities, full=0.2)


def _project(a: Tensor, b: Tensor, motion: Motion, importance: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Splat the flow, not the colours; then fetch both pictures along the one merged flow."""
    flow = _together(motion.forward.double(), -motion.backward.double(), motion, importance, t)
    to_a, to_b = -t * flow, (1 - t) * flow
    # what would come from outside one picture is taken from the other; from both if both are outside
    share_a, share_b = (1 - t) * (inside_share(to_a) + 1e-6), t * (inside_share(to_b) + 1e-6)
    mixed = warp_bicubic(a, to_a) * share_a[..., None] + warp_bicubic(b, to_b) * share_b[..., None]
    return mixed / (share_a + share_b)[..., None]


def _splat(a: Tensor, b: Tensor, motion: Motion, importance: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Splat the colours of both pictures; a place seen by one only takes that one, one seen by none is filled."""
    return _together(a, b, motion, importance, t)

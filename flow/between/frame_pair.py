"""Pictures between two pictures.

*project* (for video) splats the flow to the wanted time and fetches both pictures along it; *splat* (for flat drawings)
pushes the colours themselves, the figure and the still background apart where they can be told apart; *model* leaves
it to a learnt one. A pair is always worked on in the same order, whichever way round it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..clips.score import explained
from ..cutout import check_cut_out, is_cut_out, multiplied, on_a_ground, separated
from ..field import COARSER, FlowError, check_masks, check_pair, is_flat, is_wide, resized_flow, shrunk
from ..figures.background import Drift, find_drift
from ..motion import Estimator, Motion, estimate_motion, in_order
from . import synthesis
from .learnt import InBetweenModel

MODES = ("auto", "project", "splat", "dissolve", "hold")
_POOR_COVERAGE, _POOR_EXPLAINED = 0.55, 0.3
_SHADED_EXPLAINED = 0.1  # shaded pictures are cross-faded place by place where motion explains too little
_CUT_HISTOGRAM = 0.5
_CUT_COVERAGE, _CUT_EXPLAINED = 0.1, 0.05  # two takes of one street have the same colours


@dataclass(frozen=True)
class Report:
    """What was decided for a pair, and why.

    Attributes:
        decision: "duplicate" (the pictures are equal), "hold" (each picture stands for half the time: a cut),
            "dissolve" (a plain cross-fade), "project", "splat" or "model".
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
        a, b: pictures of one size, ``float32 [H, W, 3]``, or both cut-outs, ``[H, W, 4]`` (``cutout.py``): alpha
            moves with the colours.
        mode: "auto" decides by itself; "project", "splat", "dissolve" and "hold" are done as told.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        motion: that of the pair if it is known already; the estimator is not asked then.
        figure: masks of the figure in ``a`` and ``b``, ``bool [H, W]``, where they are known: it is moved by itself,
            before a background that stands still or drifts a little. Not used with ``motion``.
        model: makes the pictures in mode "auto", except between equal pictures and at cuts; the motion is looked for
            only where the colours suggest a cut.

    ``motion`` then holds the motion that was found; in flat drawings whose background was redrawn that of the pair
    without the drift of the background (``drift.py``), which is added again in proportion to time.

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
        figure: tuple[Tensor, Tensor] | None = None,
        model: InBetweenModel | None = None,
    ):
        if mode not in MODES:
            raise FlowError(f"mode '{mode}': is unknown; use one of {', '.join(MODES)}")
        self.a, self.b = a, b
        self._cut_out = is_cut_out(a, b)
        if self._cut_out:
            check_cut_out(a, "first picture")
            check_cut_out(b, "second picture")
        self._transparent = self._cut_out and min(one[..., 3].min().item() for one in (a, b)) < 1
        if self._transparent:
            self._values = multiplied(a), multiplied(b)
            self._seen = on_a_ground(a, b)
        else:
            self._values = self._seen = tuple(one[..., :3].contiguous() for one in (a, b)) if self._cut_out else (a, b)
        a, b = self._seen
        check_pair(a, b)
        check_masks(figure, a)
        if motion is not None and not motion.forward.shape[:2] == motion.backward.shape[:2] == a.shape[:2]:
            shapes = f"{list(motion.forward.shape)} for pictures {list(a.shape)}"
            raise FlowError(f"motion: is {shapes}; same height and width")
        self.motion = motion
        self._turned = not in_order(*self._values)
        self._pair = ordered = (b, a) if self._turned else (a, b)  # looking for motion may take a drift out of it
        self._drift: Drift | None = None
        self._weights: tuple[Tensor, Tensor] | None = None
        self.report = self._decide(mode, estimator, figure, model)
        self._by_model = self._model_pair(model, *ordered) if self.report.decision == "model" else None

    def _decide(self, mode: str, estimator: Estimator | None, figure: tuple[Tensor, Tensor] | None,
                model: InBetweenModel | None) -> Report:
        a, b = self._seen
        change = histogram_distance(a, b)
        if _equal(*self._values):
            return Report("duplicate", "the pictures are equal", None, change)
        if mode in ("dissolve", "hold"):
            return Report(mode, "asked for", None, change)
        if mode == "auto" and model is not None and self.motion is None and change <= _CUT_HISTOGRAM:
            return Report("model", model.name, None, change)
        drawn = is_flat(a, b) or figure is not None
        if self.motion is None:
            self.motion = self._estimate(estimator, figure, drawn and mode != "project")
        covered = self.motion.coverage
        if mode == "auto":
            share = f"{covered:.0%} of the motion agrees"
            poor = covered < _POOR_COVERAGE
            if poor:
                # smooth surfaces have no motion that could agree, and need none: what counts then is what changed
                first, second = self._pair
                found = explained(first, second, self.motion.swapped() if self._turned else self.motion)
                share += f", and it explains {found:.0%} of what changed"
                poor = found < _POOR_EXPLAINED
                if poor and change > _CUT_HISTOGRAM:
                    return Report("hold", f"a cut: the colours are others, only {share}", covered, change)
                if poor and covered < _CUT_COVERAGE and found < _CUT_EXPLAINED:
                    return Report("hold", f"a cut: only {share}", covered, change)
                poor = found < (_POOR_EXPLAINED if drawn else _SHADED_EXPLAINED)
            if model is not None:
                return Report("model", model.name, covered, change)
            if poor:
                return Report("dissolve", f"too far apart: only {share}", covered, change)
            mode = "splat" if drawn else "project"
            what = "shaded pictures" if mode == "project" else "the given figure" if figure else "a flat drawing"
            if self.motion.figure is not None:
                what += f", a figure before a {'still' if self._drift is None else 'drifting'} background"
            reason = f"{what}, {share}"
        else:
            reason = "asked for"
        return Report(mode, reason, covered, change)

    def _estimate(self, estimator: Estimator | None, figure: tuple[Tensor, Tensor] | None, drawn: bool) -> Motion:
        if figure is not None and self._turned:
            figure = figure[::-1]
        first, second = self._pair
        if drawn and not self._transparent:  # else there is no background that could drift
            self._drift = find_drift(first, second, figure)
        if self._drift is not None:
            second = self._drift.removed(second)
            self._pair = first, second
            if figure is not None:
                figure = figure[0], self._drift.removed(figure[1][..., None].float())[..., 0] > 0.5
        motion = estimate_motion(first, second, estimator, None, figure)
        return motion.swapped() if self._turned else motion

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
            return self._with_alpha(torch.lerp(*self._values, t))
        return self._with_alpha(self._make(t, torch.float32))

    def _with_alpha(self, made: Tensor) -> Tensor:
        """What was made, as the given pictures are."""
        if self._transparent:
            return separated(made)
        return torch.cat([made, torch.ones_like(made[..., :1])], 2) if self._cut_out else made

    def _model_pair(self, model: InBetweenModel, a: Tensor, b: Tensor) -> Callable[[float], Tensor]:
        """A learnt model knows no alpha: of cut-outs it makes the colours, on black, and the silhouette apart."""
        if not self._transparent:
            return model.pair(a, b)
        first, second = self._values[::-1] if self._turned else self._values
        colours = model.pair(first[..., :3].contiguous(), second[..., :3].contiguous())
        silhouette = model.pair(*(one[..., 3:].expand(-1, -1, 3).contiguous() for one in (first, second)))
        return lambda t: torch.cat([colours(t), silhouette(t).mean(2, keepdim=True)], 2)

    def _make(self, t: float, dtype: torch.dtype) -> Tensor:
        """The picture by motion; float64 is the reference for float32."""
        t = round(t * 2**24) / 2**24  # then 1 - t is exact, also in float32
        if self._by_model is not None:
            return self._by_model(1 - t if self._turned else t)
        (a, b), motion = self._pair, self.motion
        if self._turned:
            motion, t = motion.swapped(), 1 - t
        made = self._without_drift(a, b, motion, t, dtype)
        return made if self._drift is None else self._drift.applied(made, t)

    def _without_drift(self, a: Tensor, b: Tensor, motion: Motion, t: float, dtype: torch.dtype) -> Tensor:
        """Both pictures moved to time ``t``, of cut-outs the colours times alpha, and alpha."""
        values = (a, b) if not self._transparent else self._values[::-1] if self._turned else self._values
        if self.report.decision == "splat" and motion.figure is not None:
            return synthesis.layers(*(one.to(dtype) for one in values), motion, motion.figure, t).clamp(0, 1).float()
        pushed = self.report.decision == "splat"
        if dtype == torch.float64:
            weights = self._weigh(a, b, motion, pushed)
            return self._moved(*(one.double() for one in values), motion, weights, t, pushed)
        if self._weights is None:
            small = is_wide(a) and not pushed
            self._weights = self._weigh(*_smaller(a, b, motion), False) if small else \
                self._weigh(a, b, motion, pushed)
        return self._moved(*values, motion, self._weights, t, pushed)

    @staticmethod
    def _weigh(a: Tensor, b: Tensor, motion: Motion, front: bool) -> tuple[Tensor, Tensor]:
        return synthesis.importance(a, b, motion.forward, front), synthesis.importance(b, a, motion.backward, front)

    @staticmethod
    def _moved(a, b, motion: Motion, weights, t: float, pushed: bool) -> Tensor:
        make = synthesis.push if pushed else synthesis.project
        return make(a, b, motion, weights, t).clamp(0, 1).float()


def _smaller(a: Tensor, b: Tensor, motion: Motion) -> tuple[Tensor, Tensor, Motion]:
    a, b = shrunk(a, COARSER), shrunk(b, COARSER)
    flows = (resized_flow(flow, *a.shape[:2]) for flow in (motion.forward, motion.backward))
    return a, b, Motion(*flows, motion.coverage)


def _equal(a: Tensor, b: Tensor) -> bool:
    """Is no channel different by 1/255? Some rows are looked at first."""
    step = max(1, a.shape[0] // 64)
    return all((a[::n] - b[::n]).abs().max().item() < 1 / 255 for n in (step, 1))


def interpolate(
    a: Tensor, b: Tensor, t: float, mode: str = "auto", estimator: Estimator | None = None,
    model: InBetweenModel | None = None,
) -> tuple[Tensor, Report]:
    """The picture at time ``t`` between ``a`` (0) and ``b`` (1), and how it was made; see ``Between``."""
    check_time(t)
    pair = Between(a, b, mode, estimator, model=model)
    return pair.at(t), pair.report


def check_time(t: float) -> float:
    """``t`` as a float in 0..1, else a ``FlowError``."""
    if isinstance(t, bool) or not isinstance(t, (int, float)) or math.isnan(t) or not 0 <= t <= 1:
        raise FlowError(f"time {t!r}: is not between 0 (first picture) and 1 (second picture)")
    return float(t)


def histogram_distance(a: Tensor, b: Tensor) -> float:
    """1 minus the intersection of two colour histograms of 8 x 8 x 8 bins; 0 (equal) .. 1 (no colour in common).

    Of large pictures about 256 evenly spaced rows and columns are counted.
    """
    counts = []
    step = max(1, min(a.shape[:2]) // 256)
    for picture in (a, b):
        bins = (picture[::step, ::step].clamp(0, 1) * 8).long().clamp(max=7)
        index = (bins[..., 0] * 8 + bins[..., 1]) * 8 + bins[..., 2]
        counts.append(torch.bincount(index.reshape(-1), minlength=512).double())
    return 1 - (torch.minimum(*counts).sum() / counts[0].sum()).item()

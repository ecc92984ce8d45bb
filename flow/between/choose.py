"""How pictures between two are made, and why: first by the pictures alone, then by the motion between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..motion import Motion
from ..occlusion import explained

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


def choose_by_pictures(values: tuple[Tensor, Tensor], change: float, mode: str, model: str | None) -> Report | None:
    """The choice where no motion is needed for it; None where one is.

    Args:
        values: both pictures, ``[H, W, C]``, of cut-outs alpha too.
        change: ``histogram_distance`` of what is seen of them.
        mode: one of ``MODES``.
        model: the name of a learnt model that makes the pictures in mode "auto", if there is one.
    """
    if _equal(*values):
        return Report("duplicate", "the pictures are equal", None, change)
    if mode in ("dissolve", "hold"):
        return Report(mode, "asked for", None, change)
    if mode == "auto" and model is not None and change <= _CUT_HISTOGRAM:
        return Report("model", model, None, change)
    return None


def choose_by_motion(
    pictures: tuple[Tensor, Tensor], motion: Motion, change: float, mode: str, drawn: bool, subject: str,
    model: str | None,
) -> Report:
    """The choice where the motion is known.

    Args:
        pictures: both, ``[H, W, 3]``; ``motion`` is that from the first to the second.
        change, mode, model: see ``choose_by_pictures``.
        drawn: is something drawn moved, which is pushed, or a shaded scene, which is fetched?
        subject: what moves, in words, for the reason.
    """
    covered = motion.coverage
    if mode != "auto":
        return Report(mode, "asked for", covered, change)
    share = f"{covered:.0%} of the motion agrees"
    too_far = False
    if covered < _POOR_COVERAGE:
        # smooth surfaces have no motion that could agree, and need none: what counts then is what changed
        known = explained(*pictures, motion)
        share += f", and it explains {known:.0%} of what changed"
        if known < _POOR_EXPLAINED and change > _CUT_HISTOGRAM:
            return Report("hold", f"a cut: the colours are others, only {share}", covered, change)
        if covered < _CUT_COVERAGE and known < _CUT_EXPLAINED:
            return Report("hold", f"a cut: only {share}", covered, change)
        too_far = known < (_POOR_EXPLAINED if drawn else _SHADED_EXPLAINED)
    if model is not None:
        return Report("model", model, covered, change)
    if too_far:
        return Report("dissolve", f"too far apart: only {share}", covered, change)
    return Report("splat" if drawn else "project", f"{subject}, {share}", covered, change)


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


def _equal(a: Tensor, b: Tensor) -> bool:
    """Is no channel different by 1/255? Some rows are looked at first."""
    step = max(1, a.shape[0] // 64)
    return all((a[::n] - b[::n]).abs().max().item() < 1 / 255 for n in (step, 1))

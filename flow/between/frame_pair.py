"""Pictures between two pictures.

*project* (for video) splats the flow to the wanted time and fetches both pictures along it; *splat* (for flat drawings)
pushes the colours themselves, the figure and the still background apart where they can be told apart; *model* leaves
it to a learnt one. A pair is always worked on in the same order, whichever way round it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...common import InputError
from ..checks import WHERE, check_choice, check_masks
from ..cutout import PairPixels, checked_pixels
from ..estimators.dis import DisFlow
from ..field import in_order, is_flat
from ..figures.background import BackgroundShift, find_background_shift
from ..motion import Estimator, Motion
from . import synthesis
from .choose import MODES, Report, choose_by_motion, choose_by_pictures, histogram_distance
from .estimate import estimate_checked
from .learnt import InBetweenModel

PictureAt = Callable[[float], Tensor]
"""Makes the values of the picture at a time 0..1 of the order in which a pair is worked on."""


@dataclass(frozen=True)
class FramePair:
    """Two pictures, and all pictures between them; made by ``prepare_pair``.

    Attributes:
        a, b: as they were given.
        report: how the pictures in between are made, and why.
        motion: from ``a`` to ``b``; None where it was not needed. In flat drawings whose background was redrawn it is
            that of the pair without the shift of the background (``background.py``), which is added again in proportion
            to time.
    """

    a: Tensor
    b: Tensor
    report: Report
    motion: Motion | None
    _pixels: PairPixels  # in the order of a and b
    _turned: bool  # is b the first one for _make?
    _make: PictureAt | None  # None where nothing moves

    def at(self, t: float) -> Tensor:
        """The picture at time ``t``, 0 (``a``) .. 1 (``b``); at 0 and 1 the given tensors themselves.

        ``prepare_pair(a, b).at(t)`` and ``prepare_pair(b, a).at(1 - t)`` agree to 1e-5, except where a hold changes
        pictures (at exactly 0.5 it shows its second one).

        Raises:
            InputError: ``t`` is no number in 0..1; a learnt model that made no picture.
        """
        if isinstance(t, bool) or not isinstance(t, (int, float)) or math.isnan(t) or not 0 <= t <= 1:
            raise InputError(WHERE, "time", t, "is not between 0 (first picture) and 1 (second picture)",
                             "use a number from 0 to 1")
        t = float(t)
        if t in (0.0, 1.0):
            return self.b if t else self.a
        if self.report.decision == "hold":
            return self.b if t >= 0.5 else self.a
        if self._make is None:
            return self._pixels.as_given(torch.lerp(*self._pixels.values, t))
        t = round(t * 2**24) / 2**24  # then 1 - t is exact, also in float32
        return self._pixels.as_given(self._make(1 - t if self._turned else t))


def prepare_pair(
    a: Tensor,
    b: Tensor,
    mode: str = "auto",
    estimator: Estimator | None = None,
    motion: Motion | None = None,
    figure: tuple[Tensor, Tensor] | None = None,
    model: InBetweenModel | None = None,
    dtype: torch.dtype = torch.float32,
    where: str = WHERE,
) -> FramePair:
    """Decide how the pictures between two are made, and estimate their motion where it is needed for that.

    Args:
        a, b: pictures of one size, ``float32 [H, W, 3]``, or both cut-outs, ``[H, W, 4]`` (``cutout.py``): alpha
            moves with the colours.
        mode: "auto" decides by itself; "project", "splat", "dissolve" and "hold" are done as told.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        motion: that of the pair if it is known already; the estimator is not asked then.
        figure: masks of the figure in ``a`` and ``b``, ``bool [H, W]``, where they are known: it is moved by itself,
            before a background that stands still or shifts a little. Not used with ``motion``.
        model: makes the pictures in mode "auto", except between equal pictures and at cuts; the motion is looked for
            only where the colours suggest a cut.
        dtype: what is computed in; float64 is the reference for float32.
        where: for messages.

    Raises:
        InputError: no pair of pictures, an unknown mode, or a motion that does not fit them.
    """
    check_choice(mode, MODES, where, "mode")
    pixels = checked_pixels(a, b, where)
    check_masks(figure, a, where)
    if motion is not None and not motion.forward.shape[:2] == motion.backward.shape[:2] == a.shape[:2]:
        raise InputError(where, "motion", list(motion.forward.shape), f"does not fit pictures {list(a.shape)}",
                         "estimate it on these pictures")
    turned = not in_order(*pixels.values)
    ordered = pixels
    if turned:
        ordered, motion, figure = pixels.swapped(), motion and motion.swapped(), figure and (figure[1], figure[0])

    change = histogram_distance(*ordered.seen)
    name = model and model.name
    report = choose_by_pictures(ordered.values, change, mode, name if motion is None else None)
    pictures, shift = ordered.seen, None
    if report is None:
        flat = is_flat(*pictures)
        drawn = flat or figure is not None
        if motion is None:
            if drawn and mode != "project" and not ordered.transparent:  # else there is no background to be still
                shift = find_background_shift(*pictures, figure, where)
            if shift is not None:
                pictures = pictures[0], shift.removed(pictures[1])
                figure = figure and (figure[0], shift.removed_from_mask(figure[1]))
            motion = estimate_checked(*pictures, flat, estimator or DisFlow(), figure=figure, where=where)
        subject = _subject(drawn, figure is not None, motion.figure is not None, shift is not None)
        report = choose_by_motion(pictures, motion, change, mode, drawn, subject, name)

    make = None
    if report.decision == "model" and model is not None:
        make = _by_model(model, ordered, where)
    elif report.decision in ("project", "splat") and motion is not None:
        values = ordered.values if ordered.transparent else pictures
        make = _by_motion(report.decision, pictures, values, motion, shift, dtype)
    return FramePair(a, b, report, motion.swapped() if motion and turned else motion, pixels, turned, make)


def _subject(drawn: bool, given_figure: bool, figure_found: bool, shifted: bool) -> str:
    """What moves, in words."""
    subject = "the given figure" if given_figure else "a flat drawing" if drawn else "shaded pictures"
    return f"{subject}, a figure before a {'drifting' if shifted else 'still'} background" if figure_found else subject


def _by_model(model: InBetweenModel, pixels: PairPixels, where: str) -> PictureAt:
    """A learnt model knows no alpha: of cut-outs it makes the colours, on black, and the silhouette apart."""
    if not pixels.transparent:
        return model.pair(*pixels.seen, where)
    first, second = pixels.values
    colours = model.pair(first[..., :3].contiguous(), second[..., :3].contiguous(), where)
    alpha_a, alpha_b = (values[..., 3:].expand(-1, -1, 3).contiguous() for values in (first, second))
    silhouette = model.pair(alpha_a, alpha_b, where)
    return lambda t: torch.cat([colours(t), silhouette(t).mean(2, keepdim=True)], 2)


def _by_motion(
    decision: str, pictures: tuple[Tensor, Tensor], values: tuple[Tensor, Tensor], motion: Motion,
    shift: BackgroundShift | None, dtype: torch.dtype,
) -> PictureAt:
    """``values`` moved along the motion of ``pictures``; the shift of the background comes last."""
    values = values[0].to(dtype), values[1].to(dtype)
    if decision == "splat" and motion.figure is not None:
        make = partial(synthesis.layers, *values, motion, motion.figure)
    else:
        pushed = decision == "splat"
        small = dtype == torch.float32 and not pushed  # the weights of fetched flows are smooth
        weights = synthesis.importance(*pictures, motion, front=pushed, small=small)
        make = partial(synthesis.push if pushed else synthesis.project, *values, motion, weights)

    def at(t: float) -> Tensor:
        moved = make(t).clamp(0, 1).float()
        return moved if shift is None else shift.applied(moved, t)
    return at

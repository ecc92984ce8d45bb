"""From two pictures to their motion: at which size, with or without a search for large motion, a figure by itself."""

from __future__ import annotations

from torch import Tensor

from ..checks import WHERE, check_pair
from ..estimators.coarse import improve
from ..estimators.dis import DisFlow
from ..field import COARSER, in_order, is_flat, is_wide, resized_flow, resized_mask, shrunk
from ..figures.figure import find_figure
from ..motion import Estimator, Motion, estimated
from ..occlusion import coverage

_LARGE_MOTION = 0.05  # of the picture's width
_POOR_COVERAGE = 0.9


def estimate_motion(
    a: Tensor,
    b: Tensor,
    estimator: Estimator | None = None,
    large_motion: bool | None = None,
    where: str = WHERE,
) -> Motion:
    """The motion of a pair in both directions.

    Args:
        a, b: pictures of one size.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        large_motion: search the whole picture for each part first (``figure.py`` in flat drawings, else or where that
            fails ``coarse.py``); by default in flat drawings, and where the plain estimate moves by more than 5 % of
            the width or less than 90 % of it is consistent.
        where: for messages.
    Raises:
        InputError: no pair of pictures, or an estimator that returned no flow field for them.
    """
    check_pair(a, b, where)
    flat = large_motion is not False and is_flat(a, b)
    return estimate_checked(a, b, flat, estimator or DisFlow(), large_motion, where=where)


def estimate_checked(
    a: Tensor,
    b: Tensor,
    flat: bool,
    estimator: Estimator,
    large_motion: bool | None = None,
    figure: tuple[Tensor, Tensor] | None = None,
    where: str = WHERE,
) -> Motion:
    """``estimate_motion`` of pictures that were checked.

    Args:
        flat: are they flat drawings (``field.is_flat``)? A figure is looked for then.
        figure: masks of a figure in ``a`` and ``b``, ``bool [H, W]``, where they are known; the rest stands still then.
    """
    if not in_order(a, b):
        figure = figure and (figure[1], figure[0])
        return estimate_checked(b, a, flat, estimator, large_motion, figure, where).swapped()
    if flat or figure is not None:
        motion = _figure_motion(a, b, estimator, figure, where)
        if motion is not None:
            return motion
    forward, backward = estimated(estimator, a, b, where), estimated(estimator, b, a, where)
    covered = _coverage(forward, backward)
    if large_motion is None:
        longest = max(_long_motion(forward), _long_motion(backward))
        large_motion = longest > _LARGE_MOTION * a.shape[1] or covered < _POOR_COVERAGE
    if not large_motion:
        return Motion(forward, backward, covered)
    # a cartoon's background stands still, a camera's hardly ever
    forward = improve(a, b, forward, estimator, flat, where)
    backward = improve(b, a, backward, estimator, flat, where)
    return Motion(forward, backward, _coverage(forward, backward))


def _figure_motion(
    a: Tensor, b: Tensor, estimator: Estimator, masks: tuple[Tensor, Tensor] | None, where: str
) -> Motion | None:
    """The motion of a drawn figure before a still background, if there is one; wide pictures are halved for it."""
    height, width = a.shape[:2]
    wide = is_wide(a)
    if wide:
        a, b = shrunk(a, 2), shrunk(b, 2)
    small_masks = masks and (resized_mask(masks[0], *a.shape[:2]), resized_mask(masks[1], *a.shape[:2]))
    figure = find_figure(a, b, estimator, small_masks, where=where)
    if figure is None:
        return None
    covered = coverage(figure.forward, figure.backward)
    if not wide:
        return Motion(figure.forward, figure.backward, covered, (figure.mask_a, figure.mask_b))
    forward, backward = (resized_flow(flow, height, width) for flow in (figure.forward, figure.backward))
    mask_a, mask_b = masks or (resized_mask(mask, height, width) for mask in (figure.mask_a, figure.mask_b))
    return Motion(forward, backward, covered, (mask_a, mask_b))


def _coverage(forward: Tensor, backward: Tensor) -> float:
    """``coverage``, in wide pictures measured on smaller fields (the bound stays that of full pixels)."""
    height, width = forward.shape[:2]
    if not is_wide(forward):
        return coverage(forward, backward)
    forward, backward = (resized_flow(flow, height // COARSER, width // COARSER) for flow in (forward, backward))
    return coverage(forward, backward, bound=1.5 / COARSER)


def _long_motion(flow: Tensor) -> float:
    """The motion that 5 % of the pixels exceed, pixels."""
    step = max(1, flow.shape[0] // 256)
    lengths = flow[::step, ::step].norm(dim=2).reshape(-1)
    return lengths.kthvalue(max(1, int(0.95 * lengths.numel()))).values.item()

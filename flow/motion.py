"""Motion between two pictures. DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) from
OpenCV is the default; anything that takes two pictures and returns a flow field can stand in for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .field import COARSER, FlowError, check_flow, check_masks, check_pair, is_flat, is_wide, resized_flow, shrunk
from .occlusion import coverage

Estimator = Callable[[Tensor, Tensor], Tensor]
"""``(a [H, W, 3], b [H, W, 3]) -> flow from a to b [H, W, 2]``"""

QUALITIES = ("fast", "normal", "best")
_LARGE_MOTION = 0.05  # of the picture's width
_POOR_COVERAGE = 0.9
_PATCH = 8  # pixels; both sides of DIS's patches, in all presets used here


@dataclass(frozen=True)
class Motion:
    """The motion of a pair of pictures: ``forward`` A to B, ``backward`` B to A, each ``[H, W, 2]``; ``coverage`` 0..1;
    ``matched`` says that a search for large motion was used; ``figure`` holds the masks (``bool [H, W]``) of what moves
    in A and B where all the rest stands still, None where that is not known."""

    forward: Tensor
    backward: Tensor
    coverage: float
    matched: bool = False
    figure: tuple[Tensor, Tensor] | None = None

    def swapped(self) -> Motion:
        """The motion of the same pair the other way round."""
        figure = None if self.figure is None else self.figure[::-1]
        return Motion(self.backward, self.forward, self.coverage, self.matched, figure)


@dataclass(frozen=True)
class DisFlow:
    """The default estimator; call it with two pictures of one size.

    Args:
        quality: ``"fast"`` (DIS fast), ``"normal"`` (medium), ``"best"`` (medium, down to single pixels, denser
            patches; about ten times slower than normal).

    The same pictures give the same bits as long as OpenCV's number of threads stays the same.
    """

    quality: str = "normal"

    def __post_init__(self):
        if self.quality not in QUALITIES:
            raise FlowError(f"quality '{self.quality}': is unknown; use one of {', '.join(QUALITIES)}")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Flow from ``a`` to ``b``, ``float32 [H, W, 2]``; ``FlowError`` if they are no pair of pictures."""

        check_pair(a, b)
        height, width = a.shape[:2]
        half = is_wide(a) and self.quality != "best"
        grey_a, grey_b = _grey(a, half), _grey(b, half)
        flow = self._dis(*grey_a.shape).calc(grey_a, grey_b, None)
        if half:
            return resized_flow(torch.from_numpy(flow), height, width)
        return torch.from_numpy(flow)

    def _dis(self, height: int, width: int):
        """DIS for pictures of this size, at least 16 pixels a side."""
        import cv2

        fast = self.quality == "fast"
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if self.quality == "best":
            dis.setFinestScale(0)
            dis.setPatchStride(3)
            dis.setGradientDescentIterations(32)
            dis.setVariationalRefinementIterations(15)
        elif not _levels_fit(height, width, dis.getFinestScale()):
            dis.setFinestScale(0)  # then DIS starts at a level that fits, and goes down to single pixels
        return dis


def _levels_fit(height: int, width: int, finest: int) -> bool:
    """Is a patch no larger than any picture of DIS's pyramid? If one is, DIS reads beyond it: the process ends, or the
    flow is NaN or arbitrary. ``finest``: the level down to which motion is looked for, each half the size of the last.

    The pyramid is OpenCV's (``dis_flow.cpp``, 4.5 to 5.0).
    """
    shorter, longer = min(height, width), max(height, width)
    if shorter >= _PATCH << finest and longer >= 2**-0.5 * 4 * _PATCH * 2**finest:
        return True  # it starts where a patch fits the shorter side and is about a quarter of the longer one
    start = max(0, (2 * width // (5 * _PATCH)).bit_length() - 1)  # else where the width alone tells it to
    return height >> start >= _PATCH


def _grey(picture: Tensor, half: bool):
    import cv2

    grey = cv2.cvtColor(picture.numpy(), cv2.COLOR_RGB2GRAY)
    if half:
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(grey, alpha=255)  # rounds and stays within 0..255


def estimate_motion(
    a: Tensor,
    b: Tensor,
    estimator: Estimator | None = None,
    large_motion: bool | None = None,
    figure: tuple[Tensor, Tensor] | None = None,
) -> Motion:
    """The motion of a pair in both directions.

    Args:
        a, b: pictures of one size.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        large_motion: search the whole picture for each part first (``figure.py`` in flat drawings, else or where that
            fails ``coarse.py``); by default in flat drawings, and where the plain estimate moves by more than 5 % of
            the width or less than 90 % of it is consistent.
        figure: masks of a figure in ``a`` and ``b`` where they are known, ``bool [H, W]``; the rest stands still then.
    Raises:
        FlowError: no pair of pictures, or an estimator that returned no flow field for them.
    """
    check_pair(a, b)
    check_masks(figure, a)
    if not in_order(a, b):
        return estimate_motion(b, a, estimator, large_motion, figure and figure[::-1]).swapped()
    estimator = estimator or DisFlow()
    flat = large_motion is not False and is_flat(a, b)
    if flat or figure is not None:
        found = _figure(a, b, estimator, figure)
        if found is not None:
            return found
    forward, backward = estimated(estimator, a, b), estimated(estimator, b, a)
    covered = _coverage(forward, backward)
    if large_motion is None:
        longest = max(_long_motion(forward), _long_motion(backward))
        large_motion = longest > _LARGE_MOTION * a.shape[1] or covered < _POOR_COVERAGE
    if not large_motion:
        return Motion(forward, backward, covered)
    from .estimators.coarse import improve

    # a cartoon's background stands still, a camera's hardly ever
    forward = improve(a, b, forward, estimator, flat)
    backward = improve(b, a, backward, estimator, flat)
    return Motion(forward, backward, _coverage(forward, backward), True)


def _figure(a: Tensor, b: Tensor, estimator: Estimator, given) -> Motion | None:
    """The motion of a drawn figure before a still background, if there is one; wide pictures are halved for it."""
    from .figures.figure import find_figure

    height, width = a.shape[:2]
    wide = is_wide(a)
    if wide:
        a, b = shrunk(a, 2), shrunk(b, 2)
    small = given and tuple(resized_mask(mask, *a.shape[:2]) for mask in given)
    found = find_figure(a, b, estimator, small)
    if found is None:
        return None
    covered = coverage(found.forward, found.backward)
    flows, masks = (found.forward, found.backward), (found.mask_a, found.mask_b)
    if wide:
        flows = tuple(resized_flow(flow, height, width) for flow in flows)
        masks = given or tuple(resized_mask(mask, height, width) for mask in masks)
    return Motion(*flows, covered, True, masks)


def resized_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask ``bool [H, W]`` brought to another size: what is covered by more than half."""
    import cv2

    return torch.from_numpy(cv2.resize(mask.float().numpy(), (width, height), interpolation=cv2.INTER_LINEAR)) > 0.5


def _coverage(forward: Tensor, backward: Tensor) -> float:
    """``coverage``, in wide pictures measured on smaller fields (the bound stays that of full pixels)."""
    height, width = forward.shape[:2]
    if not is_wide(forward):
        return coverage(forward, backward)
    small = (resized_flow(flow, height // COARSER, width // COARSER) for flow in (forward, backward))
    return coverage(*small, bound=1.5 / COARSER)


def in_order(a: Tensor, b: Tensor) -> bool:
    """Which of two pictures is worked on as the first one; ``in_order(b, a)`` is the opposite unless they are equal."""
    for row_a, row_b in zip(a, b, strict=True):
        if not torch.equal(row_a, row_b):
            where = (row_a != row_b).reshape(-1).nonzero()[0]
            return bool(row_a.reshape(-1)[where] < row_b.reshape(-1)[where])
    return True


def estimated(estimator: Estimator, a: Tensor, b: Tensor) -> Tensor:
    """What an estimator returns, ``float32 [H, W, 2]``; ``FlowError`` if that is no flow field for the pictures."""
    flow = estimator(a, b)
    check_flow(flow, "estimated flow", "use another quality or flow model")
    if flow.shape[:2] != a.shape[:2]:
        raise FlowError(f"estimated flow: is {list(flow.shape)} for pictures {list(a.shape)}; same height and width")
    return flow.float()


def _long_motion(flow: Tensor) -> float:
    """The motion that 5 % of the pixels exceed, pixels."""
    step = max(1, flow.shape[0] // 256)
    lengths = flow[::step, ::step].norm(dim=2).reshape(-1)
    return lengths.kthvalue(max(1, int(0.95 * lengths.numel()))).values.item()

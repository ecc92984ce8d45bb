"""DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) from OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import WHERE, check_choice
from ..field import is_wide, resized_flow

QUALITIES = ("fast", "normal", "best")
_PATCH = 8  # pixels; both sides of DIS's patches, in all presets used here


@dataclass(frozen=True)
class DisFlow:
    """The default ``Estimator``.

    Args:
        quality: ``"fast"`` (DIS fast), ``"normal"`` (medium), ``"best"`` (medium, down to single pixels, denser
            patches; about ten times slower than normal).

    The same pictures give the same bits as long as OpenCV's number of threads stays the same.

    Raises:
        InputError: an unknown quality.
    """

    quality: str = "normal"

    def __post_init__(self):
        check_choice(self.quality, QUALITIES, WHERE, "quality")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Flow from ``a`` to ``b``, ``float32 [H, W, 2]``."""
        height, width = a.shape[:2]
        half = is_wide(a) and self.quality != "best"
        grey_a, grey_b = _grey(a, half), _grey(b, half)
        estimator: Any = self._dis(*grey_a.shape)  # OpenCV's stubs know no None for the flow to begin with
        flow = estimator.calc(grey_a, grey_b, None)
        if half:
            return resized_flow(torch.from_numpy(flow), height, width)
        return torch.from_numpy(flow)

    def _dis(self, height: int, width: int):
        """DIS for pictures of this size, at least 16 pixels a side."""
        import cv2

        fast = self.quality == "fast"
        preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
        dis = cv2.DISOpticalFlow.create(preset)
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

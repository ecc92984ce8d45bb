"""A redrawn background: an edit model moves it by a pixel or three and changes its colours a little, and every picture
in between would pulse. The drift of the whole picture is taken out first, and put back in proportion to time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .estimate import DisFlow
from .warp import warp_bicubic

_POINTS = 4000
_LINE = 10 / 255  # a place must have a line or an edge for its motion to be believed
_AGREE = 0.5  # share of the places that must move together
_WITHIN = 0.5  # pixels
_LEAST, _MOST = 0.3, 0.03  # pixels; fraction of the width: less is none, more is a moving camera
_COLOUR = 3 / 255  # of black or white


@dataclass(frozen=True)
class Drift:
    """What is at p of A is at ``matrix @ (p, 1)`` of B (``float64 [2, 3]``), in the colour ``gain * c + offset``
    (``[3]`` each)."""

    matrix: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def removed(self, b: Tensor) -> Tensor:
        """B as it would be without the drift, ``[H, W, C]``; only three channels are colours."""
        still = warp_bicubic(b, _flow(self.matrix, b.shape))
        if b.shape[2] == 3:
            still = (still - torch.from_numpy(self.offset).float()) / torch.from_numpy(self.gain).float()
        return still.clamp(0, 1)

    def applied(self, picture: Tensor, t: float) -> Tensor:
        """A picture of time ``t`` (0..1), made without the drift, with its share of it."""
        import cv2

        share = np.eye(2, 3) + t * (self.matrix - np.eye(2, 3))
        moved = warp_bicubic(picture, _flow(cv2.invertAffineTransform(share), picture.shape))
        gain, offset = 1 + t * (self.gain - 1), t * self.offset
        return (moved * torch.from_numpy(gain).float() + torch.from_numpy(offset).float()).clamp(0, 1)


def find_drift(a: Tensor, b: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Drift | None:
    """The common motion (a similarity) and colour change of most of two pictures.

    Args:
        a, b: pictures of one size.
        masks: what is no background, ``bool [H, W]`` each.
    Returns:
        None if there is none worth the loss of sharpness, or if it is more than a redrawn background has.
    """
    import cv2

    flow = DisFlow("normal")(a, b).numpy()
    lines = (a[:-1, 1:] - a[:-1, :-1]).abs().amax(2).maximum((a[1:, :-1] - a[:-1, :-1]).abs().amax(2)) > _LINE
    if masks is not None:
        lines &= ~(masks[0] | masks[1])[:-1, :-1]
    rows, columns = np.nonzero(lines.numpy())
    if len(rows) < 50:
        return None
    chosen = np.linspace(0, len(rows) - 1, min(_POINTS, len(rows))).astype(int)
    rows, columns = rows[chosen], columns[chosen]
    points = np.stack([columns, rows], 1).astype(np.float64)
    matrix, agree = cv2.estimateAffinePartial2D(
        points, points + flow[rows, columns], method=cv2.RANSAC, ransacReprojThreshold=_WITHIN)
    if matrix is None or agree.mean() < _AGREE:
        return None
    still = np.linalg.norm(flow[rows, columns], axis=1) < _WITHIN
    if still.mean() > 0.9 * agree.mean():  # nor is it a drift where standing still explains as much
        matrix = np.eye(2, 3)
    corners = np.array([[x, y, 1] for x in (0, a.shape[1] - 1) for y in (0, a.shape[0] - 1)], np.float64)
    way = np.linalg.norm(corners @ (matrix - np.eye(2, 3)).T, axis=1).max()
    if way > _MOST * a.shape[1]:
        return None
    if way < _LEAST:
        matrix = np.eye(2, 3)
    gain, offset = _colours(a, warp_bicubic(b, _flow(matrix, b.shape)))
    if way < _LEAST and max(np.abs(offset).max(), np.abs(gain + offset - 1).max()) < _COLOUR:
        return None
    return Drift(matrix, gain, offset)


def _colours(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each channel from A to B, from the pixels that change alike; 1 and 0 if that means nothing."""
    step = max(1, min(a.shape[:2]) // 128)
    first, second = (p[::step, ::step].reshape(-1, 3).double().numpy() for p in (a, b))
    gains, offsets = np.ones(3), np.zeros(3)
    for channel in range(3):
        x, y = first[:, channel], second[:, channel]
        near = np.abs(y - x - np.median(y - x)) < 0.05
        if near.sum() > 50 and x[near].std() > 0.05:
            gain, offset = np.polyfit(x[near], y[near], 1)
            near &= np.abs(gain * x + offset - y) < 0.015
            if near.sum() > 50 and x[near].std() > 0.05:
                gain, offset = np.polyfit(x[near], y[near], 1)
            if abs(gain - 1) < 0.2 and abs(offset) < 0.1:
                gains[channel], offsets[channel] = gain, offset
    return gains, offsets


def _flow(matrix: np.ndarray, shape) -> Tensor:
    """The flow field ``matrix @ (p, 1) - p``."""
    place = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), 2).astype(np.float64)
    return torch.from_numpy((place @ (matrix[:, :2] - np.eye(2)).T + matrix[:, 2]).astype(np.float32))

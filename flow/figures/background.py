"""A redrawn background: an edit model moves it by a pixel or three and changes its colours a little, and every picture
in between would pulse. The shift of the whole picture is taken out first, and put back in proportion to time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..checks import WHERE
from ..estimators.dis import DisFlow
from ..field import is_wide, resized_mask, shrunk, steps
from ..motion import estimated

_POINTS = 4000
_LINE = 10 / 255  # a place must have a line or an edge for its motion to be believed
_FEW = 50  # places
_SAME = 0.2  # share of the places with lines in both directions: if so many kept their colour nothing shifts
_ABOUT, _START = 1.0, 0.3  # the first guess: pixels, and the share of the places within them
_AGREE = 0.5  # share of the places that must move together
_FITS = 0.06  # difference of colours up to which a place does
_WITHIN = 0.5  # pixels
_LEAST, _MOST = 0.3, 0.03  # pixels; fraction of the width: less is none, more is a moving camera
_COLOUR = 3 / 255  # of black or white
_STEPS = 4


@dataclass(frozen=True)
class BackgroundShift:
    """What is at p of A is at ``matrix @ (p, 1)`` of B (``float64 [2, 3]``), in the colour ``gain * c + offset``
    (``[3]`` each)."""

    matrix: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def removed(self, b: Tensor) -> Tensor:
        """B as it would be without the shift, ``[H, W, C]``; only three channels are colours."""
        still = _moved(b, self.matrix)
        if b.shape[2] == 3:
            still = (still - torch.from_numpy(self.offset).float()) / torch.from_numpy(self.gain).float()
        return still.clamp(0, 1)

    def removed_from_mask(self, mask: Tensor) -> Tensor:
        """A mask ``bool [H, W]`` of B as it would be without the shift."""
        return self.removed(mask[..., None].float())[..., 0] > 0.5

    def applied(self, picture: Tensor, t: float) -> Tensor:
        """A picture of time ``t`` (0..1), made without the shift, with its share of it."""
        import cv2

        share = np.eye(2, 3) + t * (self.matrix - np.eye(2, 3))
        moved = _moved(picture, cv2.invertAffineTransform(share))
        gain, offset = 1 + t * (self.gain - 1), t * self.offset
        return (moved * torch.from_numpy(gain).float() + torch.from_numpy(offset).float()).clamp(0, 1)


def find_background_shift(
    a: Tensor, b: Tensor, masks: tuple[Tensor, Tensor] | None = None, where: str = WHERE
) -> BackgroundShift | None:
    """The common motion (a similarity) and colour change of most of two pictures; wide ones are halved for it.

    Args:
        a, b: pictures of one size.
        masks: what is no background, ``bool [H, W]`` each.
        where: for messages.
    Returns:
        None if there is none worth the loss of sharpness, or if it is more than a redrawn background has.
    """
    part = 2 if is_wide(a) else 1
    covered = None if masks is None else masks[0] | masks[1]
    if part > 1:
        a, b = shrunk(a, part), shrunk(b, part)
        covered = None if covered is None else resized_mask(covered, *a.shape[:2])
    shift = _find(a, b, covered, 1 / part, where)
    if shift is None or part == 1:
        return shift
    turn, middle = shift.matrix[:, :2], np.full(2, (part - 1) / 2)  # of the pixels that became one
    move = part * shift.matrix[:, 2] + middle - turn @ middle
    return BackgroundShift(np.column_stack([turn, move]), shift.gain, shift.offset)


def _find(a: Tensor, b: Tensor, covered: Tensor | None, pixel: float, where: str) -> BackgroundShift | None:
    """``covered``: what is no background; ``pixel``: the length of one of the given pictures' pixels here."""
    import cv2

    right, lower = steps(a)
    lines, bends = right.maximum(lower) > _LINE, right.minimum(lower) > _LINE
    if covered is not None:
        lines, bends = lines & ~covered[:-1, :-1], bends & ~covered[:-1, :-1]
    at = bends.nonzero(as_tuple=True)
    if len(at[0]) > _FEW and ((a[at] - b[at]).abs().amax(1) < _COLOUR).float().mean() > _SAME:
        return None
    rows, columns = np.nonzero(lines.numpy())
    if len(rows) < _FEW:
        return None
    chosen = np.linspace(0, len(rows) - 1, min(_POINTS, len(rows))).astype(int)
    rows, columns = rows[chosen], columns[chosen]
    points = np.stack([columns, rows], 1).astype(np.float64)
    flow = estimated(DisFlow("normal"), a, b, where).numpy()[rows, columns]
    matrix, agree = cv2.estimateAffinePartial2D(
        points, points + flow, method=cv2.RANSAC, ransacReprojThreshold=_ABOUT)
    if matrix is None or agree.mean() < _START:
        return None
    moves = np.linalg.norm(flow - (points @ matrix[:, :2].T + matrix[:, 2] - points), axis=1) < _WITHIN * pixel
    still = np.linalg.norm(flow, axis=1) < _WITHIN * pixel
    if still.mean() > 0.9 * moves.mean():  # nor is it a shift where standing still explains as much
        if still.mean() < _AGREE:
            return None
        matrix = np.eye(2, 3)
    else:
        matrix, fits = _refined(a.numpy(), b.numpy(), points, agree[:, 0] > 0, matrix)
        if fits < _AGREE:
            return None
    corners = np.array([[x, y, 1] for x in (0, a.shape[1] - 1) for y in (0, a.shape[0] - 1)], np.float64)
    farthest = np.linalg.norm(corners @ (matrix - np.eye(2, 3)).T, axis=1).max()
    if farthest > _MOST * a.shape[1]:
        return None
    if farthest < _LEAST * pixel:
        matrix = np.eye(2, 3)
    gain, offset = _colours(a, _moved(b, matrix))
    if farthest < _LEAST * pixel and max(np.abs(offset).max(), np.abs(gain + offset - 1).max()) < _COLOUR:
        return None
    return BackgroundShift(matrix, gain, offset)


def _refined(
    a: np.ndarray, b: np.ndarray, points: np.ndarray, agree: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, float]:
    """A similarity made exact by the colours at those points (x, y) of A that agree with it, whose gain and offset are
    found with it; and the share of all points that it fits.

    Gauss-Newton on the difference of colours (Lucas and Kanade, IJCAI 1981); what does not fit is left out. DIS alone
    is off by a few tenths of a pixel on flat drawings, and what the background then lacks is taken for a figure.
    """
    import cv2

    here = a[tuple(points[:, ::-1].astype(int).T)]
    x, y = points.T
    zeros, ones = np.zeros_like(x), np.ones_like(x)
    # how a place moves with cos - 1, sin, x, y of the similarity
    moves = np.stack([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)], 1)  # [N, 2, 4]

    def fetched(place, dx=0.0, dy=0.0):
        x, y = (place + (dx, dy)).astype(np.float32).T
        return cv2.remap(b, x[:, None], y[:, None], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)[:, 0]

    for _ in range(_STEPS):
        place = points @ matrix[:, :2].T + matrix[:, 2]
        slope = np.stack([fetched(place, 0.5) - fetched(place, -0.5),
                          fetched(place, 0, 0.5) - fetched(place, 0, -0.5)], 2)  # [N, 3, 2]
        unknown = np.zeros((len(points), 3, 10))
        unknown[..., :4] = slope @ moves
        for channel in range(3):
            unknown[:, channel, 4 + channel] = -here[:, channel]
            unknown[:, channel, 7 + channel] = -1
        wanted = -fetched(place)
        fits = agree
        for _ in range(2):  # with all, then without those that are far off
            solution = np.linalg.lstsq(unknown[fits].reshape(-1, 10), wanted[fits].reshape(-1), rcond=None)[0]
            off = np.abs(unknown @ solution - wanted).max(1)
            fits = agree & (off < max(_COLOUR, 3 * np.median(off[agree])))
        more_cos, more_sin, right, down = solution[:4]
        matrix = matrix + [[more_cos, -more_sin, right], [more_sin, more_cos, down]]
    return matrix, float(np.mean(off < _FITS))


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


def _moved(picture: Tensor, matrix: np.ndarray) -> Tensor:
    """``picture(matrix @ (p, 1))``, bicubic to 1/32 pixel, the edge continued outwards; a quarter of the time of
    ``warp_bicubic`` along such a flow."""
    import cv2

    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(picture.numpy(), matrix, size, None, flags, cv2.BORDER_REPLICATE)
    return torch.from_numpy(out).reshape(picture.shape)

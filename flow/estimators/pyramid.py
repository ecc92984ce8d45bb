"""Optical flow in torch alone, so that it runs on the GPU: no weights, no OpenCV.

From coarse to fine, patches look for their place (dense inverse search: Kroeger et al., "Fast Optical Flow using Dense
Inverse Search", ECCV 2016), and a smooth field is fitted to the pictures from there (Brox et al., "High Accuracy
Optical Flow Estimation Based on a Theory for Warping", ECCV 2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, fold, grid_sample, interpolate, pad, unfold

from ...common import InputError
from ..checks import WHERE

_SMALLEST = 16  # pixels: the shorter side of the coarsest level, at least
_PATCH, _STRIDE = 8, 4  # pixels
_SEARCHES, _STEPS = 3, 4  # of a level; before each but the first, a patch looks where its neighbours have gone
_WINDOW = 9  # pixels; brightness is measured against its mean and spread in it
_FLAT = 0.03  # added to the spread, in brightness 0..1: what varies less is noise
_WARPS, _WEIGHTINGS, _SWEEPS = 3, 2, 5  # of a level's fit
_SMOOTH = 0.3  # one pixel of difference between neighbours' flows against one spread of brightness
_ROUND = 0.01  # below this the robust terms are squares
_OVER = 1.8  # over-relaxation: 1 is Gauss-Seidel, 2 diverges
_DERIVATIVE = (1 / 12, -8 / 12, 0.0, 8 / 12, -1 / 12)
_WORK_BYTES = 400  # a pixel, about


@dataclass(frozen=True)
class PyramidFlow:
    """An ``Estimator`` in torch: more exact than ``DisFlow("normal")`` where motion is smooth, as good on video and
    drawings. Made for the GPU; on the CPU it takes many times as long.

    Args:
        device: called before each use with the bytes of memory the work needs, names the device to work on.
    """

    device: Callable[[int], torch.device] = lambda work_bytes: torch.device("cpu")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Flow from ``a`` to ``b``, ``float32 [H, W, 2]``."""
        images = torch.stack([a, b]).permute(0, 3, 1, 2).to(self.device(_WORK_BYTES * a.shape[0] * a.shape[1]))
        return pyramid_flow(images[:1], images[1:])[0].permute(1, 2, 0).cpu().contiguous()


def pyramid_flow(a: Tensor, b: Tensor) -> Tensor:
    """The flows of several pairs at once, on the device of the pictures.

    Args:
        a, b: ``float32 [B, 3, H, W]`` in 0..1.
    Returns:
        ``[B, 2, H, W]`` from ``a`` to ``b``, pixels, x then y.
    Raises:
        InputError: shapes that do not fit.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise InputError(WHERE, "pictures", f"{list(a.shape)} and {list(b.shape)}",
                         "are not two of [count, 3, height, width]", "stack pictures of one size")
    height, width = a.shape[2:]
    levels = max(1, (min(height, width) // _SMALLEST).bit_length())
    coarsest = 1 << (levels - 1)
    grey = a.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    pair = torch.cat([(x * grey).sum(1, keepdim=True) for x in (a, b)], 1)
    pyramid = [pad(pair, (0, -width % coarsest, 0, -height % coarsest), "replicate")]
    while len(pyramid) < levels:
        pyramid.append(avg_pool2d(pyramid[-1], 2))
    flow = torch.zeros_like(pyramid[-1])
    for level in range(levels - 1, -1, -1):
        if flow.shape != pyramid[level].shape:
            flow = interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False) * 2
        if level or levels == 1:  # what the finest level could find is what the fit finds
            flow = _search(pyramid[level][:, :1], pyramid[level][:, 1:], flow)
        even = _evened(pyramid[level])
        for _ in range(_WARPS):
            flow = _fit(even[:, :1], even[:, 1:], flow)
    return flow[:, :, :height, :width]


def _search(a: Tensor, b: Tensor, flow: Tensor) -> Tensor:
    """Each patch of ``a`` looks for its place in ``b`` from its flow and its neighbours' on; the flows found, mixed.

    The search is inverse: derivatives are those of ``a`` and stay the same. A patch may become brighter as a whole.
    """
    height, width = a.shape[2:]
    side = _PATCH // 2
    more = (side, side + -width % _STRIDE, side, side + -height % _STRIDE)
    wide = pad(a, more, "replicate")
    rows, columns = ((length - _PATCH) // _STRIDE + 1 for length in wide.shape[2:])
    x, y, patch, dx, dy = (unfold(values, _PATCH, stride=_STRIDE) for values in (
        *(places.expand(1, 1, *wide.shape[2:]) - side for places in _places(wide)),
        wide, _derivative(wide, 3), _derivative(wide, 2)))  # [B, 64, patches]
    dx, dy = (d - d.mean(1, keepdim=True) for d in (dx, dy))
    xx, xy, yy = ((p * q).sum(1) for p, q in ((dx, dx), (dx, dy), (dy, dy)))
    xx, yy = xx + 1e-3, yy + 1e-3  # flat patches stay where they are
    determinant = xx * yy - xy * xy

    def misfit(moved: Tensor) -> Tensor:
        """``[B, 64, patches]`` of flows ``[B, 2, patches]``."""
        wrong = _sample(b, x + moved[:, :1], y + moved[:, 1:], "bilinear")[:, 0] - patch
        return wrong - wrong.mean(1, keepdim=True)

    def better(best: Tensor, tried: Tensor) -> Tensor:
        costs = (misfit(flows).square().sum(1, keepdim=True) for flows in (best, tried))
        return torch.where(next(costs) <= next(costs), best, tried)

    best = avg_pool2d(pad(flow, more, "replicate"), _PATCH, _STRIDE).flatten(2)
    for search in range(_SEARCHES):
        if search:
            around = pad(best.unflatten(2, (rows, columns)), (1, 1, 1, 1), "replicate")
            for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
                best = better(best, around[:, :, down:down + rows, right:right + columns].flatten(2))
        tried = best
        for _ in range(_STEPS):
            wrong = misfit(tried)
            gx, gy = (wrong * dx).sum(1), (wrong * dy).sum(1)
            step = torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], 1) / determinant[:, None]
            tried = tried - step.clamp(-2, 2)
        best = better(best, torch.where((tried - best).norm(dim=1, keepdim=True) < _PATCH, tried, best))
    weight = 1 / misfit(best).abs().clamp_min(1 / 255)
    sums = [fold(part, wide.shape[2:], _PATCH, stride=_STRIDE)
            for part in (weight * best[:, :1], weight * best[:, 1:], weight)]
    return (torch.cat(sums[:2], 1) / sums[2])[:, :, side:side + height, side:side + width]


def _fit(a: Tensor, b: Tensor, flow: Tensor) -> Tensor:
    """A step towards the smooth field along which brightness stays the same.

    Both terms are robust (Charbonnier: the root of the square and a little); brightness counts less at strong edges
    (Zimmer et al., "Optic Flow in Harmony", IJCV 2011). The linear system is solved by red-black over-relaxation.
    """
    x, y = (places + flow[:, axis] for axis, places in enumerate(_places(a)))
    moved = _sample(b, x, y, "bicubic")
    height, width = a.shape[2:]
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]
    dx, dy, rest = _derivative((a + moved) / 2, 3), _derivative((a + moved) / 2, 2), moved - a
    scale = inside / (dx.square() + dy.square() + 1)
    odd = (torch.arange(height, device=a.device)[:, None] + torch.arange(width, device=a.device)) % 2
    step = torch.zeros_like(flow)
    for _ in range(_WEIGHTINGS):
        wrong = rest + dx * step[:, :1] + dy * step[:, 1:]
        weight = scale / (scale * wrong.square() + _ROUND ** 2).sqrt()
        total = flow + step
        bend = total.diff(dim=3, append=total[..., -1:]).square() + total.diff(dim=2, append=total[:, :, -1:]).square()
        right = _SMOOTH / (bend.sum(1, keepdim=True) + _ROUND ** 2).sqrt()
        below = right.clone()
        right[..., -1], below[:, :, -1] = 0, 0  # ties to the neighbours; there are none outside
        left, above = pad(right, (1, 0))[..., :-1], pad(below, (0, 0, 1, 0))[:, :, :-1]
        ties = left + right + above + below
        xx, xy, yy = weight * dx * dx + ties, weight * dx * dy, weight * dy * dy + ties
        determinant = (xx * yy - xy * xy).clamp_min(1e-12)
        for sweep in range(2 * _SWEEPS):
            near = pad(flow + step, (1, 1, 1, 1), "replicate")
            pull = (left * near[:, :, 1:-1, :-2] + right * near[:, :, 1:-1, 2:]
                    + above * near[:, :, :-2, 1:-1] + below * near[:, :, 2:, 1:-1]) - ties * flow
            px, py = pull[:, :1] - weight * dx * rest, pull[:, 1:] - weight * dy * rest
            new = torch.cat([yy * px - xy * py, xx * py - xy * px], 1) / determinant
            step = torch.where(odd == sweep % 2, step + _OVER * (new - step), step)
    return flow + step


def _evened(pair: Tensor) -> Tensor:
    """Brightness against its surroundings: less its mean, by its spread. A lamp or a fade does not look like motion."""
    wide = pad(pair, (_WINDOW // 2,) * 4, "replicate")
    mean = avg_pool2d(wide, _WINDOW, 1)
    spread = (avg_pool2d(wide.square(), _WINDOW, 1) - mean.square()).clamp_min(0)
    return (pair - mean) / (spread + _FLAT ** 2).sqrt()


def _derivative(values: Tensor, axis: int) -> Tensor:
    """Along rows (2) or columns (3) of ``[B, 1, H, W]``, of fourth order; the edge goes on."""
    kernel = values.new_tensor(_DERIVATIVE).reshape((1, 1, 5, 1) if axis == 2 else (1, 1, 1, 5))
    return conv2d(pad(values, (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0), "replicate"), kernel)


def _places(values: Tensor) -> tuple[Tensor, Tensor]:
    """x ``[1, W]`` and y ``[H, 1]`` of the pixels."""
    x, y = (torch.arange(side, dtype=values.dtype, device=values.device) for side in values.shape[:1:-1])
    return x[None], y[:, None]


def _sample(values: Tensor, x: Tensor, y: Tensor, how: str) -> Tensor:
    """``values`` ``[B, C, H, W]`` at places ``[B, h, w]``, the edge continued outwards; ``[B, C, h, w]``."""
    height, width = values.shape[2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 3)
    return grid_sample(values, grid, how, "border", align_corners=False)

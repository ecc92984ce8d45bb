"""Backward warping: fetch, for every pixel, the value its flow points at."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..common import InputError
from .checks import WHERE, check_flow


def corners(flow: Tensor, at: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around ``p + flow[p]`` and their bilinear weights; warp gathers through them, splat scatters.

    Args:
        flow: ``[H, W, 2]``, pixels.
        at: ``bool [H, W]``, the pixels ``p`` that are wanted; all if None.
    Yields:
        ``(index [N] into the flattened picture, weight [N] in 0..1)`` for the N pixels in reading order; outside the
        picture the weight is 0.
    """
    height, width = flow.shape[:2]
    if at is None:
        row, column = torch.arange(height, device=flow.device)[:, None], torch.arange(width, device=flow.device)
    else:
        (row, column), flow = at.nonzero(as_tuple=True), flow[at]
    # whole and fractional part of the displacement, not of the position: the position has fewer digits left
    whole = flow.clamp(-4 * width - 4 * height, 4 * width + 4 * height).floor()
    fx, fy = (flow - whole).clamp(0, 1).unbind(-1)
    x0, y0 = column + whole[..., 0].long(), row + whole[..., 1].long()
    columns = [_one_axis(x0, 1 - fx, width), _one_axis(x0 + 1, fx, width)]
    for y, wy in (_one_axis(y0, 1 - fy, height), _one_axis(y0 + 1, fy, height)):
        y = y * width
        for x, wx in columns:
            yield (y + x).reshape(-1), (wx * wy).reshape(-1)


def _one_axis(place: Tensor, weight: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Places brought into 0 .. side - 1; the weight is 0 where they were outside."""
    inside = place.clamp(0, side - 1)
    return inside, weight * (inside == place)


def warp(values: Tensor, flow: Tensor, at: Tensor | None = None) -> Tensor:
    """Bilinear backward warp, 0 outside: ``out[p] = values(p + flow[p])``. The adjoint of ``splat``.

    Args:
        values: ``[H, W, C]`` floats.
        flow: ``[H, W, 2]``, pixels, of the same height and width.
        at: ``bool [H, W]``, the pixels that are wanted; all if None.
    Returns:
        ``[H, W, C]``, with ``at`` ``[N, C]`` in reading order.
    Raises:
        InputError: shapes that do not fit, a flow that is not finite.
    """
    check_values(values, flow)
    flat = values.reshape(-1, values.shape[2])
    gathered = (flat[index] * weight[:, None].to(flat.dtype) for index, weight in corners(flow, at))
    out = sum(gathered, torch.zeros((), dtype=flat.dtype, device=flat.device))
    return out.reshape(values.shape) if at is None else out


def warp_bicubic(values: Tensor, flow: Tensor) -> Tensor:
    """Bicubic backward warp with the edge continued outwards (Keys 1981, a = -0.75 as in ``grid_sample``).

    Arguments and errors as ``warp``. Values can overshoot their range at edges; the caller clamps.
    """
    check_values(values, flow)
    height, width = flow.shape[:2]
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    x = flow[..., 0].to(dtype) + torch.arange(width, dtype=dtype)
    y = flow[..., 1].to(dtype) + torch.arange(height, dtype=dtype)[:, None]
    # grid_sample counts from -1 to 1 between the picture's edges: in float32 a place is off by up to 1e-4 pixels
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 2)
    out = torch.nn.functional.grid_sample(
        values.to(dtype).permute(2, 0, 1)[None], grid[None], "bicubic", "border", align_corners=False)
    return out[0].permute(1, 2, 0).to(values.dtype)


def inside_share(flow: Tensor) -> Tensor:
    """1 where ``p + flow[p]`` lies in the picture, falling to 0 one pixel outside of it; ``[H, W]``."""
    height, width = flow.shape[:2]
    beyond = []
    for side, shape, part in ((width, (1, -1), flow[..., 0]), (height, (-1, 1), flow[..., 1])):
        middle = (side - 1) / 2
        place = (torch.arange(side, dtype=flow.dtype) - middle).reshape(shape) + part
        beyond.append(place.abs_().sub_(middle))
    return (1 - torch.maximum(*beyond)).clamp_(0, 1)


def check_values(values: Tensor, flow: Tensor) -> None:
    """Values ``[H, W, C]`` that fit the flow, else an ``InputError``."""
    check_flow(flow)
    if values.ndim != 3 or values.shape[:2] != flow.shape[:2]:
        raise InputError(WHERE, "values", list(values.shape), f"do not fit the flow {list(flow.shape)}",
                         "give both the same height and width")

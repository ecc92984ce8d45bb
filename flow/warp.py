"""Backward warping: fetch, for every pixel, the value its flow points at."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .field import FlowError, check_flow


def corners(flow: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around ``p + flow[p]`` and their bilinear weights; warp gathers through them, splat scatters.

    Args:
        flow: ``[H, W, 2]``, pixels.
    Yields:
        ``(index [H*W] into the flattened picture, weight [H*W] in 0..1)``; outside the picture the weight is 0.
    """
    height, width = flow.shape[:2]
    # whole and fractional part of the displacement, not of the position: the position has fewer digits left
    whole = flow.clamp(-4 * width - 4 * height, 4 * width + 4 * height).floor()
    fx, fy = (flow - whole).clamp(0, 1).unbind(2)
    x0 = torch.arange(width) + whole[..., 0].long()
    y0 = torch.arange(height)[:, None] + whole[..., 1].long()
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            x, y = x0 + dx, y0 + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
            yield index.reshape(-1), (wx * wy * inside).reshape(-1)


def warp(values: Tensor, flow: Tensor) -> Tensor:
    """Bilinear backward warp, 0 outside: ``out[p] = values(p + flow[p])``. The adjoint of ``splat``.

    Args:
        values: ``[H, W, C]`` floats.
        flow: ``[H, W, 2]``, pixels, of the same height and width.
    Returns:
        ``[H, W, C]``.
    Raises:
        FlowError: shapes that do not fit, a flow that is not finite.
    """
    check_values(values, flow)
    flat = values.reshape(-1, values.shape[2])
    out = sum(flat[index] * weight[:, None].to(flat.dtype) for index, weight in corners(flow))
    return out.reshape(values.shape)


def warp_bicubic(values: Tensor, flow: Tensor) -> Tensor:
    """Bicubic backward warp with the edge continued outwards (Keys 1981, a = -0.75 as in ``grid_sample``).

    Arguments and errors as ``warp``. Values can overshoot their range at edges; the caller clamps.
    """
    check_values(values, flow)
    height, width = flow.shape[:2]
    # float64: grid_sample's coordinates are relative to the picture's width; in float32 they are off by 1e-5 pixels
    position = flow.double() + torch.stack(torch.meshgrid(
        torch.arange(width, dtype=torch.float64), torch.arange(height, dtype=torch.float64), indexing="xy"), 2)
    grid = (2 * position + 1) / torch.tensor([width, height], dtype=torch.float64) - 1
    out = torch.nn.functional.grid_sample(
        values.double().permute(2, 0, 1)[None], grid[None], "bicubic", "border", align_corners=False)
    return out[0].permute(1, 2, 0).to(values.dtype)


def inside_share(flow: Tensor) -> Tensor:
    """1 where ``p + flow[p]`` lies in the picture, falling to 0 one pixel outside of it; ``[H, W]``."""
    height, width = flow.shape[:2]
    x = torch.arange(width, dtype=flow.dtype) + flow[..., 0]
    y = torch.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    beyond = torch.maximum((-x).maximum(x - (width - 1)), (-y).maximum(y - (height - 1)))
    return (1 - beyond).clamp(0, 1)


def check_values(values: Tensor, flow: Tensor) -> None:
    """Values ``[H, W, C]`` that fit the flow, else a ``FlowError``."""
    check_flow(flow)
    if values.ndim != 3 or values.shape[:2] != flow.shape[:2]:
        raise FlowError(f"values {list(values.shape)} do not fit the flow {list(flow.shape)}; same height and width")

"""Forward warping: push every pixel along its flow, and fill what nobody reaches.

Accumulation runs over pixels in a fixed order on the CPU, so the same input gives the same bits; on CUDA with Triton it
is one kernel.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from .warp import check_values, corners


def splat(values: Tensor, flow: Tensor, at: Tensor | None = None) -> Tensor:
    """Sum splatting: each pixel's value is shared out bilinearly around ``p + flow[p]``; off the picture it is lost.

    Args:
        values: ``[H, W, C]`` floats; with ``at`` ``[N, C]``, its pixels in reading order.
        flow: ``[H, W, 2]``, pixels.
        at: ``bool [H, W]``, the pixels that are pushed; all if None.
    Returns:
        ``[H, W, C]`` sums, not normalised. The adjoint of ``warp``; differentiable in ``values``.
    Raises:
        InputError: shapes that do not fit, a flow that is not finite.
    """
    if at is None:
        check_values(values, flow)
    if at is None and values.is_cuda and _one_kernel_can(values, flow):
        from .splat_triton import splat_fused

        return splat_fused(values, flow)
    height, width = flow.shape[:2]
    channels = [channel.reshape(-1) for channel in values.unbind(-1)]
    sums = [values.new_zeros(height * width) for _ in channels]
    for index, weight in corners(flow, at):
        weight = weight.to(values.dtype)
        for total, channel in zip(sums, channels, strict=True):
            total.index_add_(0, index, channel * weight)
    return torch.stack(sums, 1).reshape(height, width, -1)


def _one_kernel_can(values: Tensor, flow: Tensor) -> bool:
    learning = torch.is_grad_enabled() and (values.requires_grad or flow.requires_grad)
    return (not learning and values.dtype == flow.dtype == torch.float32 and values.numel() < 1 << 31
            and find_spec("triton") is not None)


def fill_holes(values: Tensor, density: Tensor, full: float = 0.1) -> Tensor:
    """Push-pull filling (Gortler et al., "The Lumigraph", SIGGRAPH 1996): holes take the average around them.

    Args:
        values: ``[H, W, C]``, anything in holes.
        density: ``[H, W]``, 0 in holes.
        full: from this density on a value is left as it is; below it fades into its surroundings, without a step, so
            that the result does not jump with time.
    Returns:
        ``[H, W, C]``; all zeros if the density is zero everywhere.
    """
    trust = (density / full).clamp(0, 1)[..., None]
    return _pull((values * trust).permute(2, 0, 1)[None], trust.permute(2, 0, 1)[None])[0].permute(1, 2, 0)


def _pull(weighted: Tensor, trust: Tensor) -> Tensor:
    """``weighted`` [1, C, h, w] is values times ``trust`` [1, 1, h, w]; returns values without holes."""
    if weighted.shape[2] == weighted.shape[3] == 1:
        return torch.where(trust > 0, weighted / trust.clamp_min(torch.finfo(trust.dtype).tiny), 0)
    if bool((trust >= 1).all()):
        return weighted
    both = torch.cat([weighted, trust], 1)
    coarse = torch.nn.functional.avg_pool2d(both, 2, 2, ceil_mode=True, count_include_pad=False) * 4
    scale = coarse[:, -1:].clamp_min(1)  # trust above 1 is 1; the values go with it
    below = _pull(coarse[:, :-1] / scale, coarse[:, -1:] / scale)
    above = torch.nn.functional.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
    above = above[:, :, : weighted.shape[2], : weighted.shape[3]]
    return weighted + (1 - trust) * above

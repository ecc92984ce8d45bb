"""``splat`` as one kernel for CUDA devices; the plain form beside it (``splat.py``) is the reference.

It was checked against that one in Triton's interpreter and compiled for an H100, but never run on a GPU. There atomic
sums differ in the last bits from run to run, as those of ``index_add`` do.
"""

# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
# inside a kernel types are those of Triton's compiler
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256  # pixels a program


@triton.jit
def _splat(values, flow, sums, height, width, channels: tl.constexpr, block: tl.constexpr):
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    here = pixel < height * width
    move_x = tl.load(flow + 2 * pixel, mask=here, other=0.0)
    move_y = tl.load(flow + 2 * pixel + 1, mask=here, other=0.0)
    far = 4.0 * (height + width)  # off the picture in any case, and still a whole number in int32
    move_x = tl.minimum(tl.maximum(move_x, -far), far)
    move_y = tl.minimum(tl.maximum(move_y, -far), far)
    whole_x, whole_y = tl.floor(move_x), tl.floor(move_y)
    part_x, part_y = move_x - whole_x, move_y - whole_y
    left, top = pixel % width + whole_x.to(tl.int32), pixel // width + whole_y.to(tl.int32)
    for down in tl.static_range(2):
        for right in tl.static_range(2):
            x, y = left + right, top + down
            weight = (part_x if right else 1 - part_x) * (part_y if down else 1 - part_y)
            inside = here & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            for channel in tl.static_range(channels):
                value = tl.load(values + pixel * channels + channel, mask=here, other=0.0)
                tl.atomic_add(sums + (y * width + x) * channels + channel, value * weight, mask=inside)


def splat_fused(values: Tensor, flow: Tensor) -> Tensor:
    """``splat`` of float32 values and flow on one CUDA device; not differentiable.

    Args:
        values: ``[H, W, C]``.
        flow: ``[H, W, 2]``, pixels, finite.
    Returns:
        ``[H, W, C]`` sums.
    """
    height, width, channels = values.shape
    sums = torch.zeros_like(values, memory_format=torch.contiguous_format)
    _splat[(triton.cdiv(height * width, _BLOCK),)](
        values.contiguous(), flow.contiguous(), sums, height, width, channels=channels, block=_BLOCK)
    return sums

"""Making a picture at a time between two, once the motion is known.

Pictures have three channels, or four (``cutout.py``: colours times alpha, and alpha).

Everything here is the same, to the bit, when the pictures, their flows and the time are swapped and turned round:
sums have two terms each, and ``1 - t`` is exact (``FramePair`` sees to that).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..field import COARSER, background_flow, is_wide, resized_flow, shrunk
from ..motion import Motion
from ..splat import fill_holes, splat
from ..warp import inside_share, warp, warp_bicubic

_SHARPNESS = 20.0  # softmax: how much a pixel that finds its colour again outweighs one that does not
_FRONT = 2.0  # in splat mode: what moves against the background lies in front of it
_FRONT_PIXELS = 2.0


def importance(a: Tensor, b: Tensor, motion: Motion, front: bool, small: bool = False) -> tuple[Tensor, Tensor]:
    """Logarithms of the weights of A's and of B's pixels, ``[H, W]`` each: brightness constancy, with ``front`` also
    depth by motion (Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020).

    ``small``: of wide pictures at a quarter of their size.
    """
    forward, backward = motion.forward, motion.backward
    if small and is_wide(a):
        a, b = shrunk(a, COARSER), shrunk(b, COARSER)
        forward, backward = (resized_flow(flow, *a.shape[:2]) for flow in (forward, backward))
    return _importance(a, b, forward, front), _importance(b, a, backward, front)


def _importance(a: Tensor, b: Tensor, flow: Tensor, front: bool) -> Tensor:
    weight = _alike(a, warp(b, flow))
    if front:
        against = (flow - background_flow(flow)).norm(dim=2)
        weight += _FRONT * (against > _FRONT_PIXELS)
    return weight


def _alike(colours: Tensor, others: Tensor) -> Tensor:
    return -_SHARPNESS * (colours - others).abs().mean(-1)


def project(a: Tensor, b: Tensor, motion: Motion, weights: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Splat the flow, not the colours; then fetch both pictures along the one merged flow (for video).

    What the flow leaves unexplained of the change is cross-faded in this proportion, so that a ghost is about as strong
    as the mismatch that the flow itself leaves.
    """
    height, width = a.shape[:2]
    # flows are smooth: in wide pictures the weights' smaller size will do
    flows = (resized_flow(flow, *weights[0].shape) for flow in (motion.forward, motion.backward))
    forward, backward = (flow.to(a.dtype) for flow in flows)
    flow = _combined(forward, -backward, Motion(forward, backward, motion.coverage), weights, t)
    flow = resized_flow(flow, height, width)
    to_a, to_b = -t * flow, (1 - t) * flow
    # what would come from outside one picture is taken from the other; from both if both are outside
    inside_a, inside_b = inside_share(to_a), inside_share(to_b)
    share_a, share_b = (1 - t) * (inside_a + 1e-6), t * (inside_b + 1e-6)
    total = share_a + share_b
    moved_a, moved_b = warp_bicubic(a, to_a), warp_bicubic(b, to_b)
    rest = _unexplained(a, b, moved_a, moved_b, inside_a * inside_b)
    mixed = moved_a.mul_((share_a / total)[..., None]).add_(moved_b.mul_((share_b / total)[..., None]))
    del moved_b  # a wide picture's 25 MB
    fade = (a * (1 - t)).add_(b * t)
    return mixed.add_(fade.sub_(mixed).mul_(rest))


def _unexplained(a: Tensor, b: Tensor, moved_a: Tensor, moved_b: Tensor, seen: Tensor) -> Tensor:
    """How much of the change around a pixel is left along the flow: 0 (nothing) .. 1 (all of it), ``[H, W, 1]``.

    Args:
        moved_a, moved_b: the pictures fetched along the flow.
        seen: 1 where both have something to fetch, ``[H, W]``; nothing can be said where it is 0.
    """
    import cv2

    height, width = seen.shape
    left, change = (moved_a - moved_b).abs_().mean(2).mul_(seen), (a - b).abs_().mean(2)
    if is_wide(seen):
        left, change = shrunk(left, COARSER), shrunk(change, COARSER)
    blur = max(1.0, left.shape[1] / 100)
    left, change = (cv2.GaussianBlur(values.numpy(), (0, 0), blur) for values in (left, change))
    share = (left / change.clip(1e-3)).clip(0, 1)
    return torch.from_numpy(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR))[..., None]


def push(a: Tensor, b: Tensor, motion: Motion, weights: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Splat the colours of both pictures (for flat drawings); a place seen by one takes that one, by none is filled."""
    return _combined(a, b, motion, weights, t)


def layers(a: Tensor, b: Tensor, motion: Motion, masks: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Splat the figure of both pictures onto the background that they show together.

    Args:
        masks: the figure in ``a`` and in ``b``, ``bool [H, W]``; everything else is background and stands still.
    """
    box = _around(masks[0] | masks[1], 4)
    out = torch.lerp(a, b, t)
    if box is None:
        return out
    a, b = a[box], b[box]
    motion = Motion(motion.forward[box].to(a.dtype), motion.backward[box].to(a.dtype), motion.coverage)
    masks = masks[0][box], masks[1][box]
    # the background: a margin keeps the figure's soft edge out of it
    free_a, free_b = (1 - _wider(mask, 2).to(a.dtype)[..., None] for mask in masks)
    known = ((free_a + free_b) > 0)[..., 0]
    share_a, share_b = free_a * (1 - t) + 1e-6, free_b * t + 1e-6
    ground = (a * share_a + b * share_b) / (share_a + share_b)
    sides = ((a, b, motion.forward, masks[0], t), (b, a, motion.backward, masks[1], 1 - t))
    parts = []
    for here, other, flow, mask, time in sides:
        flow = _continued(flow, mask)
        mask = _wider(mask, 1)
        colours = here[mask]
        weight = _alike(colours, warp(other, flow, mask)).exp()[:, None] * (1 - time)
        values = torch.cat([colours * weight, weight, torch.full_like(weight, 1 - time)], 1)
        parts.append(splat(values, flow * time, mask))
    sums = parts[0] + parts[1]
    density = sums[..., -1]
    weight = sums[..., -2:-1]
    colour = torch.where(weight > 0, sums[..., :-2] / weight.clamp_min(1e-30), 0)
    colour = fill_holes(colour, density, full=0.2)
    # half of the figure's weight is enough; where no picture shows the background it is the figure everywhere
    opaque = torch.where(known, ((density - 0.25) * 2).clamp(0, 1), 1)[..., None]
    out[box] = ground + (colour - ground) * opaque
    return out


def _continued(flow: Tensor, mask: Tensor) -> Tensor:
    """A flow whose pixels beside the mask move as their neighbours in it do."""
    import cv2

    inside = mask.to(flow.dtype)
    around, count = (torch.from_numpy(cv2.blur(values.numpy(), (3, 3), borderType=cv2.BORDER_CONSTANT))
                     for values in (flow * inside[..., None], inside))
    return torch.where(mask[..., None], flow, around / count.clamp_min(1e-6)[..., None])


def _wider(mask: Tensor, pixels: int) -> Tensor:
    """A mask grown by a disc."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return torch.from_numpy(cv2.dilate(mask.byte().numpy(), disc)) > 0


def _around(mask: Tensor, margin: int) -> tuple[slice, slice] | None:
    """The rows and columns that hold a mask, with a margin; None if it is empty."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return None
    upper, lower, left, right = (int(place) for place in (rows[0], rows[-1], columns[0], columns[-1]))
    return slice(max(0, upper - margin), lower + 1 + margin), slice(max(0, left - margin), right + 1 + margin)


def _combined(values_a: Tensor, values_b: Tensor, motion: Motion, weights: tuple[Tensor, Tensor], t: float) -> Tensor:
    """Both sides splatted to time ``t`` and averaged by weight and nearness in time, holes filled: ``[H, W, C]``."""
    top = max(weights[0].max().item(), weights[1].max().item())
    parts = []
    sides = ((values_a, motion.forward, t, weights[0]), (values_b, motion.backward, 1 - t, weights[1]))
    for values, flow, time, weight in sides:
        weight = (weight - top).to(values.dtype).exp()[..., None] * (1 - time)
        parts.append(splat(torch.cat([values * weight, weight, torch.ones_like(weight)], 2),
                           flow.to(values.dtype) * time))
    sums = parts[0] + parts[1]
    total = sums[..., -2:-1]
    mean = torch.where(total > 0, sums[..., :-2] / total.clamp_min(torch.finfo(total.dtype).tiny), 0)
    return fill_holes(mean, sums[..., -1], full=0.2)

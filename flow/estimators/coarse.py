"""Large motion: match a coarse grid of cells all against all, then let the estimator find the rest.

DIS alone loses small parts that move further than about 6 % of the width. What is matched are colours and the distance
to the next outline, at a cell and around it; on flat drawings these say more than gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from ..motion import Estimator, estimated
from ..splat import fill_holes
from ..warp import warp, warp_bicubic

_CELLS = 4096  # about; their table of distances is 64 MB
_NEAR = 0.15  # cost of one picture width of motion, in the unit of the descriptors: ties go to the nearer match
_CLEARLY, _MARGIN = 0.8, 0.01  # on video the coarse match must fit better by a fifth, and by 1 % of a channel
_AROUND = [(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))] + [
    (dx, dy) for dx in (-3, 0, 3) for dy in (-3, 0, 3) if dx or dy]  # 12 places, in cells


def coarse_flow(a: Tensor, b: Tensor) -> Tensor:
    """The flow from ``a`` to ``b`` by matching cells, smooth, ``[H, W, 2]``; no better than half a cell."""
    height, width = a.shape[:2]
    cell = max(4, round((height * width / _CELLS) ** 0.5))
    da, db = _descriptors(a, cell), _descriptors(b, cell)
    rows, columns = da.shape[:2]
    da, db = da.reshape(rows * columns, -1), db.reshape(rows * columns, -1)
    place = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), 2).reshape(-1, 2)
    place = place.float()
    cost = torch.cdist(da, db) / da.shape[1] ** 0.5 + _NEAR / columns * torch.cdist(place, place)
    there, back = cost.min(1).indices, cost.min(0).indices
    mutual = (back[there] == torch.arange(len(there))).reshape(rows, columns)
    flow = (place[there] - place).reshape(rows, columns, 2)
    trust = (mutual & _agrees(flow, mutual)).float()
    flow = fill_holes(flow * trust[..., None], trust, full=1.0) * cell
    flow = flow.permute(2, 0, 1)[None]
    # cells at the right and lower edge hang over the picture
    flow = interpolate(flow, scale_factor=cell, mode="bilinear", align_corners=False)[0, :, :height, :width]
    return flow.permute(1, 2, 0).contiguous()


def improve(a: Tensor, b: Tensor, plain: Tensor, estimator: Estimator, still: bool, where: str) -> Tensor:
    """Per pixel the best of the plain estimate, the coarse match refined, and (``still``) no motion.

    Args:
        a, b: pictures of one size.
        plain: the estimator's flow from ``a`` to ``b``.
        still: whether standing still is worth a try; helps with drawn backgrounds, hurts with a moving camera.
        where: for messages.
    Returns:
        ``[H, W, 2]``.
    Raises:
        InputError: what the estimator returns is no flow field.
    """
    coarse = coarse_flow(a, b)
    moved = warp_bicubic(b, coarse).clamp(0, 1)
    rest = estimated(estimator, a, moved, where)
    refined = rest + warp(coarse, rest)
    candidates = [plain, refined] + [torch.zeros_like(plain)] * still
    costs = torch.stack([_mismatch(a, b, flow) for flow in candidates])
    if not still:  # where both fit, a change from one to the other is a fault of its own
        costs[0] = costs[0] * _CLEARLY - _MARGIN
    best = costs.min(0).indices[..., None]
    out = plain
    for number, flow in enumerate(candidates[1:], 1):
        out = torch.where(best == number, flow, out)
    return out


def _descriptors(picture: Tensor, cell: int) -> Tensor:
    """``[rows, columns, D]``: colour (Lab, lightness halved) and outline distance of a cell, blurred, and around it."""
    import cv2

    pixels = picture.clamp(0, 1).numpy()
    lab = torch.from_numpy(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)) / 100 * torch.tensor([0.5, 1, 1])
    outlines = cv2.Canny((pixels * 255).round().astype("uint8"), 60, 120)
    far = cv2.distanceTransform(255 - outlines, cv2.DIST_L2, 3)
    far = (torch.from_numpy(far) / (2 * cell)).clamp(0, 1)[..., None] * 0.3
    layers = torch.cat([lab, far], 2).permute(2, 0, 1)[None]
    height, width = picture.shape[:2]
    layers = pad(layers, (0, -width % cell, 0, -height % cell), "replicate")
    cells = avg_pool2d(layers, cell)
    parts = [cells]
    for radius in (1, 2, 4):
        parts.append(avg_pool2d(pad(cells, (radius,) * 4, "replicate"), 2 * radius + 1, 1))
    wide = pad(cells, (3,) * 4, "replicate")
    rows, columns = cells.shape[2:]
    parts += [wide[:, :, 3 + dy: 3 + dy + rows, 3 + dx: 3 + dx + columns] for dx, dy in _AROUND]
    return torch.cat(parts, 1)[0].permute(1, 2, 0)


def _agrees(flow: Tensor, mutual: Tensor) -> Tensor:
    """Is the match within two cells of the median of the mutual matches in 5 x 5 cells? ``bool [rows, columns]``."""
    rows, columns = mutual.shape
    known = torch.where(mutual[..., None], flow, torch.nan).permute(2, 0, 1)
    known = pad(known, (2,) * 4, value=torch.nan).unfold(1, 5, 1).unfold(2, 5, 1).reshape(2, rows, columns, 25)
    median = known.nanmedian(3).values.permute(1, 2, 0)
    return (flow - median).norm(dim=2) <= 2  # false where the median is NaN


def _mismatch(a: Tensor, b: Tensor, flow: Tensor) -> Tensor:
    """How badly ``b`` fetched along the flow fits ``a``: colour difference, clamped and blurred, ``[H, W]``."""
    import cv2

    cost = (a - warp(b, flow)).abs().mean(2).clamp(max=0.2)
    # wide enough to reach the outlines: inside a flat shape every flow fits
    return torch.from_numpy(cv2.GaussianBlur(cost.numpy(), (0, 0), max(1.0, a.shape[1] / 100)))

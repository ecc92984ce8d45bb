"""Flow's picture where its motion can be believed, Kontext's where it is torn."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...common import Picture
from ...flow import FramePair, Motion, consistent, prepare_pair

_AROUND = 0.09  # of the width: how far around what is torn the picture is new; a limb that swings is missing there
_SOFT = 3  # pixels over which one passes into the other


def mended(made: Picture, moved: Picture, new: torch.Tensor) -> tuple[Picture, float]:
    """Kontext's picture on the one flow made of the ends, `moved`: where `new` (see torn) is 0, flow's pixels stay.
    And how far Kontext's was off there, 0..1 (mean difference; 0 where nothing stays)."""
    kept = new == 0
    off = float((made - moved)[kept].abs().mean()) if kept.any() else 0.0
    return torch.lerp(moved, made, new[..., None]), off


def torn(pair: FramePair, part: float) -> torch.Tensor:
    """How much a new picture is needed at each place, float32 [H, W]: 1 where the motion of the pair, brought to `part`
    (0..1) of the way, does not agree with itself, and around it; 0 far from that and inside the figure where it does
    agree. 1 everywhere where no motion is known."""
    motion = pair.motion
    if motion is None or pair.report.decision not in ("splat", "project"):
        return torch.ones(pair.a.shape[:2])
    agrees = consistent(motion.forward, motion.backward), consistent(motion.backward, motion.forward)
    width = round(_AROUND * pair.a.shape[1])
    new = _grown(1 - _at(*agrees, pair.report.decision, motion, part), width)
    if motion.figure is not None:
        inside = agrees[0] & motion.figure[0], agrees[1] & motion.figure[1]
        new = torch.minimum(new, 1 - _at(*inside, pair.report.decision, motion, part))
    return F.avg_pool2d(new[None, None], _SOFT, 1, _SOFT // 2, count_include_pad=False)[0, 0]


def _at(first: torch.Tensor, last: torch.Tensor, mode: str, motion: Motion, part: float) -> torch.Tensor:
    """Masks of both pictures, moved with them: 1 where all that arrives is in the mask, else 0."""
    pictures = (mask.float()[..., None].expand(-1, -1, 3).contiguous() for mask in (first, last))
    return (prepare_pair(*pictures, mode=mode, motion=motion).at(part)[..., 0] > 0.9).float()


def _grown(mask: torch.Tensor, by: int) -> torch.Tensor:
    """By so many pixels in each direction."""
    rows = F.max_pool2d(mask[None, None], (2 * by + 1, 1), 1, (by, 0))
    return F.max_pool2d(rows, (1, 2 * by + 1), 1, (0, by))[0, 0]

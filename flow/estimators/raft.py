"""RAFT as a flow estimator, from a weight file (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical
Flow", ECCV 2020). The network is torchvision's; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ..checks import WHERE
from ..weights import read_tensors, refused

_MOST_PIXELS = 1 << 20  # the table of all pairs is 1.4 GB then; larger pictures are estimated at a smaller size
_LEAST_SIDE = 128  # of RAFT's smallest feature map, times its stride
_FIRST_LAYER = "feature_encoder.convnormrelu.0.weight"


@dataclass(frozen=True)
class RaftFlow:
    """An ``Estimator``. Args: network: torchvision's RAFT in eval mode; device: called before each use, brings the
    network to the device that it names; updates: refinement steps."""

    network: nn.Module
    device: Callable[[], torch.device] = lambda: torch.device("cpu")
    updates: int = 12

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Flow from ``a`` to ``b``, ``float32 [H, W, 2]``."""
        device = self.device()
        images = torch.stack([a, b]).permute(0, 3, 1, 2).to(device) * 2 - 1
        height, width = a.shape[:2]
        smaller = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
        if smaller < 1:
            size = round(height * smaller), round(width * smaller)
            images = interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        high, wide = images.shape[2:]
        more_high, more_wide = (max(_LEAST_SIDE, -(-side // 8) * 8) - side for side in (high, wide))
        images = pad(images, (0, more_wide, 0, more_high), mode="replicate")
        with torch.no_grad():
            flow = self.network(images[:1], images[1:], num_flow_updates=self.updates)[-1]
        flow = flow[:, :, :high, :wide].float()
        if smaller < 1:
            flow = interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
            flow = flow * flow.new_tensor([width / wide, height / high])[:, None, None]
        return flow[0].permute(1, 2, 0).cpu().contiguous()


def load_raft(path: Path, where: str = WHERE) -> nn.Module:
    """RAFT large or small from a file with torchvision's tensor names, in eval mode on the CPU.

    Args:
        path: ``.safetensors``, or a ``.pth`` or ``.pt`` of plain tensors (no code is run while reading it).
        where: for messages.
    Raises:
        InputError: a file that cannot be read, or does not hold RAFT.
    """
    from torchvision.models.optical_flow import raft_large, raft_small

    state = read_tensors(path, "RAFT", where)
    first = state.get(_FIRST_LAYER)
    if first is None:
        original = any("fnet.conv1" in name for name in state)
        remedy = ("it has the names of the original release; use torchvision's raft_large or raft_small" if original
                  else "use torchvision's raft_large or raft_small")
        raise refused(path, where, f"holds no RAFT of torchvision: there is no {_FIRST_LAYER}", remedy)
    network = (raft_large if first.shape[0] == 64 else raft_small)(weights=None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise refused(path, where, f"does not fit RAFT ({problem})", "use torchvision's raft_large or raft_small"
                      ) from error
    return network.eval().requires_grad_(False)

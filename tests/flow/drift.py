"""A drift of colours, as video models have it."""

import torch

GAIN, OFFSET = torch.tensor([0.9, 1.06, 0.97]), torch.tensor([0.03, -0.02, 0.02])


def drifted(picture: torch.Tensor, share: float = 1.0) -> torch.Tensor:
    """A picture with a share of the drift."""
    return (picture * (1 + share * (GAIN - 1)) + share * OFFSET).clamp(0, 1)

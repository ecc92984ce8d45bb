"""What the package works on: pictures and flow fields, other sizes of them, and small measures of both.

A *picture* is ``torch.float32 [H, W, 3]`` in 0..1 on the CPU. A *flow field* from A to B is ``torch.float32 [H, W, 2]``
in pixels, x (right) then y (down): what is at pixel p of A is at ``p + flow[p]`` in B.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .checks import MIN_SIDE

WIDE = 1280  # pixels; motion in wider pictures is looked for at half size, where DIS computes at a quarter,
COARSER = 4  # and worked on at this part of it
_OUTLINED_WIDTH = 640  # pixels; drawings that were enlarged have soft outlines


def is_wide(values: Tensor) -> bool:
    """Is a picture or flow ``[H, W, ...]`` so wide that motion is looked for at half size? Not if half were too low."""
    return values.shape[1] > WIDE and values.shape[0] >= 2 * MIN_SIDE


def shrunk(values: Tensor, part: int) -> Tensor:
    """A picture at half size (``part`` 2), a quarter of it (4), ..., rounded down, by area."""
    import cv2

    size = (values.shape[1] // part, values.shape[0] // part)
    return torch.from_numpy(cv2.resize(values.numpy(), size, interpolation=cv2.INTER_AREA))


def resized_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """A flow field brought to another size, its vectors with it; itself at its own."""
    import cv2

    if flow.shape[:2] == (height, width):
        return flow

    filtering = cv2.INTER_AREA if width < flow.shape[1] else cv2.INTER_LINEAR
    larger = torch.tensor([width / flow.shape[1], height / flow.shape[0]], dtype=flow.dtype)
    return torch.from_numpy(cv2.resize((flow * larger).numpy(), (width, height), interpolation=filtering))


def resized_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask ``bool [H, W]`` brought to another size: what is covered by more than half."""
    import cv2

    return torch.from_numpy(cv2.resize(mask.float().numpy(), (width, height), interpolation=cv2.INTER_LINEAR)) > 0.5


def in_order(a: Tensor, b: Tensor) -> bool:
    """Which of two pictures is worked on as the first one; ``in_order(b, a)`` is the opposite unless they are equal."""
    for row_a, row_b in zip(a, b, strict=True):
        if not torch.equal(row_a, row_b):
            first_difference = (row_a != row_b).reshape(-1).nonzero()[0]
            return bool(row_a.reshape(-1)[first_difference] < row_b.reshape(-1)[first_difference])
    return True


def flat_share(picture: Tensor) -> float:
    """Share of pixels (0..1) less than 2/255 from their right and lower neighbours: high on flat cartoons.

    Measured on about 256 evenly spaced rows of a larger picture.
    """
    step = max(1, picture.shape[0] // 256)
    here, below = picture[:-1:step], picture[1::step]
    right = (here[:, 1:] - here[:, :-1]).abs().amax(2)
    lower = (below[:, :-1] - here[:, :-1]).abs().amax(2)
    return (torch.maximum(right, lower) < 2 / 255).double().mean().item()


def steps(picture: Tensor) -> tuple[Tensor, Tensor]:
    """How far the colour is from that of the right and of the lower neighbour, of the channels the most;
    ``[H - 1, W - 1]`` each."""
    here = picture[:-1, :-1]
    return (picture[:-1, 1:] - here).abs().amax(2), (picture[1:, :-1] - here).abs().amax(2)


def is_outlined(picture: Tensor) -> bool:
    """Are the gradients of a picture those of outlines: most pixels with one within 8 pixels of a strong one (wide
    pictures brought to 640 pixels)?

    A smooth surface in a compressed video is as flat as a drawing, but its gradients are weak and anywhere.
    """
    import cv2

    pixels = picture.numpy()
    scale = max(_OUTLINED_WIDTH / pixels.shape[1], 2 / pixels.shape[0])  # a step needs two rows
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    step = torch.maximum(*steps(torch.from_numpy(pixels))).numpy()
    near = cv2.dilate((step >= 24 / 255).astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    uneven = step >= 2 / 255
    return bool(np.count_nonzero(uneven & near) >= 0.6 * np.count_nonzero(uneven))


def is_flat(a: Tensor, b: Tensor) -> bool:
    """Are both pictures flat drawings: more than 60 % of the pixels without a gradient, the others at outlines?"""
    return (flat_share(a) + flat_share(b)) / 2 > 0.6 and is_outlined(a) and is_outlined(b)


def background_flow(flow: Tensor) -> Tensor:
    """The motion of most of the picture, ``[2]``: the median of each component."""
    # contiguous: of an expanded tensor PyTorch's median is arbitrary memory
    return flow.reshape(-1, 2).contiguous().median(0).values

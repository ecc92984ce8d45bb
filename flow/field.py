"""What the package works on: pictures and flow fields, their checks, and small measures of both.

A *picture* is ``torch.float32 [H, W, 3]`` in 0..1 on the CPU. A *flow field* from A to B is ``torch.float32 [H, W, 2]``
in pixels, x (right) then y (down): what is at pixel p of A is at ``p + flow[p]`` in B.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MIN_SIDE = 16  # pixels; below this DIS has no room for one pyramid level of 8-pixel patches
WIDE = 1280  # pixels; motion in wider pictures is looked for at half size, where DIS computes at a quarter,
COARSER = 4  # and worked on at this part of it
_OUTLINED_WIDTH = 640  # pixels; drawings that were enlarged have soft outlines
_RANGE_SLACK = 1e-3  # rounding of encoders; a picture in 0..255 or -1..1 is far outside


class FlowError(ValueError):
    """A picture or a setting that cannot be used; ``str()`` is one line with the remedy."""


def check_picture(picture: Tensor, name: str = "picture") -> None:
    """Refuse what is not a picture.

    Args:
        picture: ``float32 [H, W, 3]`` in 0..1, on the CPU, both sides at least 16 pixels.
        name: how the message calls it.
    Raises:
        FlowError: in any other case, alpha channels and NaN included.
    """
    if not isinstance(picture, Tensor) or picture.ndim != 3:
        shape = list(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
        raise FlowError(f"{name}: expected one picture [height, width, 3], got {shape}; pass pictures one by one")
    height, width, channels = picture.shape
    if channels == 4:
        raise FlowError(f"{name}: has an alpha channel; put it on a background first")
    if channels != 3:
        raise FlowError(f"{name}: has {channels} channels; convert it to RGB")
    if min(height, width) < MIN_SIDE:
        raise FlowError(f"{name}: is {width}x{height}; both sides must be at least {MIN_SIDE} pixels")
    if picture.dtype != torch.float32 or picture.device.type != "cpu":
        kind = f"{str(picture.dtype).removeprefix('torch.')} on {picture.device}"
        raise FlowError(f"{name}: is {kind}; convert it to float32 in 0..1 on the CPU")
    low, high = (value.item() for value in picture.aminmax())
    if not (low > float("-inf") and high < float("inf")):  # also false for NaN, which aminmax() hands on
        raise FlowError(f"{name}: contains NaN or infinity; the step that made it went wrong")
    if low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK:
        raise FlowError(f"{name}: values are {low:.3g}..{high:.3g}; scale them to 0..1")


def check_pair(a: Tensor, b: Tensor, names: tuple[str, str] = ("first picture", "second picture")) -> None:
    """Two pictures of one size, else a ``FlowError``."""
    check_picture(a, names[0])
    check_picture(b, names[1])
    if a.shape != b.shape:
        sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in (a, b)]
        raise FlowError(f"{names[1]}: is {sizes[1]}, {names[0]} is {sizes[0]}; bring them to one size first")


def check_masks(masks: tuple[Tensor, Tensor] | None, picture: Tensor) -> None:
    """None, or two masks ``bool [H, W]`` of the picture's size, else a ``FlowError``."""
    if masks is None:
        return
    if not isinstance(masks, (tuple, list)) or len(masks) != 2:
        raise FlowError("figure: expected two masks, of the first and of the second picture")
    for mask in masks:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != picture.shape[:2]:
            kind = f"{list(mask.shape)} {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
            raise FlowError(f"figure: expected masks of bool {list(picture.shape[:2])}, got {kind}")


def check_flow(flow: Tensor, name: str = "flow", remedy: str = "estimate it again") -> None:
    """A finite ``[H, W, 2]`` floating-point tensor, else a ``FlowError``, which says ``remedy`` if it is not finite."""
    if not isinstance(flow, Tensor) or flow.ndim != 3 or flow.shape[2] != 2 or not flow.is_floating_point():
        shape = list(flow.shape) if isinstance(flow, Tensor) else type(flow).__name__
        raise FlowError(f"{name}: expected a flow field [height, width, 2] of floats, got {shape}")
    if not torch.isfinite(flow.sum()) and not torch.isfinite(flow).all():  # a finite sum says all, and quickly
        raise FlowError(f"{name}: contains NaN or infinity; {remedy}")


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

    way = cv2.INTER_AREA if width < flow.shape[1] else cv2.INTER_LINEAR
    larger = torch.tensor([width / flow.shape[1], height / flow.shape[0]], dtype=flow.dtype)
    return torch.from_numpy(cv2.resize((flow * larger).numpy(), (width, height), interpolation=way))


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
    return flow.reshape(-1, 2).median(0).values

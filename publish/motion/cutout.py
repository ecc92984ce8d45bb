"""Cutting a subject out of its picture: a plain background by its colour, any other by a mask.

A cut-out is a picture with alpha, ``float32 [H, W, 4]`` in 0..1, its colours not multiplied by alpha.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ...common import InputError, check_picture

_PLAIN = 0.6  # of the border must have the background's colour
_EDGE = 1  # pixels at the outline that may be a mixture of subject and background
LEAST_VISIBLE = 0.001  # of a picture's pixels: a cut-out with less of them left shows nothing
_WHOLE = 0.9  # from this share on a pixel is the subject's alone: noise must not make it transparent


def key_border(picture: Tensor, tolerance: float, where: str, name: str = "picture") -> Tensor:
    """Make the plain background transparent: what has the border's colour and hangs together with the border.

    At the outline alpha is the share of the subject in the mixture, and the background's part of the colour is taken
    out. Places of the background that the subject encloses stay: nothing tells them from the subject.

    Args:
        picture: ``float32 [H, W, 3]`` in 0..1.
        tolerance: largest difference of a channel, 0..1, that still counts as the background's colour.
        where, name: for the message.
    Raises:
        InputError: what is no picture, or less than 60 % of the border has one colour.
    """
    import cv2

    check_picture(picture, where, name)
    border = torch.cat([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour = border.median(0).values
    if ((border - colour).abs().amax(1) <= tolerance).double().mean() < _PLAIN:
        raise InputError(where, name, "border", "is not of one colour: nothing tells the background from the subject",
                         "ask for a plain background, raise the tolerance, or connect a mask")
    distance = (picture - colour).abs().amax(2)
    alike = torch.nn.functional.pad((distance <= tolerance).byte(), (1, 1, 1, 1), value=1)
    labels = torch.from_numpy(cv2.connectedComponents(alike.numpy(), connectivity=4)[1])
    background = (labels == labels[0, 0])[1:-1, 1:-1]
    window = 2 * _EDGE + 1

    def widest(values: Tensor) -> Tensor:
        return max_pool2d(values[None, None], window, 1, _EDGE)[0, 0]

    outline = (widest(background.float()) > 0) & ~background
    share = (distance / (_WHOLE * widest(distance)).clamp_min(1e-6)).clamp(0, 1)
    alpha = torch.where(background, 0.0, torch.where(outline, share, 1.0))[..., None]
    clean = (picture - (1 - alpha) * colour) / alpha.clamp_min(1 / 255)
    return torch.cat([torch.where(alpha > 0, clean, picture).clamp(0, 1), alpha], 2)


def visible_share(picture: Tensor) -> float:
    """Share of the pixels, 0..1, that are more than half opaque; 1 for a picture without alpha."""
    return (picture[..., 3] > 0.5).double().mean().item() if picture.shape[2] == 4 else 1.0


def check_visible(shares: Sequence[float], where: str, field: str, value: str, remedy: str) -> None:
    """Refuse cut-outs of which nothing is left in any picture; one that is empty for some of its time is fine.

    Args:
        shares: ``visible_share`` of each picture.
        where, field, value, remedy: for the message.
    Raises:
        InputError: every share is below 0.1 %.
    """
    if shares and max(shares) < LEAST_VISIBLE:
        raise InputError(where, field, value, "leaves nothing to be seen: all of every picture would be transparent",
                         remedy)


def with_mask(picture: Tensor, mask: Tensor) -> Tensor:
    """Keep what the mask selects; of a cut-out, what is transparent stays so.

    Args:
        picture: ``float32 [H, W, 3]``, or a cut-out.
        mask: ``[h, w]``, 1 = keep, of any size; stretched to the picture's.
    """
    mask = mask.float()[None, None]
    if mask.shape[2:] != picture.shape[:2]:
        mask = interpolate(mask, size=picture.shape[:2], mode="bilinear", align_corners=False)
    alpha = mask[0, 0, ..., None].clamp(0, 1)
    return torch.cat([picture[..., :3], alpha * picture[..., 3:] if picture.shape[2] == 4 else alpha], 2)

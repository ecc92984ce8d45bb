"""Pictures brought to one canvas, and a canvas into a model's frame. Nothing is lost silently: each step says itself.

*pad* keeps every pixel and puts black bars beside it; *crop* keeps the middle and has no bars. A difference of shape of
up to 2 %, as a grid of whole tokens makes it, is stretched, which is what Wan's own code does.
"""

from __future__ import annotations

import torch

from ...common import Box, InputError, Picture, scaled

FITS = ("pad", "crop")
_STRETCH = 0.02  # difference of shape that is stretched
Size = tuple[int, int]  # (width, height) in pixels


def check_fit(fit: str, where: str) -> None:
    """Raises InputError for a way of fitting that there is not."""
    if fit not in FITS:
        raise InputError(where, "fit", fit, "is unknown", f"use one of {', '.join(FITS)}")


def is_near(one: Size, other: Size) -> bool:
    """Are two shapes so near that one is stretched to the other?"""
    a, b = one[0] * other[1], other[0] * one[1]
    return max(a, b) <= (1 + _STRETCH) * min(a, b)


def middle_box(size: Size, shape: Size) -> Box:
    """The largest box of that shape in the middle of a picture of ``size``, in whole pixels."""
    width = min(size[0], max(1, round(size[1] * shape[0] / shape[1])))
    height = min(size[1], max(1, round(size[0] * shape[1] / shape[0])))
    return Box.of_size((size[0] - width) // 2, (size[1] - height) // 2, width, height)


def cut(picture: Picture, box: Box) -> Picture:
    """The part of a picture in a box of whole pixels."""
    left, top, right, bottom = map(int, box)
    return picture[top:bottom, left:right]


def framed(picture: Picture, size: Size, box: Box) -> Picture:
    """A picture scaled to a box (whole pixels) of a black frame of ``size``."""
    inside = scaled(picture, int(box.width), int(box.height))
    if (box.width, box.height) == size:
        return inside
    frame = torch.zeros(size[1], size[0], 3)
    cut(frame, box).copy_(inside)
    return frame


def on_canvas(picture: Picture, size: Size, fit: str) -> tuple[Picture, str]:
    """A picture on a canvas of ``size``, and what was done to it in words, "" if nothing.

    A picture of that size is handed on as it is, and one that is cropped to exactly that size keeps its pixels.
    """
    own = picture.shape[1], picture.shape[0]
    if own == size:
        return picture, ""
    if is_near(own, size):
        done = filter(None, (f"{_words(own)} scaled to {_words(size)}", stretch(own, size)))
        return scaled(picture, *size), ", ".join(done)
    if fit == "crop":
        box = middle_box(own, size)
        kept = int(box.width), int(box.height)
        done = f"{_words(own)} cropped to {_words(kept)}, {_lost(own, kept)}"
        done += "" if kept == size else f", scaled to {_words(size)}"
        return scaled(cut(picture, box), *size).contiguous(), done
    box = middle_box(size, own)
    bars = "left and right" if box.width < size[0] else "above and below"
    return framed(picture, size, box), f"{_words(own)} put into {_words(size)} with black bars {bars}"


def stretch(own: Size, size: Size) -> str:
    """By how much a picture gets wider or narrower from one size to the other, in words; "" if under 0.05 %."""
    share = size[0] * own[1] / (size[1] * own[0]) - 1
    return f"{abs(share):.1%} {'wider' if share > 0 else 'narrower'}" if abs(share) >= 0.0005 else ""


def _words(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _lost(own: Size, kept: Size) -> str:
    if kept[0] < own[0]:
        return f"{1 - kept[0] / own[0]:.0%} of its width lost, left and right"
    return f"{1 - kept[1] / own[1]:.0%} of its height lost, above and below"

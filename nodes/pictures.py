"""Between ComfyUI's IMAGE batches and the pack's pictures (`float32 [H, W, 3]` in 0..1 on the CPU)."""

from __future__ import annotations

import torch

from ..kontext import InputError


def one_picture(image: torch.Tensor, where: str, field: str) -> torch.Tensor:
    """The only picture of an IMAGE, without alpha (over white). Several pictures are an error: which one is meant?"""
    if image.shape[0] != 1:
        raise InputError(where, field, f"{image.shape[0]} pictures", "is a batch, and one picture is needed",
                         "pick one with the Image From Batch node")
    return as_pictures(image, where, field)[0]


def as_pictures(image: torch.Tensor, where: str, field: str) -> list[torch.Tensor]:
    """All pictures of an IMAGE, without alpha (over white). The IMAGE itself is left as it is: it is the cache's."""
    image = image.detach().to("cpu", torch.float32)
    if not torch.isfinite(image).all():
        raise InputError(where, field, "picture", "holds values that are no numbers (NaN)",
                         "look at the node that made it: it went wrong there")
    channels = image.shape[-1]
    if channels == 1:
        image = image.expand(*image.shape[:-1], 3)
    elif channels == 4:
        colour, alpha = image[..., :3], image[..., 3:]
        image = colour * alpha + (1 - alpha)
    elif channels != 3:
        raise InputError(where, field, f"{channels} channels", "is no picture", "connect an RGB or RGBA picture")
    return list(image.clamp(0, 1))


def as_image(picture: torch.Tensor) -> torch.Tensor:
    """One picture as an IMAGE."""
    return picture.unsqueeze(0)

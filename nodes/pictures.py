"""Between ComfyUI's IMAGE batches and the pack's pictures (`float32 [H, W, 3]` in 0..1 on the CPU)."""

from __future__ import annotations

from collections.abc import Sequence

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


class Frames(Sequence):
    """All pictures of a list of IMAGE batches, each converted when it is asked for: a long clip is not held twice.

    Sizes and values are checked at once. With `alpha`, a picture that has an alpha channel keeps it (`[H, W, 4]`).
    """

    def __init__(self, images: list[torch.Tensor], where: str, field: str, at_least: int = 1, alpha: bool = False):
        self._frames = [frame for batch in images for frame in batch]
        self._where, self._field, self._alpha = where, field, alpha
        if len(self._frames) < at_least:
            raise InputError(where, field, f"{len(self._frames)} pictures", f"are too few, {at_least} are needed",
                             "connect a batch, or join pictures with Batch Images")
        self.height, self.width = self._frames[0].shape[:2]
        for number, frame in enumerate(self._frames, 1):
            height, width = frame.shape[:2]
            if (height, width) != (self.height, self.width):
                raise InputError(where, field, f"picture {number}",
                                 f"is {width}x{height}, picture 1 is {self.width}x{self.height}",
                                 "bring them to one size with Upscale Image, or crop them")
            if not torch.isfinite(frame).all():
                raise InputError(where, field, f"picture {number}", "holds values that are no numbers (NaN)",
                                 "look at the node that made it: it went wrong there")

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> torch.Tensor:
        frame = self._frames[index]
        if self._alpha and frame.shape[-1] == 4:
            return frame.detach().to("cpu", torch.float32).clamp(0, 1)
        return self.opaque(index)

    def opaque(self, index: int) -> torch.Tensor:
        """The picture without alpha, over white."""
        return as_pictures(self._frames[index][None], self._where, self._field)[0]


def mask_for_each(
    masks: list[torch.Tensor] | None, frames: Frames, where: str, field: str
) -> list[torch.Tensor] | None:
    """A list of MASK batches as masks `bool [H, W]`, white is True, one for each picture; None if none is connected."""
    if not masks:
        return None
    found = [one.detach().cpu() > 0.5 for batch in masks for one in batch.reshape(-1, *batch.shape[-2:])]
    if len(found) != len(frames):
        raise InputError(where, field, f"{len(found)} masks", f"do not match the {len(frames)} pictures",
                         "connect one mask for each picture, as a batch or a list")
    for number, mask in enumerate(found, 1):
        height, width = mask.shape
        if (height, width) != (frames.height, frames.width):
            raise InputError(where, field, f"mask {number}",
                             f"is {width}x{height}, the pictures are {frames.width}x{frames.height}",
                             "take the masks of these very pictures, or bring them to one size")
    if not any(mask.any() for mask in found):  # what Load Image gives for a picture without alpha
        raise InputError(where, field, "all black", "shows no figure in any picture",
                         "connect masks in which the figure is white, or none")
    return found


def resized(picture: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """A picture `[H, W, 3 or 4]` at another size; itself at its own. Hidden colours do not bleed into alpha's edge."""
    if (picture.shape[1], picture.shape[0]) == (width, height):
        return picture
    if picture.shape[2] == 4:
        picture = torch.cat([picture[..., :3] * picture[..., 3:], picture[..., 3:]], 2)
    scaled = torch.nn.functional.interpolate(picture.permute(2, 0, 1)[None], (height, width), mode="bicubic",
                                             align_corners=False, antialias=True)[0].permute(1, 2, 0).clamp(0, 1)
    if scaled.shape[2] == 4:
        scaled = torch.cat([(scaled[..., :3] / scaled[..., 3:].clamp_min(1e-4)).clamp(0, 1), scaled[..., 3:]], 2)
    return scaled.contiguous()

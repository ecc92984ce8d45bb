"""Between ComfyUI's IMAGE batches and the pack's pictures (`float32 [H, W, 3]` in 0..1 on the CPU).

Every IMAGE a node of the pack takes comes through here and is checked before anything is clamped or converted. It comes
with no colour profile: ComfyUI has none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from ..common import InputError, check_values, scaled
from ..flow import multiplied, separated

log = logging.getLogger("kontinuity")

OVER_WHITE = "Transparent parts of the pictures were laid over white."


def one_picture(image: torch.Tensor, where: str, field: str) -> torch.Tensor:
    """The only picture of an IMAGE, without alpha (over white). Several pictures are an error: which one is meant?"""
    _check_batch(image, where, field)
    if image.shape[0] != 1:
        raise InputError(where, field, f"{image.shape[0]} pictures", "is a batch, and one picture is needed",
                         "pick one with the Image From Batch node")
    return as_pictures(image, where, field)[0]


def as_pictures(image: torch.Tensor, where: str, field: str) -> list[torch.Tensor]:
    """All pictures of an IMAGE, without alpha (over white, and the log says so). The IMAGE itself is left as it is: it
    is the cache's. Raises InputError for what is no IMAGE."""
    _check_batch(image, where, field)
    if image.shape[0]:
        check_values(image, where, field, "picture")
    if _has_transparent_parts(image):
        log.warning("%s: %s: %s", where, field, OVER_WHITE)
    return list(_over_white(image))


def _check_batch(image: torch.Tensor, where: str, field: str) -> None:
    """Refuse what is no IMAGE `[N, H, W, 1, 3 or 4]`: nothing, another shape."""
    if not isinstance(image, torch.Tensor):
        raise InputError(where, field, "nothing" if image is None else type(image).__name__,
                         "came in place of a picture", "look at the node that is connected there: it gave none")
    shape = "x".join(map(str, image.shape))
    if image.ndim != 4 or 0 in image.shape[1:]:
        raise InputError(where, field, shape, "is no batch of pictures, height and width",
                         "look at the node that is connected there: its pictures must be [N, height, width, 3]")
    if image.shape[-1] not in (1, 3, 4):
        raise InputError(where, field, f"{image.shape[-1]} channels", "is no picture",
                         "connect an RGB or RGBA picture")


def _has_transparent_parts(image: torch.Tensor) -> bool:
    return image.shape[-1] == 4 and 0 not in image.shape and image[..., 3].min().item() < 1


def _over_white(image: torch.Tensor) -> torch.Tensor:
    image = image.detach().to("cpu", torch.float32).clamp(0, 1)
    if image.shape[-1] == 1:
        return image.expand(*image.shape[:-1], 3)
    if image.shape[-1] == 4:
        colour, alpha = image[..., :3], image[..., 3:]
        return colour * alpha + (1 - alpha)
    return image


def as_image(picture: torch.Tensor) -> torch.Tensor:
    """One picture as an IMAGE."""
    return picture.unsqueeze(0)


class Frames(Sequence):
    """All pictures of a list of IMAGE batches, each converted when it is asked for: a long clip is not held twice.

    Sizes and values are checked at once. With `alpha`, if some picture has an alpha channel, all are `[H, W, 4]`, with
    colours not multiplied by it; else all are `[H, W, 3]`, over white.

    Attributes: height, width, channels; note: a sentence for the report if transparency was lost, else "".
    """

    def __init__(self, images: list[torch.Tensor], where: str, field: str, at_least: int = 1, alpha: bool = False):
        for batch in images:
            _check_batch(batch, where, field)
        self._frames = [frame for batch in images for frame in batch]
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
            check_values(frame, where, field, f"picture {number}")
        self.channels = 4 if alpha and any(frame.shape[-1] == 4 for frame in self._frames) else 3
        self.note = ""
        if not alpha and any(map(_has_transparent_parts, self._frames)):
            self.note = OVER_WHITE
            log.warning("%s: %s: %s", where, field, OVER_WHITE)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> torch.Tensor:
        frame = self._frames[index]
        if self.channels == 3:
            return self.opaque(index)
        if frame.shape[-1] == 4:
            return frame.detach().to("cpu", torch.float32).clamp(0, 1)
        return torch.cat([self.opaque(index), torch.ones(self.height, self.width, 1)], 2)

    def opaque(self, index: int) -> torch.Tensor:
        """The picture without alpha, over white."""
        return _over_white(self._frames[index])


def masks_of(masks: list[torch.Tensor], where: str, field: str) -> list[torch.Tensor]:
    """All masks `[H, W]` of a list of MASK batches. Raises InputError for what is no MASK in 0..1."""
    for batch in masks:
        if not isinstance(batch, torch.Tensor) or batch.ndim < 2 or 0 in batch.shape[-2:]:
            given = "nothing" if batch is None else getattr(batch, "shape", type(batch).__name__)
            raise InputError(where, field, given, "came in place of a mask",
                             "look at the node that is connected there: it gave none")
        if batch.numel():
            check_values(batch.float(), where, field, "mask")
    return [mask.detach() for batch in masks for mask in batch.reshape(-1, *batch.shape[-2:])]


def mask_for_each(
    masks: list[torch.Tensor] | None, frames: Frames, where: str, field: str
) -> list[torch.Tensor] | None:
    """A list of MASK batches as masks `bool [H, W]`, white is True, one for each picture; None if none is connected."""
    if not masks:
        return None
    chosen = [mask.cpu() > 0.5 for mask in masks_of(masks, where, field)]
    if len(chosen) != len(frames):
        raise InputError(where, field, f"{len(chosen)} masks", f"do not match the {len(frames)} pictures",
                         "connect one mask for each picture, as a batch or a list")
    for number, mask in enumerate(chosen, 1):
        height, width = mask.shape
        if (height, width) != (frames.height, frames.width):
            raise InputError(where, field, f"mask {number}",
                             f"is {width}x{height}, the pictures are {frames.width}x{frames.height}",
                             "take the masks of these very pictures, or bring them to one size")
    if not any(mask.any() for mask in chosen):  # what Load Image gives for a picture without alpha
        raise InputError(where, field, "all black", "shows no figure in any picture",
                         "connect masks in which the figure is white, or none")
    return chosen


def resized(picture: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """A picture `[H, W, 3 or 4]` at another size; itself at its own. Hidden colours do not bleed into alpha's edge."""
    if (picture.shape[1], picture.shape[0]) == (width, height):
        return picture
    if picture.shape[2] == 4:
        return separated(scaled(multiplied(picture), width, height)).contiguous()
    return scaled(picture, width, height)

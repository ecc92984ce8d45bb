"""Is a tensor a picture? Asked here, before anything is clamped or converted: afterwards it is too late to tell."""

import math

import torch

from .errors import InputError

Picture = torch.Tensor  # float32 [height, width, 3], values 0..1, on the CPU

_OVERSHOOT = 0.5  # how far a value may lie outside 0..1 (a sharpening upscaler's ringing); beyond, it is another scale


def check_picture(picture: torch.Tensor, where: str, field: str) -> None:
    """Refuse what is no picture, floating [H, W, 3] in 0..1: None, a batch, alpha, no pixels, whole numbers, NaN,
    another scale. Raises InputError."""
    check_shape(picture, where, field)
    if not picture.numel():
        raise InputError(where, field, f"{picture.shape[1]}x{picture.shape[0]}", "has no pixels", "give a picture")
    check_values(picture, where, field)


def check_shape(picture: torch.Tensor, where: str, field: str) -> None:
    """Refuse what is no tensor [H, W, 3]. Raises InputError."""
    if not isinstance(picture, torch.Tensor):
        raise InputError(where, field, type(picture).__name__, "is not a torch tensor", "give a tensor [H, W, 3]")
    shape = "x".join(str(n) for n in picture.shape)
    if picture.dim() == 4:
        raise InputError(where, field, shape, "is a batch, not one picture", "pass its pictures one by one")
    if picture.dim() == 3 and picture.shape[2] == 4:
        raise InputError(where, field, shape, "has an alpha channel", "lay it over a plain background first")
    if picture.dim() != 3 or picture.shape[2] != 3:
        raise InputError(where, field, shape, "is not a picture of shape [H, W, 3]", "give height x width x 3 colours")


def check_values(values: torch.Tensor, where: str, field: str, name: str = "", overshoot: float = _OVERSHOOT) -> None:
    """Refuse whole numbers, NaN, and values more than `overshoot` outside 0..1, where something is. `name` is what the
    message shows in place of the values. Raises InputError."""
    if not values.dtype.is_floating_point:
        raise InputError(where, field, name or values.dtype, "holds whole numbers", "convert it to float32 in 0..1: "
                         "divide by 255")
    low, high = (value.item() for value in values.detach().aminmax())  # NaN anywhere makes both NaN
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(where, field, name or f"{low}..{high}", "holds values that are no numbers (NaN or infinite)",
                         "look at the node that made it; a broken VAE decode is the usual cause")
    if low < -overshoot or high > 1 + overshoot:
        raise InputError(where, field, name or f"{low:.4g}..{high:.4g}",
                         f"has values outside 0..1: {low:.4g}..{high:.4g}" if name else "has values outside 0..1",
                         "scale its values to 0..1: divide 0..255 by 255, tone-map HDR")


def scaled(picture: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """A picture `float32 [H, W, C]` in 0..1 at another size, bicubic and antialiased; itself at its own."""
    if (picture.shape[1], picture.shape[0]) == (width, height):
        return picture
    planes = torch.nn.functional.interpolate(picture.permute(2, 0, 1)[None], (height, width), mode="bicubic",
                                             align_corners=False, antialias=True)
    return planes[0].permute(1, 2, 0).clamp(0, 1).contiguous()

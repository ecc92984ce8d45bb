"""Picture sizes a FLUX model can make: multiples of 16 pixels within sane limits."""

from numbers import Integral

from .errors import InputError

MULTIPLE = 16  # pixels a token covers: 8 (VAE) x 2 (latent patch)
MIN_SIDE = 64  # pixels
MAX_SIDE = 4096  # pixels
MAX_AREA = 4 * 1024 * 1024  # pixels, 4 MP: four times what FLUX.1 Kontext was trained for


def is_whole(value: object) -> bool:
    """True for int and numpy integers, not for bool (True would pass for 1)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_size(width: int, height: int, where: str) -> None:
    """Refuse a size the model cannot make.

    Args:
        width, height: pixels; multiples of 16, 64..4096 a side, at most 4 MP (4,194,304 pixels) in all.
        where: who asks, for the message.

    Raises:
        InputError: names the side, what is wrong with it, and the nearest size that works.
    """
    for field, side in (("width", width), ("height", height)):
        if not is_whole(side):
            raise InputError(where, field, side, "is not a whole number of pixels", f"give a multiple of {MULTIPLE}")
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise InputError(where, field, side, f"is outside {MIN_SIDE}..{MAX_SIDE} pixels",
                             f"choose {min(max(side, MIN_SIDE), MAX_SIDE) // MULTIPLE * MULTIPLE}")
        if side % MULTIPLE:
            below = side // MULTIPLE * MULTIPLE
            raise InputError(where, field, side, f"is not a multiple of {MULTIPLE}",
                             f"choose {below} or {below + MULTIPLE}")
    if width * height > MAX_AREA:
        raise InputError(where, "width x height", f"{width}x{height}",
                         f"is {width * height / 2**20:.1f} MP, more than {MAX_AREA // 2**20} MP",
                         "choose a smaller width or height")

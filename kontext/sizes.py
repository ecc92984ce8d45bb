"""Picture sizes a FLUX model can make: multiples of 16 pixels within sane limits."""

from math import floor, log, sqrt
from numbers import Integral
from typing import TypeGuard

from ..common import InputError

MULTIPLE = 16  # pixels a token covers: 8 (VAE) x 2 (latent patch)
MIN_SIDE = 64  # pixels
MAX_SIDE = 4096  # pixels
MAX_AREA = 4 * 1024 * 1024  # pixels, 4 MP: four times what FLUX.1 Kontext was trained for

_AREA_SLACK = 0.05  # a size of whole tokens this close to the wanted area stays as it is
_AREA_WEIGHT = 0.5  # how much an area that is off counts against a shape that is off, both as logarithms


def is_whole(value: object) -> TypeGuard[int]:
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


def nearest_side(length: float) -> int:
    """The side in pixels nearest to a length that the model makes: a multiple of 16, at least 64. No upper limit."""
    return max(MIN_SIDE, round(length / MULTIPLE) * MULTIPLE)


def whole_size(width: float, height: float, area: int, shortest: int = MULTIPLE) -> tuple[int, int]:
    """The size in whole tokens that has the shape of a picture and about an area.

    Sides that are multiples of 16 are kept if their area is within 5 % of the wanted one, so a result that goes in
    again keeps its size, and so do the seventeen sizes FLUX.1 Kontext was trained in (672x1568, 688x1504, 720x1456,
    752x1392, 800x1328, 832x1248, 880x1184, 944x1104, their transposes and 1024x1024). Else shape and area are met as
    well as whole tokens allow: at a megapixel and up to 8:1 the shape is off by at most 1.2 %.

    Args:
        width, height: of the picture, or its shape in any unit; above 0.
        area: pixels wanted.
        shortest: no side gets shorter, a multiple of 16.

    Returns:
        (width, height) in pixels, multiples of 16.
    """
    size = _nearest_size(width, height, area, shortest)
    # Long shapes of few tokens are off by so much that the size found has a better one itself: go on until it is kept.
    while (again := _nearest_size(*size, area, shortest)) != size:
        size = again
    return size


def _nearest_size(width: float, height: float, area: int, shortest: int) -> tuple[int, int]:
    """whole_size in one step."""
    if width % MULTIPLE == height % MULTIPLE == 0 and abs(width * height / area - 1) <= _AREA_SLACK \
            and min(width, height) >= shortest:
        return int(width), int(height)
    shape = width / height

    def nearby(length: float) -> range:
        first = max(shortest // MULTIPLE, floor(length / MULTIPLE) - 2)
        return range(first, first + 6)

    def misfit(size: tuple[int, int]) -> tuple[float, int]:
        columns, rows = size
        off = abs(log(columns / rows / shape)) + _AREA_WEIGHT * abs(log(columns * rows * MULTIPLE**2 / area))
        return round(off, 9), columns * rows  # rounded, so that a transposed picture gets the transposed size

    columns, rows = min(((c, r) for c in nearby(sqrt(area * shape)) for r in nearby(sqrt(area / shape))), key=misfit)
    return columns * MULTIPLE, rows * MULTIPLE

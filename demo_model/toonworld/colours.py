"""Colours: the named ones that an instruction can ask for, and the continuous ranges that characters are drawn from."""

from __future__ import annotations

import colorsys
import math
import random

Colour = tuple[int, int, int]

PALETTE: dict[str, Colour] = {
    "red": (218, 44, 48),
    "orange": (248, 146, 32),
    "yellow": (250, 220, 60),
    "green": (48, 158, 76),
    "cyan": (64, 200, 222),
    "blue": (44, 80, 210),
    "purple": (142, 62, 188),
    "pink": (248, 132, 184),
    "brown": (122, 78, 46),
    "white": (244, 244, 240),
    "grey": (134, 138, 146),
    "black": (42, 40, 46),
}
_SKIN = ((255, 226, 204), (240, 190, 150), (205, 148, 102), (141, 90, 58), (96, 60, 40))  # along the natural range
_FANTASY_SKIN = ((140, 200, 120), (150, 190, 235), (210, 160, 220))


def darker(colour: Colour, factor: float = 0.5) -> Colour:
    """The colour scaled towards black; ``factor`` 0..1."""
    r, g, b = (int(channel * factor) for channel in colour)
    return r, g, b


def brightness(colour: Colour) -> float:
    """Luma, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def random_colour(rng: random.Random) -> Colour:
    """Every second one from ``PALETTE``, the others from everywhere in hue, saturation and value."""
    if rng.random() < 0.5:
        return PALETTE[rng.choice(tuple(PALETTE))]
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.98))
    r, g, b = (round(255 * channel) for channel in rgb)
    return r, g, b


def random_skin(rng: random.Random) -> Colour:
    """Anywhere along the natural range; one in eight from a fantasy world."""
    if rng.random() < 0.125:
        return rng.choice(_FANTASY_SKIN)
    place = rng.uniform(0, len(_SKIN) - 1.001)
    i, part = int(place), place % 1
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(_SKIN[i], _SKIN[i + 1], strict=True))
    return red, green, blue


def distance(a, b) -> float:
    """Root mean square over the three channels, 0..255."""
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / 3)


def nearest_name(colour) -> str:
    """The palette's name for a colour."""
    return min(PALETTE, key=lambda name: distance(PALETTE[name], colour))

"""Things that stand beside the figures and can be taken away."""

from __future__ import annotations

from collections.abc import Callable

from .canvas import Canvas
from .colours import Colour, darker
from .world import Prop

_GROUND = 0.9


def _ball(c: Canvas, x: float, colour: Colour) -> None:
    c.ellipse((x, _GROUND - 0.07), (0.075, 0.075), colour, True)
    c.stroke([(x - 0.06, _GROUND - 0.08), (x + 0.06, _GROUND - 0.06)], 0.018, (250, 250, 250))


def _balloon(c: Canvas, x: float, colour: Colour) -> None:
    c.stroke([(x, 0.3), (x + 0.015, 0.5)], 0.01, (70, 70, 80))
    c.ellipse((x, 0.2), (0.075, 0.095), colour, True)


def _cat(c: Canvas, x: float, colour: Colour) -> None:
    c.stroke([(x + 0.05, _GROUND - 0.02), (x + 0.1, _GROUND - 0.05), (x + 0.1, _GROUND - 0.13)], 0.025, colour, True)
    c.ellipse((x, _GROUND - 0.055), (0.06, 0.07), colour, True)
    for side in (-1, 1):
        c.polygon(
            [
                (x + side * 0.015, _GROUND - 0.19),
                (x + side * 0.055, _GROUND - 0.23),
                (x + side * 0.055, _GROUND - 0.15),
            ],
            colour,
            True,
        )
    c.ellipse((x, _GROUND - 0.15), (0.06, 0.05), colour, True)
    for side in (-1, 1):
        c.ellipse((x + side * 0.022, _GROUND - 0.15), (0.01, 0.013), (30, 30, 34))


def _plant(c: Canvas, x: float, colour: Colour) -> None:
    for dx, dy in ((-0.06, 0.2), (0.0, 0.25), (0.06, 0.2)):
        c.stroke([(x, _GROUND - 0.08), (x + dx, _GROUND - dy)], 0.045, (40, 130, 60), True)
    c.polygon(
        [(x - 0.06, _GROUND - 0.1), (x + 0.06, _GROUND - 0.1), (x + 0.045, _GROUND), (x - 0.045, _GROUND)], colour, True
    )


def _suitcase(c: Canvas, x: float, colour: Colour) -> None:
    c.ring((x, _GROUND - 0.12), (0.03, 0.03), 0.014, (60, 50, 50))
    c.box(x - 0.085, _GROUND - 0.12, x + 0.085, _GROUND, colour, True)
    c.box(x - 0.085, _GROUND - 0.075, x + 0.085, _GROUND - 0.055, darker(colour, 0.7))


_PAINTERS: dict[str, Callable[[Canvas, float, Colour], None]] = {
    "ball": _ball,
    "balloon": _balloon,
    "cat": _cat,
    "plant": _plant,
    "suitcase": _suitcase,
}


def draw_prop(c: Canvas, prop: Prop) -> None:
    """Draw a prop; ``prop.x`` is a fraction of the picture's width."""
    _PAINTERS[prop.kind](c, prop.x * c.aspect, prop.colour)


def extent(prop: Prop) -> tuple[float, float, float, float]:
    """An ellipse around it: centre x (of the width), centre y, radius x and y (of the height)."""
    y, radius = (0.23, 0.14) if prop.kind == "balloon" else (_GROUND - 0.1, 0.15)
    return prop.x, y, 0.12, radius

"""The ten scenes and the plain studio: a function each that paints a whole backdrop. Each has ``VARIATIONS`` layouts;
layout 0 has everything at its usual place. x runs from 0 to 1 over the width, whatever the picture's shape."""

from __future__ import annotations

import random
from collections.abc import Callable

from .canvas import Canvas
from .colours import Colour


class Layout:
    """What differs between the layouts of a scene: ``off(spread)`` moves things, ``tint`` changes colours; both always
    the same for the same scene and number."""

    def __init__(self, scene: str, variation: int):
        self._rng = random.Random(f"{scene}/{variation}")
        self._usual = variation == 0
        self._gains = [1.0 if self._usual else self._rng.uniform(0.86, 1.1) for _ in range(3)]

    def off(self, spread: float) -> float:
        """Somewhere in -spread .. spread; 0 in layout 0."""
        return 0.0 if self._usual else self._rng.uniform(-spread, spread)

    def tint(self, r: int, g: int, b: int) -> Colour:
        """The colour in this layout's light."""
        red, green, blue = (min(255, round(value * gain)) for value, gain in zip((r, g, b), self._gains, strict=True))
        return red, green, blue


def _beach(c: Canvas, v: Layout) -> None:
    horizon = 0.46 + v.off(0.06)
    c.box(0, 0, 1, 0.5, v.tint(150, 214, 250))
    c.ellipse((0.82 + v.off(0.1), 0.16 + v.off(0.05)), (0.1, 0.1), (255, 232, 110))
    c.box(0, horizon, 1, 0.72, v.tint(40, 140, 210))
    c.polygon([(0, 0.62 + v.off(0.04)), (1, 0.68 + v.off(0.04)), (1, 1), (0, 1)], v.tint(244, 218, 150))
    x = 0.2 + v.off(0.1)
    c.polygon([(x - 0.18, 0.62), (x, 0.24), (x + 0.18, 0.62)], v.tint(238, 90, 80))
    c.stroke([(x, 0.3), (x, 0.82)], 0.02, (150, 100, 60))


def _forest(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(190, 226, 180))
    c.box(0, 0.7 + v.off(0.04), 1, 1, v.tint(92, 150, 70))
    for x, height in ((0.1, 0.1), (0.36, 0.22), (0.66, 0.18), (0.92, 0.06)):
        x, height = x + v.off(0.06), height + v.off(0.06)
        c.box(x - 0.035, 0.5, x + 0.035, 0.78, (110, 74, 46))
        c.polygon([(x - 0.16, 0.6), (x, height), (x + 0.16, 0.6)], v.tint(34, 112, 62))


def _city(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(206, 216, 230))
    for x0, x1, top, colour in (
        (0.0, 0.22, 0.2, (120, 128, 150)),
        (0.24, 0.44, 0.36, (170, 110, 96)),
        (0.58, 0.78, 0.12, (98, 108, 136)),
        (0.8, 1.0, 0.3, (186, 150, 110)),
    ):
        top += v.off(0.1)
        c.box(x0, top, x1, 0.8, v.tint(*colour))
        for row in range(3):
            y = top + 0.07 + 0.13 * row
            c.box(x0 + 0.04, y, x1 - 0.04, y + 0.05, (250, 232, 150))
    c.box(0, 0.8, 1, 1, v.tint(94, 96, 104))
    c.box(0, 0.88, 1, 0.91, (236, 220, 120))


def _kitchen(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(250, 232, 206))
    c.box(0, 0.78, 1, 1, (176, 124, 84))
    cupboard, end = v.tint(128, 176, 172), 0.3 + v.off(0.05)
    c.box(0, 0.08, end, 0.32 + v.off(0.04), cupboard)
    c.box(0.0, 0.54, end + 0.02, 0.8, cupboard)
    c.box(0, 0.5, end + 0.04, 0.56, (90, 80, 76))
    x, y = 0.7 + v.off(0.05), 0.22 + v.off(0.06)
    c.box(x, y, 1, 0.84, (226, 232, 236))
    c.box(x, y + 0.24, 1, y + 0.27, (150, 160, 168))


def _snow(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(176, 206, 236))
    x, y = 0.24 + v.off(0.08), 0.18 + v.off(0.06)
    c.polygon([(x - 0.34, 0.72), (x, y), (x + 0.34, 0.72)], v.tint(116, 136, 170))
    c.polygon([(x - 0.11, y + 0.18), (x, y), (x + 0.11, y + 0.18)], (250, 250, 252))
    x, y = 0.8 + v.off(0.08), 0.3 + v.off(0.06)
    c.polygon([(x - 0.35, 0.72), (x, y), (x + 0.35, 0.72)], v.tint(92, 112, 150))
    c.polygon([(x - 0.1, y + 0.12), (x, y), (x + 0.1, y + 0.12)], (250, 250, 252))
    c.ellipse((0.5, 0.98), (0.9 * c.stretch, 0.34 + v.off(0.03)), (244, 248, 252))


def _desert(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(252, 200, 130))
    c.ellipse((0.2 + v.off(0.08), 0.2 + v.off(0.06)), (0.11, 0.11), (250, 120, 60))
    c.ellipse((0.8 + v.off(0.1), 0.84), (0.62 * c.stretch, 0.26), v.tint(222, 150, 76))
    c.ellipse((0.15 + v.off(0.1), 0.92), (0.66 * c.stretch, 0.26), v.tint(236, 172, 92))
    x = 0.85 + v.off(0.04)
    c.stroke([(x, 0.66), (x, 0.34)], 0.06, (70, 134, 70))
    c.stroke([(x, 0.54), (x + 0.1, 0.54), (x + 0.1, 0.42)], 0.045, (70, 134, 70))


def _night(c: Canvas, v: Layout) -> None:
    sky = v.tint(26, 30, 74)
    c.box(0, 0, 1, 1, sky)
    x, y = 0.8 + v.off(0.1), 0.18 + v.off(0.05)
    c.ellipse((x, y), (0.11, 0.11), (246, 240, 200))
    c.ellipse((x - 0.05, y - 0.02), (0.1, 0.1), sky)
    for sx, sy in ((0.1, 0.12), (0.3, 0.08), (0.16, 0.34), (0.92, 0.42), (0.55, 0.06)):
        c.ellipse((sx + v.off(0.05), sy + v.off(0.04)), (0.016, 0.016), (250, 244, 200))
    c.ellipse((0.25 + v.off(0.1), 0.95), (0.6 * c.stretch, 0.26), v.tint(30, 70, 66))
    c.ellipse((0.9 + v.off(0.1), 1.0), (0.5 * c.stretch, 0.28), v.tint(20, 50, 56))


def _underwater(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(30, 130, 180))
    c.box(0, 0, 1, 0.3 + v.off(0.08), v.tint(60, 170, 210))
    c.ellipse((0.5, 1.02), (0.9 * c.stretch, 0.2), v.tint(214, 196, 130))
    x = v.off(0.05)
    c.stroke([(x + 0.1, 0.95), (x + 0.14, 0.75), (x + 0.08, 0.55), (x + 0.12, 0.42)], 0.045, (40, 160, 90))
    x = v.off(0.05)
    c.stroke([(x + 0.9, 0.95), (x + 0.86, 0.78), (x + 0.92, 0.62)], 0.045, (230, 90, 120))
    x, y = 0.84 + v.off(0.06), 0.3 + v.off(0.1)
    c.ellipse((x, y), (0.09, 0.055), (250, 160, 50))
    c.polygon([(x + 0.07, y), (x + 0.15, y - 0.06), (x + 0.15, y + 0.06)], (250, 160, 50))


def _space(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(16, 10, 34))
    x, y = 0.14 + v.off(0.06), 0.22 + v.off(0.08)
    c.ellipse((x, y), (0.13, 0.13), v.tint(214, 120, 80))
    c.stroke([(x - 0.18, y + 0.06), (x + 0.18, y - 0.06)], 0.025, (240, 210, 150))
    c.ellipse((0.9, 0.5 + v.off(0.12)), (0.07, 0.07), (100, 150, 220))
    for sx, sy in ((0.42, 0.08), (0.7, 0.12), (0.86, 0.26), (0.06, 0.56), (0.94, 0.74)):
        c.ellipse((sx + v.off(0.05), sy + v.off(0.05)), (0.015, 0.015), (255, 255, 255))
    c.ellipse((0.5, 1.1), (0.8 * c.stretch, 0.34 + v.off(0.04)), v.tint(150, 150, 164))


def _classroom(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(232, 226, 196))
    c.box(0, 0.82, 1, 1, (150, 104, 66))
    low = 0.56 + v.off(0.05)
    c.box(0.08, 0.1, 0.92, low, (140, 92, 54))
    c.box(0.11, 0.13, 0.89, low - 0.03, v.tint(36, 84, 66))
    for y, end in ((0.2, 0.32), (0.28, 0.28)):
        c.stroke([(0.16, y), (end + v.off(0.06), y)], 0.016, (220, 230, 220))
    x = 0.74 + v.off(0.06)
    c.box(x, 0.66, 1, 0.72, (190, 140, 84))
    c.box(0.94, 0.7, 0.98, 0.9, (120, 80, 50))


def _studio(c: Canvas, v: Layout) -> None:
    c.box(0, 0, 1, 1, v.tint(222, 222, 226))
    c.box(0, 0.86, 1, 1, v.tint(200, 200, 206))


PAINTERS: dict[str, Callable[[Canvas, Layout], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "kitchen": _kitchen,
    "snow": _snow,
    "desert": _desert,
    "night": _night,
    "underwater": _underwater,
    "space": _space,
    "classroom": _classroom,
    "studio": _studio,
}


def paint(c: Canvas, scene: str, variation: int) -> None:
    """Paint a scene over the whole canvas."""
    c.stretch = c.aspect
    PAINTERS[scene](c, Layout(scene, variation))
    c.stretch = 1.0

"""Flat shapes on a supersampled canvas; positions are fractions of the picture, so a drawing has no resolution of its
own."""

from __future__ import annotations

import cv2
import numpy as np

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 2
_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 of a supersampled pixel, so figures can stand anywhere
OUTLINE = 0.011  # outline width as a fraction of the picture


def darker(colour: Colour, factor: float = 0.5) -> Colour:
    """The colour scaled towards black; ``factor`` 0..1."""
    return tuple(int(channel * factor) for channel in colour)


class Canvas:
    """A square picture being drawn, RGB.

    ``scale`` and ``origin`` say where shapes go: a point p lands at ``origin + scale * p`` (fractions of the picture).

    Args:
        pixels: supersampled ``uint8 [side, side, 3]`` to draw on; it is copied.
    """

    def __init__(self, pixels: np.ndarray):
        self.pixels = pixels.copy()
        self._side = pixels.shape[0]
        self.scale = 1.0
        self.origin: Point = (0.0, 0.0)

    @classmethod
    def blank(cls, size: int) -> Canvas:
        """A white canvas for a picture of ``size`` pixels a side."""
        side = size * SUPERSAMPLE
        return cls(np.full((side, side, 3), 255, np.uint8))

    def _fixed(self, points) -> np.ndarray:
        points = np.asarray(points, np.float64) * self.scale + self.origin
        return np.rint(points * (self._side * (1 << _SHIFT))).astype(np.int32)

    def _length(self, value: float) -> int:
        return max(1, int(round(value * self.scale * self._side)))

    def polygon(self, points, colour: Colour, outline: bool = False) -> None:
        """A filled polygon; ``points`` [[x, y], ...]. The outline is the same colour, darker."""
        fixed = self._fixed(points)
        cv2.fillPoly(self.pixels, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if outline:
            cv2.polylines(self.pixels, [fixed], True, darker(colour), self._length(OUTLINE), cv2.LINE_AA, _SHIFT)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, outline: bool = False) -> None:
        """An axis-parallel filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, outline)

    def ellipse(
        self, centre: Point, radii: Point, colour: Colour, outline: bool = False, start: float = 0.0, end: float = 360.0
    ) -> None:
        """A filled ellipse or, with ``start``/``end`` in degrees (clockwise from the right), a segment of one."""
        angles = np.radians(np.linspace(start, end, 25 if end - start < 360 else 33))
        points = np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], 1)
        self.polygon(points, colour, outline)

    def stroke(self, points, width: float, colour: Colour, outline: bool = False) -> None:
        """A thick line with round ends through ``points``; an outlined one is drawn twice, the wider one first."""
        fixed = self._fixed(points)
        if outline:
            cv2.polylines(
                self.pixels,
                [fixed],
                False,
                darker(colour),
                self._length(width + 2 * OUTLINE * 0.7),
                cv2.LINE_AA,
                _SHIFT,
            )
        cv2.polylines(self.pixels, [fixed], False, colour, self._length(width), cv2.LINE_AA, _SHIFT)

    def finish(self) -> np.ndarray:
        """The picture, ``uint8 [size, size, 3]``, area-averaged down."""
        size = self._side // SUPERSAMPLE
        return cv2.resize(self.pixels, (size, size), interpolation=cv2.INTER_AREA)

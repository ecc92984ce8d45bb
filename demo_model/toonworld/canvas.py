"""Flat shapes on a supersampled canvas; positions are fractions of the picture's height, so a drawing has no resolution
of its own."""

from __future__ import annotations

import cv2
import numpy as np

from .colours import Colour, darker
from .styles import CARTOON, Style

Point = tuple[float, float]

SUPERSAMPLE = 2
_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 of a supersampled pixel, so figures can stand anywhere
OUTLINE = 0.011  # outline width as a fraction of the picture's height


class Canvas:
    """A picture being drawn, RGB.

    ``scale`` and ``origin`` say where shapes go: a point p lands at ``origin + scale * p``, then x is multiplied by
    ``stretch`` (fractions of the picture's height; radii and widths are not stretched, so circles stay round).

    Args:
        pixels: supersampled ``uint8 [height, width, 3]`` to draw on; it is copied.
        style: how outlines look; colours are changed later, by ``finish``.
    """

    def __init__(self, pixels: np.ndarray, style: Style = CARTOON):
        self.pixels = pixels.copy()
        self.style = style
        self._height = pixels.shape[0]
        self.scale = 1.0
        self.stretch = 1.0
        self.origin: Point = (0.0, 0.0)

    @classmethod
    def blank(cls, width: int, height: int, style: Style = CARTOON) -> Canvas:
        """A white canvas for a picture of that many pixels."""
        return cls(np.full((height * SUPERSAMPLE, width * SUPERSAMPLE, 3), 255, np.uint8), style)

    @property
    def aspect(self) -> float:
        """Width / height."""
        return self.pixels.shape[1] / self._height

    def _fixed(self, points) -> np.ndarray:
        points = np.asarray(points, np.float64) * self.scale + self.origin
        points[..., 0] *= self.stretch
        return np.rint(points * (self._height * (1 << _SHIFT))).astype(np.int32)

    def _length(self, value: float) -> int:
        return max(1, int(round(value * self.scale * self._height)))

    def _outline(self, colour: Colour) -> tuple[Colour, int]:
        return darker(colour, self.style.outline_tone), self._length(OUTLINE * self.style.outline_width)

    def polygon(self, points, colour: Colour, outline: bool = False) -> None:
        """A filled polygon; ``points`` [[x, y], ...]. The outline is the same colour, darker."""
        fixed = self._fixed(points)
        cv2.fillPoly(self.pixels, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if outline:
            tone, width = self._outline(colour)
            cv2.polylines(self.pixels, [fixed], True, tone, width, cv2.LINE_AA, _SHIFT)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, outline: bool = False) -> None:
        """An axis-parallel filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, outline)

    def ellipse(
        self, centre: Point, radii: Point, colour: Colour, outline: bool = False, start: float = 0.0, end: float = 360.0
    ) -> None:
        """A filled ellipse or, with ``start``/``end`` in degrees (clockwise from the right), a segment of one."""
        self.polygon(self._arc(centre, radii, start, end), colour, outline)

    def ring(self, centre: Point, radii: Point, width: float, colour: Colour) -> None:
        """The line of an ellipse."""
        points = self._fixed(self._arc(centre, radii, 0, 360))
        cv2.polylines(self.pixels, [points], True, colour, self._length(width), cv2.LINE_AA, _SHIFT)

    def _arc(self, centre: Point, radii: Point, start: float, end: float) -> np.ndarray:
        angles = np.radians(np.linspace(start, end, 25 if end - start < 360 else 33))
        round_x = radii[0] / self.stretch
        return np.stack([centre[0] + round_x * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], 1)

    def stroke(self, points, width: float, colour: Colour, outline: bool = False) -> None:
        """A thick line with round ends through ``points``; an outlined one is drawn twice, the wider one first."""
        fixed = self._fixed(points)
        if outline:
            wider = self._length(width + 2 * OUTLINE * 0.7 * self.style.outline_width)
            cv2.polylines(
                self.pixels, [fixed], False, darker(colour, self.style.outline_tone), wider, cv2.LINE_AA, _SHIFT
            )
        cv2.polylines(self.pixels, [fixed], False, colour, self._length(width), cv2.LINE_AA, _SHIFT)

    def finish(self) -> np.ndarray:
        """The picture, ``uint8 [height, width, 3]``, area-averaged down, in the style's colours."""
        height, width = self.pixels.shape[:2]
        small = cv2.resize(self.pixels, (width // SUPERSAMPLE, height // SUPERSAMPLE), interpolation=cv2.INTER_AREA)
        return self.style.colours(small)

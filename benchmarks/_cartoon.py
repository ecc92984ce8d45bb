"""A scene with known motion: an outlined figure with jointed limbs crosses a still, cluttered background.

Drawn with the demo world's canvas at any moment, so the picture half-way is the truth.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..demo_model.toonworld.canvas import Canvas, Colour

WIDTH, HEIGHT = 640, 360
# how far the figure goes between the given pictures, in pixels, and how far its limbs turn, in degrees
MOTIONS = {15: 24, 40: 17, 80: 17, 140: 20}
_PALE = 0.4  # how far the clutter's colours are on their way to white
_PALETTE: tuple[Colour, ...] = (
    (214, 64, 58), (242, 160, 48), (244, 214, 88), (92, 168, 78), (58, 128, 190), (116, 86, 170), (232, 130, 160),
    (150, 104, 70), (236, 232, 220), (70, 74, 86), (88, 186, 190), (200, 196, 190))
_SKIN: tuple[Colour, ...] = ((246, 208, 176), (222, 170, 128), (156, 104, 70), (104, 70, 52))


class _Picture(Canvas):
    """A canvas that is told pixels."""

    @classmethod
    def empty(cls, enlarged: int = 1) -> _Picture:
        return cls.blank(WIDTH * enlarged, HEIGHT * enlarged).in_pixels()

    def in_pixels(self) -> _Picture:
        self.scale = 1 / HEIGHT
        return self

    def _length(self, value: float) -> int:
        # OUTLINE is a fraction of the picture (here of its width), every other width is in pixels
        return super()._length(value * WIDTH if value < 1 else value)

    def picture(self) -> Tensor:
        return torch.from_numpy(self.finish().astype(np.float32) / 255)


def scene(seed: int, enlarged: int = 1) -> np.ndarray:
    """The background's supersampled pixels: sky, ground, and clutter with outlines."""
    dice = random.Random(f"scene {seed}")
    picture = _Picture.empty(enlarged)
    sky, ground = dice.sample(((190, 222, 240), (250, 226, 188), (206, 214, 180), (180, 190, 214)), 2)
    horizon = dice.uniform(200, 270)
    picture.box(0, 0, WIDTH, horizon, sky)
    picture.box(0, horizon, WIDTH, HEIGHT, ground)
    for _ in range(14):
        x, y = dice.uniform(0, WIDTH), dice.uniform(0, HEIGHT)
        w, h = dice.uniform(10, 60), dice.uniform(10, 60)
        colour = tuple(round(c + (255 - c) * _PALE) for c in dice.choice(_PALETTE))
        kind = dice.randrange(4)
        if kind == 0:
            picture.box(x - w, y - h, x + w, y + h, colour, outline=True)
        elif kind == 1:
            picture.ellipse((x, y), (w, h), colour, outline=True)
        elif kind == 2:
            picture.polygon([(x, y - h), (x + w, y + h), (x - w, y + h)], colour, outline=True)
        else:
            for row in range(3):
                picture.stroke([(x - w, y + row * 14), (x + w, y + row * 14 + dice.uniform(-8, 8))], 5, colour, True)
    return picture.pixels


@dataclass(frozen=True)
class Figure:
    """Sizes in pixels, colours, and where the limbs hang when the motion is half done (degrees from straight down)."""

    size: float
    skin: Colour
    hair: Colour
    top: Colour
    stripe: Colour
    trousers: Colour
    shoes: Colour
    limbs: tuple[float, ...]

    @classmethod
    def from_seed(cls, seed: int) -> Figure:
        dice = random.Random(f"figure {seed}")
        hair, top, stripe, trousers, shoes = dice.sample(_PALETTE, 5)
        return cls(dice.uniform(0.61, 0.75), dice.choice(_SKIN), hair, top, stripe, trousers, shoes,
                   tuple(dice.uniform(-20, 20) for _ in range(8)))

    def draw(self, picture: _Picture, x: float, y: float, swing: float) -> None:
        """With the hips at ``(x, y)``; ``swing`` in degrees turns arms and legs, left and right against each other."""
        s = self.size
        shoulder = (x + 0.1 * swing * s, y - 92 * s)
        arms = ((50 + self.limbs[0] + swing, 30 + self.limbs[1] + swing),
                (-50 + self.limbs[2] + swing, -30 + self.limbs[3] + swing))
        legs = ((16 + self.limbs[4] / 2 - swing / 2, 4 + self.limbs[5] / 2 - swing / 2),
                (-16 + self.limbs[6] / 2 + swing / 2, -4 + self.limbs[7] / 2 + swing / 2))
        self._limb(picture, (shoulder[0] - 24 * s, shoulder[1] + 6 * s), arms[1], 52 * s, 15 * s, self.top, self.skin)
        self._limb(picture, (x - 16 * s, y), legs[1], 62 * s, 19 * s, self.trousers, self.shoes)
        self._limb(picture, (x + 16 * s, y), legs[0], 62 * s, 19 * s, self.trousers, self.shoes)
        body = [(shoulder[0] - 34 * s, shoulder[1]), (shoulder[0] + 34 * s, shoulder[1]),
                (x + 30 * s, y + 12 * s), (x - 30 * s, y + 12 * s)]
        picture.polygon(body, self.top, outline=True)
        for row in (0.3, 0.6):
            left, right = _mix(body[0], body[3], row), _mix(body[1], body[2], row)
            picture.stroke([(left[0] + 4, left[1]), (right[0] - 4, right[1])], 8 * s, self.stripe)
        self._limb(picture, (shoulder[0] + 24 * s, shoulder[1] + 6 * s), arms[0], 52 * s, 15 * s, self.top, self.skin)
        head = (shoulder[0] + 0.05 * swing * s, shoulder[1] - 36 * s)
        picture.ellipse(head, (36 * s, 38 * s), self.skin, outline=True)
        picture.ellipse(head, (37 * s, 39 * s), self.hair, outline=True, start=180, end=360)
        for side in (-1, 1):
            eye = (head[0] + side * 12 * s, head[1] + 8 * s)
            picture.ellipse(eye, (6 * s, 7 * s), (250, 250, 250), outline=True)
            picture.ellipse(eye, (2.5 * s, 3 * s), (30, 26, 26))
        picture.stroke([(head[0] - 9 * s, head[1] + 24 * s), (head[0] + 9 * s, head[1] + 24 * s)], 3, (120, 40, 40))

    @staticmethod
    def _limb(picture, start, angles, length, width, colour, end_colour) -> None:
        """Two segments and a hand or foot."""
        joint = start
        for angle in angles:
            towards = (math.sin(math.radians(angle)), math.cos(math.radians(angle)))
            centre = (joint[0] + towards[0] * length / 2, joint[1] + towards[1] * length / 2)
            turn = np.linspace(0, 2 * math.pi, 33)
            along, across = np.cos(turn) * (length / 2 + width / 3), np.sin(turn) * width
            picture.polygon(np.stack([centre[0] + along * towards[0] + across * towards[1],
                                      centre[1] + along * towards[1] - across * towards[0]], 1), colour, outline=True)
            joint = (joint[0] + towards[0] * length, joint[1] + towards[1] * length)
        picture.ellipse(joint, (width * 0.95, width * 0.95), end_colour, outline=True)


def _mix(a, b, t):
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)


def moment(
    seed: int, distance: int, times: tuple[float, ...] = (0.0, 0.5, 1.0), enlarged: int = 1
) -> list[Tensor]:
    """The pictures at ``times`` of a figure that goes ``distance`` pixels and turns its limbs at constant speed; drawn
    ``enlarged`` times as large, and the distance with it (3: 1920 x 1080)."""
    ground, figure = scene(seed, enlarged), Figure.from_seed(seed)
    way = 1 if seed % 2 else -1
    pictures = []
    for t in times:
        picture = _Picture(ground).in_pixels()
        figure.draw(picture, WIDTH / 2 + (t - 0.5) * way * distance, 228 + 4 * (t - 0.5) * way,
                    (t - 0.5) * MOTIONS[distance])
        pictures.append(picture.picture())
    return pictures

"""The figure: joints by pose, then body, head and clothes from back to front. One unit is the picture's side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .canvas import Canvas, Colour, darker
from .world import HAIR, HAT, SCARF, SKIN, TOP, TROUSERS, Character

_HIP, _NECK, _HEAD = 0.70, 0.485, 0.335  # heights on the standing figure, feet at 0.93
_HEAD_RX, _HEAD_RY = 0.135, 0.14
_DARK: Colour = (44, 34, 40)


@dataclass(frozen=True)
class Pose:
    """Limb angles in degrees, 0 = hanging straight down, positive = outwards; ``lift`` moves the whole figure up
    (fraction of the picture); ``lean`` shifts the head sideways. Left and right are the viewer's."""

    left_arm: tuple[float, float] = (14, 8)  # upper arm, forearm
    right_arm: tuple[float, float] = (14, 8)
    left_leg: tuple[float, float] = (4, 2)
    right_leg: tuple[float, float] = (4, 2)
    lift: float = 0.0
    lean: float = 0.0
    mouth: str = "smile"


POSES: dict[str, Pose] = {
    "standing": Pose(),
    "waving": Pose(right_arm=(110, 170), mouth="open"),
    "cheering": Pose(left_arm=(140, 165), right_arm=(140, 165), mouth="open"),
    "pointing": Pose(left_arm=(90, 90)),
    "hands on hips": Pose(left_arm=(52, -52), right_arm=(52, -52)),
    "walking": Pose(left_arm=(34, 50), right_arm=(30, -12), left_leg=(34, 20), right_leg=(26, -14)),
    "sitting": Pose(left_arm=(24, -8), right_arm=(24, -8), left_leg=(78, 8), right_leg=(78, 8), lift=-0.13),
    "jumping": Pose(
        left_arm=(118, 136), right_arm=(118, 136), left_leg=(46, -34), right_leg=(46, -34), lift=0.09, mouth="open"
    ),
    "dancing": Pose(left_arm=(125, 90), right_arm=(60, -10), left_leg=(10, 2), right_leg=(48, 48), lean=0.03),
    "shrugging": Pose(left_arm=(26, 118), right_arm=(26, 118), mouth="flat"),
}

FRAMES = {
    "full body": (1.08, (-0.04, -0.052)),
    "half body": (1.42, (-0.21, -0.12)),
    "close-up": (1.95, (-0.475, -0.24)),
}


def _limb(x: float, y: float, side: int, angles: tuple[float, float], lengths: tuple[float, float]):
    points = [(x, y)]
    for angle, length in zip(angles, lengths, strict=True):
        x += side * math.sin(math.radians(angle)) * length
        y += math.cos(math.radians(angle)) * length
        points.append((x, y))
    return points


def draw_figure(c: Canvas, who: Character, pose: Pose, framing: str) -> None:
    """Draw ``who`` on the canvas; ``framing`` is a key of ``FRAMES``."""
    c.scale, (ox, oy) = FRAMES[framing]
    c.origin = (ox, oy - pose.lift * c.scale)
    skin, hair = SKIN[who.skin], HAIR[who.hair_colour]
    top, trousers = TOP[who.top_colour], TROUSERS[who.trousers_colour]
    head = (0.5 + pose.lean, _HEAD)

    _hair_behind(c, who.hair_style, hair, head)
    for side, leg in ((-1, pose.left_leg), (1, pose.right_leg)):
        points = _limb(0.5 + side * 0.045, _HIP, side, leg, (0.115, 0.1))
        c.stroke(points, 0.075, trousers, True)
        foot = points[-1]
        c.ellipse((foot[0] + side * 0.018, foot[1] + 0.008), (0.05, 0.03), _DARK)
    arms = [
        _limb(0.5 + side * 0.085, _NECK + 0.045, side, arm, (0.105, 0.1))
        for side, arm in ((-1, pose.left_arm), (1, pose.right_arm))
    ]
    raised = [points for points in arms if points[-1][1] < _NECK - 0.02]
    for points in arms:
        if points not in raised:
            _arm(c, points, top, skin)
    _torso(c, who, top)
    for points in raised:
        _arm(c, points, top, skin)
    _head(c, who, skin, hair, head, pose.mouth)
    if who.scarf != "none":
        colour = SCARF[who.scarf]
        c.polygon(
            [(0.415, _NECK - 0.022), (0.585, _NECK - 0.022), (0.6, _NECK + 0.03), (0.4, _NECK + 0.03)], colour, True
        )
        c.polygon(
            [(0.52, _NECK + 0.02), (0.58, _NECK + 0.02), (0.59, _NECK + 0.14), (0.535, _NECK + 0.14)], colour, True
        )
    _hat(c, who, head)
    c.scale, c.origin = 1.0, (0.0, 0.0)


def _arm(c: Canvas, points, top: Colour, skin: Colour) -> None:
    c.stroke(points, 0.062, top, True)
    c.ellipse(points[-1], (0.04, 0.04), skin, True)


def _torso(c: Canvas, who: Character, top: Colour) -> None:
    y0, y1 = _NECK, _HIP + 0.03
    c.polygon([(0.405, y0), (0.595, y0), (0.615, y1), (0.385, y1)], top, True)
    ink = (250, 250, 250) if who.top_colour != "white" else (60, 60, 70)
    if who.top_pattern == "stripes":
        for y in (y0 + 0.06, y0 + 0.13, y0 + 0.2):
            c.box(0.405, y, 0.595, y + 0.03, ink)
    elif who.top_pattern == "dots":
        for x, y in ((0.45, 0.57), (0.55, 0.57), (0.5, 0.625), (0.44, 0.68), (0.56, 0.68)):
            c.ellipse((x, y), (0.022, 0.022), ink)
    elif who.top_pattern == "sash":
        c.polygon([(0.41, y0 + 0.01), (0.47, y0 + 0.01), (0.605, y1 - 0.06), (0.605, y1 - 0.005)], ink)


def _hair_behind(c: Canvas, style: str, hair: Colour, head) -> None:
    x, y = head
    if style == "long":
        c.polygon(
            [(x - 0.165, y - 0.02), (x + 0.165, y - 0.02), (x + 0.185, y + 0.24), (x - 0.185, y + 0.24)], hair, True
        )
    elif style == "bun":
        c.ellipse((x - 0.12, y - 0.13), (0.075, 0.075), hair, True)
        c.ellipse((x + 0.12, y - 0.13), (0.075, 0.075), hair, True)
    elif style == "curly":
        for dx, dy in ((-0.15, -0.06), (0.15, -0.06), (-0.165, 0.05), (0.165, 0.05)):
            c.ellipse((x + dx, y + dy), (0.075, 0.075), hair, True)


def _head(c: Canvas, who: Character, skin: Colour, hair: Colour, head, mouth: str) -> None:
    x, y = head
    c.ellipse(head, (_HEAD_RX, _HEAD_RY), skin, True)
    if who.hair_style == "spiky":
        points = [(x - 0.15, y + 0.0)]
        for i in range(5):
            points += [(x - 0.16 + 0.08 * i, y - (0.2 if i in (1, 2, 3) else 0.15)), (x - 0.115 + 0.0725 * i, y - 0.1)]
        points += [(x + 0.15, y + 0.0), (x + 0.1, y - 0.06), (x - 0.1, y - 0.06)]
        c.polygon(points, hair, True)
    elif who.hair_style == "curly":
        for dx, dy in ((-0.1, -0.11), (0.0, -0.135), (0.1, -0.11)):
            c.ellipse((x + dx, y + dy), (0.07, 0.065), hair, True)
    else:
        c.ellipse((x, y - 0.02), (_HEAD_RX + 0.018, _HEAD_RY - 0.005), hair, True, 180 + 5, 360 - 5)
        c.box(x - 0.13, y - 0.04, x - 0.085, y + (0.03 if who.hair_style != "short" else -0.01), hair)
        c.box(x + 0.085, y - 0.04, x + 0.13, y + (0.03 if who.hair_style != "short" else -0.01), hair)
    eye = y + 0.035
    if who.glasses == "round":
        for side in (-1, 1):
            c.ellipse((x + side * 0.056, eye), (0.047, 0.047), _DARK)
            c.ellipse((x + side * 0.056, eye), (0.034, 0.034), (236, 246, 250))
    for side in (-1, 1):
        c.ellipse((x + side * 0.056, eye), (0.018, 0.024), _DARK)
    if who.glasses == "shades":
        c.box(x - 0.115, eye - 0.03, x + 0.115, eye - 0.014, (24, 24, 30))
        for side in (-1, 1):
            c.box(x + side * 0.06 - 0.045, eye - 0.028, x + side * 0.06 + 0.045, eye + 0.028, (24, 24, 30))
    if mouth == "open":
        c.ellipse((x, y + 0.085), (0.035, 0.03), (150, 40, 50), False, 0, 180)
    elif mouth == "smile":
        c.stroke(
            [(x - 0.03, y + 0.088), (x - 0.012, y + 0.1), (x + 0.012, y + 0.1), (x + 0.03, y + 0.088)],
            0.014,
            darker(skin, 0.45),
        )
    else:
        c.stroke([(x - 0.02, y + 0.095), (x + 0.02, y + 0.095)], 0.014, darker(skin, 0.45))


def _hat(c: Canvas, who: Character, head) -> None:
    if who.hat == "none":
        return
    x, y = head
    colour = HAT[who.hat_colour]
    if who.hat == "cap":
        c.ellipse((x, y - 0.055), (0.145, 0.115), colour, True, 180, 360)
        c.box(x - 0.02, y - 0.075, x + 0.22, y - 0.04, darker(colour, 0.8))
    elif who.hat == "beanie":
        c.ellipse((x, y - 0.06), (0.15, 0.125), colour, True, 180, 360)
        c.box(x - 0.155, y - 0.095, x + 0.155, y - 0.045, (250, 250, 250))
        c.ellipse((x, y - 0.19), (0.04, 0.04), (250, 250, 250))
    else:
        c.polygon([(x - 0.13, y - 0.085), (x, y - 0.27), (x + 0.13, y - 0.085)], colour, True)
        c.box(x - 0.135, y - 0.1, x + 0.135, y - 0.065, (250, 214, 60))

"""The figure: joints by pose, then body, head and clothes from back to front. One unit is the picture's height."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .canvas import Canvas
from .colours import Colour, brightness, darker
from .world import Character, Shot, Stance

_HIP, _NECK, _HEAD, _FEET = 0.70, 0.485, 0.335, 0.93  # heights on the standing figure
_HEAD_RX, _HEAD_RY = 0.135, 0.14
_DARK: Colour = (44, 34, 40)
_LIGHT: Colour = (250, 250, 250)


@dataclass(frozen=True)
class Pose:
    """Limb angles in degrees, 0 = hanging straight down, positive = outwards (from the side: forwards); ``lift`` moves
    the whole figure up (fraction of the picture); ``lean`` shifts the head sideways. Left and right are the
    viewer's."""

    left_arm: tuple[float, float] = (14, 8)  # upper arm, forearm
    right_arm: tuple[float, float] = (14, 8)
    left_leg: tuple[float, float] = (4, 2)
    right_leg: tuple[float, float] = (4, 2)
    lift: float = 0.0
    lean: float = 0.0
    mouth: str = "smile"

    def between(self, other: Pose, part: float) -> Pose:
        """The pose ``part`` (0..1) of the way to another."""
        if part <= 0:
            return self
        if part >= 1:
            return other
        mixed = {}
        for name in (f.name for f in fields(Pose)):
            a, b = getattr(self, name), getattr(other, name)
            if isinstance(a, tuple):
                mixed[name] = tuple(p + (q - p) * part for p, q in zip(a, b, strict=True))
            else:
                mixed[name] = (a if part < 0.5 else b) if isinstance(a, str) else a + (b - a) * part
        return Pose(**mixed)


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

FRAMES = {  # scale, height of the picture's top edge on the figure
    "full body": (1.08, 0.048),
    "half body": (1.42, 0.0845),
    "close-up": (1.95, 0.123),
}


def pose_of(stance: Stance) -> Pose:
    """The pose of a stance, in-betweens included."""
    pose = POSES[stance.action]
    return pose.between(POSES[stance.towards], stance.part) if stance.towards else pose


def transform(stance: Stance, pose: Pose, framing: str, aspect: float) -> tuple[float, tuple[float, float]]:
    """Scale and origin of a figure on a canvas: smaller figures stand on the same ground, or in nearer framings keep
    their head's height."""
    scale, top = FRAMES[framing]
    fixed = _FEET if framing == "full body" else _HEAD
    own = scale * stance.size
    return own, (stance.x * aspect - 0.5 * own, scale * (fixed - top) - own * (fixed + pose.lift))


def figure_box(shot: Shot, number: int = 0, aspect: float = 1.0) -> tuple[float, float, float, float]:
    """Where head and trunk of a figure are: left, top, right, bottom, fractions of a picture of that aspect (width /
    height)."""
    stance = shot.stances[number]
    pose = pose_of(stance)
    scale, (x, y) = transform(stance, pose, shot.framing, aspect)
    left, right = ((x + scale * (0.5 + side * 0.2)) / aspect for side in (-1, 1))
    return max(0.0, left), max(0.0, y + scale * 0.08), min(1.0, right), min(1.0, y + scale * 0.95)


def draw_figure(c: Canvas, who: Character, stance: Stance, framing: str) -> None:
    """Draw ``who`` on the canvas; ``framing`` is a key of ``FRAMES``."""
    pose = pose_of(stance)
    c.scale, c.origin = transform(stance, pose, framing, c.aspect)
    _Figure(c, who, pose, stance.facing).draw()
    c.scale, c.origin = 1.0, (0.0, 0.0)


def _limb(x: float, y: float, side: int, angles: tuple[float, float], lengths: tuple[float, float]):
    points = [(x, y)]
    for angle, length in zip(angles, lengths, strict=True):
        x += side * math.sin(math.radians(angle)) * length
        y += math.cos(math.radians(angle)) * length
        points.append((x, y))
    return points


class _Figure:
    """One figure being drawn. ``ahead`` is -1 or 1 where it looks left or right, else 0."""

    def __init__(self, c: Canvas, who: Character, pose: Pose, facing: str):
        self.c, self.who, self.pose = c, who, pose
        self.ahead = {"left": -1, "right": 1}.get(facing, 0)
        self.back = facing == "back"
        self.head = (0.5 + pose.lean * (self.ahead or 1), _HEAD)

    def draw(self) -> None:
        if not self.back:
            self._hair_behind()
        legs, arms = self._limbs()
        for side, points in legs:
            self._leg(points, side)
        raised = [points for points in arms if points[-1][1] < _NECK - 0.02]
        hidden = arms[:1] if self.ahead else [points for points in arms if points not in raised]
        for points in hidden:
            self._arm(points)
        self._torso()
        self._scarf()
        if not self.ahead:
            for points in raised:
                self._arm(points)
        self._head()
        if self.ahead:
            self._arm(arms[1])
        self._hat()

    def _limbs(self):
        """(side, points) of both legs and points of both arms; from the side the far limb comes first."""
        pose = self.pose
        if not self.ahead:
            legs = [
                (s, _limb(0.5 + s * 0.045, _HIP, s, a, (0.115, 0.1)))
                for s, a in ((-1, pose.left_leg), (1, pose.right_leg))
            ]
            arms = [
                _limb(0.5 + s * 0.085, _NECK + 0.045, s, a, (0.105, 0.1))
                for s, a in ((-1, pose.left_arm), (1, pose.right_arm))
            ]
            return legs, arms
        swing = pose.left_leg[0] < 60  # seated legs both go forwards, others apart
        arms_apart = pose.left_arm[0] < 40 and pose.right_arm[0] < 40
        legs = [
            (self.ahead, _limb(0.5, _HIP, self.ahead * (-1 if swing else 1), pose.left_leg, (0.115, 0.1))),
            (self.ahead, _limb(0.5, _HIP, self.ahead, pose.right_leg, (0.115, 0.1))),
        ]
        arms = [
            _limb(0.5, _NECK + 0.05, self.ahead * (-1 if arms_apart else 1), pose.left_arm, (0.105, 0.1)),
            _limb(0.5, _NECK + 0.05, self.ahead, pose.right_arm, (0.105, 0.1)),
        ]
        return legs, arms

    def _leg(self, points, side: int) -> None:
        self.c.stroke(points, 0.075, self.who.trousers_colour, True)
        foot = points[-1]
        self.c.ellipse((foot[0] + side * 0.018, foot[1] + 0.008), (0.05, 0.03), _DARK)

    def _arm(self, points) -> None:
        self.c.stroke(points, 0.062, self.who.top_colour, True)
        self.c.ellipse(points[-1], (0.04, 0.04), self.who.skin, True)

    def _torso(self) -> None:
        c, who, y0, y1 = self.c, self.who, _NECK, _HIP + 0.03
        w = 0.72 if self.ahead else 1.0  # how wide it looks

        def x(value: float) -> float:
            return 0.5 + (value - 0.5) * w

        c.polygon([(x(0.405), y0), (x(0.595), y0), (x(0.615), y1), (x(0.385), y1)], who.top_colour, True)
        ink = _LIGHT if brightness(who.top_colour) < 200 else (60, 60, 70)
        if who.top_pattern == "stripes":
            for y in (y0 + 0.06, y0 + 0.13, y0 + 0.2):
                c.box(x(0.405), y, x(0.595), y + 0.03, ink)
        elif who.top_pattern == "dots":
            for px, y in ((0.45, 0.57), (0.55, 0.57), (0.5, 0.625), (0.44, 0.68), (0.56, 0.68)):
                c.ellipse((x(px), y), (0.022, 0.022), ink)
        elif who.top_pattern == "sash":
            turn = -1 if self.back or self.ahead < 0 else 1
            corners = ((0.41, y0 + 0.01), (0.47, y0 + 0.01), (0.605, y1 - 0.06), (0.605, y1 - 0.005))
            c.polygon([(0.5 + turn * (x(px) - 0.5), y) for px, y in corners], ink)

    def _scarf(self) -> None:
        if self.who.scarf == "none":
            return
        colour, w = self.who.scarf_colour, 0.8 if self.ahead else 1.0
        self.c.polygon(
            [
                (0.5 - 0.085 * w, _NECK - 0.022),
                (0.5 + 0.085 * w, _NECK - 0.022),
                (0.5 + 0.1 * w, _NECK + 0.03),
                (0.5 - 0.1 * w, _NECK + 0.03),
            ],
            colour,
            True,
        )
        if not self.back:
            turn = self.ahead or 1
            tail = ((0.02, 0.02), (0.08, 0.02), (0.09, 0.14), (0.035, 0.14))
            self.c.polygon([(0.5 + turn * dx, _NECK + dy) for dx, dy in tail], colour, True)

    def _hair_behind(self) -> None:
        """What is seen of the hair beside and below the head."""
        c, (x, y), hair, ahead = self.c, self.head, self.who.hair_colour, self.ahead
        if self.who.hair_style == "long":
            left, right = (-0.165, 0.165) if not ahead else sorted((-0.165 * ahead, 0.03 * ahead))
            c.polygon(
                [
                    (x + left, y - 0.02),
                    (x + right, y - 0.02),
                    (x + right * 1.12, y + 0.24),
                    (x + left * 1.12, y + 0.24),
                ],
                hair,
                True,
            )
        elif self.who.hair_style == "bun":
            for side in (-ahead,) if ahead else (-1, 1):
                c.ellipse((x + side * 0.12, y - 0.13), (0.075, 0.075), hair, True)
        elif self.who.hair_style == "curly":
            for side in (-ahead,) if ahead else (-1, 1):
                c.ellipse((x + side * 0.15, y - 0.06), (0.075, 0.075), hair, True)
                c.ellipse((x + side * 0.165, y + 0.05), (0.075, 0.075), hair, True)

    def _head(self) -> None:
        c, (x, y), who, ahead = self.c, self.head, self.who, self.ahead
        if ahead:
            tip = x + ahead * 0.16
            c.polygon([(x + ahead * 0.11, y + 0.01), (tip, y + 0.055), (x + ahead * 0.11, y + 0.075)], who.skin, True)
        c.ellipse(self.head, (_HEAD_RX, _HEAD_RY), who.skin, True)
        if self.back:
            c.ellipse((x, y - 0.015), (_HEAD_RX + 0.012, _HEAD_RY - 0.005), who.hair_colour, True)
            self._hair_behind()
        self._hair_on_top()
        if self.back:
            return
        self._face(x + ahead * 0.07, y + 0.035, (0.0,) if ahead else (-0.056, 0.056))

    def _hair_on_top(self) -> None:
        c, (x, y), style, hair, ahead = self.c, self.head, self.who.hair_style, self.who.hair_colour, self.ahead
        if style == "spiky":
            points = [(x - 0.15, y + 0.0)]
            for i in range(5):
                points += [
                    (x - 0.16 + 0.08 * i, y - (0.2 if i in (1, 2, 3) else 0.15)),
                    (x - 0.115 + 0.0725 * i, y - 0.1),
                ]
            points += [(x + 0.15, y + 0.0), (x + 0.1, y - 0.06), (x - 0.1, y - 0.06)]
            c.polygon(points, hair, True)
        elif style == "curly":
            for dx, dy in ((-0.1, -0.11), (0.0, -0.135), (0.1, -0.11)):
                c.ellipse((x + dx, y + dy), (0.07, 0.065), hair, True)
        else:
            c.ellipse((x, y - 0.02), (_HEAD_RX + 0.018, _HEAD_RY - 0.005), hair, True, 180 + 5, 360 - 5)
            end = y + (0.03 if style != "short" else -0.01)
            for side in (-ahead,) if ahead else (-1, 1):
                inner, outer = sorted((side * 0.085, side * 0.13))
                c.box(x + inner, y - 0.04, x + outer, end, hair)
        if ahead and not self.back:  # the back of the head
            outer, inner = sorted((-ahead * 0.145, -ahead * 0.03))
            c.box(x + outer, y - 0.06, x + inner, y + (0.1 if style != "short" else 0.06), hair)

    def _face(self, x: float, eye: float, eyes: tuple[float, ...]) -> None:
        """Eyes at ``x`` + each of ``eyes``, glasses, mouth."""
        c, glasses = self.c, self.who.glasses
        if glasses == "round":
            for dx in eyes:
                c.ellipse((x + dx, eye), (0.047, 0.047), _DARK)
                c.ellipse((x + dx, eye), (0.034, 0.034), (236, 246, 250))
        for dx in eyes:
            c.ellipse((x + dx, eye), (0.018, 0.024), _DARK)
        if glasses == "shades":
            half = 0.115 if len(eyes) == 2 else 0.07
            c.box(x - half, eye - 0.03, x + half, eye - 0.014, (24, 24, 30))
            for dx in eyes:
                c.box(x + dx - 0.045, eye - 0.028, x + dx + 0.045, eye + 0.028, (24, 24, 30))
        mouth, line = eye + 0.05, darker(self.who.skin, 0.45)
        if self.pose.mouth == "open":
            c.ellipse((x, mouth), (0.035, 0.03), (150, 40, 50), False, 0, 180)
        elif self.pose.mouth == "smile":
            c.stroke(
                [
                    (x - 0.03, mouth + 0.003),
                    (x - 0.012, mouth + 0.015),
                    (x + 0.012, mouth + 0.015),
                    (x + 0.03, mouth + 0.003),
                ],
                0.014,
                line,
            )
        else:
            c.stroke([(x - 0.02, mouth + 0.01), (x + 0.02, mouth + 0.01)], 0.014, line)

    def _hat(self) -> None:
        c, (x, y), kind, colour = self.c, self.head, self.who.hat, self.who.hat_colour
        if kind == "cap":
            c.ellipse((x, y - 0.055), (0.145, 0.115), colour, True, 180, 360)
            if not self.back:
                near, far = sorted((-0.02 * (self.ahead or 1), 0.22 * (self.ahead or 1)))
                c.box(x + near, y - 0.075, x + far, y - 0.04, darker(colour, 0.8))
        elif kind == "beanie":
            c.ellipse((x, y - 0.06), (0.15, 0.125), colour, True, 180, 360)
            c.box(x - 0.155, y - 0.095, x + 0.155, y - 0.045, _LIGHT)
            c.ellipse((x, y - 0.19), (0.04, 0.04), _LIGHT)
        elif kind == "cone":
            c.polygon([(x - 0.13, y - 0.085), (x, y - 0.27), (x + 0.13, y - 0.085)], colour, True)
            c.box(x - 0.135, y - 0.1, x + 0.135, y - 0.065, (250, 214, 60))

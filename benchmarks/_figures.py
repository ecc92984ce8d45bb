"""Reading pictures of several figures whose places nobody told exactly: where they are, what they do, who they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..demo_model.toonworld import (
    ACTIONS,
    SCENES,
    STUDIO,
    VARIATIONS,
    Character,
    Shot,
    Stance,
    backdrop,
    draw,
    read_identity,
    visible_attributes,
)
from ._cases import squared_error
from .demo_model import psnr

_SIZES = (0.6, 0.7, 0.85, 1.0)
_NEAR = (0.0, -0.05, 0.05, -0.1, 0.1, -0.15, 0.15, -0.2, 0.2)  # of the width
_NEARER = (0.0, -0.03, 0.03)
_COUNTED = 48  # of 255: a pixel's difference from a backdrop counts no more, so that figures do not decide the place


@dataclass(frozen=True)
class Told:
    """What a picture was to show: a place, and from left to right who does what around which part of the width."""

    scene: str
    cast: tuple[Character, ...]
    actions: tuple[str, ...]
    places: tuple[float, ...]


@dataclass(frozen=True)
class Seen:
    """What is right about a picture.

    Attributes:
        scene: the place.
        actions: of each figure.
        kept: of each figure, of its visible attributes the part that the meter reads back.
        apart: each figure agrees with its own character in more attributes than with any other one of the picture.
        figure_db, rest_db: PSNR to the truth of the figures' pixels, and of the others.
    """

    scene: bool
    actions: tuple[bool, ...]
    kept: tuple[float, ...]
    apart: bool
    figure_db: float
    rest_db: float


def see(made: np.ndarray, told: Told) -> Seen:
    """Judge a picture (uint8 [H, W, 3])."""
    shot = find_shot(made, told)
    size = made.shape[1], made.shape[0]
    kept, apart = [], True
    for number, who in enumerate(told.cast):
        readings = read_identity(made, shot, told.cast, number)
        visible = visible_attributes(told.cast, shot, size, number)
        kept.append(sum(name in readings and readings[name].agrees(getattr(who, name)) for name in visible)
                    / len(visible))
        agreeing = [sum(reading.agrees(getattr(one, name)) for name, reading in readings.items()) for one in told.cast]
        apart &= all(agreeing[number] > other for i, other in enumerate(agreeing) if i != number)
    actions = tuple(stance.action == action for stance, action in zip(shot.stances, told.actions, strict=True))
    return Seen(shot.scene == told.scene, actions, tuple(kept), apart, *decibels(made, told, shot))


def decibels(made: np.ndarray, told: Told, shot: Shot) -> tuple[float, float]:
    """PSNR to the truth, of the figures' pixels and of the others; the figures stand where `shot` has them."""
    size = made.shape[1], made.shape[0]
    true = draw(told.cast, replace(shot, stances=tuple(
        replace(stance, action=action) for stance, action in zip(shot.stances, told.actions, strict=True))), size)
    figures = (true != backdrop(shot.scene, size, shot.variation)).any(2)
    return psnr([squared_error(made[figures], true[figures])]), psnr([squared_error(made[~figures], true[~figures])])


def find_shot(made: np.ndarray, told: Told) -> Shot:
    """The place by the pixels that agree with its backdrop; then each figure's place, size and action by the nearest
    drawing of who it is to be, one after the other, twice."""
    size = made.shape[1], made.shape[0]
    scene, variation = min(((scene, variation) for scene in (*SCENES, STUDIO) for variation in range(VARIATIONS)),
                           key=lambda place: _far(made, backdrop(place[0], size, place[1])))
    shot = Shot(scene, variation=variation, stances=tuple(
        Stance(action, x=x, size=0.85) for action, x in zip(told.actions, told.places, strict=True)))
    for steps in (_NEAR, _NEARER):
        for number in range(len(told.cast)):
            x = shot.stances[number].x
            shot = _nearest(made, told, shot, number, ({"x": min(1.0, max(0.0, x + step))} for step in steps))
            shot = _nearest(made, told, shot, number, ({"size": one} for one in _SIZES))
            if steps is _NEAR:
                shot = _nearest(made, told, shot, number, ({"action": action} for action in ACTIONS))
    return shot


def _far(made: np.ndarray, scene: np.ndarray) -> float:
    return float(np.minimum(np.abs(made.astype(np.int16) - scene).max(2), _COUNTED).mean())


def _nearest(made: np.ndarray, told: Told, shot: Shot, number: int, changes: Iterable[dict]) -> Shot:
    """The shot with that change to one figure whose drawing is nearest to the picture."""
    def changed(change: dict) -> Shot:
        stances: Sequence[Stance] = shot.stances
        return replace(shot, stances=tuple(replace(stance, **change) if i == number else stance
                                           for i, stance in enumerate(stances)))

    return min(map(changed, changes),
               key=lambda one: squared_error(made, draw(told.cast, one, (made.shape[1], made.shape[0]))))

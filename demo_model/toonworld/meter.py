"""Reading a picture of the drawn world: analysis by synthesis. Draw every candidate, take the nearest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .draw import draw
from .world import ACTIONS, ATTRIBUTES, FRAMINGS, SCENES, Character, Shot

_PASSES = 3
_GROUPS = (
    ("top_colour", "top_pattern"),
    ("hat", "hat_colour"),
    ("hair_style", "hair_colour"),
    ("skin",),
    ("trousers_colour",),
    ("scarf",),
    ("glasses",),
)
_VISIBLE_PIXELS = 12  # an attribute counts as visible when its values differ on at least this many pixels
_VISIBLE_STEP = 24  # ... by more than this much of 255


@dataclass(frozen=True)
class Reading:
    """What the meter read. ``confidence`` 0..1: how much nearer the best value is than the runner-up, 0 = a tie."""

    value: str
    confidence: float


def _error(a: np.ndarray, b: np.ndarray) -> float:
    difference = a.astype(np.float32) - b
    return float((difference * difference).sum())


def visible_attributes(character: Character, shot: Shot, size: int = 128) -> tuple[str, ...]:
    """The attributes whose other values would change this picture noticeably (a close-up shows no trousers; a bare
    head no hat colour)."""
    own = draw(character, shot, size).astype(np.int16)
    seen = []
    for name, values in ATTRIBUTES.items():
        changed = min(
            int((np.abs(draw(character.with_(**{name: value}), shot, size) - own).max(2) > _VISIBLE_STEP).sum())
            for value in values
            if value != character.attributes[name]
        )
        if changed >= _VISIBLE_PIXELS * size * size / 128**2:
            seen.append(name)
    return tuple(seen)


def read_identity(picture: np.ndarray, shot: Shot) -> dict[str, Reading]:
    """The character's attributes as they are in the picture, not knowing who it should be.

    Coordinate descent: each group of attributes that hide one another (a hat and its colour) is set to the values
    whose drawing is nearest, the others held, until nothing changes (at most three rounds).

    Args:
        picture: ``uint8 [S, S, 3]`` RGB, as ``draw`` makes them.
        shot: the scene, action and framing of the picture (``read_shot`` finds them).
    Returns:
        one reading for each attribute that is visible in the character found.
    """
    size = picture.shape[0]
    picture = picture.astype(np.float32)
    best = Character()
    readings: dict[str, Reading] = {}
    for _ in range(_PASSES):
        before = best
        for group in _GROUPS:
            errors = {}
            for values in itertools.product(*(ATTRIBUTES[name] for name in group)):
                candidate = best.with_(**dict(zip(group, values, strict=True)))
                if candidate.hat == "none" and candidate.hat_colour != best.hat_colour:
                    continue  # the same drawing again
                errors[candidate] = _error(picture, draw(candidate, shot, size))
            best = min(errors, key=errors.get)
            for name in group:
                readings[name] = _reading(name, best, errors)
        if best == before:
            break
    seen = visible_attributes(best, shot, size)
    return {name: reading for name, reading in readings.items() if name in seen}


def _reading(name: str, best: Character, errors: dict[Character, float]) -> Reading:
    """Confidence from the nearest candidate with another value of this attribute."""
    value = best.attributes[name]
    second = min((error for who, error in errors.items() if who.attributes[name] != value), default=0.0)
    return Reading(value, 1.0 - errors[best] / second if second > 0 else 0.0)


def kept_attributes(picture: np.ndarray, character: Character, shot: Shot) -> dict[str, bool]:
    """For each attribute that the true picture shows: does the meter read the character's own value?"""
    readings = read_identity(picture, shot)
    return {
        name: name in readings and readings[name].value == character.attributes[name]
        for name in visible_attributes(character, shot, picture.shape[0])
    }


def read_shot(picture: np.ndarray, character: Character) -> Shot:
    """The scene, action and framing whose drawing with ``character`` is nearest.

    Scene first, by the pixels the figure does not cover in most shots, then action and framing together.
    """
    size = picture.shape[0]
    picture = picture.astype(np.float32)
    shots = (
        Shot(scene, action, framing)
        for scene in SCENES
        for action, framing in itertools.product(("standing",), FRAMINGS)
    )
    scene = min(shots, key=lambda shot: _error(picture, draw(character, shot, size))).scene
    shots = (Shot(scene, action, framing) for action, framing in itertools.product(ACTIONS, FRAMINGS))
    return min(shots, key=lambda shot: _error(picture, draw(character, shot, size)))

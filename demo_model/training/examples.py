"""What the demo model is trained on: single pictures for the codec; reference, instruction, target for the
transformer."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

import numpy as np

from ..toonworld import REFERENCE_SHOT, Character, Edit, View, backdrop, draw, random_edit, random_shot

_HELD_OUT = 16  # one character in this many is never trained on

SHARES = {  # part of the training examples, by kind of edit; what takes longest to learn comes most often
    "shot": 0.16,
    "scene": 0.04,
    "action": 0.18,
    "framing": 0.13,
    "turn": 0.17,
    "recolour": 0.20,
    "accessory": 0.07,
    "remove": 0.03,
    "style": 0.01,
    "same": 0.01,
}
IN_PLACE = ("recolour", "accessory", "remove", "style", "same", "turn", "action")  # most of the picture is to stay


def is_held_out(character: Character) -> bool:
    """Characters kept for evaluation, told by a checksum of their attributes, so no seed can smuggle one in."""
    return zlib.crc32(repr(tuple(character.attributes.values())).encode()) % _HELD_OUT == 0


def random_character(rng: random.Random, held_out: bool = False) -> Character:
    """A character from the training part of the world, or from the held-out part."""
    while True:
        character = Character.from_seed(rng.getrandbits(48))
        if is_held_out(character) == held_out:
            return character


def draw_reference(views: tuple[View, ...], side: int = 128) -> np.ndarray:
    """The views, stitched from top to bottom, ``uint8 [side * views, side, 3]``: two squares handed over with "offset"
    ids have the same places (see kontext.references), and neither is made smaller."""
    return np.vstack([draw(view.cast, view.shot, side) for view in views])


@dataclass(frozen=True)
class Example:
    """Reference picture, instruction, target picture; pictures ``uint8 [H, W, 3]``. ``weight`` says how much each pixel
    of the target matters, ``float32 [H, W]``."""

    edit: Edit
    reference: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def random_example(
    rng: random.Random, kind: str, size: tuple[int, int] = (128, 128), held_out: bool = False
) -> Example:
    """A training example of a kind of edit; ``size`` is the target's, the reference keeps the usual area."""
    cast = tuple(random_character(rng, held_out) for _ in range(2 if kind == "two" else 1))
    edit = random_edit(kind, rng, cast)
    target, reference = draw(edit.after.cast, edit.after.shot, size), draw_reference(edit.before)
    shot = edit.after.shot
    empty = backdrop(shot.scene, size, shot.variation, shot.style)
    weight = 1 + 2 * _differs(target, empty)
    if kind in IN_PLACE and target.shape == reference.shape:
        small = kind in ("recolour", "accessory")  # a few tokens are all that is to be learnt from these
        weight += (9 if small else 3) * _differs(target, reference)
    return Example(edit, reference, target, weight)


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (np.abs(a.astype(np.int16) - b).max(2) > 8).astype(np.float32)


def random_kind(rng: random.Random) -> str:
    """A kind of edit of one character, by ``SHARES``."""
    return rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]


def random_picture(rng: random.Random, size, held_out: bool = False) -> np.ndarray:
    """Any picture of the world; one in seven the plain reference, one in seven with two figures."""
    share = rng.random()
    if share < 1 / 7:
        return draw(random_character(rng, held_out), REFERENCE_SHOT, size)
    if share < 2 / 7:
        cast = (random_character(rng, held_out), random_character(rng, held_out))
        return draw(cast, random_edit("two", rng, cast).after.shot, size)
    return draw(random_character(rng, held_out), random_shot(rng, props=rng.randrange(3)), size)


def to_signal(pictures: np.ndarray) -> np.ndarray:
    """``uint8 [N, H, W, 3]`` to ``float32 [N, 3, H, W]`` in -1..1, the VAE's range."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1

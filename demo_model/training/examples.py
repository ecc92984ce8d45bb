"""What the demo model is trained on: single pictures for the codec; reference, instruction, target for the
transformer."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

import numpy as np

from ..toonworld import (
    ACTIONS,
    FRAMINGS,
    PHRASINGS,
    REFERENCE_SHOT,
    SCENES,
    Character,
    Shot,
    backdrop,
    draw,
    instruction,
)

_HELD_OUT = 16  # one character in this many is never trained on


def is_held_out(character: Character) -> bool:
    """Characters kept for evaluation, told by a checksum of their attributes, so no seed can smuggle one in."""
    return zlib.crc32("/".join(character.attributes.values()).encode()) % _HELD_OUT == 0


def random_character(rng: random.Random, held_out: bool = False) -> Character:
    """A character from the training part of the world, or from the held-out part."""
    while True:
        character = Character.from_seed(rng.getrandbits(48))
        if is_held_out(character) == held_out:
            return character


def random_shot(rng: random.Random) -> Shot:
    """Scene, action and framing drawn evenly."""
    return Shot(rng.choice(SCENES), rng.choice(ACTIONS), rng.choice(FRAMINGS))


@dataclass(frozen=True)
class Example:
    """Reference picture, instruction, target picture; pictures ``uint8 [S, S, 3]``. ``figure`` marks the target's
    pixels that the figure covers, ``bool [S, S]``."""

    character: Character
    shot: Shot
    reference: np.ndarray
    prompt: str
    target: np.ndarray
    figure: np.ndarray


def random_example(rng: random.Random, size: int, held_out: bool = False) -> Example:
    """A training example: the reference is the studio picture in seven cases of ten, else a full-body picture in some
    scene."""
    character, shot = random_character(rng, held_out), random_shot(rng)
    reference = REFERENCE_SHOT if rng.random() < 0.7 else Shot(rng.choice(SCENES), rng.choice(ACTIONS))
    target = draw(character, shot, size)
    figure = np.abs(target.astype(np.int16) - backdrop(shot.scene, size)).max(2) > 8
    return Example(
        character, shot, draw(character, reference, size), instruction(shot, rng.randrange(PHRASINGS)), target, figure
    )


def random_picture(rng: random.Random, size: int, held_out: bool = False) -> np.ndarray:
    """Any picture of the world, one in five in the studio."""
    shot = REFERENCE_SHOT if rng.random() < 0.2 else random_shot(rng)
    return draw(random_character(rng, held_out), shot, size)


def to_signal(pictures: np.ndarray) -> np.ndarray:
    """``uint8 [N, S, S, 3]`` to ``float32 [N, 3, S, S]`` in -1..1, the VAE's range."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1

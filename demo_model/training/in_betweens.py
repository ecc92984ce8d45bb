"""Two moments of one scene and all the true ones between them: what the in-between LoRA learns and is judged by."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from ..toonworld import ACTIONS, SCENES, VARIATIONS, Character, Shot, Stance, draw
from .examples import random_character


@dataclass(frozen=True)
class Series:
    """A figure that goes from its stance in ``start`` to ``x`` (0..1 along the width) and to the action ``towards``, at
    constant speed, before a background that stands still."""

    who: Character
    start: Shot
    towards: str
    x: float

    def shot(self, part: float) -> Shot:
        """The circumstances after ``part`` (0..1) of the way."""
        stance = self.start.stances[0]
        x = stance.x + (self.x - stance.x) * part
        return replace(self.start, stances=(replace(stance, x=x, towards=self.towards, part=part),))

    def draw(self, part: float, size: int | tuple[int, int] = 128) -> np.ndarray:
        """The true picture after ``part`` of the way, ``uint8 [H, W, 3]``."""
        return draw(self.who, self.shot(part), size)


def random_series(rng: random.Random, change: float, held_out: bool = False) -> Series:
    """Another action, and ``change`` (of the width) further on; the whole figure, seen from the front, anywhere."""
    who = random_character(rng, held_out)
    action, towards = rng.sample(ACTIONS, 2)
    middle, way = rng.uniform(0.4, 0.6), rng.choice((-0.5, 0.5))
    start = Shot(rng.choice(SCENES), stances=(Stance(action, x=middle - way * change),),
                 variation=rng.randrange(VARIATIONS))
    return Series(who, start, towards, middle + way * change)


def prompt(part: float) -> str:
    """What the model is told for the picture after ``part`` (0..1) of the way; `storyboard/between/asked.py` says the
    same."""
    return f"In-between at {round(part * 100)}%."

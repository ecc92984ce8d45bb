"""Characters in a shot, as pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from .canvas import Canvas
from .figure import draw_figure
from .props import draw_prop
from .scenes import paint
from .styles import STYLES
from .world import Character, Shot

Size = int | tuple[int, int]  # side, or (width, height), in pixels
_MARK = (255, 0, 200)


def width_and_height(size: Size) -> tuple[int, int]:
    """``size`` as (width, height)."""
    return (size, size) if isinstance(size, int) else size


@functools.lru_cache(maxsize=512)
def _painted(scene: str, variation: int, width: int, height: int) -> np.ndarray:
    canvas = Canvas.blank(width, height)
    paint(canvas, scene, variation)
    return canvas.pixels


@functools.lru_cache(maxsize=512)
def backdrop(scene: str, size: Size = 128, variation: int = 0, style: str = "cartoon") -> np.ndarray:
    """The scene with nobody and nothing in it, ``uint8 [height, width, 3]``."""
    return Canvas(_painted(scene, variation, *width_and_height(size)), STYLES[style]).finish()


def draw(who: Character | Sequence[Character], shot: Shot, size: Size = 128) -> np.ndarray:
    """The one picture of these characters in this shot.

    Args:
        who: one character for each of ``shot.stances``; one alone may stand without a list.
        size: side, or (width, height), in pixels, 16..2048.
    Returns:
        ``uint8 [height, width, 3]`` RGB, the same bits for the same arguments.
    Raises:
        ValueError: more or fewer characters than stances.
    """
    cast = (who,) if isinstance(who, Character) else tuple(who)
    canvas = Canvas(_painted(shot.scene, shot.variation, *width_and_height(size)), STYLES[shot.style])
    for prop in shot.props:
        draw_prop(canvas, prop)
    for character, stance in zip(cast, shot.stances, strict=True):
        draw_figure(canvas, character, stance, shot.framing)
    if shot.mark:
        x, y, rx, ry = shot.mark
        canvas.ring((x * canvas.aspect, y), (rx, ry), 0.022, _MARK)
    return canvas.finish()

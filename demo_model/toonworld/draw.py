"""A character in a shot, as pixels."""

from __future__ import annotations

import functools

import numpy as np

from .canvas import Canvas
from .figure import POSES, draw_figure
from .scenes import PAINTERS
from .world import Character, Shot


@functools.lru_cache(maxsize=64)
def _painted(scene: str, size: int) -> Canvas:
    canvas = Canvas.blank(size)
    PAINTERS[scene](canvas)
    return canvas


@functools.lru_cache(maxsize=64)
def backdrop(scene: str, size: int = 128) -> np.ndarray:
    """The scene with nobody in it, ``uint8 [size, size, 3]``."""
    return _painted(scene, size).finish()


def draw(character: Character, shot: Shot, size: int = 128) -> np.ndarray:
    """The one picture of this character in this shot.

    Args:
        size: side in pixels, 16..2048.
    Returns:
        ``uint8 [size, size, 3]`` RGB, the same bits for the same arguments.
    """
    canvas = Canvas(_painted(shot.scene, size).pixels)
    draw_figure(canvas, character, POSES[shot.action], shot.framing)
    return canvas.finish()

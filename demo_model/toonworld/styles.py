"""Drawing styles: how outlines look, and one linear change of all colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LUMA = ((0.299, 0.587, 0.114),) * 3
_SAME = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Style:
    """``outline_tone`` times the fill's colour is the outline's; ``outline_width`` times the usual width. Colours
    become ``gain * matrix @ colour + bias`` (0..255, clipped)."""

    outline_tone: float
    outline_width: float
    matrix: tuple = _SAME
    gain: float = 1.0
    bias: float = 0.0

    def colours(self, picture: np.ndarray) -> np.ndarray:
        """``uint8 [H, W, 3]`` in this style's colours."""
        if self.matrix is _SAME and self.gain == 1.0 and self.bias == 0.0:
            return picture
        table = np.concatenate([np.array(self.matrix) * self.gain, np.full((3, 1), self.bias)], 1)
        return cv2.transform(picture, table)


CARTOON = Style(0.5, 1.0)
STYLES = {
    "cartoon": CARTOON,
    "comic": Style(0.08, 1.7, gain=1.2, bias=-26.0),
    "pastel": Style(0.86, 1.0, gain=0.5, bias=127.0),
    "pencil": Style(0.2, 1.2, matrix=_LUMA, gain=0.75, bias=64.0),
}

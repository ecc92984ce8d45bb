"""Where the figures of a picture are."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ...common import Box, InputError

_LONGER_SIDE = 640  # pixels YuNet looks at: it finds faces of 10 to 300
_SURE = 0.7


class Finder(Protocol):
    """`name` says in reports who counted."""

    name: str

    def find(self, picture: torch.Tensor) -> list[Box]:
        """Boxes, in parts of the picture, of the figures of a picture `float32 [H, W, 3]` in 0..1, the surest first."""
        ...


class FaceFinder:
    """Faces by YuNet, a file of OpenCV's model zoo (face_detection_yunet_*.onnx), on the CPU. Boxes are the faces with
    hair and chin: made larger by half.

    Raises InputError (where = `where`) if OpenCV cannot use the file.
    """

    def __init__(self, path: str | Path, where: str):
        import cv2

        self.name = Path(path).stem
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (64, 64), _SURE)
        except cv2.error:
            raise InputError(where, "finder", self.name, "is no YuNet face detector",
                             "use face_detection_yunet_2023mar.onnx of OpenCV's model zoo") from None

    def find(self, picture: torch.Tensor) -> list[Box]:
        """See `Finder`."""
        import cv2

        height, width = picture.shape[:2]
        scale = min(1.0, _LONGER_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = (picture.numpy()[..., ::-1] * 255).round().astype(np.uint8)  # OpenCV's order: blue first
        self._net.setInputSize(size)
        _, faces = self._net.detect(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        rows = [] if faces is None else sorted(faces.tolist(), key=lambda row: -row[-1])
        return [widened(x / size[0], y / size[1], w / size[0], h / size[1]) for x, y, w, h, *_ in rows]


def widened(left: float, top: float, width: float, height: float) -> Box:
    """A face's box, a quarter larger on each side, inside the picture."""
    return Box(max(0.0, left - width / 4), max(0.0, top - height / 4),
               min(1.0, left + width * 5 / 4), min(1.0, top + height * 5 / 4))

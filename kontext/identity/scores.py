"""Identity scores: each figure of a picture against the references of each character that should be in it.

After ViStoryBench (arXiv 2505.24862): cosine likeness, a Hungarian assignment of figures to characters, a count, and
the mirror test for pasted references. Unlike there, a character has several references and the best counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ...common import WHOLE, Box
from .encoders import Encoder
from .finders import Finder

COPIED = 0.95  # from here on the mirror test is worth a remark
_MIRROR_TEMPERATURE = 0.01  # ViStoryBench's


@dataclass(frozen=True)
class FigureScore:
    """One character in one picture.

    `likeness` is the cosine to the best of the character's references, 0..1 (below 0 counts as 0); 0 if the character
    was not found, and then `box` is None. `copy_paste` 0..1: 0.5 says nothing, near 1 the figure is much nearer to the
    reference than to its mirror image, as a pasted one is. It means something with encoders that see left and right.
    """

    likeness: float
    box: Box | None
    copy_paste: float | None


@dataclass(frozen=True)
class PictureScore:
    """All characters of one picture. `found` figures were counted; None: nobody counted."""

    encoder: str
    figures: Mapping[str, FigureScore]
    found: int | None

    @property
    def count_is_right(self) -> bool | None:
        """As many figures as characters; None: not checked."""
        return None if self.found is None else self.found == len(self.figures)

    @property
    def total(self) -> float:
        """Mean likeness, 0..1, times exp(-too many / expected), which is ViStoryBench's count score for too many; who
        is missing counts 0 already."""
        if not self.figures:
            return 0.0
        extra = max(0, (self.found or 0) - len(self.figures))
        mean = sum(figure.likeness for figure in self.figures.values()) / len(self.figures)
        return mean * math.exp(-extra / len(self.figures))

    def as_json(self) -> dict[str, Any]:
        """For records."""
        copied = {name: round(figure.copy_paste, 4) for name, figure in self.figures.items()
                  if figure.copy_paste is not None}
        return {"score": round(self.total, 4), "encoder": self.encoder,
                "characters": {name: round(figure.likeness, 4) for name, figure in self.figures.items()},
                "copy_paste": copied, "figures": self.found}

    def __str__(self) -> str:
        each = ", ".join(f"{name} {figure.likeness:.2f}" + (" (not found)" if figure.box is None else "")
                         + (" (looks pasted)" if (figure.copy_paste or 0) >= COPIED else "")
                         for name, figure in self.figures.items())
        count = "count not checked" if self.found is None else \
            f"{self.found} of {len(self.figures)} figures" if not self.count_is_right else "count right"
        return f"{self.total:.2f} [{each}; {count}; by {self.encoder}]"


@dataclass(frozen=True)
class Scorer:
    """An encoder and what finds the figures. Without a finder the whole picture is one figure, or each figure is where
    the story's regions say, and nobody counts."""

    encoder: Encoder
    finder: Finder | None = None

    def cast(self, references: Mapping[str, Sequence[torch.Tensor]]) -> Cast:
        """Characters to look for: at least one reference `float32 [H, W, 3]` in 0..1 for each name."""
        vectors = {}
        for name, pictures in references.items():
            crops = [crop(picture, (self.boxes(picture) or [WHOLE])[0]) for picture in pictures]
            vectors[name] = self.encoder.embed(crops), self.encoder.embed([one.flip(1) for one in crops])
        return Cast(self, vectors)

    def boxes(self, picture: torch.Tensor) -> list[Box] | None:
        """What the finder finds; None without one."""
        return None if self.finder is None else self.finder.find(picture)


class Cast:
    """Characters a `Scorer` knows, by `Scorer.cast`."""

    def __init__(self, scorer: Scorer, vectors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]):
        self._scorer, self._vectors = scorer, vectors

    def only(self, names: Sequence[str]) -> Cast:
        """Some of them."""
        return Cast(self._scorer, {name: self._vectors[name] for name in names})

    def score(self, picture: torch.Tensor, regions: Mapping[str, Box] | None = None) -> PictureScore:
        """Score a picture `float32 [H, W, 3]` in 0..1 in which all of the cast should be.

        `regions` say where a character is to be: what is found elsewhere is somebody else.
        """
        regions, names, encoder = regions or {}, list(self._vectors), self._scorer.encoder
        found = self._scorer.boxes(picture)
        boxes = found
        if boxes is None:
            boxes = [regions[name] for name in names] if set(regions) >= set(names) else [WHOLE] * min(1, len(names))
        nobody = PictureScore(encoder.name, dict.fromkeys(names, FigureScore(0.0, None, None)),
                              None if found is None else len(found))
        if not boxes or not names:
            return nobody
        figures = encoder.embed([crop(picture, box) for box in boxes])
        likeness = torch.stack([(vectors @ figures.T).amax(0) for vectors, _ in self._vectors.values()])
        allowed = torch.tensor([[name not in regions or regions[name].holds(*box.centre) for box in boxes]
                                for name in names])
        if found is None and len(boxes) == 1:
            places = [(row, 0) for row in range(len(names))]  # the whole picture is everybody
        else:
            places = assign(likeness, allowed)
        scores = {}
        for row, column in places:
            straight, mirrored = self._vectors[names[row]]
            scores[names[row]] = FigureScore(
                min(1.0, max(0.0, float(likeness[row, column]))), boxes[column],
                mirror_test(figures[column], straight, mirrored))
        return PictureScore(encoder.name, {**nobody.figures, **scores}, nobody.found)


def assign(likeness: torch.Tensor, allowed: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs (row, column) of the greatest sum of `likeness [rows, columns]`, each row and column once at most, of those
    that are `allowed` (bool, the same shape). The Hungarian method, scipy's."""
    from scipy.optimize import linear_sum_assignment

    never = -1e3
    rows, columns = linear_sum_assignment(likeness.masked_fill(~allowed, never).numpy(), maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


def mirror_test(figure: torch.Tensor, straight: torch.Tensor, mirrored: torch.Tensor) -> float:
    """ViStoryBench's copy-paste score of a unit vector `[d]` against references and their mirror images `[n, d]`, of
    the nearest reference: softmax at T = 0.01 of the two cosines, its first entry."""
    nearest = int((straight @ figure).argmax())
    cosines = torch.stack([straight[nearest] @ figure, mirrored[nearest] @ figure])
    return float(F.softmax(cosines / _MIRROR_TEMPERATURE, dim=0)[0])


def crop(picture: torch.Tensor, box: Box) -> torch.Tensor:
    """The part of a picture `[H, W, 3]` inside a box, made square by its longer side; edges are repeated outside."""
    height, width = picture.shape[:2]
    left, right = sorted((box.left * width, box.right * width))
    top, bottom = sorted((box.top * height, box.bottom * height))
    side = max(1, round(max(right - left, bottom - top)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    rows, columns = (torch.arange(start, start + side).clamp(0, length - 1)
                     for start, length in ((y, height), (x, width)))
    return picture[rows][:, columns]

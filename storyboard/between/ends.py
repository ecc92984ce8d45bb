"""The two given pictures, and the motion between them."""

from __future__ import annotations

from dataclasses import dataclass

from ...common import InputError, Picture, check_picture
from ...flow import Estimator, FramePair, prepare_pair

_LEAST_SIDE = 64  # pixels: the least that Kontext makes
_SAME = 1 / 255  # pictures that differ by less everywhere are one


@dataclass(frozen=True)
class Ends:
    """Both given pictures of one size, and the pair as flow sees it."""

    start: Picture
    end: Picture
    pair: FramePair

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.start.shape[1], self.start.shape[0]

    def moved(self, part: float) -> Picture:
        """Both pictures brought to `part` (0..1) of the way along the flow; cross-faded where the flow understands
        nothing."""
        return self.pair.at(part)


def both_ends(start: Picture, end: Picture, estimator: Estimator | None, where: str) -> Ends:
    """The ends, checked (see check_ends)."""
    check_ends(start, end, where)
    pair = prepare_pair(start, end, estimator=estimator, where=where)
    if pair.report.decision == "hold":  # a cut: half-way would be one of the ends
        pair = prepare_pair(start, end, mode="dissolve", where=where)
    return Ends(start, end, pair)


def check_ends(start: Picture, end: Picture, where: str) -> None:
    """Raise InputError for what is no picture, sizes that differ, sides under 64 pixels, and one picture twice."""
    for field, picture in (("start frame", start), ("end frame", end)):
        check_picture(picture, where, field)
    sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (start, end)]
    if start.shape != end.shape:
        shapes = [picture.shape[1] / picture.shape[0] for picture in (start, end)]
        remedy = "scale one to the size of the other" if abs(shapes[0] / shapes[1] - 1) < 0.01 else \
            "crop or extend one to the shape of the other, then scale it"
        raise InputError(where, "end frame", sizes[1], f"is not of the start frame's size {sizes[0]}", remedy)
    if min(start.shape[:2]) < _LEAST_SIDE:
        raise InputError(where, "start frame", sizes[0], f"is under {_LEAST_SIDE} pixels a side", "use larger pictures")
    if (start - end).abs().max() < _SAME:
        raise InputError(where, "end frame", sizes[1], "is the start frame once more",
                         "give two pictures that differ")

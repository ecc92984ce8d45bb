"""A clip brought back to its keyframes: a video model's first and last frames are near them, but not they.

The ends become the keyframes themselves. Two things would then jump: the colours, which drift along the clip, and what
stands a little aside or is a little softer than in the keyframe. The colours are matched at both ends and the match is
carried linearly from one to the other. The rest (where the end's pixels lie in the keyframe, and what still differs
then) is carried along the clip's own motion into the frames next to the end, less from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...common import InputError
from ..between.estimate import estimate_motion
from ..checks import WHERE, check_pair
from ..colour import ColourMatch, match_colours
from ..estimators.dis import DisFlow
from ..motion import Estimator, estimated
from ..warp import warp_bicubic

Keyframes = tuple[Tensor | None, Tensor | None]  # of a clip's start and end
SETTLING_FRAMES = 6
_REACHED = 0.5  # coverage below which an end does not show its keyframe


@dataclass(frozen=True)
class ClipEnd:
    """How a clip's end and its keyframe differ.

    Attributes:
        colours: what brings the end's colours to the keyframe's; None if not asked for, or if they do not show the
            same.
        coverage: share of both pictures, 0..1, where motion both ways agrees, after the colours were matched.
        aside: how far the end's pixels lie from where the keyframe has them: the length that 5 % exceed, pixels.
        difference: mean difference of the colours that is left before the frames are settled, 0..1.
        is_reached: does the end show its keyframe? Else nothing is settled, and the keyframe is a cut.
    """

    colours: ColourMatch | None
    coverage: float
    aside: float
    difference: float
    is_reached: bool


class RepairedClip:
    """A clip and its keyframes; its pictures are made one by one.

    Args:
        clip: at least two pictures ``float32 [H, W, 3]`` of one size, asked for by index, the ends more than once.
        first, last: the keyframes, of the clip's size; None leaves that end as it is.
        colour: match the colours.
        settling: how many frames next to an end are settled, 0 none; at most half of those between the ends.
        estimator: see ``Estimator``; ``DisFlow()`` if none.
        where: for messages.
    Attributes:
        start, end: see ``ClipEnd``; None without a keyframe.
        settling: how many frames are settled at each end.
    Raises:
        InputError: fewer than two pictures, or pictures that cannot be used.
    """

    def __init__(self, clip: Sequence[Tensor], first: Tensor | None, last: Tensor | None, *, colour: bool = True,
                 settling: int = SETTLING_FRAMES, estimator: Estimator | None = None, where: str = WHERE):
        if len(clip) < 2:
            raise InputError(where, "clip", f"{len(clip)} pictures", "is no clip", "give at least two")
        self._clip, self._first, self._last = clip, first, last
        self._estimator, self._where = estimator or DisFlow(), where
        self.settling = min(settling, (len(clip) - 2) // 2)
        found = self._match(0, first, colour), self._match(-1, last, colour)
        # an end without a match drifts as the other does: nothing better is known of it
        start, end = found[0] or found[1], found[1] or found[0]
        self._colours = start or ColourMatch.none(), end or ColourMatch.none()
        self.start, self._from_start = self._look(0, first, found[0])
        self.end, self._from_end = self._look(-1, last, found[1])

    def _match(self, place: int, keyframe: Tensor | None, colour: bool) -> ColourMatch | None:
        if keyframe is None:
            return None
        check_pair(self._clip[place], keyframe, self._where, ("clip", "keyframe"))
        return match_colours(self._clip[place], keyframe) if colour else None

    def _look(self, place: int, keyframe: Tensor | None, colours: ColourMatch | None
              ) -> tuple[ClipEnd | None, _Correction | None]:
        """An end, and what its neighbours are settled by."""
        if keyframe is None:
            return None, None
        shown = self._coloured(place % len(self))
        motion = estimate_motion(shown, keyframe, self._estimator, where=self._where)
        lengths = motion.backward.norm(dim=2).flatten()
        aside = lengths.kthvalue(max(1, int(0.95 * lengths.numel()))).values.item()
        difference = (shown - keyframe).abs().mean().item()
        end = ClipEnd(colours, motion.coverage, aside, difference, motion.coverage >= _REACHED)
        if not end.is_reached or not self.settling:
            return end, None
        return end, _Correction(shown, motion.backward, keyframe - warp_bicubic(shown, motion.backward))

    def __len__(self) -> int:
        return len(self._clip)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Tensor:
        """The picture at ``index``, 0 to ``len - 1``; at the ends the keyframes themselves."""
        after, before = index, len(self) - 1 - index
        keyframe = self._first if not after else self._last if not before else None
        if keyframe is not None:
            return keyframe
        picture = self._coloured(index)
        for correction, away in ((self._from_start, after), (self._from_end, before)):
            if correction is not None and away <= self.settling:
                to_end = estimated(self._estimator, picture, correction.shown, self._where)
                picture = correction.carried(picture, to_end, 1 - away / (self.settling + 1))
        return picture

    def _coloured(self, index: int) -> Tensor:
        start, end = self._colours
        return start.towards(end, index / (len(self) - 1)).applied(self._clip[index])


@dataclass(frozen=True)
class _Correction:
    """What brings an end, as it is ``shown`` in matched colours, to its keyframe: where each of the keyframe's pixels
    lies in it, ``[H, W, 2]``, and what still differs then, ``[H, W, 3]``."""

    shown: Tensor
    places: Tensor
    rest: Tensor

    def carried(self, picture: Tensor, to_end: Tensor, share: float) -> Tensor:
        """A picture with a share (0..1) of the correction, which lies where the flow ``to_end`` leads."""
        moved = warp_bicubic(picture, share * warp_bicubic(self.places, to_end))
        return (moved + share * warp_bicubic(self.rest, to_end)).clamp(0, 1)


class JoinedPicture(NamedTuple):
    """A picture of joined clips, and which clip (from 0) it is of."""

    picture: Tensor
    clip: int
    repaired: RepairedClip


def joined_length(clips: Sequence[Sequence[Tensor]], keyframes: Sequence[Keyframes]) -> int:
    """How many pictures ``join_clips`` makes."""
    return sum(map(len, clips)) - sum(map(_continues, keyframes[1:], keyframes))


def join_clips(clips: Sequence[Sequence[Tensor]], keyframes: Sequence[Keyframes], **options) -> Iterator[JoinedPicture]:
    """Clips one after the other, each repaired; a keyframe that one ends and the next begins with comes once.

    Args:
        clips: see ``RepairedClip``; one is looked at after the other.
        keyframes: the first and the last keyframe of each.
        options: those of ``RepairedClip``.
    Raises:
        InputError: a clip that cannot be used, when it is reached.
    """
    for number, (clip, ends) in enumerate(zip(clips, keyframes, strict=True)):
        repaired = RepairedClip(clip, *ends, **options)
        begin = 1 if number and _continues(ends, keyframes[number - 1]) else 0
        for index in range(begin, len(repaired)):
            yield JoinedPicture(repaired[index], number, repaired)


def _continues(ends: Keyframes, before: Keyframes) -> bool:
    return ends[0] is not None and before[1] is not None and torch.equal(ends[0], before[1])

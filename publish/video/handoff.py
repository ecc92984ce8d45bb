"""Keyframes handed to a video model: one clip from each picture to the next, each within what the model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...common import Box, InputError, Picture, check_picture
from .fit import check_fit, cut, framed, is_near, middle_box, on_canvas, stretch
from .models import VideoModel, clip_length, frame_size, video_model

_GREY = 0.5  # VACE's pixels that are to be made
_MIN_SIDE = 16  # pixels that motion needs, when the clips come back


@dataclass(frozen=True)
class ClipPlan:
    """One clip. Attributes: length: frames; prompt: what happens in it."""

    length: int
    prompt: str


@dataclass(frozen=True)
class Handoff:
    """What goes to a video model, and what is needed to bring its clips back to the pictures.

    Attributes:
        model: the model's name; rules: what it takes.
        size: (width, height) of the clips, pixels.
        inside: the part of a frame, 0 to 1, that shows the picture; the rest is black bars.
        keyframes: the pictures, ``float32 [H, W, 3]``, all of one size: that of the first picture, or of what was kept
            of it.
        clips: clip ``k`` goes from keyframe ``k`` to ``k + 1``; if the model takes no last frame it only begins there.
        remarks: what was done to pictures and lengths, a sentence each.
    """

    model: str
    rules: VideoModel
    size: tuple[int, int]
    inside: Box
    keyframes: tuple[Picture, ...]
    clips: tuple[ClipPlan, ...]
    remarks: tuple[str, ...]

    def frame(self, index: int) -> Picture:
        """Keyframe ``index`` as the model takes it, ``[H, W, 3]`` of ``size``."""
        return framed(self.keyframes[index], self.size, self.inside.in_pixels(*self.size))

    def ends(self, clip: int) -> tuple[Picture, Picture | None]:
        """The keyframes that a clip begins and ends with; None if it is not held to one at its end."""
        return self.keyframes[clip], self.keyframes[clip + 1] if self.rules.holds_end else None

    def control(self, clip: int) -> tuple[Tensor, Tensor]:
        """VACE's control video ``[length, H, W, 3]`` and masks ``[length, H, W]`` of a clip: its two pictures where the
        masks are black, between them grey, to be made where they are white."""
        width, height = self.size
        video = torch.full((self.clips[clip].length, height, width, 3), _GREY)
        masks = torch.ones(self.clips[clip].length, height, width)
        for place, keyframe in ((0, clip), (-1, clip + 1)):
            video[place] = self.frame(keyframe)
            masks[place] = 0
        return video, masks

    def picture(self, frame: Tensor) -> Picture:
        """A frame of a clip without its bars."""
        return cut(frame, self.inside.in_pixels(frame.shape[1], frame.shape[0])).contiguous()

    def check_clip(self, frame: Tensor, number: int, where: str) -> None:
        """Raises InputError if a frame ``[H, W, 3]`` of clip ``number`` has not the shape that was handed over."""
        given = frame.shape[1], frame.shape[0]
        if not is_near(given, self.size):
            raise InputError(where, "clips", f"clip {number}", f"is {given[0]}x{given[1]}, and {self.size[0]}x"
                             f"{self.size[1]} was handed to the model",
                             "connect the clips made of these keyframes; they may be scaled, but not cropped")


def hand_off(
    pictures: Sequence[Picture],
    model: str,
    seconds: Sequence[float],
    prompts: Sequence[str],
    resolution: str = "small",
    fit: str = "pad",
    where: str = "Keyframes for Video",
) -> Handoff:
    """Fit pictures to a video model.

    Args:
        pictures: the keyframes in order, ``float32 [H, W, 3]`` in 0..1, of any sizes: the first one says which shape
            the clips have. One is enough for a model that takes no last frame.
        model: a key of ``VIDEO_MODELS``.
        seconds: of each clip, from its first frame to its last: one for all, one for each, or one for each picture
            (how long a panel is shown; the last has no clip).
        prompts: the same; of one for each picture, a clip takes that of the picture it goes to.
        resolution: of ``RESOLUTIONS``.
        fit: of ``FITS``: pictures of another shape, and shapes the model does not make, get bars or are cropped.
        where: for messages.
    Raises:
        InputError: too few pictures, too small ones or what is none, an unknown setting, a length the model does not
            make, seconds or prompts that do not match.
    """
    rules = video_model(model, where)
    check_fit(fit, where)
    needed = 2 if rules.holds_end else 1
    if len(pictures) < needed:
        raise InputError(where, "first_frame", f"{len(pictures)} pictures", f"are too few for {model}: {needed} needed",
                         "connect the picture that the clip ends with as last_frame, or all pictures of a story as "
                         "first_frame")
    for number, picture in enumerate(pictures, 1):
        check_picture(picture, where, f"picture {number}")
    count = max(1, len(pictures) - 1)
    lengths = [clip_length(rules, one, where) for one in _for_each(seconds, count, 0, "seconds", where)]
    texts = _for_each(prompts, count, 1, "prompt", where)

    own = pictures[0].shape[1], pictures[0].shape[0]
    size = frame_size(rules, *own, resolution, where)
    kept = own
    if fit == "crop" and not is_near(own, size):
        box = middle_box(own, size)
        kept = int(box.width), int(box.height)
    keyframes, done = zip(*(on_canvas(picture, kept, fit) for picture in pictures), strict=True)
    inside = Box(0, 0, *size) if is_near(kept, size) else middle_box(size, kept)
    if min(*kept, inside.width, inside.height) < _MIN_SIDE:
        raise InputError(where, "first_frame", f"{own[0]}x{own[1]}", "is too small or too narrow: both sides of what a "
                         f"clip shows of it must be at least {_MIN_SIDE} pixels",
                         "scale it up with Upscale Image, or crop it")
    parts = Box(inside.left / size[0], inside.top / size[1], inside.right / size[0], inside.bottom / size[1])
    remarks = [f"picture {number}: {words}" for number, words in enumerate(done, 1) if words]
    if parts != Box(0, 0, 1, 1):
        remarks.append(f"{model} makes no clip of the shape {kept[0]}x{kept[1]}: black bars, "
                       f"{_bars(inside, size)} pixels on each side")
    elif words := stretch(kept, size):
        remarks.append(f"{words} in the clip, for its grid of {rules.grid} pixels")
    if rules.holds_end:
        remarks += _equal_neighbours(keyframes)
    elif len(pictures) > 1 and not torch.equal(*keyframes[-2:]):
        remarks.append(f"no clip shows picture {len(pictures)}, the last: {model} only begins with a picture; for a "
                       "clip of it connect it once more as last_frame")
    clips = tuple(ClipPlan(length, text) for length, text in zip(lengths, texts, strict=True))
    return Handoff(model, rules, size, parts, keyframes, clips, tuple(remarks))


def _for_each(values: Sequence, count: int, first: int, field: str, where: str) -> Sequence:
    """One value for each clip, of one for all, one for each, or one for each picture (``first`` of which begins)."""
    if len(values) == 1:
        return list(values) * count
    if len(values) == count + 1:
        return values[first : first + count]
    if len(values) != count:
        raise InputError(where, field, f"{len(values)} values", f"do not match the {count} clips",
                         "give one for all, one for each clip, or one for each picture")
    return values


def _bars(inside: Box, size: tuple[int, int]) -> str:
    return f"{inside.left:g}" if inside.width < size[0] else f"{inside.top:g}"


def _equal_neighbours(keyframes: Sequence[Picture]) -> list[str]:
    return [f"pictures {number} and {number + 1} are the same: the clip comes back to where it began"
            for number, (one, two) in enumerate(zip(keyframes, keyframes[1:], strict=False), 1)
            if torch.equal(one, two)]

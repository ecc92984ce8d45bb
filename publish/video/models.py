"""What the video models of ComfyUI's own nodes take: lengths, sizes, shapes, rates. Data, and two functions over it.

Frame counts and grids are those of the nodes (comfy_extras/nodes_wan.py, nodes_lt.py, nodes_hunyuan.py,
nodes_cosmos.py; the same in ComfyUI 0.3.75 and 0.33.0). Rates, areas and lengths are those the models were made for:
Wan's and VACE's code (81 frames, 16 a second, 480 x 832 or 720 x 1280), LTX-Video's README (at most 257 frames, under
720 x 1280; 25 a second is LTXVConditioning's default), NVIDIA's guide to Cosmos-Predict2 (16 a second, 720p or 480p; 93
frames are the node's default). Taken from memory, with no source at hand: HunyuanVideo's 129 frames, 24 a second and
720p, and Cosmos' 16:9 to 9:16. A shape of up to 2:1 is our own limit where a model states none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, sqrt

from ...common import InputError, did_you_mean

RESOLUTIONS = ("small", "large")
_AREA_WEIGHT = 0.25  # how much an area that is missed counts against a shape that is off, both as logarithms


@dataclass(frozen=True)
class VideoModel:
    """What one model takes.

    Attributes:
        node: the ComfyUI node that takes the keyframes.
        fps: frames a second.
        step: a clip has a multiple of this many frames, and one more.
        longest: frames.
        grid: both sides are multiples of this, pixels.
        areas: pixels of a frame, by ``RESOLUTIONS``.
        widest: the longer side over the shorter one, at most.
        holds_end: does it take the last frame too?
        takes_control: does it want a control video and masks in place of two pictures?
    """

    node: str
    fps: float
    step: int
    longest: int
    grid: int
    areas: tuple[int, int]
    widest: float = 2.0
    holds_end: bool = True
    takes_control: bool = False

    @property
    def shortest(self) -> int:
        """Frames: the fewest with a step between the first frame and the last."""
        return 2 * self.step + 1

    @property
    def longest_seconds(self) -> float:
        """From the first frame to the last one."""
        return (self.longest - 1) / self.fps


VIDEO_MODELS = {
    "Wan first and last frame": VideoModel("WanFirstLastFrameToVideo", 16, 4, 81, 16, (832 * 480, 1280 * 720)),
    "Wan VACE": VideoModel("WanVaceToVideo", 16, 4, 81, 16, (832 * 480, 1280 * 720), takes_control=True),
    "LTX-Video": VideoModel("LTXVAddGuide", 25, 8, 257, 32, (768 * 512, 1216 * 704)),
    "HunyuanVideo": VideoModel("HunyuanImageToVideo", 24, 4, 129, 16, (848 * 480, 1280 * 720), holds_end=False),
    "Cosmos-Predict2": VideoModel("CosmosPredict2ImageToVideoLatent", 16, 4, 93, 16, (848 * 480, 1280 * 704),
                                  widest=16 / 9),
}


def video_model(name: str, where: str) -> VideoModel:
    """The model of this name. Raises InputError for an unknown one."""
    if name not in VIDEO_MODELS:
        raise InputError(where, "model", name, "is no video model we know", did_you_mean(str(name), VIDEO_MODELS))
    return VIDEO_MODELS[name]


def clip_length(model: VideoModel, seconds: float, where: str) -> int:
    """How many frames a clip gets that takes about ``seconds`` from its first frame to its last.

    Never fewer than ``model.shortest``. Raises InputError for no time at all, and for more than the model makes.
    """
    if not seconds > 0:  # also NaN
        raise InputError(where, "seconds", f"{seconds:g}", "is no time", "give more than 0 seconds")
    frames = round(min(seconds, 1e6) * model.fps / model.step) * model.step + 1
    if frames > model.longest:
        raise InputError(where, "seconds", f"{seconds:g}",
                         f"is longer than {model.node} makes in one clip, {model.longest_seconds:g}",
                         f"set it to {model.longest_seconds:g} or less, or put a picture between: each clip goes from "
                         "one picture to the next")
    return max(model.shortest, frames)


def frame_size(model: VideoModel, width: int, height: int, resolution: str, where: str) -> tuple[int, int]:
    """The size of a clip for pictures of this shape: on the model's grid, within its shapes, not over its area.

    Of the sizes that qualify the one whose shape is nearest, a larger one at the cost of a little.
    """
    if resolution not in RESOLUTIONS:
        raise InputError(where, "resolution", resolution, "is unknown", f"use one of {', '.join(RESOLUTIONS)}")
    area = model.areas[RESOLUTIONS.index(resolution)]
    shape = min(model.widest, max(1 / model.widest, width / height))

    def misfit(size: tuple[int, int]) -> tuple[float, int]:
        return round(abs(log(size[0] / size[1] / shape)) + _AREA_WEIGHT * log(area / (size[0] * size[1])), 9), size[0]

    return min(_sizes(model, area, shape), key=misfit)


def _sizes(model: VideoModel, area: int, shape: float) -> Iterator[tuple[int, int]]:
    """Sizes on the grid with about that shape, up to the area and within the model's widest."""
    for columns in range(1, int(sqrt(area * shape) / model.grid) + 2):
        for rows in {int(columns / shape), int(columns / shape) + 1}:
            wide = columns / rows if rows else 0
            if rows and columns * rows * model.grid**2 <= area and 1 / model.widest <= wide <= model.widest:
                yield columns * model.grid, rows * model.grid

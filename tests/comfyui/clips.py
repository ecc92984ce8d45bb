"""A clip to feed the nodes with."""

from pathlib import Path

import av
import numpy as np


def write_clip(path: Path, codec: str, pixels: str, count: int) -> None:
    """A square that moves to the right by 8 pixels a frame, 96 x 64, 12 frames a second, with a tone as long.

    `codec` and `pixels` are the video's, in FFmpeg's names.
    """
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream(codec, rate=12), container.add_stream("aac", rate=44100, layout="mono")
        video.width, video.height, video.pix_fmt = 96, 64, pixels
        for index in range(count):
            picture = np.full((64, 96, 3), 40, np.uint8)
            picture[16:48, 8 + 8 * index : 40 + 8 * index] = 220
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        samples = np.full((1, count * 44100 // 12), 0.25, np.float32)
        sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))

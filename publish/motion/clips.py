"""A clip as a video file, through PyAV (which ComfyUI brings): frame by frame, memory does not grow with its length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...common import InputError, check_picture, complete_path

CLIP_CONTAINERS = ("MP4", "WebM")
CLIP_QUALITIES = ("best", "good", "small")
_SLOWEST, MAX_CLIP_RATE = Fraction(1, 1000), 240  # frames a second; beyond, no player keeps up and H.264 levels end
MAX_HELD_SECONDS = 3600  # of one picture

_VIDEO = {"MP4": "h264", "WebM": "libvpx-vp9"}
_AUDIO = {"MP4": "aac", "WebM": "libopus"}
_CRF = {"MP4": {"best": 14, "good": 19, "small": 27}, "WebM": {"best": 20, "good": 30, "small": 40}}
_MOST_SIDE = {"MP4": 16384, "WebM": 65536}  # pixels: x264's limit, and what VP9's header can say
_OPUS_RATE = 48000
_MIN_AUDIO_RATE, _MAX_AUDIO_RATE = 1000, 768_000
_LOUDEST = 8  # a sample of 16-bit audio that was not scaled is far beyond, one of a loud mix is not
_BT709, _TV_RANGE = 1, 1


def frames_held(seconds: Sequence[float], rate: Fraction, where: str = "Save Clip") -> list[int]:
    """How many frames each picture stands in a clip of `rate` frames a second, if it is to be seen for its `seconds`.

    Ends are rounded, not lengths, so that errors do not add up; every picture stands for one frame at least.
    Raises InputError for a duration that is not more than 0 and at most 3600.
    """
    counts, end, done = [], Fraction(0), 0
    for number, length in enumerate(seconds, 1):
        if not 0 < length <= MAX_HELD_SECONDS:  # also false for NaN
            raise InputError(where, "durations", f"{length:g}", f"of picture {number} is no time to show it",
                             f"use more than 0 and at most {MAX_HELD_SECONDS} seconds")
        end += Fraction(length)
        counts.append(max(1, round(end * rate) - done))
        done += counts[-1]
    return counts


@dataclass(frozen=True)
class Audio:
    """Attributes: waveform: ``float [C, T]`` in -1..1, one or two channels; rate: samples a second."""

    waveform: Tensor
    rate: int


def write_clip(
    path: Path,
    pictures: Iterable[Tensor],
    size: tuple[int, int],
    rate: Fraction,
    *,
    container: str = "MP4",
    quality: str = "good",
    audio: Audio | None = None,
    metadata: Mapping[str, str] | None = None,
    where: str = "Save Clip",
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Write H.264 with AAC (MP4) or VP9 with Opus (WebM), 4:2:0, BT.709.

    A file of this name appears only when it is whole. An odd width or height gets one more column or row, a copy of
    the last: 4:2:0 needs even sides. Audio that is longer than the pictures is cut, shorter audio ends in silence; of a
    rate that its encoder lacks it is resampled to the next higher one (Opus: always to 48 kHz).

    Args:
        path: where to; its folder exists.
        pictures: ``float32 [H, W, 3]`` in 0..1, read one by one.
        size: (width, height) of every picture.
        rate: frames a second, exactly.
        audio: None for a silent clip.
        metadata: text entries of the container.
        on_frame: called after each frame; what it raises stops the work, and no file is left.
    Returns:
        The number of frames.
    Raises:
        InputError: a size, rate or audio that cannot be written, no pictures or what is none, an encoder that this
            PyAV lacks.
    """
    import av

    if not _SLOWEST <= rate <= MAX_CLIP_RATE:
        raise InputError(where, "fps", f"{float(rate):g}", "cannot be played",
                         f"use at least {float(_SLOWEST):g} and at most {MAX_CLIP_RATE}")
    if audio is not None:
        _check_audio(audio, where)
    width, height = size[0] + size[0] % 2, size[1] + size[1] % 2
    if max(width, height) > _MOST_SIDE[container]:
        raise InputError(where, "frames", f"{size[0]}x{size[1]}", f"is larger than {container} video can be",
                         f"scale the pictures to at most {_MOST_SIDE[container]} pixels a side")
    options = {"movflags": "use_metadata_tags+faststart"} if container == "MP4" else {}
    count = 0
    with complete_path(path) as part, \
            av.open(os.fspath(part), "w", format=container.lower(), options=options) as output:
        output.metadata.update(metadata or {})
        stream = _video_stream(output, container, quality, rate, width, height, where)
        sound = None if audio is None else _Sound(output, container, audio, where)
        for picture in pictures:
            check_picture(picture, where, f"picture {count + 1}")
            frame = av.VideoFrame.from_ndarray(_even(_bytes(picture)), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = count, 1 / rate
            output.mux(stream.encode(frame))
            count += 1
            if sound:
                sound.write_until(count / rate)
            on_frame()
        if not count:
            raise InputError(where, "frames", "0 pictures", "are no clip", "connect at least one picture")
        output.mux(stream.encode(None))
        if sound:
            sound.finish()
    return count


def _check_audio(audio: Audio, where: str) -> None:
    waveform = audio.waveform
    if waveform.ndim != 2 or waveform.shape[0] not in (1, 2) or not waveform.shape[1]:
        raise InputError(where, "audio", str(list(waveform.shape)), "is not one or two channels of samples",
                         "mix it to stereo, or leave it out")
    if not _MIN_AUDIO_RATE <= audio.rate <= _MAX_AUDIO_RATE:
        raise InputError(where, "audio", f"{audio.rate} Hz", "is no usual sample rate", "resample it to 48000 Hz")
    if not torch.isfinite(waveform).all():
        raise InputError(where, "audio", "samples", "hold values that are no numbers (NaN)",
                         "look at the node that made it: it went wrong there")
    loudest = waveform.abs().max().item()
    if not waveform.is_floating_point() or loudest > _LOUDEST:
        raise InputError(where, "audio", f"{waveform.dtype}, up to {loudest:g}", "is not in -1..1",
                         "divide its samples by the largest there can be: 32768 for 16 bits")


def _video_stream(output, container: str, quality: str, rate: Fraction, width: int, height: int, where: str):
    from av.codec.codec import UnknownCodecError

    try:
        stream = output.add_stream(_VIDEO[container], rate=rate)
    except UnknownCodecError as error:
        raise InputError(where, "container", container, f"needs the encoder {_VIDEO[container]}, which this PyAV lacks",
                         "install the PyAV of PyPI, or choose the other container") from error
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = 1 / rate
    stream.options = {"crf": str(_CRF[container][quality])}
    if container == "WebM":
        stream.bit_rate = 0  # constant quality
        stream.options |= {"row-mt": "1", "deadline": "good", "cpu-used": "4"}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _TV_RANGE
    _open(stream, where, "frames", f"{width}x{height}", "scale the pictures down, or choose the other container")
    return stream


def _open(stream, where: str, field: str, value: str, remedy: str) -> None:
    """Open a stream's encoder; what it refuses is said in one line."""
    from av.error import FFmpegError

    try:
        stream.codec_context.open(strict=False)
    except (FFmpegError, ValueError) as error:
        raise InputError(where, field, value, f"is refused by the encoder {stream.codec_context.name} ({error})",
                         remedy) from error


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().numpy()


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return np.ascontiguousarray(pixels)


def _rate_of(encoder: str, rate: int) -> int:
    """The encoder's own sample rate for audio of this one: the same, else the next higher one, else its highest."""
    import av

    known = sorted(av.Codec(encoder, "w").audio_rates or [rate])
    return next((own for own in known if own >= rate), known[-1])


class _Sound:
    """The audio stream, written along with the pictures."""

    def __init__(self, output, container: str, audio: Audio, where: str):
        self.output, self.audio = output, audio
        # the encoder's frames resample what they are given
        rate = _OPUS_RATE if container == "WebM" else _rate_of(_AUDIO[container], audio.rate)
        self.stream = output.add_stream(_AUDIO[container], rate=rate, layout=self._layout)
        _open(self.stream, where, "audio", f"{rate} Hz", "resample it to 48000 Hz, or choose the other container")
        self.samples = audio.waveform.detach().float().clamp(-1, 1).cpu().numpy()
        self.written = 0

    @property
    def _layout(self) -> str:
        return "mono" if self.audio.waveform.shape[0] == 1 else "stereo"

    def write_until(self, seconds: Fraction) -> None:
        import av

        end = min(int(seconds * self.audio.rate), self.samples.shape[1])
        if end <= self.written:
            return
        part = np.ascontiguousarray(self.samples[:, self.written : end])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self.audio.rate, self.written, Fraction(1, self.audio.rate)
        self.output.mux(self.stream.encode(frame))
        self.written = end

    def finish(self) -> None:
        self.output.mux(self.stream.encode(None))

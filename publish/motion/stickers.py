"""Short loops as GIF, animated WebP or APNG, small enough for where they go. Pillow does the encoding."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from ...common import InputError

STICKER_FORMATS = ("GIF", "WebP", "APNG")
STICKER_SUFFIXES = {"GIF": ".gif", "WebP": ".webp", "APNG": ".png"}
DITHERS = ("ordered", "diffusion", "none")

# A format's units of time in milliseconds, and how many of them a frame can be shown: GIF (89a, 23c) and APNG (fcTL, a
# fraction of two numbers) have 16 bits for it, WebP (ANMF) has 24.
_UNITS_MS = {"GIF": (10,), "WebP": (1,), "APNG": (1, 10, 100, 1000)}
_MOST_UNITS = {"GIF": 0xFFFF, "WebP": 0xFFFFFF, "APNG": 0xFFFF}
# The shortest frame that viewers show: below 20 ms browsers slow a GIF down to 100 ms.
_SHORTEST_MS = {"GIF": 20, "WebP": 10, "APNG": 10}
_MOST_SIDE = {"GIF": 0xFFFF, "WebP": 16383, "APNG": 0x7FFFFFFF}  # pixels, by the formats' headers
_MOST_LOOPS = 0xFFFF
_WEBP_FLAGS, _WEBP_HAS_ALPHA = 20, 0x10  # of the VP8X chunk: its place in the file, and the bit
_SMALLEST_SIDE = 16
_SAMPLES = 1 << 14  # pixels that the palette is chosen from

# From best to smallest: (scale, colours of GIF and APNG or quality of WebP); 0 colours: all of them.
_LATER = ((0.84, 64), (0.7, 64), (0.59, 64), (0.5, 48), (0.42, 48), (0.35, 32), (0.3, 32), (0.25, 16))
_STEPS = {
    "GIF": ((1.0, 256), (1.0, 128), (1.0, 64), *_LATER),
    "APNG": ((1.0, 0), (1.0, 256), (1.0, 64), *_LATER),
    "WebP": ((1.0, 90), (1.0, 75), (1.0, 60), *_LATER),
}


@dataclass(frozen=True)
class EncodedSticker:
    """Attributes: data: the file; width, height: pixels; frames: how many the encoder was given (it may join equal
    ones); milliseconds: of one round; scale: of the given size; level: colours (GIF, APNG; 0 all) or WebP's quality."""

    data: bytes
    width: int
    height: int
    frames: int
    milliseconds: int
    scale: float
    level: int


def encode_sticker(
    frames: Sequence[np.ndarray],
    file_format: str,
    rate: Fraction,
    *,
    loops: int = 0,
    dither: str = "ordered",
    max_bytes: int = 0,
    where: str = "Sticker",
    on_try: Callable[[], None] = lambda: None,
) -> EncodedSticker:
    """Encode a loop, at the best quality that fits.

    Args:
        frames: ``uint8 [H, W, 3]`` or ``[H, W, 4]`` (alpha last, colours not multiplied by it), all of one shape.
        file_format: one of ``STICKER_FORMATS``.
        rate: frames a second.
        loops: how often it is played; 0 for ever.
        dither: one of ``DITHERS``; for GIF, and for APNG with a palette.
        max_bytes: the largest file; 0 no limit. Fewer colours or less quality are tried first, then smaller pictures.
        where: who asks, for messages.
        on_try: called before each frame that is encoded; what it raises stops the work.
    Raises:
        InputError: no frames, a size, rate or number of loops that the format cannot hold, or a limit that cannot be
            met.
    """
    _check(frames, file_format, loops, where)
    durations = _durations(frames, rate, file_format, where)
    images = [Image.fromarray(frame) for frame in frames]
    steps = _STEPS[file_format]
    tried: dict[int, bytes] = {}

    def size_at(step: int) -> int:
        if step not in tried:
            scale, level = steps[step]
            try:
                tried[step] = _encode(_scaled(images, scale), file_format, durations, loops, level, dither, on_try)
            except (OverflowError, RuntimeError, struct.error, ValueError) as error:
                raise InputError(where, "frames", f"{len(frames)} pictures", f"cannot be put into a {file_format} "
                                 f"({error})", "use fewer or smaller pictures, or another format") from error
        return len(tried[step])

    best = 0
    if max_bytes and size_at(0) > max_bytes:
        if size_at(len(steps) - 1) > max_bytes:
            least = size_at(len(steps) - 1) / 1000
            raise InputError(
                where, "max_kilobytes", f"{max_bytes / 1000:g}",
                f"cannot be met: {len(frames)} frames take {least:.0f} KB at a quarter of the size",
                "use fewer frames, a lower frame rate, WebP, or a higher limit")
        low, best = 0, len(steps) - 1  # low does not fit, best does
        while best - low > 1:
            middle = (low + best) // 2
            low, best = (low, middle) if size_at(middle) <= max_bytes else (middle, best)
    size_at(best)
    scale, level = steps[best]
    width, height = _size(images[0], scale)
    return EncodedSticker(tried[best], width, height, len(frames), sum(durations), scale, level)


def _check(frames: Sequence[np.ndarray], file_format: str, loops: int, where: str) -> None:
    if not len(frames):
        raise InputError(where, "frames", "0 pictures", "are no sticker", "connect at least one picture")
    for number, frame in enumerate(frames, 1):
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != frames[0].shape \
                or frame.ndim != 3 or frame.shape[2] not in (3, 4) or 0 in frame.shape:
            given = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise InputError(where, f"picture {number}", given, "is not uint8 [H, W, 3] or [H, W, 4] as the first is",
                             "give pictures of one size, in bytes")
    height, width = frames[0].shape[:2]
    if max(width, height) > _MOST_SIDE[file_format]:
        raise InputError(where, "frames", f"{width}x{height}", f"is larger than a {file_format} can be",
                         f"set longest_side to {_MOST_SIDE[file_format]} or less")
    if not 0 <= loops <= _MOST_LOOPS:
        raise InputError(where, "loops", loops, f"cannot be written into a {file_format}",
                         f"use 1 to {_MOST_LOOPS}, or 0 for ever")


def _durations(frames: Sequence[np.ndarray], rate: Fraction, file_format: str, where: str) -> list[int]:
    """Milliseconds of each frame, so that rounding never adds up."""
    if rate <= 0:
        raise InputError(where, "fps", f"{float(rate):g}", "cannot be played", "use more than 0 frames a second")
    if 1000 / rate < _SHORTEST_MS[file_format]:
        raise InputError(where, "fps", f"{float(rate):g}", f"is more than {file_format} players show",
                         f"use at most {1000 // _SHORTEST_MS[file_format]}")
    held, most = _longest_run(frames) * 1000 / rate, _MOST_UNITS[file_format]
    unit = next((unit for unit in _UNITS_MS[file_format] if held < (most - 1) * unit), None)
    if unit is None:
        raise InputError(
            where, "fps", f"{float(rate):g}", f"shows one picture for {float(held / 1000):g} seconds, and a "
            f"{file_format} can for {most * _UNITS_MS[file_format][-1] / 1000:g}",
            "use a higher fps, or fewer equal pictures in a row" + (", or WebP" if file_format == "GIF" else ""))
    times = [round(index * 1000 / rate / unit) * unit for index in range(len(frames) + 1)]
    return [after - before for before, after in zip(times, times[1:], strict=False)]


def _longest_run(frames: Sequence[np.ndarray]) -> int:
    """How many equal frames follow one another, at most: encoders write them as one."""
    longest = run = 1
    for before, frame in zip(frames, frames[1:], strict=False):
        run = run + 1 if np.array_equal(before, frame) else 1
        longest = max(longest, run)
    return longest


def _size(image: Image.Image, scale: float) -> tuple[int, int]:
    smallest = min(1.0, _SMALLEST_SIDE / min(image.size))
    width, height = (max(1, round(side * max(scale, smallest))) for side in image.size)
    return width, height


def _scaled(images: list[Image.Image], scale: float) -> list[Image.Image]:
    size = _size(images[0], scale)
    return images if size == images[0].size else [image.resize(size, Image.Resampling.LANCZOS) for image in images]


def _encode(images: list[Image.Image], file_format: str, durations: list[int], loops: int, level: int, dither: str,
            on_try: Callable[[], None]) -> bytes:
    options = {"save_all": True, "duration": durations if len(images) > 1 else durations[0]}
    if file_format == "WebP":
        kept = iter(images)
        options |= {"quality": level, "method": 4, "loop": loops}
    elif file_format == "APNG":
        kept = _Palette(images, level, dither).repainted() if level else iter(images)
        options |= {"loop": loops}
    else:
        palette = _Palette(images, level, dither)
        kept = palette.indexed()
        # No loop entry: played once. Its number counts the rounds after the first; 0 is for ever.
        options |= {"optimize": False, "disposal": 2 if palette.transparent is not None else 1}
        options |= {} if loops == 1 else {"loop": max(0, loops - 1)}
        options |= {} if palette.transparent is None else {"transparency": palette.transparent}

    def watched() -> Iterator[Image.Image]:
        for image in kept:
            on_try()
            yield image

    stream, out = watched(), io.BytesIO()
    first = next(stream)
    # Pillow looks through PNG's frames twice
    more = list(stream) if file_format == "APNG" else stream
    first.save(out, "PNG" if file_format == "APNG" else file_format, append_images=more, **options)
    if file_format == "WebP" and any(map(_is_transparent, images)):
        return _with_alpha_flag(out.getvalue())
    return out.getvalue()


def _is_transparent(image: Image.Image) -> bool:
    return image.mode == "RGBA" and bool(np.asarray(image)[..., 3].min() < 255)


def _with_alpha_flag(webp: bytes) -> bytes:
    """An animated WebP that says that it has transparent parts. libwebp stores a frame's opaque box only, and says so
    no more: readers that go by the flag would show black or white around it."""
    if webp[12:16] != b"VP8X":
        return webp
    return webp[:_WEBP_FLAGS] + bytes([webp[_WEBP_FLAGS] | _WEBP_HAS_ALPHA]) + webp[_WEBP_FLAGS + 1:]


class _Palette:
    """One palette for all frames: a colour that does not change keeps its index, so nothing crawls.

    Median cut over pixels of all frames, refined by k-means. *diffusion* is Floyd and Steinberg's; *ordered* adds a
    Bayer pattern as strong as the palette is coarse: it stands still where the picture does, which also packs better.
    """

    def __init__(self, images: list[Image.Image], colours: int, dither: str):
        self.images, self.dither = images, dither
        alpha = images[0].mode == "RGBA"
        sample = self._sample()
        chosen = Image.fromarray(sample[None]).quantize(
            colours - alpha, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        entries = (chosen.getpalette() or [])[: 3 * (colours - alpha)]
        self._last = len(entries) // 3 - 1
        self.transparent = self._last + 1 if alpha else None
        self.colours = entries + [0, 0, 0] * alpha
        self._map = Image.new("P", (1, 1))  # the transparent entry is no colour to choose
        self._map.putpalette(entries + entries[-3:] * (255 - self._last))
        error = np.abs(np.asarray(self._nearest(Image.fromarray(sample[None])).convert("RGB"), np.int16)[0] - sample)
        self._strength = 2 * float(error.mean())

    def _sample(self) -> np.ndarray:
        """Opaque pixels of all frames, always the same ones, ``uint8 [N, 3]``."""
        share, parts = _SAMPLES // len(self.images) + 1, []
        for image in self.images:
            pixels = np.asarray(image).reshape(-1, len(image.getbands()))
            if len(pixels) > share:
                pixels = pixels[np.random.default_rng(0).integers(0, len(pixels), share)]
            parts.append(pixels[pixels[:, 3] > 127, :3] if pixels.shape[1] == 4 else pixels)
        pixels = np.ascontiguousarray(np.concatenate(parts))
        return pixels if len(pixels) else np.zeros((1, 3), np.uint8)

    def _nearest(self, image: Image.Image, dither=Image.Dither.NONE) -> Image.Image:
        return image.quantize(palette=self._map, dither=dither)

    def _reduced(self, image: Image.Image) -> Image.Image:
        colour = image.convert("RGB")
        if self.dither == "diffusion":
            return self._nearest(colour, Image.Dither.FLOYDSTEINBERG)
        if self.dither == "ordered" and self._strength:
            tile = np.tile(_BAYER, (-(-image.height // 8), -(-image.width // 8)))[: image.height, : image.width, None]
            pattern = np.asarray(colour, np.float32) + tile * self._strength
            colour = Image.fromarray(pattern.round().clip(0, 255).astype(np.uint8))
        return self._nearest(colour)

    def indexed(self) -> Iterator[Image.Image]:
        """The frames as indices into the palette; half transparent and less is transparent."""
        for image in self.images:
            index = np.minimum(np.array(self._reduced(image)), self._last)
            if self.transparent is not None:
                index[np.asarray(image)[..., 3] < 128] = self.transparent
            frame = Image.fromarray(index)
            frame.putpalette(self.colours)  # mode L becomes P
            yield frame

    def repainted(self) -> Iterator[Image.Image]:
        """The frames in the palette's colours, with sixteen steps of alpha: they pack better than free ones."""
        for image in self.images:
            frame = self._reduced(image).convert("RGB")
            if self.transparent is not None:
                alpha = (np.asarray(image)[..., 3].astype(np.uint16) + 8) // 17 * 17
                frame.putalpha(Image.fromarray(alpha.clip(0, 255).astype(np.uint8)))
            yield frame


def _bayer(size: int) -> np.ndarray:
    if size == 1:
        return np.zeros((1, 1))
    half = _bayer(size // 2)
    return np.block([[4 * half, 4 * half + 2], [4 * half + 3, 4 * half + 1]])


_BAYER = ((_bayer(8) + 0.5) / 32 - 1).astype(np.float32)  # -1..1

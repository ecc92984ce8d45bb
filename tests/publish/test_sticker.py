"""Stickers, read back with Pillow: pictures, durations, loops, transparency, size."""

import io
from fractions import Fraction

import numpy as np
import pytest
from kontinuity.common import InputError
from kontinuity.publish import STICKER_FORMATS, encode_sticker
from PIL import Image, ImageSequence


def cartoon(count: int = 6, side: int = 64, alpha: bool = False) -> list[np.ndarray]:
    """A red disc with a dark outline that moves right, on a plain ground or on nothing."""
    ys, xs = np.mgrid[:side, :side]
    frames = []
    for index in range(count):
        far = np.hypot(xs - side * (0.25 + 0.5 * index / max(1, count - 1)), ys - side / 2)
        frame = np.full((side, side, 3), (200, 220, 240), np.uint8)
        frame[far < side * 0.22] = (90, 20, 20)
        frame[far < side * 0.19] = (230, 50, 50)
        if alpha:
            frame = np.dstack([frame, np.where(far < side * 0.22, 255, 0).astype(np.uint8)])
        frames.append(frame)
    return frames


def shaded(count: int = 6, side: int = 96) -> list[np.ndarray]:
    """Smooth colours with grain that does not pack well."""
    ys, xs = np.mgrid[:side, :side] / side
    noise = np.random.default_rng(0)
    return [(np.stack([xs, ys, (xs + ys + index / count) / 3], 2) * 215 + noise.uniform(0, 40, (side, side, 3))).astype(
        np.uint8) for index in range(count)]


def read(data: bytes):
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGBA")))
            durations.append(frame.info.get("duration"))  # after the frame is decoded: WebP knows it only then
        return image.format, frames, durations, image.info


@pytest.mark.parametrize("file_format", STICKER_FORMATS)
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "cut out"])
def test_pictures_durations_and_transparency_come_back(file_format, alpha):
    given = cartoon(alpha=alpha)
    made = encode_sticker(given, file_format, Fraction(12))
    kind, frames, durations, info = read(made.data)
    assert kind == {"GIF": "GIF", "WebP": "WEBP", "APNG": "PNG"}[file_format]
    assert len(frames) == 6 and (made.width, made.height) == frames[0].shape[1::-1] == (64, 64)
    assert sum(durations) == 500 == made.milliseconds  # 24 and 41 ms frames would add up to another length
    assert max(durations) - min(durations) <= (10 if file_format == "GIF" else 1)
    assert info["loop"] == 0
    for shown, drawn in zip(frames, given, strict=True):
        opaque = drawn[..., 3] > 0 if alpha else np.ones((64, 64), bool)
        assert np.array_equal(shown[..., 3] > 127, opaque)
        error = np.abs(shown[..., :3].astype(int) - drawn[..., :3])[opaque]
        assert error.mean() < (6 if file_format == "WebP" else 1)


@pytest.mark.parametrize("file_format", STICKER_FORMATS)
@pytest.mark.parametrize("loops", [0, 1, 3])
def test_loops(file_format, loops):
    """A GIF's number counts the rounds after the first, and without one it is played once."""
    info = read(encode_sticker(cartoon(), file_format, Fraction(10), loops=loops).data)[3]
    expected = {0: 0, 1: None, 3: 2}[loops] if file_format == "GIF" else loops
    assert info.get("loop") == expected


def test_frames_that_stand_still_keep_their_time():
    frames = cartoon(3)
    for file_format in STICKER_FORMATS:
        made = encode_sticker([frames[0], frames[0], frames[1], frames[2]], file_format, Fraction(10))
        assert sum(read(made.data)[2]) == 400


@pytest.mark.parametrize(("file_format", "rate", "longest"), [
    ("GIF", Fraction(1, 100), "655.35"), ("WebP", Fraction(1, 3000), "16777.2"), ("APNG", Fraction(1, 10000), "65535")])
def test_a_picture_can_be_held_as_long_as_the_format_says(file_format, rate, longest):
    frames = cartoon(2)
    seconds = 1 / rate
    for given in ([frames[0]] * 7, [frames[0], *[frames[1]] * 7]):
        with pytest.raises(InputError, match=rf"fps '.*': shows one picture for {7 * seconds} seconds, .*{longest};"):
            encode_sticker(given, file_format, rate)
    made = encode_sticker([*[frames[0]] * 5, frames[1]], file_format, rate)
    assert read(made.data)[2] == [5000 * seconds, 1000 * seconds]


def test_long_frames_of_an_apng_are_whole_fractions():
    """123.457 s is no fraction of two 16-bit numbers: the time is rounded to hundredths, and still adds up."""
    made = encode_sticker(cartoon(3), "APNG", Fraction(1000, 123457))
    durations = read(made.data)[2]
    assert made.milliseconds == sum(durations) == 370_370 and max(durations) - min(durations) <= 10


@pytest.mark.parametrize(("file_format", "most"), [("GIF", 65535), ("WebP", 16383)])
def test_the_largest_side(file_format, most):
    with pytest.raises(InputError, match=rf"frames '{most + 1}x2': is larger than .* set longest_side to {most}"):
        encode_sticker([np.zeros((2, most + 1, 3), np.uint8)], file_format, Fraction(10))
    assert encode_sticker([np.zeros((2, most, 3), np.uint8)], file_format, Fraction(10)).width == most


@pytest.mark.parametrize("file_format", STICKER_FORMATS)
def test_what_is_no_loop_is_said(file_format):
    for change, words in (({"rate": Fraction(0)}, "fps '0': cannot be played"), ({"rate": Fraction(-1)}, "fps '-1'"),
                          ({"loops": -1}, "loops '-1'"), ({"loops": 70_000}, "loops '70000'"),
                          ({"frames": []}, "0 pictures': are no sticker")):
        arguments = {"frames": cartoon(2), "rate": Fraction(10)} | change
        with pytest.raises(InputError, match=words):
            encode_sticker(arguments.pop("frames"), file_format, arguments.pop("rate"), **arguments)


def test_what_an_encoder_refuses_is_one_line(monkeypatch):
    """Frames that only the palette makes equal: the encoder adds their times up."""
    monkeypatch.setattr("kontinuity.publish.motion.stickers._longest_run", lambda frames: 1)
    with pytest.raises(InputError, match="frames '7 pictures': cannot be put into a GIF"):
        encode_sticker([cartoon(1)[0]] * 7, "GIF", Fraction(1, 100))


def test_a_webp_of_opaque_boxes_says_that_it_is_transparent():
    """libwebp stores the opaque box alone, without alpha, and the file's header says nothing of transparency then."""
    frame = np.zeros((64, 64, 4), np.uint8)
    frame[:16, :16] = (0, 0, 255, 255)
    data = encode_sticker([frame, np.roll(frame, 30, 1)], "WebP", Fraction(10)).data
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGBA" and image.getpixel((40, 40))[3] == 0 and image.getpixel((8, 8))[3] == 255
    assert data[20] & 16
    opaque = encode_sticker(cartoon(2), "WebP", Fraction(10)).data
    full = encode_sticker([np.dstack([one, np.full((64, 64), 255, np.uint8)]) for one in cartoon(2)], "WebP",
                          Fraction(10)).data
    assert not opaque[20] & 16 and not full[20] & 16


@pytest.mark.parametrize("file_format", STICKER_FORMATS)
def test_a_size_limit_is_met_with_the_best_that_fits(file_format):
    frames = shaded(side=56)
    free = encode_sticker(frames, file_format, Fraction(10))
    assert free.scale == 1
    sizes, scales = [], []
    for part in (0.8, 0.4, 0.15):
        limit = int(len(free.data) * part)
        made = encode_sticker(frames, file_format, Fraction(10), max_bytes=limit)
        assert len(made.data) <= limit
        assert read(made.data)[1][0].shape[1::-1] == (made.width, made.height)
        assert len(read(made.data)[1]) == 6
        sizes.append(len(made.data))
        scales.append((made.scale, made.level))
    assert sizes == sorted(sizes, reverse=True) and scales == sorted(scales, reverse=True)
    assert encode_sticker(frames, file_format, Fraction(10), max_bytes=len(free.data)).data == free.data
    with pytest.raises(InputError, match="max_kilobytes '0.1': cannot be met: 6 frames take"):
        encode_sticker(frames, file_format, Fraction(10), max_bytes=100)


def block_means(frame: np.ndarray) -> np.ndarray:
    return frame[..., :3].astype(float).reshape(12, 8, 12, 8, 3).mean((1, 3))


def test_dithering_keeps_the_mean_colours_and_a_still_ground_still():
    """Sixteen colours for a smooth ground: without dithering it has steps, with it the eye sees the mean."""
    ys, xs = np.mgrid[:96, :96] / 95
    ground = (np.stack([xs, ys, (xs + ys) / 2], 2) * 255).astype(np.uint8)
    frames = [ground.copy() for _ in range(3)]
    for index, frame in enumerate(frames):
        frame[8 : 24, 8 + 16 * index : 24 + 16 * index] = (255, 255, 255)
    from kontinuity.publish.motion.stickers import _encode

    images, errors, moved = [Image.fromarray(frame) for frame in frames], {}, {}
    for dither in ("ordered", "diffusion", "none"):
        shown = read(_encode(images, "GIF", [100] * 3, 0, 16, dither, lambda: None))[1]
        errors[dither] = np.abs(block_means(shown[0]) - block_means(frames[0])).mean()
        moved[dither] = (shown[0][40:] != shown[2][40:]).mean()
    assert errors["ordered"] < errors["none"] * 0.6 and errors["diffusion"] < errors["none"] * 0.6
    assert moved["ordered"] == moved["none"] == 0


def test_flat_drawings_are_not_dithered():
    assert encode_sticker(cartoon(), "GIF", Fraction(10)).data == encode_sticker(
        cartoon(), "GIF", Fraction(10), dither="none").data


@pytest.mark.parametrize("file_format", STICKER_FORMATS)
def test_one_frame_and_tiny_and_odd_sizes(file_format):
    for height, width in ((17, 33), (1, 5)):
        frame = np.full((height, width, 3), 120, np.uint8)
        made = encode_sticker([frame], file_format, Fraction(10))
        assert read(made.data)[1][0].shape == (height, width, 4)


def test_a_cut_out_that_is_all_transparent_is_a_sticker_too():
    frame = np.zeros((20, 20, 4), np.uint8)
    for file_format in STICKER_FORMATS:
        assert not read(encode_sticker([frame, frame], file_format, Fraction(10)).data)[1][0][..., 3].any()


@pytest.mark.parametrize(("file_format", "rate", "most"), [("GIF", 60, 50), ("WebP", 120, 100), ("APNG", 10_000, 100)])
def test_rates_that_players_do_not_show(file_format, rate, most):
    with pytest.raises(InputError, match=f"use at most {most}"):
        encode_sticker(cartoon(2), file_format, Fraction(rate))
    encode_sticker(cartoon(2), file_format, Fraction(most))


def test_a_stop_goes_through():
    def stop():
        raise KeyboardInterrupt

    for file_format in STICKER_FORMATS:
        with pytest.raises(KeyboardInterrupt):
            encode_sticker(cartoon(2), file_format, Fraction(10), on_try=stop)

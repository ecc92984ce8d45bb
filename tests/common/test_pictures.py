"""Picture files of every kind people have, and those that are no pictures."""

import struct
import zlib

import numpy as np
import pytest
import torch
from kontinuity.common import InputError, open_picture, to_bytes, to_image
from PIL import Image

RED = (255, 0, 0)


def opened(path):
    picture = open_picture(path, "Character", "picture")
    assert picture.dtype == torch.float32 and picture.shape[2] == 3 and picture.device.type == "cpu"
    assert 0 <= picture.min() and picture.max() <= 1
    return picture


def refused(path):
    with pytest.raises(InputError) as caught:
        opened(path)
    assert (caught.value.where, caught.value.field) == ("Character", "picture")
    assert str(path) in caught.value.value and "\n" not in str(caught.value)
    return str(caught.value)


def test_rgb_there_and_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = opened(tmp_path / "a.png")
    assert np.array_equal(to_bytes(picture), pixels)
    assert np.array_equal(np.asarray(to_image(picture)), pixels)


def test_alpha_lies_over_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png").tolist() == [[[1, 0, 0], [1, 1, 1]]]
    image.convert("LA").save(tmp_path / "la.png")
    assert opened(tmp_path / "la.png")[0, 1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_colour_lies_over_white(tmp_path, mode):
    image = Image.new(mode, (2, 1), 0)
    if mode == "P":
        image.putpalette([0, 0, 0, *RED])
    image.putpixel((1, 0), RED if mode == "RGB" else 1)
    image.save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    picture = opened(tmp_path / "a.png")
    assert picture[0, 0].tolist() == [1, 1, 1] and picture[0, 1, 1] < 0.01


def test_palette(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, *RED])
    image.save(tmp_path / "a.gif")
    assert opened(tmp_path / "a.gif")[0, 0].tolist() == [1, 0, 0]


def test_turned_by_exif(tmp_path):
    image = Image.new("RGB", (30, 20), RED)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    image.putpixel((0, 0), (255, 255, 255))
    image.save(tmp_path / "a.png", exif=exif)
    picture = opened(tmp_path / "a.png")
    assert picture.shape == (30, 20, 3) and picture[0, 19].tolist() == [1, 1, 1]


def test_sixteen_bits_are_not_clipped(tmp_path):
    grey = np.array([[0, 256, 32768, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(grey).save(tmp_path / name)
        assert torch.allclose(opened(tmp_path / name)[0, :, 0], torch.tensor([0, 256, 32768, 65535]) / 65535)


@pytest.mark.parametrize(("mode", "name"), [("1", "a.png"), ("L", "a.jpg"), ("CMYK", "a.jpg"), ("CMYK", "a.tif"),
                                            ("RGB", "a.webp"), ("RGB", "a.bmp"), ("YCbCr", "a.jpg")])
def test_other_modes_and_formats(tmp_path, mode, name):
    Image.new("RGB", (16, 8), (255, 255, 255)).convert(mode).save(tmp_path / name)
    picture = opened(tmp_path / name)
    assert picture.shape == (8, 16, 3) and picture.min() > 0.95


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    for name in ("a.gif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        picture = opened(tmp_path / name)
        assert picture.shape == (4, 4, 3) and picture[0, 0].tolist() == [1, 0, 0]


def test_missing_and_folder(tmp_path):
    assert "does not exist; put the picture there or correct the name" in refused(tmp_path / "none.png")
    assert "is not a file" in refused(tmp_path)


def test_no_picture(tmp_path):
    for name, content in (("a.txt", b"Dear Mia"), ("a.png", b"Dear Mia"), ("empty.png", b""),
                          ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), ("a.svg", b"<svg></svg>")):
        (tmp_path / name).write_bytes(content)
        assert "is not a picture Kontinuity reads (unknown format); save it as PNG or JPEG" in refused(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged TIFF
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.bmp", "a.tif"])
def test_truncated_and_damaged(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for length in (len(content) // 2, 40, 12, 3):
        (tmp_path / name).write_bytes(content[:length])
        refused(tmp_path / name)
    generator = np.random.default_rng(1)
    for _ in range(20):  # damage may go unseen, but nothing else than InputError may come of it
        broken = np.frombuffer(content, np.uint8).copy()
        broken[generator.integers(0, len(broken), 30)] = generator.integers(0, 256, 30)
        (tmp_path / name).write_bytes(broken.tobytes())
        try:
            opened(tmp_path / name)
        except InputError:
            pass


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000])  # over our limit, Pillow's warning, Pillow's refusal
def test_decompression_bomb(tmp_path, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                                        + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
    assert "has more than 64 million pixels" in refused(tmp_path / "bomb.png")


def tiff(path, values, bits, sample_format=1, photometric=1):
    """A TIFF of one row of whole numbers, written by hand: Pillow writes no other than 8, 16 and signed 32 bits."""
    if bits == 12:
        pairs = [(values[i] << 12) | values[i + 1] for i in range(0, len(values), 2)]
        data = b"".join(pair.to_bytes(3, "big") for pair in pairs)
    else:
        data = b"".join(value.to_bytes(bits // 8, "little", signed=value < 0) for value in values)
    tags = [(256, len(values)), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1),
            (279, len(data)), (339, sample_format)]
    start = 8 + len(data) + len(data) % 2
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + data + bytes(len(data) % 2) + struct.pack("<H", len(tags))
                     + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4))


@pytest.mark.parametrize(("values", "bits", "sample_format", "white"), [
    ([0, 100, 200, 255], 32, 2, 255), ([0, 100, 200, 255], 32, 1, 255), ([0, 300, 40_000, 65_535], 32, 2, 65_535),
    ([0, 2**30, 2**31 - 1, 9], 32, 2, 2**31 - 1), ([0, 2**31, 2**32 - 1, 9], 32, 1, 2**32 - 1),
    ([0, 1000, 2000, 4095], 12, 1, 4095), ([0, 300, 40_000, 65_535], 16, 1, 65_535),
    ([0, 300, 20_000, 32_767], 16, 2, 32_767), ([0, 50, 100, 255], 16, 1, 65_535)])
def test_whole_numbers_of_every_width_are_scaled_by_their_white(tmp_path, values, bits, sample_format, white):
    tiff(tmp_path / "a.tif", values, bits, sample_format)
    assert opened(tmp_path / "a.tif")[0, :, 1].tolist() == pytest.approx([value / white for value in values], abs=1e-6)


def test_a_grey_tiff_whose_white_is_zero(tmp_path):
    tiff(tmp_path / "a.tif", [0, 65_535, 32_768, 1], 16, photometric=0)
    assert opened(tmp_path / "a.tif")[0, :, 1].tolist() == pytest.approx([1, 0, 0.5, 1], abs=1e-4)


def test_numbers_whose_range_nothing_tells_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 1_000_000]], np.int32)).save(tmp_path / "a.tif")
    assert "has 32-bit numbers, whose range is unknown; save it with 8 or 16 bits" in refused(tmp_path / "a.tif")


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    assert "floating-point" in refused(tmp_path / "a.tif")


def test_only_pictures_are_written():
    assert to_bytes(torch.tensor([[[-1.0, 0.5, 2.0]]])).tolist() == [[[0, 128, 255]]]
    for shape in ((1, 4, 4, 3), (4, 4), (4, 4, 4), (0, 4, 3)):
        with pytest.raises(ValueError, match="a picture is"):
            to_image(torch.zeros(shape))

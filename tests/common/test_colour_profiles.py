"""Pictures with colour profiles are read in sRGB, as image editors and browsers show them."""

import icc_profiles as icc
import numpy as np
import pytest
from kontinuity.common import open_picture, to_bytes
from PIL import Image, ImageCms, features

pytestmark = pytest.mark.skipif(not features.check("littlecms2"), reason="this Pillow has no Little CMS")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def seen(path, place=(0, 0)):
    return to_bytes(open_picture(path, "Character", "picture"))[place].tolist()


def saved(path, image, profile=icc.P3, **options):
    image.save(path, icc_profile=profile, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg", "a.avif"])
def test_the_red_of_a_phone(tmp_path, name):
    """P3 is what phones save. The value is by its matrix: (200, 60, 60) at gamma 2.2 is (219, 37, 49) in sRGB."""
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    options = {"quality": 100} if name in ("a.jpg", "a.avif") else {"lossless": True} if name == "a.webp" else {}
    if name == "a.jpg":
        options["subsampling"] = 0
    path = saved(tmp_path / name, Image.new("RGB", (16, 16), (200, 60, 60)), **options)
    assert seen(path) == pytest.approx([219, 37, 49], abs=3 if options.get("quality") else 1)


def test_adobe_rgb(tmp_path):
    """Its matrix: linear (0.586, 0.041, 0.041) is (0.801, 0.041, 0.040) in sRGB."""
    assert seen(saved(tmp_path / "a.png", Image.new("RGB", (2, 2), (200, 60, 60)), icc.ADOBE_RGB)) == pytest.approx(
        [231, 57, 57], abs=1)


def test_alpha_stays_and_palettes_have_colours_too(tmp_path):
    image = Image.new("RGBA", (2, 1), (200, 60, 60, 255))
    image.putpixel((1, 0), (200, 60, 60, 0))
    path = saved(tmp_path / "a.png", image)
    assert seen(path) == pytest.approx([219, 37, 49], abs=1) and seen(path, (0, 1)) == [255, 255, 255]
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 200, 60, 60])
    assert seen(saved(tmp_path / "p.png", palette)) == pytest.approx([219, 37, 49], abs=1)
    assert seen(saved(tmp_path / "t.png", palette, transparency=0)) == pytest.approx([219, 37, 49], abs=1)


def test_turned_pictures_keep_their_profile(tmp_path):
    image = Image.new("RGB", (4, 2), (200, 60, 60))
    exif = image.getexif()
    exif[0x0112] = 6
    picture = open_picture(saved(tmp_path / "a.png", image, exif=exif), "x", "y")
    assert picture.shape == (4, 2, 3) and to_bytes(picture)[0, 0].tolist() == pytest.approx([219, 37, 49], abs=1)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "1"])
def test_greys_follow_their_curve(tmp_path, mode):
    """Half of white at gamma 1.0 is 188 of 255 in sRGB."""
    linear, value = icc.grey_profile(1.0), {"I;16": 32768, "LA": (128, 255), "1": 255}.get(mode, 128)
    if mode == "I;16":
        image = Image.fromarray(np.full((2, 2), value, np.uint16))
    else:
        image = Image.new(mode, (2, 2), value)
    shade = 255 if mode == "1" else 188
    assert seen(saved(tmp_path / "a.png", image, linear)) == pytest.approx([shade] * 3, abs=1)


def test_sixteen_bits_stay_sixteen_bits_along_a_curve(tmp_path):
    values = np.arange(0, 65536, 16, dtype=np.uint16)[None]
    path = saved(tmp_path / "a.png", Image.fromarray(values), icc.grey_profile(1.8))
    picture = open_picture(path, "x", "y")[0, :, 0]
    assert len(picture.unique()) > 3500 and (picture[1:] >= picture[:-1]).all()


def test_an_rgb_profile_on_a_grey_picture(tmp_path):
    assert seen(saved(tmp_path / "a.jpg", Image.new("L", (8, 8), 128), SRGB)) == [128] * 3


def test_cmyk_by_its_table(tmp_path):
    """Paper is white, cyan and black as ISO coated has them: no (0, 255, 255) and (0, 0, 0) as without a profile."""
    def lab_of(c, m, y, k):
        return (16, 0, 0) if k else (55, -37, -50) if c else (48, 74, -3) if m else (89, -5, 93) if y else (95, 0, 0)

    profile = icc.cmyk_profile(lab_of)
    image = Image.new("CMYK", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 255))
    path = saved(tmp_path / "a.tif", image, profile)
    assert seen(path) == pytest.approx([255] * 3, abs=2)
    cyan, black = seen(path, (0, 1)), seen(path, (0, 2))
    assert cyan[0] < 40 < 120 < cyan[1] < 170 < cyan[2] < 240 and black == pytest.approx([40] * 3, abs=4)  # L 16


def test_lab(tmp_path):
    """A TIFF in LAB needs no profile."""
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(Image.new("RGB", (2, 2), (200, 60, 60)), to_lab).save(tmp_path / "a.tif")
    assert seen(tmp_path / "a.tif") == pytest.approx([200, 60, 60], abs=3)


def test_a_profile_of_srgb_changes_no_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels), SRGB)
    assert np.array_equal(to_bytes(open_picture(path, "x", "y")), pixels)


@pytest.mark.parametrize("profile", [
    b"no profile", icc.P3[:200], icc.P3[:-40], icc.P3[:36] + b"xxxx" + icc.P3[40:], bytes(200), icc.grey_profile(1.8),
    icc.cmyk_profile(lambda *_: (50, 0, 0))], ids=["words", "short", "cut", "no acsp", "zeros", "for grey", "for CMYK"])
def test_a_profile_that_cannot_be_used_is_ignored_with_a_word(tmp_path, caplog, profile):
    path = saved(tmp_path / "a.png", Image.new("RGB", (2, 2), (200, 60, 60)), profile)
    assert seen(path) == [200, 60, 60]
    assert "a.png: its colour profile is ignored (" in caplog.text


def test_damaged_profiles_do_no_harm(tmp_path):
    generator = np.random.default_rng(0)
    for _ in range(100):
        broken = np.frombuffer(icc.P3, np.uint8).copy()
        broken[generator.integers(0, len(broken), 8)] = generator.integers(0, 256, 8)
        Image.new("RGB", (2, 2), (200, 60, 60)).save(tmp_path / "a.png", icc_profile=broken.tobytes())
        assert len(seen(tmp_path / "a.png")) == 3

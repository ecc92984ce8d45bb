"""What the nodes say to an IMAGE that is none, before anything is clamped or converted."""

import importlib
import sys
import types
from fractions import Fraction

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.publish import contact_sheet, encode_sticker, key_border, write_clip
from kontinuity.storyboard import crop_picture


@pytest.fixture(scope="module")
def pictures():
    """nodes/pictures.py, which needs no ComfyUI, without the package around it, which does."""
    import kontinuity

    package = types.ModuleType("kontinuity.nodes")
    package.__path__ = [f"{kontinuity.__path__[0]}/nodes"]
    sys.modules["kontinuity.nodes"] = package
    yield importlib.import_module("kontinuity.nodes.pictures")
    for name in [name for name in sys.modules if name.startswith("kontinuity.nodes")]:
        del sys.modules[name]


GOOD = torch.rand(1, 8, 8, 3)
BAD = {
    "None": (None, "'nothing': came in place of a picture; look at the node that is connected there"),
    "a list": ([GOOD], "'list': came in place of a picture"),
    "numpy": (GOOD.numpy(), "'ndarray': came in place of a picture"),
    "no batch": (GOOD[0], "'8x8x3': is no batch of pictures"),
    "a mask": (torch.rand(1, 8, 8), "'1x8x8': is no batch"),
    "no pixels": (torch.zeros(1, 0, 8, 3), "'1x0x8x3': is no batch"),
    "two channels": (torch.zeros(1, 8, 8, 2), "'2 channels': is no picture; connect an RGB or RGBA picture"),
    "uint8": ((GOOD * 255).byte(), "holds whole numbers; convert it to float32 in 0..1: divide by 255"),
    "int64": ((GOOD * 255).long(), "holds whole numbers"),
    "0..255": (GOOD * 255, r"has values outside 0..1: .*\.\.2\d\d.*; scale its values to 0..1: divide"),
    "-1..1": (GOOD * 2 - 1, "has values outside 0..1: -"),
    "HDR": (GOOD * 16, "tone-map HDR"),
    "half": ((GOOD * 255).half(), "outside 0..1"),
    "0..255 with alpha": (torch.rand(1, 8, 8, 4) * 255, "outside 0..1"),
    "NaN": (torch.full((1, 8, 8, 3), torch.nan), r"holds values that are no numbers \(NaN or infinite\)"),
    "infinity": (torch.full((1, 8, 8, 3), torch.inf), "holds values that are no numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_said_in_one_line(pictures, name):
    image, words = BAD[name]
    for take in (pictures.one_picture, pictures.as_pictures, lambda given, *names: pictures.Frames([given], *names),
                 lambda given, *names: pictures.Frames([GOOD, given], *names, alpha=True)):
        with pytest.raises(InputError, match=rf"^Some Node: frames '.*{words}" if words[0] != "'" else
                           rf"^Some Node: frames {words}") as caught:
            take(image, "Some Node", "frames")
        assert "\n" not in str(caught.value)


def test_the_picture_is_named(pictures):
    batch = torch.stack([GOOD[0], GOOD[0] * 255])
    with pytest.raises(InputError, match="frames 'picture 3': has values"):
        pictures.Frames([GOOD, batch], "Some Node", "frames")


def test_a_little_outside_is_cut(pictures):
    """A sharpening upscaler rings; -0.2 and 1.3 are black and white."""
    image = GOOD.clone()
    image[0, 0, 0], image[0, 0, 1] = -0.2, 1.3
    made = pictures.one_picture(image, "Some Node", "picture")
    assert made[0, 0].tolist() == [0] * 3 and made[0, 1].tolist() == [1] * 3 and image[0, 0, 1, 0] == pytest.approx(1.3)


def test_every_kind_of_float_and_grey(pictures):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        made = pictures.one_picture(GOOD.to(dtype), "Some Node", "picture")
        assert made.dtype == torch.float32 and (made - GOOD[0]).abs().max() < 0.01
    assert pictures.one_picture(GOOD[..., :1], "Some Node", "picture").shape == (8, 8, 3)
    assert pictures.as_pictures(GOOD[:0], "Some Node", "pictures") == []


def test_transparency_that_is_lost_is_said(pictures, caplog):
    clear = torch.cat([GOOD, torch.zeros(1, 8, 8, 1)], 3)
    assert (pictures.one_picture(clear, "Kontext Edit", "picture") == 1).all()
    assert "Kontext Edit: picture: Transparent parts of the pictures were laid over white." in caplog.text
    caplog.clear()
    given = pictures.Frames([clear, clear], "Save Clip", "frames")
    assert given.note and given.channels == 3 and (given[0] == 1).all() and caplog.text.count("Save Clip") == 1
    caplog.clear()
    opaque = torch.cat([GOOD, torch.ones(1, 8, 8, 1)], 3)
    assert not pictures.Frames([opaque], "Save Clip", "frames").note
    pictures.one_picture(opaque, "Kontext Edit", "picture")
    kept = pictures.Frames([clear, GOOD], "Sticker", "frames", alpha=True)
    assert kept.channels == 4 and not kept[0][..., 3].any() and kept[1][..., 3].all() and not kept.note
    assert torch.equal(kept[1][..., :3], GOOD[0]) and not caplog.text


def test_masks_that_are_none(pictures):
    frames = pictures.Frames([GOOD], "Interpolate Frames", "frames")
    for bad, words in ((torch.full((1, 8, 8), 255.0), "has values outside 0..1: 255..255"),
                       (torch.zeros(8), "came in place of a mask"),
                       (torch.full((8, 8), torch.nan), "no numbers"), ([1.0], "'list': came in place of a mask")):
        with pytest.raises(InputError, match=f"Sticker: mask .*{words}"):
            pictures.masks_of([torch.ones(8, 8), bad], "Sticker", "mask")
    assert [one.shape for one in pictures.masks_of([torch.ones(8, 8), torch.ones(2, 4, 4)], "a", "b")] == [
        (8, 8), (4, 4), (4, 4)]
    with pytest.raises(InputError, match="masks 'nothing': came in place of a mask"):
        pictures.mask_for_each([None], frames, "Interpolate Frames", "masks")


@pytest.mark.parametrize("picture", [None, GOOD[0] * 255, (GOOD[0] * 255).byte(), GOOD[0] * 4, GOOD[0] * torch.nan,
                                     GOOD, GOOD[0, :, :, 0], torch.rand(8, 8, 4), torch.zeros(0, 8, 3)],
                         ids=["None", "0..255", "uint8", "HDR", "NaN", "a batch", "two dimensions", "alpha", "empty"])
def test_below_the_nodes_it_is_one_line_too(picture, tmp_path):
    """Who calls the packages themselves gets the same answers, from the same check."""
    for use in (lambda: contact_sheet([GOOD[0], picture]), lambda: crop_picture(picture, "auto", "A Node", "picture"),
                lambda: key_border(picture, 0.1, "A Node"), lambda: encode_sticker([picture], "GIF", Fraction(10)),
                lambda: write_clip(tmp_path / "a.mp4", [GOOD[0], picture], (8, 8), Fraction(10))):
        with pytest.raises(InputError, match=": picture( [12])? '"):
            use()
    assert list(tmp_path.iterdir()) == []

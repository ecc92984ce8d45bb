"""Reference pictures: several of one character, cropped by a box or to the figure."""

import numpy as np
import pytest
import torch
from kontinuity.common import Box, InputError
from kontinuity.demo_model import toonworld
from kontinuity.storyboard import parse_story, story_pictures
from kontinuity.storyboard.cast.crop import crop_picture, figure_box
from PIL import Image


def figure(noise=0.0):
    """A dark figure at columns 20..39, rows 10..69 of a light picture 100 wide and 80 high."""
    picture = torch.full((80, 100, 3), 0.9)
    picture[10:70, 20:40] = 0.2
    return (picture + noise * torch.randn(80, 100, 3, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.mark.parametrize("noise", [0, 0.02])
def test_the_figure_before_a_plain_background(noise):
    assert figure_box(figure(noise)) == Box.of_size(18, 8, 24, 64)  # a margin of 4 % of 60 pixels
    speck = figure()
    speck[75:77, 90:92] = 0
    assert figure_box(speck) == Box.of_size(18, 8, 24, 64)


def test_no_figure():
    assert figure_box(torch.full((40, 40, 3), 0.5)) is None
    assert figure_box(torch.rand(40, 40, 3)) is None
    half = torch.zeros(40, 40, 3)
    half[:, 20:] = 1
    assert figure_box(half) is None


def test_a_figure_of_the_drawn_world():
    """The reference pictures have a backdrop of one colour with a floor line."""
    for seed in range(5):
        drawn = toonworld.draw(toonworld.Character.from_seed(seed), toonworld.REFERENCE_SHOT)
        box = figure_box(torch.from_numpy(drawn).float() / 255)
        assert box is None or (box.width < 128 and box.height > 60)


def test_crop():
    picture = figure()
    assert crop_picture(picture, None, "s", "crop") is picture
    assert torch.equal(crop_picture(picture, Box.of_size(20, 10, 5, 6), "s", "crop"), picture[10:16, 20:25])
    assert crop_picture(picture, "auto", "s", "crop").shape == (64, 24, 3)
    with pytest.raises(InputError, match=r"s: crop '\[90, 0, 11, 5\]': reaches out of the picture, which is 100x80"):
        crop_picture(picture, Box.of_size(90, 0, 11, 5), "s", "crop")
    with pytest.raises(InputError, match="s: crop 'auto': finds no figure before a plain background"):
        crop_picture(torch.rand(40, 40, 3), "auto", "s", "crop")


def test_several_references_of_one_character(tmp_path):
    for name, value in (("body", 10), ("face", 20), ("face2", 30), ("tom", 40)):
        Image.fromarray(np.full((20, 30, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    text = """\
version: 1
characters:
  mia:
    references:
      - body.png
      - {picture: face.png, role: face, crop: [0, 0, 16, 18]}
      - {picture: face2.png, role: face}
  tom: {reference: tom.png}
panels: [{id: a, prompt: x, characters: []}]
"""
    story = parse_story(text)
    pictures = story_pictures(story, tmp_path, "s.yaml")
    assert {name: (tuple(p.shape), round(255 * p.mean().item())) for name, p in pictures.items()} == {
        "mia": ((20, 30, 3), 10), "mia/body": ((20, 30, 3), 10), "mia/face": ((18, 16, 3), 20),
        "tom": ((20, 30, 3), 40)}
    given = {"mia/face": torch.zeros(4, 4, 3)}
    found = story_pictures(story, tmp_path, "s.yaml", given)
    assert set(found) == {"mia", "mia/body", "mia/face", "tom"} and found["mia/face"] is given["mia/face"]
    assert set(story_pictures(story, tmp_path, "s.yaml", {"mia": torch.zeros(4, 4, 3)})) == {"mia", "tom"}
    with pytest.raises(InputError, match=r"s\.yaml:6: character 'mia' crop '\[0, 0, 31, 18\]': reaches out"):
        story_pictures(parse_story(text.replace("16, 18", "31, 18")), tmp_path, "s.yaml")
    with pytest.raises(InputError, match=r"s\.yaml:7: character 'mia' reference '.*': does not exist"):
        story_pictures(parse_story(text.replace("face2.png, role: face", "none.png, role: outfit")), tmp_path, "s.yaml")

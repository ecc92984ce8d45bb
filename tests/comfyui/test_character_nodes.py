"""Crop Character in a real server."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

FIGURE, DRAWN = "figure, before a plain background", "figure, drawn world (built in)"


def graph_of(picture: list, **inputs) -> dict:
    crop = {"picture": picture, "find": FIGURE, "number": 1, "background": "keep", **inputs}
    return {"2": {"class_type": "Kontinuity_CropCharacter", "inputs": crop},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "crop/picture"}}}


def cropped(server, run, graph: dict) -> np.ndarray:
    result, _ = run(graph)
    assert result.status == "success", result.error
    saved = result.outputs["3"]["images"][0]
    return np.asarray(Image.open(server.base / "output" / saved["subfolder"] / saved["filename"]).convert("RGB"))


@pytest.fixture
def load(server):
    """load(picture): a LoadImage node's entry in a graph."""
    def save(picture: Image.Image) -> dict:
        picture.save(server.base / "input" / "to_crop.png")
        return {"1": {"class_type": "LoadImage", "inputs": {"image": "to_crop.png"}}}
    return save


def test_the_figure_before_a_plain_background_on_grey(server, run, load):
    picture = Image.new("RGB", (200, 160), "lime")
    ImageDraw.Draw(picture).ellipse((60, 40, 99, 119), "maroon")
    graph = load(picture) | graph_of(["1", 0], background="light grey, in place of a plain one")
    made = cropped(server, run, graph)
    assert 80 <= made.shape[0] <= 88 and 40 <= made.shape[1] <= 48
    middle = made[made.shape[0] // 2, made.shape[1] // 2]
    assert made[0, 0].tolist() == [216, 216, 216] and middle.tolist() == [128, 0, 0]
    assert not (made[..., 1].astype(int) > made[..., 0].astype(int) + 40).any()  # no green, nor at the outline


def test_figures_of_the_drawn_world_are_counted_from_the_left(server, run, load):
    from kontinuity.demo_model import toonworld

    drawings = [toonworld.draw(toonworld.Character.from_seed(seed), toonworld.REFERENCE_SHOT) for seed in (1, 2)]
    both = load(Image.fromarray(np.hstack(drawings)))
    for number in (1, 2):
        made = cropped(server, run, both | graph_of(["1", 0], find=DRAWN, number=number))
        best = [cv2.matchTemplate(drawing, made, cv2.TM_SQDIFF).min() if made.shape[1] <= 128 else np.inf
                for drawing in drawings]
        assert best[number - 1] < 1000 < best[2 - number], (number, best, made.shape)  # but for rounding
    result, _ = run(both | graph_of(["1", 0], find=DRAWN, number=9))
    assert result.status != "success" and "Crop Character: number '9': is more than were found: 2" in result.error


def test_a_background_of_several_colours_is_refused(run, load):
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    result, _ = run(load(Image.fromarray(noise)) | graph_of(["1", 0]))
    assert result.status != "success" and "finds no figure before a plain background" in result.error

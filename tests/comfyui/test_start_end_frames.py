"""Start and End Frames in a real server."""

import random

import numpy as np
import pytest
from kontinuity.demo_model.training.in_betweens import random_series
from PIL import Image, ImageDraw

NODE = "Kontinuity_StartEndFrames"


def square(left: int, size=(96, 64)) -> Image.Image:
    picture = Image.new("RGB", size, "wheat")
    ImageDraw.Draw(picture).rectangle((left, 20, left + 24, 44), "maroon")
    return picture


def graph_of(server, start: Image.Image, end: Image.Image, **inputs) -> dict:
    for name, picture in (("start", start), ("end", end)):
        picture.save(server.base / "input" / f"{name}_frame.png")
    asked = {"frames": 5, "made": 0, "prompts": "", "candidates": 1, "seed": 3, "steps": 2, "guidance": 2.5, **inputs}
    return {
        "1": {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "tiny", "memory": "auto"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "start_frame.png"}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "end_frame.png"}},
        "4": {"class_type": NODE, "inputs": {"model": ["1", 0], "start": ["2", 0], "end": ["3", 0], **asked}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "between/frame"}},
        "6": {"class_type": "PreviewAny", "inputs": {"source": ["4", 1]}},
    }


def frames(server, result) -> list[np.ndarray]:
    assert result.status == "success", result.error
    return [np.asarray(Image.open(server.base / "output" / entry["subfolder"] / entry["filename"]))
            for entry in result.outputs["5"]["images"]]


def test_a_series_with_its_ends_as_they_are(server, run):
    start, end = square(4), square(66)
    result, events = run(graph_of(server, start, end, prompts="a red hat\n\nthe beach"))
    made = frames(server, result)
    assert len(made) == 5 and all(frame.shape == (64, 96, 3) for frame in made)
    assert (made[0] == np.asarray(start)).all() and (made[-1] == np.asarray(end)).all()
    report = result.outputs["4"]["text"][0]
    assert report.startswith("5 frames: 2 given, ") and "frame 3 (50%): " in report
    assert result.outputs["6"]["text"][0].strip('"').startswith("5 frames: 2 given")


def test_kontext_makes_what_motion_does_not_explain(server, run):
    series = random_series(random.Random(2), 0.22)
    graph = graph_of(server, *(Image.fromarray(series.draw(part)) for part in (0, 1)), frames=3, steps=6)
    graph["1"]["inputs"]["model"] = "demo model (built in)"
    graph["9"] = {"class_type": "Kontinuity_LoadLora", "inputs": {
        "model": ["1", 0], "lora": "in-betweens of the demo model (built in)", "strength": 1.0}}
    graph["4"]["inputs"]["model"] = ["9", 0]
    result, events = run(graph)
    first, middle, last = frames(server, result)
    assert "3 frames: 2 given, 1 made by Kontext, 0 by flow" in result.outputs["4"]["text"][0]
    truth = series.draw(0.5).astype(float)
    off = [np.abs(truth - frame).mean() for frame in (first, middle, last)]
    assert off[1] < min(off[0], off[2]), off


def test_a_model_that_cannot_do_it_is_said(server, run):
    noise = [Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 96, 3), np.uint8)) for seed in (1, 2)]
    result, events = run(graph_of(server, *noise, frames=3))
    assert len(frames(server, result)) == 3
    assert "is its in-between LoRA on?" in result.outputs["4"]["text"][0]


@pytest.mark.parametrize(("ends", "inputs", "words"), [
    ((square(4), square(66, (64, 96))), {}, "Start and End Frames: end frame '64x96': is not of the start frame's size "
                                            "96x64; crop or extend one"),
    ((square(4), square(4)), {}, "Start and End Frames: end frame '96x64': is the start frame once more"),
    ((square(4), square(66)), {"prompts": "她在挥手"}, "cannot be used (unreadable)"),
])
def test_what_is_refused_before_sampling(server, run, ends, inputs, words):
    result, events = run(graph_of(server, *ends, **inputs))
    assert result.status != "success" and words in str(result.error)


STORY = """\
version: 1
fps: 12
characters: {mia: }
panels:
  - {id: down, prompt: red hat}
  - {id: up, prompt: red hat, seed: 4}
  - {id: wave_on, start_frame: down, end_frame: up, frames: 4, duration: 2, captions: [Hello!]}
"""


def test_a_story_s_series_and_its_resume(server, run, board):
    graph = board(text=STORY)
    graph["20"] = {"class_type": "PreviewAny", "inputs": {"source": ["6", 1]}}
    graph["21"] = {"class_type": "PreviewAny", "inputs": {"source": ["6", 5]}}
    result, _ = run(graph)
    assert result.status == "success", result.error
    names = [image["filename"].split("_", 2)[2] for image in result.outputs["6"]["images"]]
    assert names == ["down.png", "up.png", *(f"wave_on_0{number}.png" for number in range(4))]
    assert [text for text in result.outputs["20"]["text"]] == [name.removesuffix(".png") for name in names]
    assert [float(text) for text in result.outputs["21"]["text"]] == [2, 2, 0.5, 0.5, 0.5, 0.5]
    assert "panel 'wave_on', 4 frames: 2 given, " in result.outputs["6"]["text"][0]
    made = {image["filename"].split("_", 2)[2]: np.asarray(Image.open(
        server.base / "output" / image["subfolder"] / image["filename"])) for image in result.outputs["6"]["images"]}
    assert (made["wave_on_00.png"] == made["down.png"]).all() and (made["wave_on_03.png"] == made["up.png"]).all()
    graph["6"]["inputs"]["resume"] = True
    result, _ = run(graph)
    assert result.status == "success" and "Taken over from earlier runs: down, up, wave_on." in \
        result.outputs["6"]["text"][0]

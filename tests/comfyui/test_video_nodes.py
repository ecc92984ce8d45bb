"""Keyframes for Video and Join Clips: what ComfyUI's own video nodes make of them, and both in a real server."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MODELS = ("Wan first and last frame", "Wan VACE", "LTX-Video", "HunyuanVideo", "Cosmos-Predict2")
GRIDS = {"LTX-Video": (32, 8, 128)}  # pixels, frames, channels of a latent


@pytest.fixture(scope="module")
def rows(comfyui, tmp_path_factory) -> list[dict]:
    """What video_report.py found."""
    base = tmp_path_factory.mktemp("video")
    (base / "custom_nodes").mkdir()
    command = [sys.executable, str(HERE / "video_report.py"), str(comfyui), str(ROOT), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=HERE)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=MODELS)
def of_model(request, rows) -> list[dict]:
    """The rows of one model: three shapes at two lengths."""
    chosen = [row for row in rows if row["model"] == request.param]
    assert len(chosen) == 6
    return chosen


def test_comfyuis_nodes_take_the_pictures_without_cropping_or_scaling_them(of_model):
    assert [row["exact"] for row in of_model if not all(row["exact"])] == []


def test_the_latent_has_exactly_the_size_and_the_length(of_model):
    for row in of_model:
        grid, step, channels = GRIDS.get(row["model"], (8, 4, 16))
        frames = (row["length"] - 1) // step + 1
        assert row["latent"] == [1, channels, frames, row["height"] // grid, row["width"] // grid], row
        assert (frames - 1) * step + 1 == row["length"] and frames >= 3


def test_each_models_first_and_last_frame_are_held_and_all_between_is_free(of_model):
    for row in of_model:
        frames = (row["length"] - 1) // GRIDS.get(row["model"], (8, 4))[1] + 1
        held = {"HunyuanVideo": [0, *[1] * (frames - 1)], "Cosmos-Predict2": [0, *[1] * (frames - 2), 0],
                "Wan first and last frame": [*[0] * 4, *[1] * (4 * frames - 5), 0]}
        if row["model"] in held:
            assert row["mask"] == held[row["model"]], row
        elif row["model"] == "LTX-Video":
            assert row["places"] == [0, row["length"] - 1]
            assert row["guided"][2] == frames + 2
        else:
            assert row["reactive_is_grey"] and row["trim"] == 0
            assert row["mask_shape"] == [1, 64, frames, row["height"] // 8, row["width"] // 8]
            assert row["filled"][0] < 0.2 < 0.5 == row["filled"][1] == row["filled"][-2] < 0.6 < row["filled"][-1]


# In the server ---------------------------------------------------------------------------------------------------


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind if kind[0] != "+" else f"Kontinuity_{kind[1:]}", "inputs": inputs}


@pytest.fixture(scope="module")
def picture(server):
    """picture(name, size, level): smooth colours in the input folder."""
    def make(name: str, size: tuple[int, int] = (96, 64), seed: int = 0) -> dict:
        noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(server.base / "input" / name)
        return node("LoadImage", image=name)
    return make


def keyframes(**inputs) -> dict:
    return node("+KeyframesForVideo", **{"model": "Wan first and last frame", "seconds": 0.5, "prompt": "she waves",
                                         "resolution": "small", "fit": "pad", **inputs})


def join(**inputs) -> dict:
    return node("+JoinClips", **{"size": "keyframes", "match_colour": True, "settle": 2, **inputs})


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def saved(server, outputs: dict) -> list[np.ndarray]:
    return [pixels(server.base / "output" / one["subfolder"] / one["filename"]) for one in outputs["images"]]


def test_one_graph_makes_all_clips_of_a_storyboard_and_joins_them(server, run, board):
    """A list of panels; in place of a video model a node that repeats the first picture and adds the last."""
    graph = board(panels="beach, forest, snow")
    graph |= {"20": keyframes(first_frame=["6", 0], seconds=["6", 5], prompt=["6", 1]),
              "21": node("RepeatImageBatch", image=["20", 0], amount=["20", 4]),
              "22": node("ImageBatch", image1=["21", 0], image2=["20", 1]),
              "23": join(clips=["22", 0], keyframes=["20", 7]),
              "24": node("+SaveClip", frames=["23", 0], fps=["23", 1], container="MP4", quality="good",
                         filename_prefix="video/board"),
              "25": node("SaveImage", images=["23", 0], filename_prefix="video/frames"),
              "26": node("SaveImage", images=["6", 0], filename_prefix="video/panels")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert "2 clips of 624x624 at 16 fps: 33 frames (2.00 s), 33 frames (2.00 s)" in result.outputs["20"]["text"][0]
    report = result.outputs["23"]["text"][0]
    assert "2 clips became 67 frames of 64x64." in report and "clip 2: 34 frames came, 33 were planned" in report
    panels = saved(server, result.outputs["26"])  # by the same node as the frames: ours rounds, ComfyUI's cuts off
    frames = saved(server, result.outputs["25"])
    assert len(panels) == 3 and len(frames) == 67
    assert all(np.array_equal(frames[place], panel) for place, panel in zip((0, 33, 66), panels, strict=True))
    shown, = result.outputs["24"]["images"]
    with av.open(str(server.base / "output" / shown["subfolder"] / shown["filename"])) as video:
        assert video.streams.video[0].frames == 67 and video.streams.video[0].average_rate == 16


def test_two_pictures_of_different_shapes_and_a_clip_that_was_scaled_up(server, run, picture):
    graph = {"1": picture("one.png"), "2": picture("two.png", (40, 80), 1),
             "3": keyframes(first_frame=["1", 0], last_frame=["2", 0]),
             "4": node("ImageBatch", image1=["3", 0], image2=["3", 1]),
             "5": node("ImageScaleBy", image=["4", 0], upscale_method="lanczos", scale_by=1.5),
             "6": join(clips=["5", 0], keyframes=["3", 7], size="clips"),
             "7": node("SaveImage", images=["6", 0], filename_prefix="video/pair")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert "picture 2: 40x80 put into 96x64 with black bars left and right" in result.outputs["3"]["text"][0]
    first, last = saved(server, result.outputs["7"])
    assert first.shape == (768, 1152, 3) and (last[:, :370] == 0).all() and last[:, 400:750].any()


def test_a_scorer_looks_at_some_frames_of_each_clip(server, run, picture):
    graph = {"1": picture("one.png"), "2": picture("three.png", seed=3),
             "3": keyframes(first_frame=["1", 0], last_frame=["2", 0]),
             "4": node("RepeatImageBatch", image=["3", 0], amount=["3", 4]),
             "5": node("+LoadScorer", encoder="drawn world (built in)",
                       finder="none: the whole picture is one figure"),
             "6": join(clips=["4", 0], keyframes=["3", 7], scorer=["5", 0], samples=3),
             "7": node("PreviewImage", images=["6", 0])}
    result, _ = run(graph)
    assert result.status == "success", result.error
    report = result.outputs["6"]["text"][0]
    assert "clip 1: likeness at frames 2 1.00, 4 1.00, 6 1.00; lowest 1.00 at 4" in report
    assert "clip 1: end: colours left as they were; it does not show its keyframe" in report


def test_what_a_model_does_not_take_is_said_where_it_is_connected(server, run, picture):
    graph = {"1": picture("one.png"), "2": keyframes(first_frame=["1", 0], model="HunyuanVideo"),
             "3": node("SaveImage", images=["2", 0], filename_prefix="video/start")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert "takes no last frame" in result.outputs["2"]["text"][0]
    for slot, words in ((1, "HunyuanVideo takes no last frame"), (8, "takes no control video: choose Wan VACE")):
        graph["3"]["inputs"]["images"] = ["2", slot]
        result, events = run(graph)
        said = [event.data["exception_message"] for event in events if event.kind == "execution_error"]
        assert "3" not in result.outputs and len(said) == 1 and words in said[0]


@pytest.mark.parametrize("inputs, message", [
    ({"model": "Sora"}, "is no video model we know"), ({"fit": "stretch"}, "fit 'stretch': is unknown"),
    ({"resolution": "huge"}, "resolution 'huge': is unknown"), ({"seconds": 30.0}, "put a picture between"),
    ({"last_frame": None}, "are too few for Wan first and last frame")])
def test_wrong_settings_are_refused_before_anything_is_made(server, run, picture, inputs, message):
    graph = {"1": picture("one.png"), "2": picture("two.png", seed=1),
             "3": keyframes(**{"first_frame": ["1", 0], "last_frame": ["2", 0], **inputs}),
             "4": node("PreviewImage", images=["3", 0])}
    graph["3"]["inputs"] = {name: value for name, value in graph["3"]["inputs"].items() if value is not None}
    result, _ = run(graph)
    assert result.status != "success" and message in result.error


def test_clips_that_are_not_of_these_keyframes_are_refused(server, run, picture):
    graph = {"1": picture("one.png"), "2": picture("two.png", seed=1), "3": picture("wide.png", (200, 50)),
             "4": keyframes(first_frame=["1", 0], last_frame=["2", 0]),
             "5": node("RepeatImageBatch", image=["3", 0], amount=9), "6": join(clips=["5", 0], keyframes=["4", 7]),
             "7": node("PreviewImage", images=["6", 0])}
    result, _ = run(graph)
    assert result.status != "success" and "is 200x50, and 768x512 was handed to the model" in result.error
    graph["4"]["inputs"] = keyframes(first_frame=["8", 0], last_frame=["2", 0])["inputs"]
    graph["8"] = node("ImageBatch", image1=["1", 0], image2=["2", 0])
    result, _ = run(graph)
    assert result.status != "success" and "came, and 2 were handed to Wan first and last frame" in result.error

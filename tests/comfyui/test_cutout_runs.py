"""Cut-outs in a real server: transparency survives in-between pictures, and nothing is lost unsaid."""

import json
import re
import urllib.request

import numpy as np
from PIL import Image, ImageSequence

STICKER = {"fps": 10.0, "format": "APNG", "loops": 0, "ping_pong": False, "background": "keep", "tolerance": 0.08,
           "dither": "none", "longest_side": 0, "max_kilobytes": 0}
BETWEEN = {"multiplier": 2, "source_fps": 6.0, "target_fps": 0.0, "mode": "auto", "quality": "normal",
           "easing": "linear"}


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind if kind[0] != "+" else f"Kontinuity_{kind[1:]}", "inputs": inputs}


def disc(server, name: str, x: int, colour=(250, 250, 250), ground=None) -> None:
    """A disc of 128 x 128 pixels in the input folder, on a ground or on nothing."""
    (server.base / "input").mkdir(exist_ok=True)
    ys, xs = np.mgrid[:128, :128]
    inside = np.hypot(xs - x, ys - 64) < 30
    picture = np.zeros((128, 128, 4), np.uint8)
    picture[inside] = (*colour, 255)
    if ground is not None:
        picture[~inside] = (*ground, 255)
    Image.fromarray(picture if ground is None else picture[..., :3]).save(server.base / "input" / name)


def text(server, node_id: str) -> str:
    with urllib.request.urlopen(server.url + "/history", timeout=30) as answer:
        return list(json.load(answer).values())[-1]["outputs"][node_id]["text"][0]


def test_a_white_figure_on_nothing_moves_with_its_transparency(server, run):
    """LoadImage hands out colours and a mask; JoinImageWithAlpha makes a picture of four channels of them."""
    for name, x in (("clear0.png", 44), ("clear1.png", 76)):
        disc(server, name, x)
    graph = {"1": node("LoadImage", image="clear0.png"), "2": node("LoadImage", image="clear1.png"),
             "3": node("JoinImageWithAlpha", image=["1", 0], alpha=["1", 1]),
             "4": node("JoinImageWithAlpha", image=["2", 0], alpha=["2", 1]),
             "5": node("ImageBatch", image1=["3", 0], image2=["4", 0]),
             "6": node("+InterpolateFrames", frames=["5", 0], **BETWEEN),
             "7": node("+Sticker", frames=["6", 0], filename_prefix="cut/moving", **STICKER),
             "8": node("+PickCandidate", pictures=["5", 0], index=1),
             "9": node("+Sticker", frames=["8", 0], filename_prefix="cut/picked", **STICKER),
             "11": node("+Sticker", frames=["5", 0], filename_prefix="cut/again",
                        **STICKER | {"background": "cut out plain background"}),
             "12": node("+Sticker", frames=["5", 0], mask=["1", 1], filename_prefix="cut/masked", **STICKER),
             "10": node("+SaveClip", frames=["5", 0], fps=2.0, container="MP4", quality="good",
                        filename_prefix="cut/clip")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    with Image.open(server.base / "output" / "cut" / "moving_00001_.png") as image:
        frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    assert len(frames) == 3
    for frame, x in zip(frames, (44, 60, 76), strict=True):
        ys, xs = np.mgrid[:128, :128]
        far = np.hypot(xs - x, ys - 64)
        assert (frame[far < 27][:, 3] > 200).all() and (frame[far > 34][:, 3] < 40).all(), x
        assert (frame[far < 27][:, :3] > 240).all()
    with Image.open(server.base / "output" / "cut" / "picked_00001_.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGBA"))[..., 3] > 0, frames[2][..., 3] > 0)
    assert "17.1% of the pictures can be seen" in text(server, "7")
    assert "17.1% of the pictures can be seen" in text(server, "11")  # cut out already
    shares = re.search(r"([\d.]+)% of the pictures can be seen", text(server, "12"))
    assert float(shares[1]) < 17.1  # the mask is of what is transparent in the first: hidden colours stay hidden
    assert "Save Clip: frames: Transparent parts of the pictures were laid over white." in server.log.read_text()


def test_a_cut_out_of_which_nothing_is_left_is_refused(server, run):
    """A white cat on white: its colour is within the tolerance of the background's."""
    disc(server, "white_cat.png", 64, (244, 244, 244), (255, 255, 255))
    graph = {"1": node("LoadImage", image="white_cat.png"),
             "2": node("+Sticker", frames=["1", 0], filename_prefix="cut/cat",
                       **STICKER | {"background": "cut out plain background"}),
             "3": node("PreviewImage", images=["1", 0])}
    result, _ = run(graph)
    assert result.status == "error"
    assert ("Sticker: background 'cut out plain background': leaves nothing to be seen: all of every picture would be "
            "transparent; lower the tolerance") in result.error
    assert not list((server.base / "output" / "cut").glob("cat*"))
    graph["2"]["inputs"]["tolerance"] = 0.02
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert "17.1% of the pictures can be seen" in text(server, "2")

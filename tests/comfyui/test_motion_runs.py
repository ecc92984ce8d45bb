"""Motion, stickers and clips in a real server; the files are read back."""

import asyncio
import json
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip
from PIL import Image, ImageSequence

ROOT = Path(__file__).resolve().parent.parent.parent


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind if kind[0] != "+" else f"Kontinuity_{kind[1:]}", "inputs": inputs}


def shipped(name: str) -> dict:
    return json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text("utf-8"))


def texts(server, node_id: str) -> str:
    """What a node of the youngest run shows as text."""
    with urllib.request.urlopen(server.url + "/history", timeout=30) as answer:
        return list(json.load(answer).values())[-1]["outputs"][node_id]["text"][0]


@pytest.fixture(scope="module")
def slide(server):
    """slide(name, x): a picture of 96 x 64 in the input folder, a window at x into smooth noise."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    wide = np.asarray(Image.fromarray(noise).resize((192, 96), Image.Resampling.BICUBIC))

    def make(name: str, x: int, width: int = 96) -> dict:
        Image.fromarray(wide[16:80, x : x + width]).save(server.base / "input" / name)
        return node("LoadImage", image=name)
    return make


STICKER = {"fps": 10.0, "format": "GIF", "loops": 0, "ping_pong": False, "background": "keep", "tolerance": 0.08,
           "dither": "ordered", "longest_side": 0, "max_kilobytes": 0, "filename_prefix": "motion/sticker"}
BETWEEN = {"multiplier": 4, "source_fps": 6.0, "target_fps": 0.0, "mode": "auto", "quality": "fast", "easing": "linear"}


def read(path: Path) -> tuple[list[np.ndarray], list[int], dict]:
    with Image.open(path) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGBA")))
            durations.append(frame.info.get("duration"))
        return frames, durations, image.info


def test_the_sticker_workflow_as_shipped(server, run):
    graph = shipped("sticker")
    result, _ = run(graph)
    assert result.status == "success", result.error
    shown, = result.outputs["8"]["images"]
    path = server.base / "output" / shown["subfolder"] / shown["filename"]
    frames, durations, info = read(path)
    assert path.suffix == ".gif" and path.stat().st_size <= 500_000
    assert frames[0].shape == (256, 256, 4) and 8 <= len(frames) <= 12  # equal ones are joined
    assert sum(durations) == 1200 and info["loop"] == 0  # seven pictures there and five back, 10 a second
    assert "7 frames: 2 given" in texts(server, "7") and "256 x 256, 12 frames, 1.2 s" in texts(server, "8")
    moving = np.abs(frames[0][..., :3].astype(int) - frames[len(frames) // 2][..., :3]).max(2) > 40
    assert 0.002 < moving.mean() < 0.3  # the arms move, the beach stays


def test_the_smooth_clip_workflow_doubles_the_rate_and_keeps_the_sound(server, run, slide):
    slide("warm.png", 0)  # the input folder is there
    write_clip(server.base / "input" / "clip.mp4", "h264", "yuv420p", 6)
    result, _ = run(shipped("smooth_clip"))
    assert result.status == "success", result.error
    shown, = result.outputs["5"]["images"]
    with av.open(str(server.base / "output" / shown["subfolder"] / shown["filename"])) as container:
        assert container.streams.video[0].average_rate == 24 and container.streams.audio
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert "prompt" in container.metadata
    assert len(frames) == 11 and frames[0].shape == (64, 96, 3)
    left = [int(np.argmax(frame[32, :, 0] > 128)) for frame in frames]
    assert np.abs(np.diff(left) - 4).max() <= 2  # it glides


def test_a_cut_out_webp_with_ping_pong_and_a_masked_apng(server, run):
    graph = {
        "1": node("+DemoCharacter", seed=231), "2": node("+DemoCharacter", seed=12),
        "3": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
        "4": node("+InterpolateFrames", frames=["3", 0], **BETWEEN | {"mode": "dissolve"}),
        "5": node("+Sticker", frames=["4", 0], **STICKER | {
            "format": "WebP", "background": "cut out plain background", "ping_pong": True, "tolerance": 0.12,
            "filename_prefix": "motion/cut"}),
        "6": node("SolidMask", value=1.0, width=64, height=64),
        "7": node("+Sticker", frames=["4", 0], mask=["6", 0], **STICKER | {
            "format": "APNG", "filename_prefix": "motion/masked", "loops": 2}),
        "8": node("SolidMask", value=1.0, width=128, height=128),
        "9": node("JoinImageWithAlpha", image=["1", 0], alpha=["8", 0]),
        "10": node("+Sticker", frames=["9", 0], **STICKER | {"filename_prefix": "motion/alpha"}),
    }
    result, _ = run(graph)
    assert result.status == "success", result.error
    frames, durations, info = read(server.base / "output" / "motion" / "cut_00001_.webp")
    assert len(frames) == 8 and sum(durations) == 800 and info["loop"] == 0
    assert (frames[0][[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all() and frames[0][64, 64, 3] == 255
    masked, _, info = read(server.base / "output" / "motion" / "masked_00001_.png")
    assert info["loop"] == 2 and masked[0][..., 3].all()
    assert result.outputs["5"]["animated"] == [True]
    clear, _, _ = read(server.base / "output" / "motion" / "alpha_00001_.gif")
    assert len(clear) == 1 and not clear[0][..., 3].any()  # an IMAGE with alpha keeps it


def test_on_twos_and_a_clip_whose_pictures_in_between_are_made_while_it_is_written(server, run, slide):
    graph = {
        "1": slide("a.png", 40), "2": slide("b.png", 36), "3": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
        "4": node("+InterpolateFrames", frames=["3", 0], **BETWEEN | {"cadence": "on twos", "holds": "remove"}),
        "5": node("+SaveClip", frames=["4", 0], fps=24.0, container="MP4", quality="best", filename_prefix="motion/on"),
        "6": node("+SaveClip", frames=["3", 0], fps=6.0, container="MP4", quality="best", filename_prefix="motion/off",
                  target_fps=24.0),
    }
    result, _ = run(graph)
    assert result.status == "success", result.error
    clips = []
    for name in ("on", "off"):
        with av.open(str(server.base / "output" / "motion" / f"{name}_00001_.mp4")) as container:
            assert container.streams.video[0].average_rate == 24
            clips.append([frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)])
    twos, ones = clips
    assert [len(clip) for clip in clips] == [5, 5]
    steps = [[np.abs(b - a).mean() for a, b in zip(clip, clip[1:], strict=False)] for clip in clips]
    assert min(steps[1]) > 1 and max(steps[0][0], steps[0][2]) < 0.5 and min(steps[0][1], steps[0][3]) > 1
    assert np.abs(twos[2] - ones[2]).mean() < min(steps[1])


def test_motion_is_estimated_shown_and_scored(server, run, slide):
    graph = {
        "1": slide("a.png", 40), "2": slide("b.png", 36), "3": slide("c.png", 38),
        "4": node("+EstimateMotion", first=["1", 0], second=["2", 0], quality="normal"),
        "5": node("+EstimateMotion", first=["1", 0], second=["3", 0], quality="normal"),
        "6": node("+MotionScore", found=["5", 0], wanted=["4", 0], form="released"),
        "7": node("+ShowMotion", motion=["4", 0], style="colour wheel", longest=8.0),
        "8": node("+ShowMotion", motion=["4", 0], style="arrows", longest=0.0, picture=["1", 0]),
        "9": node("SaveImage", images=["7", 0], filename_prefix="motion/wheel"),
        "10": node("SaveImage", images=["8", 0], filename_prefix="motion/arrows"),
        "11": node("ImageBatch", image1=["1", 0], image2=["3", 0]),
        "12": node("ImageBatch", image1=["11", 0], image2=["2", 0]),
        "13": node("+ClipScore", frames=["12", 0], quality="gpu"),
        "14": node("PreviewAny", source=["6", 4]), "15": node("PreviewAny", source=["13", 3]),
    }
    result, _ = run(graph)
    assert result.status == "success", result.error
    # everything moves right by 4 where 4 was wanted and by 2 where it was not enough
    report = texts(server, "14")
    assert "progress 0.5" in report and "coverage: found 9" in report
    wheel = np.asarray(Image.open(server.base / "output" / "motion" / "wheel_00001_.png"))[32, 48]
    assert wheel[0] == 255 and wheel[1] < 200  # to the right is red
    assert np.asarray(Image.open(server.base / "output" / "motion" / "arrows_00001_.png")).shape == (64, 96, 3)
    smooth = float(texts(server, "15").split("smoothness ")[1].split(",")[0])
    assert smooth > 0.9


def test_low_wide_pictures_do_not_end_the_server(server, run, slide):
    """OpenCV's DIS reads beyond 468 x 24 pixels in quality fast."""

    def sized(width: int, height: int) -> dict:
        scale = {"upscale_method": "bilinear", "width": width, "height": height, "crop": "disabled"}
        return {"1": slide("low1.png", 40), "2": slide("low2.png", 38),
                "3": node("ImageScale", image=["1", 0], **scale), "4": node("ImageScale", image=["2", 0], **scale),
                "5": node("ImageBatch", image1=["3", 0], image2=["4", 0]),
                "6": node("+InterpolateFrames", frames=["5", 0], **BETWEEN | {"multiplier": 2}),
                "7": node("SaveImage", images=["6", 0], filename_prefix="motion/low"),
                "8": node("+EstimateMotion", first=["3", 0], second=["4", 0], quality="fast"),
                "9": node("PreviewAny", source=["8", 1])}

    result, _ = run(sized(468, 24))
    assert result.status == "success", result.error
    made = np.asarray(Image.open(server.base / "output" / "motion" / "low_00002_.png"))
    assert made.shape == (24, 468, 3) and made.std() > 10
    assert float(texts(server, "9")) > 0.9
    result, _ = run(sized(468, 8))
    assert result.status != "success" and "both sides must be at least 16 pixels" in result.error


def keyframe_graph(**inputs) -> dict:
    settings = {"instruction": "a red hat", "threshold": 1.0, "seed": 5, "steps": 2, "guidance": 2.5} | inputs
    return {
        "1": node("+LoadModel", model="tiny"), "2": node("+DemoCharacter", seed=231),
        "3": node("+DemoCharacter", seed=12), "4": node("ImageBatch", image1=["2", 0], image2=["3", 0]),
        "5": node("+InBetweenKeyframe", model=["1", 0], frames=["4", 0], **settings),
        "6": node("SaveImage", images=["5", 0], filename_prefix=f"motion/key{settings['threshold']:g}"),
    }


def test_a_keyframe_is_asked_for_and_refused_when_it_does_not_help(server, run):
    result, events = run(keyframe_graph())
    assert result.status == "success", result.error
    assert "no better, left out" in texts(server, "5")  # random weights draw noise
    assert len(list((server.base / "output" / "motion").glob("key1_*.png"))) == 2
    assert max(event.value for event in events if event.kind == "progress" and event.node == "5") == 3
    result, _ = run(keyframe_graph(threshold=0.0))
    assert "near enough" in texts(server, "5")
    result, _ = run(keyframe_graph(instruction=" "))
    assert result.status != "success" and "prompt" in result.error


def masked_ball(count: int = 2, size: tuple[int, int] = (96, 64)) -> dict:
    """A graph that moves a ball by its masks from one place to quite another one; both are drawn into the input."""
    return {"1": node("LoadImage", image="ball1.png"), "2": node("LoadImage", image="ball2.png"),
            "3": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
            "4": node("LoadImageMask", image="mask1.png", channel="red"),
            "5": node("LoadImageMask", image="mask2.png", channel="red"),
            "6": node("MaskToImage", mask=["4", 0]), "7": node("MaskToImage", mask=["5", 0]),
            "8": node("ImageBatch", image1=["6", 0], image2=["7", 0]),
            "9": node("ImageScale", image=["8" if count == 2 else "6", 0], upscale_method="nearest-exact",
                      width=size[0], height=size[1], crop="disabled"),
            "10": node("ImageToMask", image=["9", 0], channel="red"),
            "11": node("+InterpolateFrames", frames=["3", 0], masks=["10", 0], **BETWEEN | {"multiplier": 2}),
            "12": node("SaveImage", images=["11", 0], filename_prefix="motion/ball")}


def test_a_figure_is_moved_by_its_masks(server, run, slide):
    slide("ball.png", 0)  # the input folder is there
    y, x = np.mgrid[:64, :96]
    for number, centre, ground in ((1, 28, (90, 150, 210)), (2, 68, (210, 170, 90))):
        ball = (x - centre) ** 2 + (y - 32) ** 2 < 14 ** 2
        picture = np.where(ball[..., None], np.uint8((200, 30, 40)), np.uint8(ground))
        Image.fromarray(picture).save(server.base / "input" / f"ball{number}.png")
        Image.fromarray(np.uint8(ball) * 255).convert("RGB").save(server.base / "input" / f"mask{number}.png")
    result, _ = run(masked_ball())
    assert result.status == "success", result.error
    assert "the given figure" in texts(server, "11")
    made = np.asarray(Image.open(server.base / "output" / "motion" / "ball_00002_.png")).astype(int)
    assert np.abs(made[24:41, 40:57] - (200, 30, 40)).max() < 12  # whole, half-way
    assert np.abs(made[:10] - (150, 160, 150)).max() < 3  # before a background that is half the one, half the other
    for wrong, message in (({"count": 1}, "do not match the 2 pictures"), ({"size": (48, 32)}, "mask 1': is 48x32")):
        result, _ = run(masked_ball(**wrong))
        assert result.status != "success" and message in result.error
    graph = masked_ball()
    graph["4"]["inputs"]["channel"] = graph["5"]["inputs"]["channel"] = "alpha"  # there is none: black
    result, _ = run(graph)
    assert result.status != "success" and "shows no figure in any picture" in result.error


@pytest.mark.parametrize(("graph", "message"), [
    ({"1": node("+DemoCharacter", seed=1), "2": node("+InterpolateFrames", frames=["1", 0], **BETWEEN),
      "3": node("PreviewAny", source=["2", 2])}, "are too few, 2 are needed"),
    ({"1": node("+DemoCharacter", seed=1), "2": node("+Sticker", frames=["1", 0], **STICKER | {"fps": 999.0})},
     "use at most 50"),
    ({"1": node("+DemoCharacter", seed=1), "2": node("SolidMask", value=0.0, width=64, height=64),
      "3": node("+Sticker", frames=["1", 0], mask=["2", 0], **STICKER)}, "keeps nothing of the pictures"),
    ({"1": node("+DemoCharacter", seed=1), "2": node("+Sticker", frames=["1", 0], **STICKER | {"fps": 10_000.0})},
     "fps"),
    ({"1": node("+DemoCharacter", seed=1), "2": node("ImageScale", image=["1", 0], upscale_method="bilinear", width=64,
                                                     height=96, crop="disabled"),
      "3": node("+EstimateMotion", first=["1", 0], second=["2", 0], quality="fast"),
      "4": node("PreviewAny", source=["3", 1])}, "bring them to one size"),
    ({"1": node("+DemoCharacter", seed=1), "2": node("+SaveClip", frames=["1", 0], fps=24.0, container="MP4",
                                                     quality="good", filename_prefix="../out")}, "inside the output"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_done_is_said(run, graph, message):
    result, _ = run(graph)
    assert result.status != "success" and message in str(result.error)


def test_pictures_of_different_sizes_are_said(run, board):
    graph = board(text="""\
version: 1
characters: {mia: {}}
panels:
  - {id: a, prompt: a red hat, size: [64, 64]}
  - {id: b, prompt: a red hat, size: [96, 64]}
""")
    for kind, inputs in (("+InterpolateFrames", BETWEEN), ("+Sticker", STICKER)):
        graph["20"] = node(kind, frames=["6", 0], **inputs)
        graph["21"] = node("PreviewAny", source=["20", 1])
        result, _ = run(graph)
        assert result.status != "success" and "picture 2': is 96x64, picture 1 is 64x64" in result.error


def test_raft_from_a_file_takes_the_place_of_dis(server, run, slide):
    import torch
    from safetensors.torch import save_file
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    folder = server.base / "models" / "optical_flow"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(raft_small(weights=None).state_dict(), folder / "random.safetensors")
    graph = {"1": slide("f.png", 40), "2": slide("g.png", 36), "3": node("+LoadFlowModel", file="random.safetensors"),
             "4": node("+EstimateMotion", first=["1", 0], second=["2", 0], quality="fast", flow_model=["3", 0]),
             "5": node("+ShowMotion", motion=["4", 0], style="colour wheel", longest=0.0),
             "6": node("SaveImage", images=["5", 0], filename_prefix="motion/raft")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert (server.base / "output" / "motion" / "raft_00001_.png").is_file()
    graph["3"] = node("+LoadFlowModel", file="missing.pth")
    result, _ = run(graph)
    assert result.status != "success" and "put torchvision's RAFT weights there" in result.error


def test_rife_from_a_file_makes_the_pictures(server, run, slide):
    import torch
    from kontinuity.flow.between.rife import IFNet
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder = server.base / "models" / "frame_interpolation"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(IFNet(4, (8, 8, 8, 8, 8)).state_dict(), folder / "random.safetensors")
    graph = {"1": slide("h.png", 40), "2": slide("i.png", 36),
             "3": node("+LoadInBetweenModel", file="random.safetensors"),
             "4": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
             "5": node("+InterpolateFrames", frames=["4", 0], in_between_model=["3", 0], **BETWEEN),
             "6": node("SaveImage", images=["5", 0], filename_prefix="motion/rife")}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert "Gaps: model 1." in texts(server, "5") and "model (RIFE)" in texts(server, "5")
    made = [np.asarray(Image.open(server.base / "output" / "motion" / f"rife_0000{number}_.png")).astype(int)
            for number in (1, 2, 5)]
    given = [np.asarray(Image.open(server.base / "input" / name)).astype(int) for name in ("h.png", "i.png")]
    assert np.array_equal(made[0], given[0]) and np.array_equal(made[2], given[1])
    assert np.abs(made[1] - given[0]).mean() > 1
    graph["3"] = node("+LoadInBetweenModel", file="missing.pth")
    result, _ = run(graph)
    assert result.status != "success" and "put rife_v4.26.safetensors or film_net" in result.error


def test_models_of_comfyuis_own_later_loaders_are_taken(comfyui):
    """Those loaders' outputs, made by hand: this ComfyUI may be too old to have them."""
    script = Path(__file__).with_name("later_motion_models.py")
    done = subprocess.run([sys.executable, str(script), str(comfyui), str(ROOT)], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["flow equal"] and found["loaded"] == 2
    assert found["made"] == pytest.approx(found["wanted"], abs=1e-6)  # as the model itself makes it, padded to 64
    assert found["name"] == "IFNetOfLater" and found["size"] == [48, 56, 3]
    assert "is not torchvision's RAFT" in found["wrong flow"] and "makes no pictures in between" in found["wrong model"]


def test_cancel_stops_interpolation_at_once(server, slide):
    from kontinuity.batch.client import QueueClient

    graph = {"1": slide("d.png", 40), "2": slide("e.png", 34),
             "3": node("ImageScale", image=["1", 0], upscale_method="bilinear", width=384, height=256, crop="disabled"),
             "4": node("ImageScale", image=["2", 0], upscale_method="bilinear", width=384, height=256, crop="disabled"),
             "5": node("ImageBatch", image1=["3", 0], image2=["4", 0]),
             "6": node("+InterpolateFrames", frames=["5", 0], **BETWEEN | {"multiplier": 64}),
             "7": node("+Sticker", frames=["6", 0], **STICKER | {"filename_prefix": "motion/cancelled"})}
    prompt_id = str(uuid.uuid4())

    async def go():
        seen, sent = [], []
        async with QueueClient(server.url, poll_seconds=0.2) as client:
            def on_event(event):
                if event.kind == "progress":
                    seen.append(event.value)
                    if event.value >= 3 and not sent:
                        sent.append(asyncio.ensure_future(client.interrupt(prompt_id)))
            return await client.run(graph, on_event, prompt_id=prompt_id, timeout=120), max(seen)

    result, last = asyncio.run(go())
    assert result.status == "interrupted" and last < 60
    assert not list((server.base / "output" / "motion").glob("cancelled*"))

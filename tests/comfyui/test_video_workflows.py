"""The workflows that need a video model, without one. Each is stopped before it: as it is shipped ComfyUI refuses it at
the loaders, before anything runs; and run it is with a node in the model's place that repeats the first picture, so all
of ours, before and behind it, does its work.
"""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = {"short_clip_wan": 1, "short_clip_ltx": 1, "short_clip_hunyuan": 1, "long_clip_from_storyboard": 3}
BY_NAME = pytest.mark.parametrize("name", WORKFLOWS)
LOADERS = ("UNETLoader", "CheckpointLoaderSimple", "CLIPLoader", "DualCLIPLoader", "VAELoader", "CLIPVisionLoader")
DECODERS = ("VAEDecode", "VAEDecodeTiled")


def shipped(name: str, folder: str = "api") -> dict:
    return json.loads((ROOT / "workflows" / folder / f"{name}.json").read_text("utf-8"))


def of_kind(graph: dict, *kinds: str) -> list[str]:
    return [key for key, node in graph.items() if node["class_type"] in kinds]


def before(graph: dict, key: str) -> set[str]:
    """The nodes that a node needs, itself among them."""
    found = {key}
    for value in graph[key]["inputs"].values():
        if isinstance(value, list):
            found |= before(graph, value[0])
    return found


def with_the_tiny_model(graph: dict) -> dict:
    """The graph with small pictures and short clips."""
    for node in graph.values():
        ours = {"resolution": "small", "seconds": 0.6} if "resolution" in node["inputs"] else \
            {"model": "tiny", "steps": 2}
        node["inputs"].update({key: value for key, value in ours.items()
                               if key in node["inputs"] and not isinstance(node["inputs"][key], list)})
        if "duration: " in str(node["inputs"].get("text")):
            node["inputs"]["text"] = re.sub(r"duration: \d", "duration: 0.6", node["inputs"]["text"])
    return graph


@BY_NAME
def test_as_it_is_shipped_comfyui_refuses_it_at_the_loaders_and_nothing_else(server, name):
    graph = with_the_tiny_model(shipped(name))
    request = urllib.request.Request(server.url + "/prompt", json.dumps({"prompt": graph}).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # some of it is made all the same
            refused = json.load(answer)
        assert of_kind(graph, "Kontinuity_RenderStoryboard")
    except urllib.error.HTTPError as error:
        refused = json.load(error)
        assert error.code == 400
    errors = refused["node_errors"]
    assert {one["type"] for node in errors.values() for one in node["errors"]} == {"value_not_in_list"}
    assert set(errors) == set(of_kind(graph, *LOADERS))


@BY_NAME
def test_its_note_names_each_file_and_its_folder_and_the_loaders_too(name):
    workflow = shipped(name, ".")
    note, = (node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "Note")
    asked = {value for node in workflow["nodes"] if node["type"] in LOADERS for value in node["widgets_values"]
             if str(value).endswith(".safetensors")}
    known = {model["name"]: model["directory"] for node in workflow["nodes"] if node["type"] in LOADERS
             for model in node["properties"]["models"]}
    assert asked == set(known) and len(asked) >= 2
    for file, folder in known.items():
        assert file in note[note.index(f"models/{folder}/"):]


@BY_NAME
def test_all_that_is_ours_runs_with_something_in_the_video_models_place(server, run, name):
    graph = shipped(name)
    hand_off, = of_kind(graph, "Kontinuity_KeyframesForVideo")
    join, = of_kind(graph, "Kontinuity_JoinClips")
    decoder, = of_kind(graph, *DECODERS)
    assert graph[join]["inputs"]["clips"] == [decoder, 0]
    graph[decoder] = {"class_type": "RepeatImageBatch", "inputs": {"image": [hand_off, 0], "amount": [hand_off, 4]}}
    save, = of_kind(graph, "Kontinuity_SaveClip")
    graph = {key: graph[key] for key in before(graph, save)}
    assert not of_kind(graph, *LOADERS)
    result, _ = run(with_the_tiny_model(graph))
    assert result.status == "success", result.error
    lengths = result.outputs[hand_off]["text"][0].splitlines()[0].split("fps: ")[1].split(", ")
    frames = [int(length.split()[0]) for length in lengths]
    assert len(frames) == WORKFLOWS[name]
    shown, = result.outputs[save]["images"]
    with av.open(str(server.base / "output" / shown["subfolder"] / shown["filename"])) as video:
        stream = video.streams.video[0]
        assert stream.frames == sum(frames) - (len(frames) - 1) and stream.width == 96  # 64, one and a half times

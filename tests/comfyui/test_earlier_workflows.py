"""Workflows of before the house was rebuilt (earlier/): they load, and give the pictures they gave then.

`earlier/editor` and `earlier/api` are the shipped workflows at adf2ecd; `earlier/api/*_first.json` are the oldest
versions of each in this repository. `earlier/pictures` is what adf2ecd made of the API graphs, with fewer steps and
panels (SHORTER), the pictures of one graph above each other. KONTINUITY_KEEP_PICTURES=1 writes them anew.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from PIL import Image, ImageSequence
from test_workflows import FRONTEND_ONLY, load, to_api

EARLIER = Path(__file__).with_name("earlier")
EDITOR = sorted(path.stem for path in (EARLIER / "editor").glob("*.json"))
GRAPHS = sorted(path.stem for path in (EARLIER / "api").glob("*.json"))
FOR_THE_USERS_FILES = "native_models"  # its model is not here; test_native.py runs such graphs with a tiny one
SHORTER = {"steps": 3, "panels": {"storyboard_two_characters": "home, meet", "best_of_n": "beach"}}
NOISE = 3 / 255  # what another processor's order of sums may change, at most; one pixel value is 1/255


def missing_inputs(graph: dict, declarations: dict) -> list[str]:
    """Inputs a graph of the API names that the nodes do not have (any more), and required ones it lacks."""
    problems = []
    for key, node in graph.items():
        sections = declarations[node["class_type"]]["info"]["input"]
        required, optional = sections.get("required", {}), sections.get("optional", {})
        names = set(node["inputs"])
        problems += [f"{key} {node['class_type']}.{name}"
                     for name in (names - {*required, *optional}) | (set(required) - names)]
    return problems


@pytest.mark.parametrize("name", EDITOR)
def test_an_earlier_workflow_opens_in_the_editor_as_it_was(name, schemas):
    """Widgets of today may only have come after those of then."""
    workflow = load(EARLIER / "editor" / f"{name}.json")
    declarations = {**schemas["core"], **schemas["nodes"]}
    assert {node["type"] for node in workflow["nodes"]} - set(FRONTEND_ONLY) <= set(declarations)
    assert to_api(workflow, declarations, earlier=True) == {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in load(EARLIER / "api" / f"{name}.json").items()}


@pytest.mark.parametrize("name", GRAPHS)
def test_an_earlier_graph_names_only_what_there_is(name, schemas):
    assert missing_inputs(load(EARLIER / "api" / f"{name}.json"), {**schemas["core"], **schemas["nodes"]}) == []


def shortened(name: str) -> dict:
    """The graph with fewer steps and panels; a clip's frames as pictures, because its video is written with loss."""
    graph = load(EARLIER / "api" / f"{name}.json")
    kind = name.removesuffix("_first")
    for node in graph.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            inputs["steps"] = SHORTER["steps"]
        if "panels" in inputs:
            inputs["panels"] = SHORTER["panels"].get(kind, inputs["panels"])
        if "filename_prefix" in inputs:
            inputs["filename_prefix"] = f"earlier/{name}/{inputs['filename_prefix'].split('/')[-1]}"
    if kind == "smooth_clip":
        graph["9"] = {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": f"earlier/{name}/f"}}
    return graph


def pictures(folder: Path, saved: list[dict]) -> list[np.ndarray]:
    """The pictures of a run's outputs; of an animation every fourth frame, of a clip none."""
    found = []
    for entry in saved:
        path = folder / entry["subfolder"] / entry["filename"]
        if path.suffix != ".mp4":
            with Image.open(path) as image:
                found += [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)][::4]
    return found


def stacked(pictures: list[np.ndarray]) -> np.ndarray:
    wide = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(p, ((0, 0), (0, wide - p.shape[1]), (0, 0))) for p in pictures])


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != FOR_THE_USERS_FILES])
def test_an_earlier_graph_gives_the_same_pictures(name, server, run):
    write_clip(server.base / "input" / "clip.mp4", "ffv1", "bgr0", 4)  # without loss
    result, _ = run(shortened(name))
    assert result.status == "success", result.error
    if name.startswith("inspect_model"):
        assert result.outputs
        return
    saved = [entry for key in sorted(result.outputs, key=int) for entry in result.outputs[key].get("images", ())
             if entry["type"] == "output"]
    made = stacked(pictures(server.base / "output", saved))
    path = EARLIER / "pictures" / f"{name}.png"
    if os.environ.get("KONTINUITY_KEEP_PICTURES"):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(made).save(path, optimize=True)
    with Image.open(path) as image:
        kept = np.asarray(image.convert("RGB"))
    assert made.shape == kept.shape
    difference = np.abs(made.astype(int) - kept).max(2) / 255
    assert difference.max() <= NOISE, f"{(difference > NOISE).mean():.1%} of the pixels differ"

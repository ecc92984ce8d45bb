"""Combos that list files: what is not there is refused in our words on every ComfyUI, whatever it checks itself."""

import json
import urllib.request

import pytest
from test_server_errors import LINE

MODEL = {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "tiny"}}
PICTURE = {"class_type": "Kontinuity_DemoCharacter", "inputs": {"seed": 231}}
FILES = {"transformer": "diffusion_models/gone.safetensors", "clip": "in the checkpoint", "t5": "in the checkpoint",
         "vae": "in the checkpoint"}
# node, its inputs, its combos of files
NODES = [
    ("LoadModel", {}, ["model"]),
    ("LoadModelFiles", FILES, ["transformer", "clip", "t5", "vae"]),
    ("LoadLora", {"model": ["2", 0], "strength": 1.0}, ["lora"]),
    ("InspectModel", {}, ["file"]),
    ("CropCharacter", {"picture": ["3", 0], "number": 1, "background": "keep"}, ["find"]),
    ("LoadStoryboard", {"text": ""}, ["file"]),
    ("TranslatePrompts", {"language": "", "source": "un chapeau"}, ["translator"]),
    ("LoadScorer", {"encoder": "drawn world (built in)", "finder": "the encoder's own"}, ["encoder", "finder"]),
    ("LoadFlowModel", {}, ["file"]),
    ("LoadInBetweenModel", {}, ["file"]),
]


@pytest.mark.parametrize("value", ["gone", "../../secret", "", None], ids=repr)
@pytest.mark.parametrize(("name", "inputs", "field"), [(name, inputs, field) for name, inputs, fields in NODES
                                                       for field in fields])
def test_a_file_that_is_not_there_is_refused_in_our_words(run, name, inputs, field, value):
    graph = {"1": {"class_type": f"Kontinuity_{name}", "inputs": {**inputs, field: value}}, "2": MODEL, "3": PICTURE,
             "4": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}
    result, _ = run(graph)
    assert result.status == "error", result.error
    assert LINE.fullmatch(result.error) and f": {field} '{value}': " in result.error, result.error


def test_no_combo_of_files_is_missing_here(server):
    """A combo that lists what is in a folder offers more once a file is there."""
    def combos() -> dict[tuple[str, str], str]:
        with urllib.request.urlopen(server.url + "/object_info", timeout=60) as answer:
            nodes = json.load(answer)
        return {(name, field): json.dumps(declared) for name, node in nodes.items() if name.startswith("Kontinuity_")
                for kind in node["input"].values() for field, declared in kind.items()
                if isinstance(declared[0], list) or declared[0] == "COMBO"}

    before = combos()
    models = server.base / "models"
    paths = [models / "diffusers/new/model_index.json", models / "diffusion_models/new.safetensors",
             models / "text_encoders/new.safetensors", models / "vae/new.safetensors", models / "loras/new.safetensors",
             models / "identity/new.onnx", models / "identity/new/config.json", models / "optical_flow/new.pth",
             models / "frame_interpolation/new.pth", server.base / "input/new.yaml",
             server.base / "input/new.dictionary.yaml"]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        changed = {key for key, options in combos().items() if options != before[key]}
    finally:
        for path in paths:  # the server is that of the other tests, too
            path.unlink()
    assert changed == {(f"Kontinuity_{name}", field) for name, _, fields in NODES for field in fields}

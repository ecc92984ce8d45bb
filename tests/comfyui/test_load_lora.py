"""Load Kontext LoRA in a real server: it changes the picture, strength 0 and removing it restore every bit."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def loras(server) -> Path:
    """models/loras with a random LoRA on the tiny model's attention and CLIP."""
    generator = torch.Generator().manual_seed(1)

    def pair(name: str, outputs: int, inputs: int, halves=("lora_A", "lora_B")) -> dict[str, torch.Tensor]:
        sizes = ((2, inputs), (outputs, 2))
        return {f"{name}.{half}.weight": torch.randn(*size, generator=generator)
                for half, size in zip(halves, sizes, strict=True)}

    folder = server.base / "models" / "loras" / "styles"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for i in range(2):
        tensors |= pair(f"diffusion_model.single_blocks.{i}.linear1", 224, 32)
    tensors |= pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 48, 24, ("lora_down", "lora_up"))
    save_file(tensors, folder / "random.safetensors")
    save_file({"diffusion_model.blocks.0.cross_attn.k.lora_A.weight": torch.ones(2, 2)}, folder / "wan.safetensors")
    return folder


@pytest.fixture
def picture(server, run, edit, loras):
    """picture(*(lora, strength)): the pixels of an edit with these LoRAs in a row."""
    def make(*choices) -> np.ndarray:
        graph, model = edit(), ["2", 0]
        for number, (lora, strength) in enumerate(choices, 10):
            graph[str(number)] = {"class_type": "Kontinuity_LoadLora",
                                  "inputs": {"model": model, "lora": lora, "strength": strength}}
            model = [str(number), 0]
        graph["4"]["inputs"]["model"] = model
        graph["5"]["inputs"]["filename_prefix"] = "lora/picture"
        result, _ = run(graph)
        assert result.status == "success", result.error
        saved, = result.outputs["5"]["images"] if "5" in result.outputs else kept
        kept[:] = [saved]
        return np.asarray(Image.open(server.base / "output" / "lora" / saved["filename"]))
    kept: list[dict] = []
    return make


def test_a_lora_changes_the_picture_and_leaves_no_trace(picture):
    style = "styles/random.safetensors"
    plain, changed = picture(), picture((style, 1.0))
    assert np.abs(plain.astype(int) - changed).max() > 8
    assert np.array_equal(picture((style, 0.0)), plain)
    assert not np.array_equal(picture((style, -1.0)), changed)
    twice = picture((style, 0.5), (style, 0.5))
    assert np.abs(twice.astype(int) - changed).max() <= 1
    assert np.array_equal(picture(), plain)


def test_both_models_in_one_graph(server, run, edit, loras):
    """The model object is shared and cached: the branches must not leak into the edit without them."""
    graph = edit(instruction="a red hat")
    graph["5"]["inputs"]["filename_prefix"] = "lora/alone"
    assert run(graph)[0].status == "success"
    graph["10"] = {"class_type": "Kontinuity_LoadLora",
                   "inputs": {"model": ["2", 0], "lora": "styles/random.safetensors", "strength": 1.0}}
    inputs = graph.pop("4")["inputs"]
    for name, model in (("adapted", "10"), ("beside", "2")):
        graph[name] = {"class_type": "Kontinuity_Edit", "inputs": inputs | {"model": [model, 0]}}
        graph[f"save {name}"] = {"class_type": "SaveImage",
                                 "inputs": {"images": [name, 0], "filename_prefix": f"lora/{name}"}}
    del graph["5"]
    result, _ = run(graph)
    assert result.status == "success", result.error
    folder = server.base / "output" / "lora"
    alone, adapted, beside = (np.asarray(Image.open(folder / f"{name}_00001_.png"))
                              for name in ("alone", "adapted", "beside"))
    assert np.array_equal(alone, beside) and not np.array_equal(alone, adapted)


def test_a_model_with_a_lora_as_native_model(server, run, edit, loras):
    """Through ComfyUI's classes it draws the same; there is no layer of FLUX in that MODEL."""
    graph = edit()
    graph |= {
        "10": {"class_type": "Kontinuity_LoadLora",
               "inputs": {"model": ["2", 0], "lora": "styles/random.safetensors", "strength": 1.0}},
        "11": {"class_type": "Kontinuity_ToNative", "inputs": {"model": ["10", 0]}},
        "13": {"class_type": "Kontinuity_FromNative",
               "inputs": {"model": ["11", 0], "clip": ["11", 1], "vae": ["11", 2]}},
        "14": {"class_type": "Kontinuity_LoadLora",
               "inputs": {"model": ["13", 0], "lora": "styles/random.safetensors", "strength": 1.0}},
    }
    found = {}
    for name, node in (("ours", "10"), ("native", "13"), ("refused", "14")):
        graph["4"]["inputs"]["model"] = [node, 0]
        graph["5"]["inputs"]["filename_prefix"] = f"lora/{name}"
        result, _ = run(graph)
        if name == "refused":
            assert result.status != "success" and "finds none of its layers in this MODEL" in result.error
            break
        assert result.status == "success", result.error
        found[name] = np.asarray(Image.open(server.base / "output" / "lora" / f"{name}_00001_.png")).astype(int)
    assert np.abs(found["ours"] - found["native"]).max() <= 1


def test_what_was_read_is_shown_and_a_new_save_is_noticed(server, run, edit, loras):
    graph = edit()
    graph["10"] = {"class_type": "Kontinuity_LoadLora",
                   "inputs": {"model": ["2", 0], "lora": "styles/random.safetensors", "strength": 0.25}}
    graph["4"]["inputs"]["model"] = ["10", 0]
    result, _ = run(graph)
    assert result.status == "success", result.error
    text = result.outputs["10"]["text"][0]
    assert "changes 2 layers of transformer, 1 layers of CLIP" in text and "alpha = rank is assumed" in text
    (loras / "random.safetensors").write_bytes(b"cut")
    result, _ = run(graph)
    assert result.status != "success" and "cut off" in result.error


def test_names_and_files_that_cannot_be_used(server, run, edit, loras):
    address = server.url + "/object_info/Kontinuity_LoadLora"
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert "styles/wan.safetensors" in json.dumps(json.load(answer))
    for name, problem in (("styles/wan.safetensors", "none of its tensors has a place in FLUX.1"),
                          ("../diffusers/tiny/vae/diffusion_pytorch_model.safetensors", "is not in ComfyUI's loras"),
                          ("no LoRA found", "is not in ComfyUI's loras"), ("", "is not in ComfyUI's loras")):
        graph = edit()
        graph["10"] = {"class_type": "Kontinuity_LoadLora",
                       "inputs": {"model": ["2", 0], "lora": name, "strength": 1.0}}
        graph["4"]["inputs"]["model"] = ["10", 0]
        result, _ = run(graph)
        assert result.status != "success" and problem in result.error

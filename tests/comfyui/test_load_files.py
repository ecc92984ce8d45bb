"""Load Kontext Files in a real server: parts in files of their own, an all-in-one checkpoint, and what is refused."""

import pytest
import tiny_files as files
import torch

CHECKPOINT = "in the checkpoint"
REAL_WORDS = (49408, 32128)  # ComfyUI's own tokenizers are used


@pytest.fixture(scope="module")
def models(server):
    """Writes a tiny Kontext in parts and as one file into the server's model folders."""
    parts = files.build(words=REAL_WORDS)
    states = {name: files.module_state(part) for name, part in parts.items()}
    root = server.base / "models"
    for folder in ("unet", "text_encoders", "vae", "checkpoints"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    files.save(root / "unet" / "kontext_fp8_scaled.safetensors", files.scaled("scaled_fp8")(
        files.to_bfl(states["transformer"])))
    files.save(root / "text_encoders" / "clip_l.safetensors", files.plain(torch.float16)(
        {f"text_model.{name}": tensor for name, tensor in states["clip"].items()}))
    files.save_gguf(root / "text_encoders" / "t5-Q8_0.gguf", files.to_llama_t5(states["t5"]), "Q8_0", "t5encoder")
    files.save(root / "vae" / "ae.safetensors", files.plain(torch.float32)(files.to_bfl_vae(states["vae"])))
    files.save_all_in_one(root / "checkpoints" / "kontext_all.safetensors", parts, files.plain(torch.bfloat16))
    files.save(root / "checkpoints" / "kontext_half.safetensors", files.plain(torch.bfloat16)(
        files.to_bfl(states["transformer"])), files.MODEL)
    (root / "checkpoints" / "kontext_old.ckpt").write_bytes(b"\x80")


def graph(**changes) -> dict:
    chosen = {"transformer": "diffusion_models/kontext_fp8_scaled.safetensors", "vae": "vae/ae.safetensors",
              "clip": "text_encoders/clip_l.safetensors", "t5": "text_encoders/t5-Q8_0.gguf"}
    return {"1": {"class_type": "Kontinuity_LoadModelFiles", "inputs": chosen | changes},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}


def test_parts_and_an_all_in_one_checkpoint(server, run, models):
    """Loaded and handed to ComfyUI's memory manager. Pictures of such files: tests/kontext/test_layouts.py."""
    for changes in ({}, {"transformer": "checkpoints/kontext_all.safetensors", "clip": CHECKPOINT, "t5": CHECKPOINT,
                         "vae": CHECKPOINT}):
        result, _ = run(graph(**changes))
        assert result.status == "success", result.error
    for part in ("clip", "t5", "vae"):  # one part out of it
        result, _ = run(graph(**{part: "checkpoints/kontext_all.safetensors"}))
        assert result.status == "success", result.error
    log = server.log.read_text("utf-8", "replace")
    assert "loaded kontext_fp8_scaled from" in log and "loaded kontext_all from" in log


@pytest.mark.parametrize(("changes", "words"), [
    ({"t5": CHECKPOINT}, "a T5-XXL file is not in this file and none was given"),
    ({"clip": "text_encoders/t5-Q8_0.gguf"}, "is not a CLIP-L file but"),
    ({"transformer": "vae/ae.safetensors"}, "is not FLUX.1 Kontext"),
    ({"clip": "checkpoints/kontext_half.safetensors"}, "is not a CLIP-L file but transformer (FLUX.1 Kontext dev)"),
    ({"transformer": "no model files found"}, "is in none of ComfyUI's model folders"),
    ({"vae": "vae/../../secret.safetensors"}, "vae 'vae/../../secret.safetensors': is in none of"),
    ({"transformer": "checkpoints/kontext_old.ckpt"}, "is a pickle"),
])
def test_refusals(run, models, changes, words):
    result, _ = run(graph(**changes))
    assert result.status != "success" and words in result.error


def test_the_combos_list_what_can_be_loaded(server, models):
    import json
    import urllib.request

    with urllib.request.urlopen(server.url + "/object_info/Kontinuity_LoadModelFiles", timeout=30) as answer:
        inputs = json.load(answer)["Kontinuity_LoadModelFiles"]["input"]["required"]
    options = {name: json.dumps(declared) for name, declared in inputs.items()}
    assert "checkpoints/kontext_all.safetensors" in options["transformer"] and ".ckpt" not in options["transformer"]
    assert "text_encoders/t5-Q8_0.gguf" in options["t5"] and CHECKPOINT in options["t5"]
    assert "vae/ae.safetensors" in options["vae"] and "clip_l" not in options["vae"]
    assert all("checkpoints/kontext_all.safetensors" in options[part] for part in ("clip", "t5", "vae"))


def test_inspect_model_says_what_the_loader_says(server, run, models):
    import json
    import urllib.request

    for file, words in (
        ("checkpoints/kontext_all.safetensors", "advice: choose it in Load Kontext Files, from models/checkpoints"),
        ("text_encoders/t5-Q8_0.gguf", "choose it in Load Kontext Files as t5, from models/text_encoders"),
        ("vae/ae.safetensors", "advice: choose it in Load Kontext Files as vae"),
    ):
        result, _ = run({"1": {"class_type": "Kontinuity_InspectModel", "inputs": {"file": file}}})
        assert result.status == "success", result.error
        with urllib.request.urlopen(server.url + "/history", timeout=30) as answer:
            report = list(json.load(answer).values())[-1]["outputs"]["1"]["text"][0]
        assert words in report

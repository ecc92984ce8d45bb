"""Which folders are taken, which are refused, and what the refusal says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import ModelSettings, check_folder, identify, load_folder

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


def change(path: Path, **fields):
    """Set fields of a JSON file; None removes one."""
    data = json.loads(path.read_text())
    data = {k: v for k, v in (data | fields).items() if v is not None}
    path.write_text(json.dumps(data))


def refusal(folder, function=check_folder) -> InputError:
    with pytest.raises(InputError) as caught:
        function(folder)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 700, text
    assert all(str(p).strip() for p in (caught.value.where, caught.value.field, caught.value.problem)), text
    assert text.endswith("; " + caught.value.remedy) and caught.value.remedy, text
    assert str(folder) in caught.value.where
    return caught.value


def same_weights(model, other) -> bool:
    return all(torch.equal(tensor, other.components[name].state_dict()[key])
               for name, part in model.components.items() for key, tensor in part.state_dict().items())


def test_the_tiny_folder_is_fine(tiny_model_folder):
    check_folder(tiny_model_folder)
    check_folder(str(tiny_model_folder))


@pytest.mark.parametrize(("file", "fields", "field", "words"), [
    ("model_index.json", {"_class_name": "FluxFillPipeline"}, "_class_name", "not trained to edit"),
    ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "_class_name", "not FluxKontextPipeline"),
    ("model_index.json", {"_class_name": None}, "_class_name", "not FluxKontextPipeline"),
    ("model_index.json", {"transformer": ["diffusers", "SD3Transformer2DModel"]}, "transformer", "is not Flux"),
    ("model_index.json", {"transformer": None}, "transformer", "is not Flux"),
    ("model_index.json", {"tokenizer_2": ["evil_code", "Run"]}, "tokenizer_2", "is not T5"),
    ("model_index.json", {"vae": ["diffusers", ["AutoencoderKL"]]}, "vae", "is not AutoencoderKL"),
    ("transformer/config.json", {"_class_name": "Flux2Transformer2DModel"}, "_class_name", "FluxTransformer2DModel"),
    ("transformer/config.json", {"in_channels": 384}, "in_channels", "FLUX.1 Fill"),
    ("transformer/config.json", {"in_channels": 128}, "in_channels", "Canny or Depth"),
    ("transformer/config.json", {"in_channels": 32}, "in_channels", "not 64"),
    ("transformer/config.json", {"in_channels": "64"}, "in_channels", "not 64"),
    ("transformer/config.json", {"in_channels": [64]}, "in_channels", "not 64"),
    ("transformer/config.json", {"out_channels": 16}, "out_channels", "not 64"),
    ("transformer/config.json", {"patch_size": 2}, "patch_size", "not 1"),
    ("transformer/config.json", {"guidance_embeds": False}, "guidance_embeds", "schnell"),
    ("transformer/config.json", {"guidance_embeds": None}, "guidance_embeds", "schnell"),
    ("transformer/config.json", {"axes_dims_rope": [4, 6, 8]}, "axes_dims_rope", "add up"),
    ("transformer/config.json", {"axes_dims_rope": [8, 8]}, "axes_dims_rope", "three even"),
    ("transformer/config.json", {"axes_dims_rope": [5, 5, 6]}, "axes_dims_rope", "three even"),
    ("transformer/config.json", {"num_attention_heads": -2}, "num_attention_heads", "positive"),
    ("transformer/config.json", {"num_attention_heads": 3}, "x_embedder.weight", "config.json says"),
    ("transformer/config.json", {"num_layers": 19}, "transformer_blocks", "config.json says 19"),
    ("transformer/config.json", {"num_single_layers": 3}, "single_transformer_blocks", "config.json says 3"),
    ("transformer/config.json", {"joint_attention_dim": 4096}, "d_model", "joint_attention_dim 4096"),
    ("transformer/config.json", {"pooled_projection_dim": 768}, "hidden_size", "pooled_projection_dim 768"),
    ("transformer/config.json", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config", "quantised"),
    ("transformer/config.json", {"quantization_config": "x"}, "quantization_config", "quantised"),
    ("vae/config.json", {"latent_channels": 4}, "latent_channels", "not the 16"),
    ("vae/config.json", {"latent_channels": 32}, "latent_channels", "not the 16"),
    ("vae/config.json", {"block_out_channels": [8, 16]}, "block_out_channels", "shrink pictures by 8"),
    ("vae/config.json", {"block_out_channels": 8}, "block_out_channels", "shrink pictures by 8"),
    ("vae/config.json", {"shift_factor": None}, "shift_factor", "not a usable number"),
    ("vae/config.json", {"scaling_factor": 0}, "scaling_factor", "not a usable number"),
    ("vae/config.json", {"scaling_factor": float("nan")}, "scaling_factor", "not a usable number"),
    ("text_encoder/config.json", {"model_type": "siglip_text_model"}, "model_type", "clip_text_model"),
    ("text_encoder_2/config.json", {"model_type": "umt5"}, "model_type", "t5"),
    ("text_encoder_2/config.json", {"quantization_config": {"load_in_8bit": True}}, "quantization_config", "quantised"),
    ("scheduler/scheduler_config.json", {"_class_name": "EulerDiscreteScheduler"}, "_class_name", "FlowMatchEuler"),
    ("scheduler/scheduler_config.json", {"use_karras_sigmas": True}, "use_karras_sigmas", "not trained with"),
    ("scheduler/scheduler_config.json", {"shift_terminal": 0.02}, "shift_terminal", "not trained with"),
    ("scheduler/scheduler_config.json", {"time_shift_type": "cosine"}, "time_shift_type", "unknown"),
    ("scheduler/scheduler_config.json", {"shift": "3"}, "shift", "above 0"),
    ("scheduler/scheduler_config.json", {"max_image_seq_len": 256}, "max_image_seq_len", "equals"),
])
def test_configs_of_something_else(folder, file, fields, field, words):
    change(folder / file, **fields)
    error = refusal(folder)
    assert error.field == field and words in error.problem


@pytest.mark.parametrize("file", [
    "model_index.json", "transformer/config.json", "vae/config.json", "text_encoder/config.json",
    "text_encoder_2/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
    "tokenizer_2/tokenizer.json", TRANSFORMER, "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors", "text_encoder_2/model.safetensors"])
def test_missing_files(folder, file):
    (folder / file).unlink()
    error = refusal(folder)
    assert "missing" in error.problem and error.remedy
    if "tokenizer/" not in file:
        assert error.value == Path(file).name


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000, b"null"])
def test_broken_json(folder, content):
    (folder / "vae/config.json").write_bytes(content)
    assert refusal(folder).value == "config.json"


def test_no_folder(tmp_path, folder):
    assert "does not exist" in refusal(tmp_path / "nowhere").problem
    assert "single file" in refusal(folder / TRANSFORMER).problem
    assert "model_index.json" in refusal(folder / "transformer").value


def test_pickles_only(folder):
    (folder / TRANSFORMER).rename(folder / "transformer/diffusion_pytorch_model.bin")
    error = refusal(folder)
    assert error.value == "diffusion_pytorch_model.bin" and "pickle" in error.problem and "safetensors" in error.remedy


@pytest.mark.parametrize(("name", "origin", "warned"), [
    ("mine", None, True), ("my-kontext", None, False), ("mine", "black-forest-labs/FLUX.1-Kontext-dev", False),
    ("flux-dev", None, True)])
def test_a_fine_tune_saved_as_flux_pipeline(folder, loaded, caplog, name, origin, warned):
    """FluxPipeline has the parts of FluxKontextPipeline. What nothing tells from FLUX.1 dev loads with a warning."""
    change(folder / "model_index.json", _class_name="FluxPipeline")
    change(folder / "transformer/config.json", _name_or_path=origin)
    folder = folder.rename(folder.with_name(name))
    with caplog.at_level("WARNING", "kontinuity"):
        assert same_weights(load_folder(folder), loaded)
    assert ("not trained to edit" in caplog.text) == warned
    found = identify(folder)
    assert found.loads_as == ("folder",) and ("not trained to edit" in found.advice) == warned


def test_names_are_those_given_not_those_behind_links(folder, tmp_path):
    """Hugging Face's cache has links to files called by their hash, in a folder called by a commit."""
    snapshot = tmp_path / "models--black-forest-labs--FLUX.1-Kontext-dev" / "snapshots" / ("1f" * 20)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir(parents=True)
    for i, path in enumerate(p for p in folder.rglob("*") if p.is_file()):
        blob, link = blobs / f"{i:064x}", snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, blob)
        link.symlink_to(blob)
    assert load_folder(snapshot).name == "FLUX.1-Kontext-dev"
    (tmp_path / "my-kontext").symlink_to(snapshot)
    assert load_folder(tmp_path / "my-kontext").name == "my-kontext"
    assert identify(snapshot / "transformer").flavour == "FLUX.1 Kontext dev"
    change(snapshot / "model_index.json", _class_name="FluxPipeline")
    assert identify(snapshot).flavour == "FLUX.1 Kontext dev"


def test_inspect_model_agrees_on_folders(folder):
    """It runs all that the loader checks before it reads weights, not only what `check_folder` reads."""
    from safetensors.torch import load_file, save_file

    assert identify(folder).loads_as == ("folder",)
    for file, problem in ((TRANSFORMER, "is no tensor of FluxTransformer"), ("vae/config.json", "gives no model"),
                          ("tokenizer_2/tokenizer.json", "could not be loaded")):
        kept = (folder / file).read_bytes()
        if file == TRANSFORMER:
            save_file(load_file(folder / file) | {"more.weight": torch.zeros(2)}, folder / file)
        elif file == "vae/config.json":
            change(folder / file, down_block_types=["Nothing"] * 4)
        else:
            change(folder / file, model={"type": "nonsense"})
        error = refusal(folder, load_folder)
        assert problem in error.problem and identify(folder).refusal == str(error)
        (folder / file).write_bytes(kept)


def test_a_broken_tokenizer(folder):
    change(folder / "tokenizer_2/tokenizer.json", model={"type": "nonsense"})
    error = refusal(folder, load_folder)
    assert error.field == "tokenizer" and "tokenizer_2" in error.where


def test_dtypes(tiny_model_folder, folder):
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        parts = load_folder(tiny_model_folder, dtype=dtype).components
        beside = torch.float32 if dtype == torch.float16 else dtype  # which T5 and the VAE leave
        assert parts["transformer"].dtype == dtype and parts["vae"].dtype == beside
        assert parts["text_encoders"]["clip"].dtype == parts["text_encoders"]["t5"].dtype == beside
    assert load_folder(tiny_model_folder).components["transformer"].dtype == torch.float32
    error = refusal(folder, lambda path: load_folder(path, dtype=torch.float64))
    assert error.field == "dtype"


def test_bf16_on_disk_is_cast(folder):
    from safetensors.torch import load_file, save_file

    for path in folder.glob("*/*.safetensors"):
        save_file({k: v.bfloat16() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    for part in load_folder(folder).components.values():
        assert {p.dtype for p in part.parameters()} == {torch.float32}


def test_components_are_ready_to_infer(loaded):
    assert list(loaded.components) == ["text_encoders", "transformer", "vae"]
    assert set(loaded.components["text_encoders"]) == {"clip", "t5"}
    for part in loaded.components.values():
        assert not part.training and not any(p.requires_grad or p.is_inference() for p in part.parameters())


def test_loading_in_inference_mode_makes_ordinary_weights(tiny_model_folder):
    with torch.inference_mode():
        parts = load_folder(tiny_model_folder).components
    assert not any(p.is_inference() for part in parts.values() for p in part.parameters())


SETTINGS = {"format": 1, "name": "toon", "width": 128, "height": 96, "reference_area": 16384, "min_text_tokens": 32,
            "together": "offset", "latent_rgb": {"factors": [[0.1, 0, -0.1]] * 16, "bias": [0, 0.5, 0]}}


def test_settings(folder, tiny_model_folder):
    (folder / "kontinuity.json").write_text(json.dumps(SETTINGS))
    model = load_folder(folder)
    assert model.name == "toon" and load_folder(folder, name="other").name == "other"
    assert model.settings == ModelSettings(128, 96, 16384, 32, SETTINGS["latent_rgb"], "offset")
    plain = load_folder(tiny_model_folder)
    assert plain.name == "tiny-kontext" and plain.settings == ModelSettings(
        1024, 1024, 1024 * 1024, 512, None, "stitch")


@pytest.mark.parametrize(("fields", "field"), [
    ({"format": 2}, "format"), ({"format": None}, "format"), ({"widht": 128}, "widht"), ({"name": 5}, "name"),
    ({"name": " "}, "name"), ({"width": 100}, "width"), ({"height": 0}, "height"), ({"width": "128"}, "width"),
    ({"reference_area": 100}, "reference_area"), ({"reference_area": 1e9}, "reference_area"),
    ({"together": "passes"}, "together"), ({"together": 1}, "together"),
    ({"min_text_tokens": 0}, "min_text_tokens"), ({"min_text_tokens": 513}, "min_text_tokens"),
    ({"latent_rgb": []}, "latent_rgb"),
    ({"latent_rgb": {"factors": [[1, 2, 3]] * 15, "bias": [0, 0, 0]}}, "latent_rgb"),
    ({"latent_rgb": {"factors": [[1, 2, 3]] * 16}}, "latent_rgb"),
    ({"latent_rgb": {"factors": [[1, 2, float("nan")]] * 16, "bias": [0, 0, 0]}}, "latent_rgb"),
])
def test_wrong_settings(folder, fields, field):
    (folder / "kontinuity.json").write_text(json.dumps(SETTINGS))
    change(folder / "kontinuity.json", **fields)
    error = refusal(folder)
    assert error.field == field and error.where.endswith("kontinuity.json")


def test_importing_and_checking_is_cheap(tiny_model_folder):
    """Neither needs diffusers or transformers, and the whole package knows no ComfyUI."""
    root = Path(__file__).resolve().parents[2]
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("kontinuity", r"{root / '__init__.py'}",
                                              submodule_search_locations=[r"{root}"])
sys.modules["kontinuity"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["kontinuity"])
from kontinuity.kontext import check_folder
check_folder(r"{tiny_model_folder}")
heavy = [m for m in sys.modules if m.split(".")[0] in ("diffusers", "transformers", "cv2", "comfy", "folder_paths")]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""The weights of a folder: variants, shards, formats, and what is refused of them."""

import json
import shutil

import pytest
import tiny_quants as quants
import torch
from kontinuity.kontext import identify, load_folder
from test_checkpoints import TRANSFORMER, change, refusal, same_weights

FOLDERS = {"transformer": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model",
           "text_encoder_2": "model"}


@pytest.mark.parametrize("variant", ["fp16", "bf16", "mine"])
def test_a_variant(folder, loaded, variant):
    """As `save_pretrained(variant=...)` names its files; those without a variant win."""
    for name, stem in FOLDERS.items():
        (folder / name / f"{stem}.safetensors").rename(folder / name / f"{stem}.{variant}.safetensors")
    assert same_weights(load_folder(folder), loaded) and identify(folder).loads_as == ("folder",)
    (folder / TRANSFORMER).write_bytes(b"cut")
    assert "cut off" in refusal(folder).problem


def test_several_variants(folder, loaded):
    usual, other = folder / "vae/diffusion_pytorch_model.bf16.safetensors", folder / TRANSFORMER
    (folder / "vae/diffusion_pytorch_model.safetensors").rename(usual)
    usual.with_name("diffusion_pytorch_model.ema.safetensors").write_bytes(b"cut")
    assert same_weights(load_folder(folder), loaded)  # bf16 is a usual one, ema is not
    for name in ("ema", "non_ema"):
        shutil.copy(other, other.with_name(f"diffusion_pytorch_model.{name}.safetensors"))
    other.unlink()
    assert refusal(folder).field == "variant" and identify(folder).refusal == str(refusal(folder))


@pytest.mark.parametrize("index", ["safetensors.index.fp16.json", "fp16.safetensors.index.json"])
def test_a_variant_in_several_files(sharded, loaded, index):
    """Older and newer versions of diffusers and transformers name the index otherwise."""
    part = sharded / "transformer"
    names = {}
    for path in part.glob("*-of-*.safetensors"):
        names[path.name] = path.name.replace("model-", "model.fp16-")
        path.rename(part / names[path.name])
    old = part / "diffusion_pytorch_model.safetensors.index.json"
    data = json.loads(old.read_text())
    data["weight_map"] = {tensor: names[name] for tensor, name in data["weight_map"].items()}
    old.unlink()
    (part / f"diffusion_pytorch_model.{index}").write_text(json.dumps(data))
    assert same_weights(load_folder(sharded), loaded) and identify(sharded).loads_as == ("folder",)


@pytest.mark.parametrize(("method", "pack"), [("bitsandbytes", quants.llm_int8()),
                                              ("quanto", quants.quanto(torch.int8))], ids=["bitsandbytes", "quanto"])
def test_a_quantised_transformer(folder, method, pack):
    """As diffusers saves it. What its tensors do not tell is refused by them."""
    from safetensors.torch import load_file, save_file

    stored, _, exact = pack(load_file(folder / TRANSFORMER))
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / TRANSFORMER)
    change(folder / "transformer/config.json", quantization_config={"quant_method": method})
    layer = load_folder(folder).components["transformer"].proj_out
    assert torch.allclose(layer.weight_as(torch.float32), exact["proj_out.weight"], atol=1e-6)
    assert identify(folder).loads_as == ("folder",)


@pytest.mark.parametrize(("keep", "words"), [(-1, "cut off"), (-1000, "cut off"), (100, "cut off"), (5, "cut off"),
                                             (0, "cut off")])
def test_cut_weights(folder, keep, words):
    path = folder / TRANSFORMER
    path.write_bytes(path.read_bytes()[:keep])
    assert words in refusal(folder).problem


@pytest.mark.parametrize(("content", "words"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS"),
    (b"\x80\x02}q\x00." + b"\0" * 100, "a pickle, under another name"),
    ((2).to_bytes(8, "little") + b"{}", "does not describe"),
    ((2).to_bytes(8, "little") + b"[]", "is not a safetensors header"),
    ((3).to_bytes(8, "little") + b"{x}", "safetensors header"),
    ((14).to_bytes(8, "little") + b'{"a":{"b":[]}}', "does not describe"),
])
def test_weights_that_are_none(folder, content, words):
    (folder / TRANSFORMER).write_bytes(content)
    assert words in refusal(folder).problem


def test_fp8_weights_stay_fp8(folder, loaded):
    from kontinuity.kontext.layers.quantised import StoredLinear
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / TRANSFORMER)
    exact = tensors["proj_out.weight"]
    tensors["proj_out.weight"] = exact.to(torch.float8_e4m3fn)
    save_file(tensors, folder / TRANSFORMER)
    layer = load_folder(folder).components["transformer"].proj_out
    assert isinstance(layer, StoredLinear) and layer.format == torch.float8_e4m3fn
    assert torch.allclose(layer.weight_as(torch.float32), exact, rtol=2**-4, atol=2**-10)
    tensors["proj_out.weight"][1, 2] = float("nan")
    save_file(tensors, folder / TRANSFORMER)
    error = refusal(folder, load_folder)
    assert error.field == "proj_out.weight" and error.value == "NaN"


@pytest.fixture
def sharded(folder):
    """The transformer in two files and an index, as large models come."""
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    (folder / TRANSFORMER).unlink()
    model.save_pretrained(folder / "transformer", max_shard_size="100KB")
    assert len(list((folder / "transformer").glob("*-of-*.safetensors"))) > 1
    return folder


def test_shards_are_read(sharded, loaded):
    ours = load_folder(sharded).components["transformer"].state_dict()
    for name, tensor in loaded.components["transformer"].state_dict().items():
        assert torch.equal(ours[name], tensor)


def test_a_missing_shard(sharded):
    shard = min((sharded / "transformer").glob("*-of-*.safetensors"))
    shard.unlink()
    error = refusal(sharded)
    assert error.value == shard.name and "missing" in error.problem and "index.json" in error.where


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/passwd", "a\\b.safetensors", "model.bin", ""])
def test_an_index_that_names_foreign_files(sharded, name):
    index = sharded / "transformer/diffusion_pytorch_model.safetensors.index.json"
    data = json.loads(index.read_text())
    data["weight_map"]["proj_out.bias"] = name
    index.write_text(json.dumps(data))
    assert "not a safetensors file beside the index" in refusal(sharded).problem


def test_an_index_that_names_absent_tensors(sharded):
    index = sharded / "transformer/diffusion_pytorch_model.safetensors.index.json"
    data = json.loads(index.read_text())
    data["weight_map"]["norm_out.extra"] = next(iter(data["weight_map"].values()))
    index.write_text(json.dumps(data))
    assert refusal(sharded).value == "norm_out.extra"


@pytest.mark.parametrize(("file", "tensor"), [
    (TRANSFORMER, "proj_out.bias"), ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.bias"),
    ("text_encoder_2/model.safetensors", "encoder.final_layer_norm.weight")])
def test_a_missing_tensor_is_not_filled_with_random_numbers(folder, file, tensor):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / file)
    del tensors[tensor]
    save_file(tensors, folder / file, metadata={"format": "pt"})
    error = refusal(folder, load_folder)
    assert error.field == tensor and error.value == "missing"


def test_a_tensor_of_another_shape(folder):
    change(folder / "vae/config.json", block_out_channels=[8, 8, 16, 32])
    assert "vae" in refusal(folder, load_folder).where


def test_a_header_that_contradicts_itself(folder):
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}).encode()
    (folder / "vae/diffusion_pytorch_model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 4)
    error = refusal(folder)
    assert "do not fit the tensor's shape and dtype" in error.problem and "vae" in error.where

"""Every layout of every part: the reader's numbers are those the file means, and its pictures are theirs."""

import logging
from dataclasses import fields
from pathlib import Path

import pytest
import tiny_files as files
import torch
from kontinuity.common import InputError
from kontinuity.kontext import Conditions, EditRequest
from kontinuity.kontext.backends.transformer import make_velocity
from kontinuity.kontext.files.source import Source
from kontinuity.kontext.layers.quantised import BlockLinear, GgufLinear, QuantisedLinear, StoredLinear
from kontinuity.kontext.load import components
from kontinuity.kontext.networks import AutoencoderConfig, FluxTransformer

EXACT = 1e-6  # of a weight, relative to its tensor's largest
VELOCITY = 2e-5  # of a velocity of about 1; the same float32 sums in another order


def numbers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter as the model computes with it, float32."""
    found = {}
    for name, part in module.named_modules():
        for parameter, tensor in part.named_parameters(recurse=False):
            found[f"{name}.{parameter}"] = tensor.float()
        if isinstance(part, QuantisedLinear):
            found[f"{name}.weight"] = part.weight_as(torch.float32)
    return {name.removeprefix("text_model."): tensor for name, tensor in found.items()}


def assert_means(module: torch.nn.Module, exact: dict[str, torch.Tensor]) -> None:
    found = numbers(module)
    assert found.keys() == exact.keys()
    for name, tensor in exact.items():
        assert found[name].shape == tensor.shape
        assert (found[name] - tensor).abs().max() <= EXACT * tensor.abs().max(), name


def velocity(transformer, seed: int = 3) -> torch.Tensor:
    """Of one step: 4 x 6 tokens, a reference of 2 x 3, 5 tokens of text."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    with torch.no_grad():
        conditions = Conditions((draw(1, 5, files.TEXT), draw(1, files.POOLED)), (draw(1, 16, 4, 6),), "offset", 2.5,
                                torch.tensor([0.7, 0.0]))
        return make_velocity(transformer, conditions, (8, 12), torch.device("cpu"))(
            draw(1, 16, 8, 12), torch.tensor([0.7]))


def reference(tiny, exact) -> torch.nn.Module:
    """The model with these numbers; test_networks.py holds it against diffusers' own."""
    model = FluxTransformer.from_config(tiny["transformer"].config)
    model.load_state_dict(exact)
    return model.eval()


def wanted_layers(precision: str) -> set[type]:
    """What a small file's matrices stay packed in."""
    if precision in ("fp32", "bf16", "fp16"):
        return set()
    in_blocks = ("nvfp4", "mxfp", "nf4", "fp4")
    return {GgufLinear if "GGUF" in precision else BlockLinear if precision.startswith(in_blocks) else StoredLinear}


@pytest.mark.parametrize(("layout", "precision"), files.TRANSFORMERS)
def test_transformers(tiny, load_files, tmp_path, layout, precision):
    path = tmp_path / files.file_name(layout, precision)
    exact = files.TRANSFORMERS[layout, precision](path, files.module_state(tiny["transformer"]))
    transformer = load_files(path).components["transformer"]
    assert_means(transformer, exact)
    assert transformer.dtype == torch.float32
    wanted = velocity(reference(tiny, exact))
    assert wanted.abs().max() > 0.3
    assert (velocity(transformer) - wanted).abs().max() <= VELOCITY

    kinds = {type(layer) for layer in transformer.modules() if isinstance(layer, QuantisedLinear)}
    assert kinds == wanted_layers(precision)
    transformer.to(torch.bfloat16)  # what is quantised stays
    stored = sum(t.nbytes for t in (*transformer.parameters(), *transformer.buffers()))
    unpacked = 1.1 if "nested" in precision else 1.05  # biases stored in fp8 and nf4's nested peaks are
    assert stored <= unpacked * path.stat().st_size
    assert transformer.dtype == torch.bfloat16
    assert (velocity(transformer) - wanted).abs().max() <= 0.08 * wanted.abs().max()


def part(kind: str, path: Path, dtype=torch.float32) -> torch.nn.Module:
    source = Source.of_file(path)
    if kind == "clip":
        return components.clip_filling(source, dtype, end_mark=1).read()
    return {"t5": components.t5_filling, "vae": components.vae_filling}[kind](source, dtype).read()


IDS = torch.tensor([[0, 5, 9, 23, 1, 1, 1]])


@pytest.mark.parametrize("pack", [
    files.plain(torch.float32), files.plain(torch.float16), files.plain(files.E4M3), files.plain(files.E5M2),
    files.scaled("scaled_fp8"), files.scaled("metadata", rows=True), files.scaled("comfy_quant")],
    ids=["fp32", "fp16", "fp8_e4m3fn", "fp8_e5m2", "scaled_fp8", "metadata by row", "comfy_quant"])
@pytest.mark.parametrize("kind", ["t5", "clip", "clip with prefix"])
def test_text_encoders(tiny, tmp_path, kind, pack):
    kind, _, prefix = kind.partition(" with ")
    start = "text_model." if prefix else ""
    state = {start + name: tensor for name, tensor in files.module_state(tiny[kind]).items()}
    exact = files.save(tmp_path / "x.safetensors", pack(state))
    exact = {name.removeprefix(start): tensor for name, tensor in exact.items()}
    model = part(kind, tmp_path / "x.safetensors")
    assert_means(model, exact)
    assert model.dtype == torch.float32
    with torch.no_grad():
        output = model(IDS)
        wanted = type(model)(model.config).eval()
        state = {name: exact.get(name.removeprefix("text_model."), exact.get("shared.weight"))
                 for name in wanted.state_dict() if not name.endswith("position_ids")}
        wanted.load_state_dict(state, strict=False)
        wanted = wanted(IDS)
    assert (output[0] - wanted[0]).abs().max() <= VELOCITY * wanted[0].abs().max()
    if kind == "clip":
        assert (output.pooler_output - output[0][:, 4]).abs().max() == 0  # at the first end mark
    half = model.to(torch.bfloat16)
    assert half.dtype == torch.bfloat16 and half(IDS)[0].dtype == torch.bfloat16


def test_numbers_that_begin_at_odd_bytes(tiny, tmp_path):
    """Old writers do not align their data."""
    path = tmp_path / "clip.safetensors"
    exact = files.save(path, files.plain(torch.float32)(files.module_state(tiny["clip"])))
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    path.write_bytes((length + 3).to_bytes(8, "little") + raw[8 : 8 + length] + b"   " + raw[8 + length :])
    assert_means(part("clip", path), exact)


@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q5_0"])
def test_t5_of_llama(tiny, tmp_path, kind):
    state = files.to_llama_t5(files.module_state(tiny["t5"]))
    exact = files.save_gguf(tmp_path / "t5.gguf", state, kind, "t5encoder")
    model = part("t5", tmp_path / "t5.gguf")
    names = files.to_llama_t5({name: name for name in files.module_state(tiny["t5"])})
    assert_means(model, {names[theirs]: tensor for theirs, tensor in exact.items()})
    assert isinstance(model.encoder.block[0].layer[1].DenseReluDense.wo, GgufLinear)
    with torch.no_grad():
        assert torch.isfinite(model(IDS)[0]).all()


@pytest.mark.parametrize("bfl", [True, False])
def test_vaes(tiny, tmp_path, bfl):
    state = files.module_state(tiny["vae"])
    files.save(tmp_path / "ae.safetensors", files.plain(torch.float32)(files.to_bfl_vae(state) if bfl else state))
    vae = part("vae", tmp_path / "ae.safetensors")
    assert_means(vae, state)
    assert vae.config == AutoencoderConfig(**{field.name: tiny["vae"].config[field.name]
                                              for field in fields(AutoencoderConfig)})
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(vae.encode(x), tiny["vae"].encode(x).latent_dist.mode())


def request(**changes) -> EditRequest:
    picture = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    return EditRequest(**{"prompt": "she waves", "references": (picture,), "width": 64, "height": 64, "seed": 1,
                          "steps": 1} | changes)


def shrink(model):
    from dataclasses import replace

    model.settings = replace(model.settings, reference_area=64 * 64, min_text_tokens=16)
    return model


@pytest.mark.parametrize("pack", [files.plain(torch.bfloat16), files.scaled("scaled_fp8"), files.scaled("comfy_quant")],
                         ids=["bf16", "scaled_fp8", "comfy_quant"])
def test_all_in_one(tiny, load_files, tmp_path, pack):
    path = tmp_path / "kontext_all.safetensors"
    exact = files.save_all_in_one(path, tiny, pack)
    model = load_files(path, clip=None, t5=None, vae=None)
    assert model.name == "kontext_all" and model.settings.min_text_tokens == 512
    assert_means(model.components["transformer"], exact["transformer"])
    assert_means(model.components["text_encoders"]["t5"], exact["t5"])
    assert_means(model.components["text_encoders"]["clip"], exact["clip"])
    picture = shrink(model).edit(request())
    assert picture.shape == (64, 64, 3) and torch.isfinite(picture).all()


def test_parts_given_win_over_those_in_the_checkpoint(tiny, load_files, others, tmp_path):
    path = tmp_path / "kontext.safetensors"
    files.save_all_in_one(path, files.build(seed=1), files.plain(torch.float32))
    model = load_files(path, clip=None)
    assert_means(model.components["text_encoders"]["t5"], files.module_state(tiny["t5"]))
    other = numbers(model.components["text_encoders"]["clip"])["embeddings.token_embedding.weight"]
    assert not torch.allclose(other, tiny["clip"].state_dict()["embeddings.token_embedding.weight"], atol=1e-3)


def test_a_picture_is_that_of_the_folder(tiny, load_files, tmp_path, tiny_model_folder):
    """The same weights as a folder's `transformer` and as a file give the same picture."""
    tiny["transformer"].save_pretrained(tmp_path / "kontext" / "transformer")
    path = tmp_path / "kontext.safetensors"
    files.TRANSFORMERS["BFL keys", "fp32"](path, files.module_state(tiny["transformer"]))
    places = path, tmp_path / "kontext" / "transformer"
    pictures = [shrink(load_files(place)).edit(request(steps=2)) for place in places]
    assert torch.equal(*pictures)


def test_dev_is_loaded_with_a_warning_and_others_are_not(tiny, load_files, tmp_path, caplog):
    state = files.to_bfl(files.module_state(tiny["transformer"]))
    with caplog.at_level(logging.WARNING, "kontinuity"):
        for name, words in (("kontext", ""), ("flux1-dev", "FLUX.1 dev"), ("mine", "dev, Krea dev or Kontext dev")):
            caplog.clear()
            files.save(tmp_path / f"{name}.safetensors", files.plain(torch.float32)(state))
            load_files(tmp_path / f"{name}.safetensors")
            assert words in caplog.text and ("not trained to edit" in caplog.text) == bool(words)
    schnell = {name: tensor for name, tensor in state.items() if not name.startswith("guidance_in")}
    files.save(tmp_path / "kontext-schnell.safetensors", files.plain(torch.float32)(schnell))
    with pytest.raises(InputError, match="schnell.*is not FLUX.1 Kontext"):
        load_files(tmp_path / "kontext-schnell.safetensors")

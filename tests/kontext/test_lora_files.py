"""LoRA files: the names layers go by, alpha, and what is refused."""

import json

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import flux, identify, read_lora
from kontinuity.kontext.names.loras import Target, find_target
from lora_files import bfl_layers, diffusers_layers, kohya, pair, peft, seeded, write
from weight_files import gguf_bytes

ONE = "transformer_blocks.0.attn.to_q"


@pytest.fixture
def transformer(model):
    return model.components["transformer"]


@pytest.fixture
def style(transformer, tmp_path):
    """A LoRA on every layer of the transformer, in diffusers' layout."""
    return read_lora(write(tmp_path / "style.safetensors", peft(seeded(diffusers_layers(transformer)))))


# Names of layers -----------------------------------------------------------------------------------------------------


def test_every_layer_of_full_size_flux_has_a_name():
    """The few-step LoRAs (Hyper-FLUX, Turbo-Alpha) change nearly all of them."""
    names = bfl_layers(double=19, single=38)
    for block, norms in (("double_blocks.18.{}_attn.norm.{}_norm", "transformer_blocks.18.attn.norm_{}{}"),
                         ("single_blocks.37.norm.{1}_norm", "single_transformer_blocks.37.attn.norm_{1}")):
        for stream, added in (("img", ""), ("txt", "added_")):
            for kind in ("query", "key"):
                target = find_target(f"diffusion_model.{block.format(stream, kind)}")
                assert target == Target("transformer", (norms.format(added, kind[0]),))
                assert find_target(f"lora_unet_{block.format(stream, kind).replace('.', '_')}") == target
    seen = set()
    for name, modules in names.items():
        target = find_target(f"lora_unet_{name.replace('.', '_')}")
        assert target and target.component == "transformer" and target.modules == modules
        assert target.swapped == (name == "final_layer.adaLN_modulation.1")
        assert find_target(f"diffusion_model.{name}") == target
        for module in modules:
            assert find_target(f"transformer.{module}").modules == (module,)
            assert find_target(f"lora_transformer_{module.replace('.', '_')}").modules == (module,)
            seen.add(module)
    assert len(seen) == 19 * 14 + 38 * 6 + 10


@pytest.mark.parametrize("name", [
    "double_blocks_0_img_attn_qkv", "lora_unet_double_blocks_x_img_mlp_0",
    "transformer.double_blocks.0.img_attn_qkv",
    "diffusion_model.double_blocks.0.img_mlp.1", "diffusion_model.double_blocks.99999.img_mlp.0", "transformer.",
    "lora_te1_text_projection", "lora_te2_text_model_encoder_layers_0_mlp_fc1", "", "lora_unet_",
    "text_encoder.text_model.embeddings.patch_embedding", "../x_embedder", "double_blocks.0.img_attn.norm",
    "clip_g.transformer.text_model.encoder.layers.3.mlp.fc1", "t5.decoder.block.0.layer.0.SelfAttention.q",
])
def test_names_that_are_none(name):
    assert find_target(name) is None


@pytest.mark.parametrize("name", ["lora_te_text_model_encoder_layers_3_self_attn_q_proj",
                                  "lora_te1_text_model_encoder_layers_3_self_attn_q_proj",
                                  "lora_te1.text_model.encoder.layers.3.self_attn.q_proj",
                                  "clip_l.text_model.encoder.layers.3.self_attn.q_proj",
                                  "text_encoder.text_model.encoder.layers.3.self_attn.q_proj",
                                  "text_encoders.clip_l.transformer.text_model.encoder.layers.3.self_attn.q_proj"])
def test_names_of_clip(name):
    assert find_target(name) == Target("clip", ("encoder.layers.3.self_attn.q_proj",))


@pytest.mark.parametrize("name", ["lora_te2_encoder_block_7_layer_0_SelfAttention_o",
                                  "lora_te3_encoder_block_7_layer_0_SelfAttention_o",
                                  "lora_te2.encoder.block.7.layer.0.SelfAttention.o",
                                  "t5.encoder.block.7.layer.0.SelfAttention.o",
                                  "text_encoder_2.encoder.block.7.layer.0.SelfAttention.o",
                                  "text_encoders.t5xxl.transformer.encoder.block.7.layer.0.SelfAttention.o"])
def test_names_of_t5(name):
    assert find_target(name) == Target("t5", ("encoder.block.7.layer.0.SelfAttention.o",))


# Alpha ---------------------------------------------------------------------------------------------------------------


def test_alpha_of_the_metadata(tmp_path, transformer):
    """A LoRA trained with alpha 64 at rank 32 and saved by diffusers: strength 2, which others halve."""
    tensors = peft({"transformer_blocks.0.attn.to_q": pair(32, 32, 1, rank=4),
                    "transformer_blocks.0.attn.to_k": pair(32, 32, 2, rank=4)})
    config = {"transformer.lora_alpha": 8, "transformer.r": 4, "transformer.alpha_pattern": {"attn.to_k": 2}}
    write(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(config)})
    lora = read_lora(tmp_path / "a.safetensors")
    assert lora.alpha == "metadata" and [layer.scale for layer in lora.layers] == [0.5, 2.0]
    config["transformer.use_rslora"] = True
    write(tmp_path / "b.safetensors", tensors, {"lora_adapter_metadata": json.dumps(config)})
    assert [layer.scale for layer in read_lora(tmp_path / "b.safetensors").layers] == [1.0, 4.0]


def test_alpha_of_pefts_own_folder(tmp_path):
    """adapter_model.safetensors with adapter_config.json beside it; another file there has nothing to do with it."""
    tensors = peft({ONE: pair(32, 32, 1, rank=4)}, "base_model.model.")
    path, other = (write(tmp_path / f"{name}.safetensors", tensors) for name in ("adapter_model", "other"))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16, "r": 4, "use_dora": False}))
    assert read_lora(path).layers[0].scale == 4 and read_lora(path).alpha == "metadata"
    assert read_lora(other).layers[0].scale == 1
    (tmp_path / "adapter_config.json").write_text("[")
    refused(path, "adapter_config.json")


FUSED = "double_blocks.0.img_attn.qkv"


@pytest.mark.parametrize("pattern", [FUSED, "img_attn.qkv", f"^{FUSED}", r"double_blocks\.0\.img_attn\.qkv$"])
def test_an_alpha_of_its_own_goes_by_the_names_of_the_file(tmp_path, pattern):
    """PEFT matches the keys of alpha_pattern against the names of the model that was trained, fal's are BFL's."""
    path = write(tmp_path / "adapter_model.safetensors", peft({FUSED: pair(96, 32, 1, rank=4)}, "base_model.model."))
    config = {"lora_alpha": 4, "alpha_pattern": {"txt_attn.qkv": 1, "attn.to_q": 2, "attn.qkv": 3, pattern: 16}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert read_lora(path).layers[0].scale == 4
    config["alpha_pattern"] = {r"double_blocks\.\d+\.img_attn\.qkv": 16}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    refused(path, "regular expression")
    assert "regular expression" in identify(path).refusal


@pytest.mark.parametrize("tensor", [
    "transformer.double_blocks.0.img_attn.qkv.0.oft_R.weight", "lycoris_transformer_blocks_0_attn_to_q.on_input",
    "lora_unet_double_blocks_0_img_attn_qkv.a1.weight", "lora_unet_double_blocks_0_img_attn_qkv.lambda_layer"])
def test_kinds_that_are_not_read_are_loras_for_flux_all_the_same(tmp_path, tensor):
    """OneTrainer's OFT, LyCORIS' IA3, GLoRA and T-LoRA."""
    path = write(tmp_path / "a.safetensors", {tensor: torch.ones(4, 4), tensor.rpartition(".")[0] + ".alpha":
                                              torch.tensor(1.0)})
    found = identify(path)
    assert found.kind == "LoRA" and "FLUX.1" in found.flavour and "Hunyuan" not in found.flavour.split("(")[0]
    assert "Load Kontext LoRA refuses it" in found.refusal


def test_nan_in_what_is_left_out_does_no_harm(tmp_path):
    """ComfyUI 0.33's LoraSave writes memory that nobody set as the text_projection of a CLIP without one."""
    unused = "text_encoders.clip_l.transformer.text_projection.diff"
    path = write(tmp_path / "a.safetensors", peft({ONE: pair(32, 32, 1)}) | {unused: torch.full((4, 4), torch.inf)})
    assert read_lora(path).left_out == (unused,) and identify(path).loads_as == ("LoRA",)


def test_a_dora_of_ai_toolkit(tmp_path):
    """Its magnitudes are called after its own class's parameter (toolkit/models/DoRA.py), one for each output."""
    tensors = peft({ONE: pair(32, 32, 1)}) | {f"transformer.{ONE}.magnitude": torch.arange(1.0, 33.0)}
    lora = read_lora(write(tmp_path / "a.safetensors", tensors))
    assert lora.kinds == {"DoRA": 1} and lora.layers[0].magnitude.flatten().tolist() == list(range(1, 33))


def test_a_missing_alpha_is_said(style, tmp_path, transformer, caplog):
    assert style.alpha == "missing" and all(layer.scale == 1 for layer in style.layers)
    assert "alpha = rank is assumed" in style.report
    with caplog.at_level("INFO", "kontinuity"):
        read_lora(style.where)
    assert "alpha = rank is assumed" in caplog.text
    layers = seeded(diffusers_layers(transformer))
    whole = read_lora(write(tmp_path / "k.safetensors", kohya(layers, "lora_transformer_", alpha=1.5)))
    assert whole.alpha == "file" and {layer.scale for layer in whole.layers} == {0.5}
    some = kohya(layers, "lora_transformer_", alpha=1)
    del some["lora_transformer_x_embedder.alpha"]
    assert read_lora(write(tmp_path / "s.safetensors", some)).alpha == "some layers"


def test_unknown_text_encoder_parts_are_left_out_and_said(tmp_path, transformer):
    tensors = peft(seeded(diffusers_layers(transformer)))
    tensors["text_encoders.clip_l.transformer.text_projection.diff"] = torch.ones(24, 24)
    tensors["text_encoders.clip_l.transformer.logit_scale.diff"] = torch.zeros(1)
    lora = read_lora(write(tmp_path / "projection.safetensors", tensors))
    assert len(lora.left_out) == 1 and "left out: 1 tensors" in lora.report and "text_projection" in lora.report


# What is refused, and how it reads -----------------------------------------------------------------------------------


def refused(path_or_call, *words):
    with pytest.raises(InputError) as error:
        path_or_call() if callable(path_or_call) else read_lora(path_or_call)
    text = str(error.value)
    assert all(word in text for word in words), text
    return text


def test_loras_of_other_models(tmp_path):
    sdxl = kohya({"input_blocks_4_1_proj_in": pair(8, 8, 1)}, alpha=1)
    sdxl |= kohya({"lora_te1_text_model_encoder_layers_0_mlp_fc1": pair(48, 24, 1)}, "", alpha=1)
    refused(write(tmp_path / "sdxl.safetensors", sdxl), "2 of its tensors have no place in FLUX.1",
            "lora_unet_input_blocks_4_1_proj_in.lora_down", "LoRA for SDXL", "choose a LoRA for FLUX.1 Kontext")
    wan = peft({"blocks.0.cross_attn.k": pair(8, 8, 1)}, "diffusion_model.")
    refused(write(tmp_path / "wan.safetensors", wan), "none of its tensors has a place", "seems to be a LoRA for Wan")
    hunyuan = peft({"double_blocks.0.img_attn_qkv": pair(96, 32, 1)}, "transformer.")  # BFL's, but for a dot
    refused(write(tmp_path / "video.safetensors", hunyuan), "none of its tensors", "HunyuanVideo")
    model = {"img_in.weight": torch.ones(4, 4), "img_in.bias": torch.ones(4)}
    refused(write(tmp_path / "whole.safetensors", model), "none of its tensors", "seems to be no LoRA")


def test_a_partial_match_is_refused_with_the_first_keys(tmp_path):
    tensors = peft({ONE: pair(32, 32, 1)} | {f"transformer_blocks.0.new_{i}": pair(8, 8, i) for i in range(5)})
    refused(write(tmp_path / "part.safetensors", tensors), "10 of its tensors have no place in FLUX.1",
            "transformer.transformer_blocks.0.new_0.lora_A.weight", "and 7 more")
    other = peft({ONE: pair(32, 32, 1)})
    other["diffusion_model.double_blocks.0.img_attn.norm.new.diff"] = torch.zeros(16)  # nothing is lost
    assert len(read_lora(write(tmp_path / "norm.safetensors", other)).layers) == 1
    other["diffusion_model.double_blocks.0.img_attn.norm.new.diff"] = torch.ones(16)
    refused(write(tmp_path / "norm.safetensors", other), "1 of its tensors", "norm.new.diff")


@pytest.mark.parametrize(("key", "word"), [
    (f"transformer.{ONE}.oft_blocks", "OFT"), (f"transformer.{ONE}.lora_mid.weight", "convolutions"),
    (f"transformer.{ONE}.a1.weight", "GLoRA"), (f"transformer.{ONE}.on_input", "IA3"),
    ("double_blocks.0.img_attn.norm.key_norm.scale", "Canny or Depth"),
])
def test_other_kinds(tmp_path, key, word):
    tensors = peft({ONE: pair(32, 32, 1)}) | {key: torch.ones(32)}
    refused(write(tmp_path / "kind.safetensors", tensors), word, key[:60])


def test_a_dora_without_its_magnitudes(tmp_path):
    note = {"lora_adapter_metadata": json.dumps({"transformer.use_dora": True})}
    refused(write(tmp_path / "d.safetensors", peft({ONE: pair(32, 32, 1)}), note), "DoRA")
    note = {"lora_adapter_metadata": "[" * 5000}
    refused(write(tmp_path / "j.safetensors", peft({ONE: pair(32, 32, 1)}), note), "is not JSON")


@pytest.mark.parametrize(("down", "up", "words"), [
    ((3, 32), (32, 4), ("[3, 32] and [32, 4]", "do not multiply")),
    ((3, 32, 1), (32, 3), ("do not multiply",)),
    ((0, 32), (32, 0), ("do not multiply",)),
    ((33, 32), (32, 33), ("rank 33", "more than the layer's 32 inputs and 32 outputs")),
    ((3, 32), None, ("without the other half",)),
    (None, (32, 3), ("without the other half",)),
])
def test_broken_pairs(tmp_path, down, up, words):
    halves = {f"transformer.{ONE}.lora_{x}.weight": torch.ones(size) for x, size in (("A", down), ("B", up)) if size}
    refused(write(tmp_path / "pair.safetensors", halves), ONE, *words)


def test_broken_numbers(tmp_path):
    tensors = peft({ONE: pair(32, 32, 1)})
    for bad in (float("nan"), float("inf")):
        tensors[f"transformer.{ONE}.lora_B.weight"][0, 0] = bad
        refused(write(tmp_path / "nan.safetensors", tensors), "NaN or infinity", f"{ONE}.lora_B")
    alpha = kohya({ONE: pair(32, 32, 1)}, "lora_transformer_", alpha=float("nan"))
    refused(write(tmp_path / "alpha.safetensors", alpha), "NaN or infinity", "alpha")
    alpha["lora_transformer_transformer_blocks_0_attn_to_q.alpha"] = torch.ones(2)
    refused(write(tmp_path / "alphas.safetensors", alpha), "is an alpha that is not one number")
    whole = {key: tensor.to(torch.int8) for key, tensor in peft({ONE: pair(32, 32, 1)}).items()}
    refused(write(tmp_path / "int.safetensors", whole), "I8", "is no type a LoRA is read from")
    refused(write(tmp_path / "zeros.safetensors", {"lora_unet_img_in.diff_b": torch.zeros(32)}), "changes nothing")


def test_a_layer_under_two_names(tmp_path):
    layer = {"double_blocks.0.img_attn.qkv": pair(96, 32, 1)}
    tensors = kohya(layer, alpha=3) | {k: t.clone() for k, t in peft({ONE: pair(32, 32, 1)}).items()}
    refused(write(tmp_path / "twice.safetensors", tensors), "is the same as", "holds a LoRA twice")
    tensors = kohya(layer) | {k: t.clone() for k, t in peft(layer, "", ".default").items()}
    tensors["double_blocks.0.img_attn.qkv.lora_A.weight"] = torch.ones(3, 32)
    refused(write(tmp_path / "again.safetensors", tensors), "is the same as", ".default")


def test_files_that_are_no_safetensors(tmp_path):
    for name, data, word in (("a.pt", b"\x80\x02}q\0.", "pickle"), ("b.safetensors", b"cut", "cut off"),
                             ("c.safetensors", (2**62).to_bytes(8, "little") + b"{}", "neither safetensors nor"),
                             ("d.safetensors", gguf_bytes({"a": ("F32", (2,))})[0] + bytes(32), "GGUF")):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, word)
    refused(tmp_path / "missing.safetensors", "cannot be read")


@pytest.mark.parametrize(("layers", "words"), [
    ({"x_embedder": (32, 384)}, ("384 channels", "first layer of FLUX.1 Fill dev", "FLUX.1 Kontext's takes 64")),
    ({"img_in": (32, 128)}, ("first layer of FLUX.1 Canny or Depth dev",)),
    ({"single_transformer_blocks.2.proj_out": (32, 160)}, ("does not have", "model of more blocks")),
    ({ONE: (3072, 3072), "single_transformer_blocks.2.proj_out": (3072, 15360)},
     ("3072 inputs and 3072 outputs", "this model has 32 and 32", "1 of 2 layers do not fit", "another width")),
    ({"double_blocks.0.img_attn.qkv": (95, 32)}, ("32 inputs and 95 outputs", "this model has 32 and 96")),
])
def test_loras_for_a_model_of_another_size(model, tmp_path, layers, words):
    path = write(tmp_path / "size.safetensors", peft(seeded(layers)))
    for strength in (1.0, 0.0):  # a LoRA that does not fit is said so even when it would do nothing
        refused(lambda strength=strength: model.adapted([(read_lora(path), strength)]), "size.safetensors", *words)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), "1", None])
def test_strengths(model, style, strength):
    refused(lambda: model.adapted([(style, strength)]), "strength", "is no finite number")


def test_the_tensors_are_read_once(tmp_path):
    """A LoRA that is training overwrites its file; a mapped file would change, or crash, under a running edit."""
    path = write(tmp_path / "live.safetensors", peft({ONE: pair(32, 32, 1)}))
    lora = read_lora(path)
    before = lora.layers[0].change.up.clone()
    raw = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(len(raw) - 512)
        file.write(bytes(512))
    assert torch.equal(lora.layers[0].change.up, before)


# Published files -----------------------------------------------------------------------------------------------------

# layers of FLUX.1 in the shapes that published LoRAs have: (outputs, inputs)
PUBLISHED = {
    "transformer.context_embedder": (3072, 4096), "transformer.norm_out.linear": (6144, 3072),  # Hyper-FLUX
    "transformer.proj_out": (64, 3072), "transformer.x_embedder": (3072, 64),
    "transformer.single_transformer_blocks.37.attn.to_k": (3072, 3072),
    "transformer.single_transformer_blocks.37.norm.linear": (9216, 3072),
    "transformer.single_transformer_blocks.37.proj_mlp": (12288, 3072),
    "transformer.single_transformer_blocks.37.proj_out": (3072, 15360),
    "transformer.transformer_blocks.18.norm1.linear": (18432, 3072),
    "transformer.transformer_blocks.18.ff_context.net.2": (3072, 12288),
    "base_model.model.double_blocks.17.img_mod.lin": (18432, 3072),  # fal's Kontext trainer
    "base_model.model.double_blocks.17.txt_attn.qkv": (9216, 3072),
    "diffusion_model.double_blocks.16.img_attn.qkv": (9216, 3072),  # ai-toolkit
    "diffusion_model.single_blocks.36.linear1": (21504, 3072),
    "diffusion_model.single_blocks.36.linear2": (3072, 15360),
    "lora_unet_double_blocks_15_txt_mlp_0": (12288, 3072), "lora_unet_single_blocks_35_modulation_lin": (9216, 3072),
    "lora_unet_time_in_in_layer": (3072, 256),
    "lora_unet_vector_in_in_layer": (3072, 768), "lora_unet_guidance_in_out_layer": (3072, 3072),
    "lora_transformer_transformer_blocks_14_attn_to_add_out": (3072, 3072),  # OneTrainer
    "double_blocks.13.processor.qkv_lora1": (9216, 3072),  # XLabs
}


def test_layers_of_published_loras_fit_flux_dev(model, tmp_path):
    tensors = {}
    for name, (outputs, inputs) in PUBLISHED.items():
        halves = ("down", "up") if "processor" in name else ("lora_down", "lora_up")
        for half, size in zip(halves, ((1, inputs), (outputs, 1)), strict=True):
            tensors[f"{name}.{half}.weight"] = torch.ones(size, dtype=torch.bfloat16)
    lora = read_lora(write(tmp_path / "published.safetensors", tensors))
    model.backend.components = {**model.components, "transformer": flux.transformer()}
    adapted = model.adapted([(lora, 1.0)])
    assert len(adapted.backend.branches._effects_at) == len(lora.layers) + 2 + 2 + 2 + 3
    tensors = peft({f"transformer_blocks.{i}.attn.to_q": pair(3072, 3072, i, rank=1) for i in (18, 19)})
    more = read_lora(write(tmp_path / "more.safetensors", tensors))
    refused(lambda: model.adapted([(more, 1.0)]), "transformer_blocks.19.attn.to_q", "one of 1 layers this model does")

"""What files are taken for: headers of every layout written here, sparse where true sizes matter."""

import json
from math import prod

import pytest
from kontinuity.common import InputError
from kontinuity.kontext import Identity, identify
from weight_files import bfl, real, write_gguf, write_safetensors


def diffusers(channels: int = 64, guidance: bool = True) -> dict:
    found = {"x_embedder.weight": (3072, channels), "x_embedder.bias": (3072,), "context_embedder.weight": (3072, 4096),
             "time_text_embed.timestep_embedder.linear_1.weight": (3072, 256)}
    if guidance:
        found["time_text_embed.guidance_embedder.linear_1.weight"] = (3072, 256)
    found |= {f"transformer_blocks.{i}.attn.to_q.weight": (3072, 3072) for i in range(19)}
    return found | {f"single_transformer_blocks.{i}.proj_mlp.weight": (12288, 3072) for i in range(38)}


def fp8(tensors: dict, dtype: str = "F8_E4M3") -> dict:
    return {name: (dtype, shape) if len(shape) == 2 else shape for name, shape in tensors.items()}


def with_scales(tensors: dict, ending: str, dtype: str = "F32", shape: tuple = ()) -> dict:
    return tensors | {name.removesuffix("weight") + ending: (dtype, shape) for name in tensors
                      if name.endswith("qkv.weight")}


def nf4(tensors: dict) -> dict:
    found = {}
    for name, shape in tensors.items():
        if len(shape) == 2:
            found[name] = ("U8", (prod(shape) // 2, 1))
            found |= {f"{name}.absmax": ("F32", (prod(shape) // 64,)), f"{name}.quant_map": ("F32", (16,)),
                      f"{name}.quant_state.bitsandbytes__nf4": ("U8", (80,))}
        else:
            found[name] = shape
    return found


def svdquant() -> dict:
    found = {name: shape for name, shape in diffusers().items() if "blocks" not in name}
    for kind, count in (("transformer_blocks", 19), ("single_transformer_blocks", 38)):
        for i in range(count):
            found |= {f"{kind}.{i}.qkv_proj.qweight": ("I8", (9216, 1536)), f"{kind}.{i}.qkv_proj.wscales": (48, 9216),
                      f"{kind}.{i}.qkv_proj.lora_down": (3072, 32), f"{kind}.{i}.qkv_proj.smooth": (3072,)}
    return found


FLUX_VAE = {"decoder.conv_in.weight": (512, 16, 3, 3), "decoder.mid.block_1.norm1.weight": (512,)}
CLIP_L = {"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)}
T5 = {"shared.weight": (32128, 4096), "encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (10240, 4096)}
UMT5 = T5 | {"encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": (32, 64)}
UNET = {"input_blocks.0.0.weight": (320, 4, 3, 3)}
CROSS = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
MODEL = "model.diffusion_model."
ALL_IN_ONE = bfl(prefix=MODEL) | {"text_encoders.clip_l.transformer." + k: v for k, v in CLIP_L.items()} | {
    "vae." + k: v for k, v in FLUX_VAE.items()}
SHAPES = "FLUX.1 dev, Krea dev or Kontext dev"
KONTEXT = "FLUX.1 Kontext dev"

# file name, tensors, metadata, then what is found: kind, flavour, confidence, layout, precision
CASES = [
    ("flux1-kontext-dev", bfl(), None, "transformer", KONTEXT, "name", "BFL keys", "bf16"),
    ("flux1-dev", bfl(), None, "transformer", "FLUX.1 dev", "name", "BFL keys", "bf16"),
    ("flux1-krea-dev", bfl(), None, "transformer", "FLUX.1 Krea dev", "name", "BFL keys", "bf16"),
    ("device", bfl(), None, "transformer", SHAPES, "none", "BFL keys", "bf16"),
    ("mine", bfl(), {"modelspec.title": "Flux.1-Kontext"}, "transformer", KONTEXT, "metadata", "BFL keys", "bf16"),
    ("flux1-dev", bfl(), {"modelspec.title": "a kontext"}, "transformer", KONTEXT, "metadata", "BFL keys", "bf16"),
    ("my-kontext", bfl(), {"modelspec.architecture": "flux-1-dev"}, "transformer", KONTEXT, "name", "BFL keys", "bf16"),
    ("kontext-krea-merge", bfl(), None, "transformer", SHAPES, "none", "BFL keys", "bf16"),
    ("kontext", bfl(guidance=False), None, "transformer", "FLUX.1 schnell", "tensors", "BFL keys", "bf16"),
    ("kontext", bfl(384), None, "transformer", "FLUX.1 Fill dev", "tensors", "BFL keys", "bf16"),
    ("control", bfl(128), None, "transformer", "FLUX.1 Canny or Depth dev", "tensors", "BFL keys", "bf16"),
    ("flux1-canny-dev", bfl(128), None, "transformer", "FLUX.1 Canny dev", "name", "BFL keys", "bf16"),
    ("flux1-depth-dev", bfl(128), None, "transformer", "FLUX.1 Depth dev", "name", "BFL keys", "bf16"),
    ("odd", bfl(100), None, "transformer", "unknown", "none", "BFL keys", "bf16"),
    ("kontext", bfl(prefix=MODEL), None, "transformer", KONTEXT, "name", f"BFL keys with prefix {MODEL}", "bf16"),
    ("kontext", diffusers(), None, "transformer", KONTEXT, "name", "diffusers keys", "bf16"),
    ("schnell", diffusers(guidance=False), None, "transformer", "FLUX.1 schnell", "tensors", "diffusers keys", "bf16"),
    ("kontext", ALL_IN_ONE, None, "all-in-one checkpoint", KONTEXT, "name",
     f"all-in-one: {MODEL} (BFL keys) with VAE and text encoders", "bf16"),
    # precision
    ("kontext", fp8(bfl()), None, "transformer", KONTEXT, "name", "BFL keys", "fp8_e4m3fn"),
    ("kontext", fp8(bfl(), "F8_E5M2"), None, "transformer", KONTEXT, "name", "BFL keys", "fp8_e5m2"),
    ("kontext", fp8(bfl(), "F16"), None, "transformer", KONTEXT, "name", "BFL keys", "fp16"),
    ("kontext", fp8(bfl(), "F32"), None, "transformer", KONTEXT, "name", "BFL keys", "fp32"),
    ("kontext", with_scales(fp8(bfl()), "scale_weight") | {"scaled_fp8": ("F8_E4M3", (0,))}, None, "transformer",
     KONTEXT, "name", "BFL keys", "fp8_e4m3fn scaled (scale_weight + scaled_fp8)"),
    ("kontext", with_scales(fp8(bfl()), "weight_scale"),
     {"_quantization_metadata": '{"layers": {"a": {"format": "float8_e4m3fn"}}}'}, "transformer", KONTEXT, "name",
     "BFL keys", "fp8_e4m3fn scaled (weight_scale + _quantization_metadata)"),
    ("kontext", with_scales(with_scales(fp8(bfl()), "weight_scale"), "comfy_quant", "U8", (24,)), None, "transformer",
     KONTEXT, "name", "BFL keys", "fp8_e4m3fn scaled (weight_scale + comfy_quant)"),
    ("kontext", with_scales(fp8(bfl()), "weight_scale"), None, "transformer", KONTEXT, "name", "BFL keys",
     "fp8_e4m3fn scaled (weight_scale)"),
    ("kontext", nf4(bfl()), None, "transformer", KONTEXT, "name", "BFL keys", "nf4 (bitsandbytes)"),
    ("fill", nf4(bfl(384)), None, "transformer", "FLUX.1 Fill dev", "tensors", "BFL keys", "nf4 (bitsandbytes)"),
    ("kontext", svdquant(), None, "transformer", KONTEXT, "name", "diffusers keys", "SVDQuant 4 bit (nunchaku)"),
    # what belongs to Kontext
    ("ae", FLUX_VAE, None, "VAE", "FLUX.1 VAE (or SD3's, of the same shapes)", "tensors", "original keys", "bf16"),
    ("clip_l", CLIP_L, None, "CLIP-L", "CLIP-L", "tensors", "transformers keys", "bf16"),
    ("t5xxl_fp8", fp8(T5), None, "T5-XXL", "T5-XXL 1.1", "tensors", "transformers keys", "fp8_e4m3fn"),
    ("umt5", UMT5, None, "text encoder", "UMT5", "tensors", "transformers keys", "bf16"),
    ("redux", {"redux_up.weight": (12288, 1152), "redux_down.weight": (4096, 12288)}, None, "style model",
     "FLUX.1 Redux dev", "tensors", "original keys", "bf16"),
    ("lora", {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (16, 3072)}, None, "LoRA",
     "LoRA for FLUX.1 or a model built like it (FLUX.2, HunyuanVideo)", "tensors", "LoRA keys", "bf16"),
    ("lora", {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (16, 3072)},
     {"modelspec.title": "Kontext relight"}, "LoRA", "LoRA for FLUX.1 Kontext", "metadata", "LoRA keys", "bf16"),
    ("lora", {"what.lora_up.weight": (4, 4)}, None, "LoRA", "unknown", "none", "LoRA keys", "bf16"),
    # strangers
    ("f2", bfl(128) | {"double_stream_modulation_img.lin.weight": (4, 4)}, None, "transformer", "FLUX.2", "tensors",
     "BFL keys", "bf16"),
    ("sd3", {"joint_blocks.0.context_block.adaLN_modulation.1.bias": (4,)}, None, "transformer",
     "Stable Diffusion 3 or 3.5", "tensors", "original keys", "bf16"),
    ("xl", UNET | {"label_emb.0.0.weight": (1280, 2816)}, None, "transformer", "SDXL", "tensors", "original keys",
     "bf16"),
    ("sd", {MODEL + CROSS: (320, 768), "first_stage_model.x": (1,), "cond_stage_model.x": (1,)}, None,
     "all-in-one checkpoint", "Stable Diffusion 1.x", "tensors",
     f"all-in-one: {MODEL} (original keys) with VAE and text encoder", "bf16"),
    ("qwen", {"txt_norm.weight": (3584,), "img_in.weight": (3072, 64)}, None, "transformer",
     "Qwen-Image or Qwen-Image-Edit", "tensors", "diffusers keys", "bf16"),
    ("wan", {"head.modulation": (1, 2, 64), "patch_embedding.weight": (8, 16, 1, 2, 2)}, None, "transformer", "Wan",
     "tensors", "original keys", "bf16"),
    ("hy", {"txt_in.individual_token_refiner.blocks.0.norm1.weight": (8,)}, None, "transformer", "HunyuanVideo",
     "tensors", "original keys", "bf16"),
    ("ltx", {"patchify_proj.weight": (8, 8), "adaln_single.emb.timestep_embedder.linear_1.bias": (8,)}, None,
     "transformer", "LTX-Video", "tensors", "original keys", "bf16"),
    *((name, {tensor: (4, 4)}, None, "transformer", flavour, "tensors", "original keys", "bf16")
      for name, tensor, flavour in (("pixart", "t_block.1.weight", "PixArt"), ("hy", "mlp_t5.0.weight", "HunyuanDiT"),
                                    ("cascade", "clf.1.weight", "Stable Cascade"),
                                    ("omni", "time_caption_embed.timestep_embedder.linear_1.bias", "OmniGen 2"))),
    ("kontext", {"some.layer.weight": (4, 4)}, None, "unknown", "unknown", "none", "unknown", "bf16"),
]


@pytest.mark.parametrize(("name", "tensors", "metadata", "kind", "flavour", "confidence", "layout", "precision"), CASES,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_safetensors(tmp_path, name, tensors, metadata, kind, flavour, confidence, layout, precision):
    path = write_safetensors(tmp_path / f"{name}.safetensors", tensors, metadata)
    found = identify(path)
    assert (found.kind, found.flavour, found.confidence) == (kind, flavour, confidence)
    assert (found.layout, found.precision, found.bytes) == (layout, precision, path.stat().st_size)
    assert found.reasons and found.advice.endswith(".") and "\n" not in found.advice
    assert len(found.report.splitlines()) == 5 + len(found.reasons)


LOAD, REFUSED = "choose it in Load Kontext Files", "Load Kontext Files refuses it: "
FIRST, GUIDANCE = "x_embedder.weight", "time_text_embed.guidance_embedder."


def whole(part: str) -> dict:
    return real("transformer") | {FIRST: (3072, 384)} if part == "fill" else real(part)


@pytest.mark.parametrize(("name", "part", "words"), [
    ("kontext", "transformer", LOAD + ", from models/diffusion_models; its weights take 22.17 GiB, and beside it"),
    ("mine", "transformer", "not trained to edit"), ("flux1-krea-dev", "transformer", "not trained to edit"),
    ("fill", "fill", REFUSED + "model 'FLUX.1 Fill dev: transformer': is not FLUX.1 Kontext (x_embedder.weight takes "
     "384 channels); ComfyUI's own Load Diffusion Model"),
    ("ae", "vae", LOAD + " as vae, from models/vae"), ("clip_l", "clip", LOAD + " as clip, from models/text_encoders"),
    ("t5", "t5", LOAD + " as t5")])
def test_advice_on_files_of_true_sizes(tmp_path, name, part, words):
    found = identify(write_safetensors(tmp_path / f"{name}.safetensors", whole(part)))
    assert words in found.advice and "width" not in found.advice
    assert found.loads_as == (() if part == "fill" else (part,)) and bool(found.refusal) == (part == "fill")


@pytest.mark.parametrize(("tensors", "words"), [
    (svdquant(), "'SVDQuant 4 bit (nunchaku)': is a quantisation this pack does not read"),
    ({name: shape for name, shape in real("transformer").items() if not name.startswith(GUIDANCE)},
     "'FLUX.1 schnell: transformer': is not FLUX.1 Kontext (has no guidance embedding"),
    (bfl(), "is not in the file: it was cut, is one part of several"),
    (UMT5, "t5 'kontext.safetensors': is not a T5-XXL file but text encoder (UMT5)"),
    ({"some.layer.weight": (4, 4)}, "model 'unknown': is not FLUX.1 Kontext (no known tensors among its 1: some")],
    ids=["svdquant", "schnell", "cut", "umt5", "stranger"])
def test_advice_on_what_is_refused(tmp_path, tensors, words):
    found = identify(write_safetensors(tmp_path / "kontext.safetensors", tensors))
    assert found.advice.startswith(REFUSED) and words in found.advice and words in found.refusal
    assert not found.loads_as


def test_advice_on_an_encoder_of_another_width(tmp_path):
    kept = (32, 64, 32128)  # buckets, heads, words
    small = {name: tuple(n if n in kept else n // 4 for n in shape) for name, shape in real("t5").items()}
    found = identify(write_safetensors(tmp_path / "t5.safetensors", small))
    assert found.loads_as == ("t5",) and found.advice.startswith(
        "not for FLUX.1 Kontext itself, whose transformer reads a width of 4096 as t5, but for one that reads 1024; ")


def test_memory_when_loaded(tmp_path):
    plain = identify(write_safetensors(tmp_path / "a.safetensors", fp8(bfl(), "F32")))
    assert plain.loaded_bytes(2) == 2 * plain.parameters < plain.bytes
    packed = identify(write_safetensors(tmp_path / "b.safetensors", with_scales(fp8(bfl()), "scale_weight")))
    assert packed.loaded_bytes(2) == packed.bytes < 2 * packed.parameters


def test_the_same_weights_are_counted_in_every_packing(tmp_path):
    plain = identify(write_safetensors(tmp_path / "a.safetensors", bfl())).parameters
    assert plain == sum(prod(shape) for shape in bfl().values())
    for packed in (nf4(bfl()), with_scales(fp8(bfl()), "scale_weight")):
        assert identify(write_safetensors(tmp_path / "b.safetensors", packed)).parameters == plain


def test_reasons_say_what_is_unusual(tmp_path):
    short = identify(write_safetensors(tmp_path / "kontext-lite.safetensors", bfl(double=8)))
    assert any("8 + 38 blocks" in reason for reason in short.reasons)
    stranger = identify(write_safetensors(tmp_path / "x.safetensors", {"a\n\ud800.b": (1,)}))
    assert "a \\ud800.b" in stranger.reasons[0]
    stranger.report.encode()


def test_one_part_of_several_is_not_called_schnell(tmp_path):
    part = tmp_path / "diffusion_pytorch_model-00001-of-00003.safetensors"
    found = identify(write_safetensors(part, diffusers(guidance=False)))
    assert "schnell or Kontext" in found.flavour and found.confidence == "none"


def gguf_flux() -> dict:
    return {name: ("Q4_K" if len(shape) == 2 and "img_in" not in name else "F32", shape)
            for name, shape in bfl().items()}


@pytest.mark.parametrize(("name", "metadata", "flavour", "confidence"), [
    ("flux1-kontext-dev-Q4_K_M.gguf", None, KONTEXT, "name"), ("x.gguf", None, SHAPES, "none"),
    ("x.gguf", {"general.architecture": "flux", "general.name": "FLUX.1 Kontext"}, KONTEXT, "metadata")])
def test_gguf(tmp_path, name, metadata, flavour, confidence):
    found = identify(write_gguf(tmp_path / name, gguf_flux(), metadata))
    assert (found.kind, found.flavour, found.confidence) == ("transformer", flavour, confidence)
    assert (found.layout, found.precision) == ("GGUF, BFL keys", "GGUF Q4_K")
    assert found.parameters == sum(prod(shape) for shape in bfl().values())


def test_gguf_text_encoder_and_stranger(tmp_path):
    t5 = identify(write_gguf(tmp_path / "t5.gguf", {"enc.blk.23.ffn_up.weight": ("Q8_0", (10240, 4096))}))
    assert (t5.kind, t5.precision) == ("T5-XXL", "GGUF Q8_0")
    other = identify(write_gguf(tmp_path / "x.gguf", {"blk.0.x": ("F16", (4,))}, {"general.architecture": "llama"}))
    assert other.flavour == "unknown" and "llama" in other.reasons[1]


def test_gguf_as_the_gguf_package_writes_it(tmp_path):
    gguf = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    writer = gguf.GGUFWriter(tmp_path / "kontext.gguf", "flux")
    writer.add_array("list", [1, 2, 3])
    writer.add_array("words", ["a", "bc"])
    writer.add_tensor("img_in.weight", numpy.zeros((32, 64), numpy.float32))
    writer.add_tensor("double_blocks.0.img_attn.norm.key_norm.scale", numpy.zeros(128, numpy.float16))
    writer.add_tensor("guidance_in.in_layer.weight", numpy.zeros((32, 256), numpy.float16))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    found = identify(tmp_path / "kontext.gguf")
    assert (found.flavour, found.parameters) == (KONTEXT, 32 * 64 + 128 + 32 * 256)


def test_block_sizes_are_those_of_the_gguf_package():
    constants = pytest.importorskip("gguf.constants")
    from kontinuity.kontext.files.gguf import GGML_TYPES

    for number, (name, block, width) in GGML_TYPES.items():
        kind = constants.GGMLQuantizationType(number)
        assert (kind.name, constants.GGML_QUANT_SIZES[kind]) == (name, (block, width))


# Folders


def test_the_tiny_folder(tiny_model_folder):
    found = identify(tiny_model_folder)
    assert (found.kind, found.flavour, found.confidence) == ("diffusers folder", KONTEXT, "config")
    assert found.precision == "fp32" and "choose it in Load Kontext Model" in found.advice and found.parameters > 1000
    part = identify(tiny_model_folder / "transformer")
    assert (part.kind, part.flavour, part.confidence) == ("transformer", KONTEXT, "name")  # tiny-kontext
    assert isinstance(part, Identity)


@pytest.mark.parametrize(("class_name", "tensors", "flavour", "confidence"), [
    ("FluxFillPipeline", diffusers(384), "FLUX.1 Fill dev", "config"),
    ("FluxPipeline", diffusers(), "FLUX.1 dev", "name"),
    ("FluxPipeline", diffusers(guidance=False), "FLUX.1 schnell", "tensors"),
    ("FluxControlPipeline", diffusers(128), "FLUX.1 Canny or Depth dev", "tensors"),
    ("Flux2Pipeline", diffusers(), "FLUX.2", "config"), ("SomethingPipeline", diffusers(), "unknown", "none"),
    ("StableDiffusionXLPipeline", diffusers(), "SDXL", "config")])
def test_folders(tmp_path, class_name, tensors, flavour, confidence):
    folder = tmp_path / "FLUX.1-dev"
    write_safetensors(folder / "transformer/diffusion_pytorch_model.safetensors", tensors)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name}))
    found = identify(folder)
    assert (found.kind, found.flavour, found.confidence) == ("diffusers folder", flavour, confidence)
    assert found.precision == "bf16" and found.advice.startswith("Load Kontext Model refuses it")


@pytest.mark.parametrize(("name", "origin", "flavour", "confidence"), [
    ("kontext-of-mine", None, KONTEXT, "name"), ("mine", None, SHAPES, "none"),
    ("mine", "black-forest-labs/FLUX.1-Kontext-dev", KONTEXT, "metadata"),
    ("kontext-of-mine", "/home/me/FLUX.1-dev", KONTEXT, "name")])
def test_folders_saved_as_flux_pipeline(tmp_path, name, origin, flavour, confidence):
    """A class of the same parts does not say whose they are; the name and where the transformer came from do."""
    part = tmp_path / name / "transformer"
    write_safetensors(part / "diffusion_pytorch_model.safetensors", diffusers())
    (part / "config.json").write_text(json.dumps({"_name_or_path": origin}))
    (tmp_path / name / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    found = identify(tmp_path / name)
    assert (found.flavour, found.confidence) == (flavour, confidence)


def test_a_kontext_folder_that_is_not_whole(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxKontextPipeline"}')
    found = identify(tmp_path)
    assert found.flavour == KONTEXT and "refuses it" in found.advice and found.precision == "no weights"


def test_shards(tmp_path):
    tensors = list(diffusers().items())
    for i, part in enumerate((tensors[:20], tensors[20:]), 1):
        write_safetensors(tmp_path / f"m-0000{i}-of-00002.safetensors", dict(part))
    index = {name: "m-00001-of-00002.safetensors" for name, _ in tensors[:20]}
    index |= {name: "m-00002-of-00002.safetensors" for name, _ in tensors[20:]}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert identify(tmp_path).parameters == sum(prod(shape) for _, shape in tensors)
    (tmp_path / "m-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match="missing"):
        identify(tmp_path)
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "../../x.safetensors"}}')
    with pytest.raises(InputError, match="beside the index"):
        identify(tmp_path)

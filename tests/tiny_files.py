"""Writes one tiny Kontext of FLUX's head layout in every file layout that is read.

Every writer returns the numbers its file means, worked out beside the file in plain arithmetic, so a reader that drops
a scale, splits a fused layer wrongly or mistakes a block layout gives other numbers.
"""

import json
from collections.abc import Callable
from pathlib import Path

import tiny_quants as quants
import torch
from safetensors.torch import save_file

State = dict[str, torch.Tensor]
WIDTH, TEXT, POOLED, WORDS = 256, 256, 64, 128
MODEL, CLIP_PREFIX, T5_PREFIX = ("model.diffusion_model.", "text_encoders.clip_l.transformer.",
                                 "text_encoders.t5xxl.transformer.")
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


# The model ---------------------------------------------------------------------------------------------------------


def build(seed: int = 0, words: tuple[int, int] = (WORDS, WORDS)) -> dict[str, torch.nn.Module]:
    """float32 modules of diffusers and transformers with seeded weights: transformer, clip, t5, vae.

    words: sizes of CLIP's and T5's vocabularies.
    """
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(seed)
    parts = {
        "transformer": FluxTransformer2DModel(
            patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=128,
            num_attention_heads=WIDTH // 128, joint_attention_dim=TEXT, pooled_projection_dim=POOLED,
            guidance_embeds=True),
        "clip": CLIPTextModel(CLIPTextConfig(
            vocab_size=words[0], hidden_size=POOLED, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1,
            projection_dim=POOLED, bos_token_id=0, eos_token_id=1, pad_token_id=1)),
        "t5": T5EncoderModel(T5Config(
            vocab_size=words[1], d_model=TEXT, d_kv=64, d_ff=512, num_layers=2, num_heads=4,
            feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1)),
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 32, 64, 64), layers_per_block=2, norm_num_groups=32, latent_channels=16,
            scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
    }
    for part in parts.values():
        part.requires_grad_(False).eval()
    with torch.no_grad():  # norms that are all one would hide that they were mixed up
        for part in parts.values():
            for tensor in part.parameters():
                if tensor.dim() == 1:
                    tensor += torch.randn_like(tensor) * 0.02
    return parts


# Names -------------------------------------------------------------------------------------------------------------

_NAMES = {"x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear"}
_TIME = {"timestep_embedder": "time_in", "text_embedder": "vector_in", "guidance_embedder": "guidance_in"}
_DOUBLE = {"attn.norm_q.weight": "img_attn.norm.query_norm.scale", "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
           "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
           "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale", "attn.to_out.0": "img_attn.proj",
           "attn.to_add_out": "txt_attn.proj", "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin",
           "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2", "ff_context.net.0.proj": "txt_mlp.0",
           "ff_context.net.2": "txt_mlp.2"}
_DOUBLE_FUSED = {"img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
                 "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")}
_SINGLE = {"attn.norm_q.weight": "norm.query_norm.scale", "attn.norm_k.weight": "norm.key_norm.scale",
           "norm.linear": "modulation.lin", "proj_out": "linear2"}
_SINGLE_FUSED = {"linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")}


def _linears(names: dict[str, str]) -> dict[str, str]:
    return {ours + end: bfl + end for ours, bfl in names.items()
            for end in ((".weight", ".bias") if not ours.endswith("weight") else ("",))}


def _renaming() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """(diffusers -> BFL where it is one to one, BFL -> diffusers where it is fused) for one block of each kind."""
    one = _linears(_NAMES)
    for ours, bfl in _TIME.items():
        one |= _linears({f"time_text_embed.{ours}.linear_1": f"{bfl}.in_layer",
                         f"time_text_embed.{ours}.linear_2": f"{bfl}.out_layer"})
    fused = {}
    for kind, bfl_kind, names, more in (("transformer_blocks.0.", "double_blocks.0.", _DOUBLE, _DOUBLE_FUSED),
                                        ("single_transformer_blocks.0.", "single_blocks.0.", _SINGLE, _SINGLE_FUSED)):
        one |= {kind + ours: bfl_kind + bfl for ours, bfl in _linears(names).items()}
        fused |= {bfl_kind + bfl + end: tuple(kind + o + end for o in ours) for bfl, ours in more.items()
                  for end in (".weight", ".bias")}
    return one, fused


def to_bfl(state: State) -> State:
    """A transformer's state dict of diffusers in BFL's names."""
    one, fused = _renaming()
    found = {bfl: state[ours] for ours, bfl in one.items()}
    found |= {bfl: torch.cat([state[name] for name in ours]) for bfl, ours in fused.items()}
    for end in (".weight", ".bias"):
        scale, shift = state["norm_out.linear" + end].chunk(2)
        found["final_layer.adaLN_modulation.1" + end] = torch.cat([shift, scale])
    return found


def from_bfl(state: State) -> State:
    """The inverse of `to_bfl`."""
    one, fused = _renaming()
    found = {ours: state[bfl] for ours, bfl in one.items()}
    for bfl, ours in fused.items():
        sizes = [WIDTH] * 3 + ([4 * WIDTH] if len(ours) == 4 else [])
        found |= dict(zip(ours, state[bfl].split(sizes), strict=True))
    for end in (".weight", ".bias"):
        shift, scale = state["final_layer.adaLN_modulation.1" + end].chunk(2)
        found["norm_out.linear" + end] = torch.cat([scale, shift])
    return found


def to_bfl_vae(state: State) -> State:
    """An AutoencoderKL's state dict in BFL's names (ae.safetensors)."""
    found = {}
    for name, tensor in state.items():
        parts = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out").split(".")
        if parts[1] == "mid_block" and parts[2] == "resnets":
            parts[1:4] = ["mid", f"block_{int(parts[3]) + 1}"]
        elif parts[1] == "mid_block":
            layer = ".".join(parts[4:-1])
            bfl = {"group_norm": "norm", "to_out.0": "proj_out"}.get(layer, layer.removeprefix("to_"))
            parts = [parts[0], "mid", "attn_1", bfl, parts[-1]]
            if tensor.dim() == 2:
                tensor = tensor[:, :, None, None]
        elif parts[1] in ("down_blocks", "up_blocks"):
            level = int(parts[2]) if parts[1] == "down_blocks" else 3 - int(parts[2])
            place = ["block", parts[4]] if parts[3] == "resnets" else [parts[3].removesuffix("rs")]
            parts = [parts[0], parts[1].removesuffix("_blocks"), str(level), *place, *parts[5:]]
        found[".".join(parts)] = tensor.contiguous()
    return found


def to_llama_t5(state: State) -> State:
    """A T5 encoder's state dict in llama.cpp's names."""
    layers = {"layer.0.SelfAttention.relative_attention_bias": "attn_rel_b", "layer.0.layer_norm": "attn_norm",
              "layer.1.layer_norm": "ffn_norm", "layer.1.DenseReluDense.wi_0": "ffn_gate",
              "layer.1.DenseReluDense.wi_1": "ffn_up", "layer.1.DenseReluDense.wo": "ffn_down",
              **{f"layer.0.SelfAttention.{letter}": f"attn_{letter}" for letter in "qkvo"}}
    found = {"token_embd.weight": state["shared.weight"],
             "enc.output_norm.weight": state["encoder.final_layer_norm.weight"]}
    for name, tensor in state.items():
        if name.startswith("encoder.block."):
            _, _, number, rest = name.split(".", 3)
            found[f"enc.blk.{number}.{layers[rest.removesuffix('.weight')]}.weight"] = tensor
    return found


# Packings: (tensors of the file, metadata, the numbers they mean) --------------------------------------------------

Packed = tuple[State, dict[str, str], State]


def plain(dtype: torch.dtype) -> Callable[[State], Packed]:
    def pack(state: State) -> Packed:
        stored = {name: tensor.to(dtype) for name, tensor in state.items()}
        return stored, {}, {name: tensor.float() for name, tensor in stored.items()}
    return pack


def scaled(layout: str, rows: bool = False, dtype: torch.dtype = E4M3) -> Callable[[State], Packed]:
    """layout: "scaled_fp8", "metadata", "comfy_quant". Every matrix is scaled; norms, biases, embeddings are bf16."""
    def pack(state: State) -> Packed:
        stored, exact, listed = {}, {}, {}
        for name, tensor in state.items():
            layer = name.removesuffix(".weight")
            if tensor.dim() != 2 or "embed" in name or "shared" in name or "relative" in name:
                stored[name] = tensor.to(torch.bfloat16)
                exact[name] = stored[name].float()
                continue
            peak = tensor.abs().amax(dim=1, keepdim=True) if rows else tensor.abs().max()
            scale = (peak / torch.finfo(dtype).max).float()
            stored[name] = (tensor / scale).to(dtype)
            exact[name] = stored[name].float() * scale
            stored[f"{layer}.{'scale_weight' if layout == 'scaled_fp8' else 'weight_scale'}"] = scale
            listed[layer] = {"format": {E4M3: "float8_e4m3fn", E5M2: "float8_e5m2"}[dtype]}
            if layout == "comfy_quant":
                note = json.dumps(listed[layer]).encode()
                stored[f"{layer}.comfy_quant"] = torch.tensor(list(note), dtype=torch.uint8)
        if layout == "scaled_fp8":
            stored["scaled_fp8"] = torch.empty(0, dtype=dtype)
        note = json.dumps({"format_version": "1.0", "layers": listed})
        return stored, {"_quantization_metadata": note} if layout == "metadata" else {}, exact
    return pack


def save(path: Path, packed: Packed, prefix: str = "") -> State:
    """Write a safetensors file; returns the numbers it means, without the prefix."""
    stored, metadata, exact = packed
    save_file({prefix + name: tensor.contiguous() for name, tensor in stored.items()}, path, metadata or None)
    return exact


def save_gguf(path: Path, state: State, kind: str, architecture: str = "flux") -> State:
    """Write a GGUF file, its matrices in blocks where their columns are whole blocks; returns the numbers it means.

    gguf-py cannot make K and IQ4 blocks, so those are random bits with scales that make numbers of the usual size. A
    kind "mixed" is what is in people's files: a matrix in each of several kinds, norms and biases in BF16 and F16.
    """
    import gguf
    from gguf.quants import dequantize, quantize

    writer, exact = gguf.GGUFWriter(path, architecture), {}
    for i, (name, tensor) in enumerate(state.items()):
        matrix = tensor.dim() == 2 and "rel" not in name
        wanted = (MIXED[i % len(MIXED)] if matrix else ("F16", "BF16", "F32")[i % 3]) if kind == "mixed" else kind
        number = gguf.GGMLQuantizationType[wanted]
        weights, width = gguf.GGML_QUANT_SIZES[number]
        if wanted == "F32" or tensor.shape[-1] % weights or (not matrix and kind != "mixed"):
            writer.add_tensor(name, tensor.numpy())
            exact[name] = tensor
            continue
        blocks = random_blocks(tensor, wanted, width, i) if wanted in _HALVES else quantize(tensor.numpy(), number)
        writer.add_tensor(name, blocks, raw_dtype=number)
        exact[name] = torch.from_numpy(dequantize(blocks, number)).clone().view(tensor.shape)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return exact


_HALVES = {  # kind -> where its float16 scales are, their size for weights of about 0.03
    "Q2_K": ((80, 82), 2e-3), "Q3_K": ((108,), 1e-3), "Q4_K": ((0, 2), 3e-4), "Q5_K": ((0, 2), 1.5e-4),
    "Q6_K": ((208,), 3e-5), "IQ4_NL": ((0,), 5e-4), "IQ4_XS": ((0,), 2e-5)}
MIXED = ("IQ4_XS", "Q3_K", "Q6_K", "BF16", "IQ4_NL", "Q4_K", "Q8_0", "F16")  # as unsloth's dynamic files mix them


def random_blocks(tensor: torch.Tensor, kind: str, width: int, seed: int):
    """K or IQ4 blocks for a matrix of this shape as numpy uint8 [rows, bytes]."""
    generator = torch.Generator().manual_seed(seed)
    count = tensor.numel() // (32 if kind == "IQ4_NL" else 256)
    blocks = torch.randint(0, 256, (count, width), dtype=torch.uint8, generator=generator)
    places, size = _HALVES[kind]
    for at in places:
        blocks[:, at : at + 2] = (torch.rand(count, 1, generator=generator) * size).half().view(torch.uint8)
    return blocks.reshape(tensor.shape[0], -1).numpy()


# Whole files -------------------------------------------------------------------------------------------------------

# (layout, precision) -> what writes a transformer's state dict and returns the file's numbers in diffusers' names
Writer = Callable[[Path, State], State]


def _bfl(pack: Callable[[State], Packed], prefix: str = "") -> Writer:
    return lambda path, state: from_bfl(save(path, pack(to_bfl(state)), prefix))


def _diffusers(pack: Callable[[State], Packed]) -> Writer:
    return lambda path, state: save(path, pack(state))


def _gguf(kind: str) -> Writer:
    return lambda path, state: from_bfl(save_gguf(path, to_bfl(state), kind))


TRANSFORMERS: dict[tuple[str, str], Writer] = {
    ("diffusers keys", "fp32"): _diffusers(plain(torch.float32)),
    ("diffusers keys", "bf16"): _diffusers(plain(torch.bfloat16)),
    ("diffusers keys", "fp8_e4m3fn"): _diffusers(plain(E4M3)),
    ("diffusers keys", "fp8_e4m3fn scaled, weight_scale + comfy_quant"): _diffusers(scaled("comfy_quant")),
    ("BFL keys", "fp32"): _bfl(plain(torch.float32)),
    ("BFL keys", "bf16"): _bfl(plain(torch.bfloat16)),
    ("BFL keys", "fp16"): _bfl(plain(torch.float16)),
    ("BFL keys with prefix model.diffusion_model.", "bf16"): _bfl(plain(torch.bfloat16), MODEL),
    ("BFL keys", "fp8_e4m3fn"): _bfl(plain(E4M3)),
    ("BFL keys", "fp8_e5m2"): _bfl(plain(E5M2)),
    ("BFL keys", "fp8_e4m3fn scaled, scale_weight + scaled_fp8"): _bfl(scaled("scaled_fp8")),
    ("BFL keys", "fp8_e4m3fn scaled by row, scale_weight + scaled_fp8"): _bfl(scaled("scaled_fp8", rows=True)),
    ("BFL keys", "fp8_e4m3fn scaled, weight_scale + _quantization_metadata"): _bfl(scaled("metadata")),
    ("BFL keys", "fp8_e4m3fn scaled by row, weight_scale + _quantization_metadata"): _bfl(scaled("metadata", True)),
    ("BFL keys", "fp8_e4m3fn scaled, weight_scale + comfy_quant"): _bfl(scaled("comfy_quant")),
    ("BFL keys", "fp8_e4m3fn scaled by row, weight_scale + comfy_quant"): _bfl(scaled("comfy_quant", rows=True)),
    ("BFL keys", "fp8_e5m2 scaled, scale_weight + scaled_fp8"): _bfl(scaled("scaled_fp8", dtype=E5M2)),
    ("BFL keys", "nvfp4, comfy_quant"): _bfl(quants.nvfp4("comfy_quant")),
    ("BFL keys", "nvfp4, _quantization_metadata"): _bfl(quants.nvfp4("metadata")),
    ("BFL keys", "mxfp8, comfy_quant"): _bfl(quants.mxfp8()),
    ("BFL keys", "int8 tensorwise, comfy_quant"): _bfl(quants.int8()),
    ("BFL keys", "int8 by row, comfy_quant"): _bfl(quants.int8(rows=True)),
    ("BFL keys", "int8 by row, turned, comfy_quant"): _bfl(quants.int8(rows=True, turned=256)),
    ("BFL keys", "nf4 (bitsandbytes)"): _bfl(quants.bitsandbytes()),
    ("BFL keys", "fp4 (bitsandbytes)"): _bfl(quants.bitsandbytes(table=quants.E2M1 / 6, kind="fp4")),
    ("diffusers keys", "nf4 (bitsandbytes), nested"): _diffusers(quants.bitsandbytes(nested=True)),
    ("diffusers keys", "int8 (bitsandbytes, SCB)"): _diffusers(quants.llm_int8()),
    ("diffusers keys", "int8 (quanto)"): _diffusers(quants.quanto(torch.int8)),
    ("diffusers keys", "fp8 (quanto)"): _diffusers(quants.quanto(E4M3)),
    ("diffusers keys", "nvfp4 (ModelOpt)"): _diffusers(quants.nvfp4("modelopt")),
    ("diffusers keys", "mxfp4 (ModelOpt)"): _diffusers(quants.mxfp4()),
    **{("GGUF, BFL keys", f"GGUF {kind}"): _gguf(kind) for kind in
       ("Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K", "IQ4_NL", "IQ4_XS", "MXFP4",
        "mixed")},
}


def file_name(layout: str, precision: str) -> str:
    """A name that says Kontext, with the ending the layout needs."""
    ending = "gguf" if layout.startswith("GGUF") else "safetensors"
    return "kontext " + "".join(c if c.isalnum() else "-" for c in f"{layout} {precision}") + "." + ending


def save_all_in_one(path: Path, parts: dict[str, torch.nn.Module], pack: Callable[[State], Packed]) -> dict[str, State]:
    """One file with all four parts; the transformer and T5 packed, the others bf16. Returns each part's numbers."""
    stored, exact = {}, {}
    for part, prefix, how, names in (
            ("transformer", MODEL, pack, to_bfl), ("t5", T5_PREFIX, pack, dict), ("vae", "vae.", None, to_bfl_vae),
            ("clip", CLIP_PREFIX + "text_model.", None, dict)):
        tensors, _, numbers = (how or plain(torch.bfloat16))(names(module_state(parts[part])))
        stored |= {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
        exact[part] = numbers
    stored["text_encoders.clip_l.logit_scale"] = torch.tensor(4.6055)
    save_file(stored, path)
    exact["transformer"] = from_bfl(exact["transformer"])
    return exact


def module_state(module: torch.nn.Module) -> State:
    """A state dict without what is there twice or only in some versions of the library."""
    return {name.removeprefix("text_model."): tensor.clone() for name, tensor in module.state_dict().items()
            if name != "encoder.embed_tokens.weight" and not name.endswith("position_ids")}

"""Writes random LoRAs under the names of every layout."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

RANK = 3


def pair(outputs: int, inputs: int, seed: int, rank: int = RANK) -> tuple[torch.Tensor, torch.Tensor]:
    """(down, up), large enough to change a picture."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator) / 4, torch.randn(outputs, rank, generator=generator) / 4


def seeded(layers: dict[str, tuple[int, int]], start: int = 0, rank: int = 3) -> dict[str, tuple]:
    """(outputs, inputs) of each layer -> (down, up)."""
    return {name: pair(*size, start + i, rank) for i, (name, size) in enumerate(layers.items())}


def write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    return path


def peft(layers: dict[str, tuple], prefix: str = "transformer.", adapter: str = "") -> dict[str, torch.Tensor]:
    """`prefix + layer + .lora_A.weight`, as diffusers and PEFT save."""
    return {f"{prefix}{name}.lora_{half}{adapter}.weight": tensor
            for name, (down, up) in layers.items() for half, tensor in (("A", down), ("B", up))}


def kohya(layers: dict[str, tuple], prefix: str = "lora_unet_", alpha: float | None = None) -> dict[str, torch.Tensor]:
    """`lora_unet_` + layer with underscores + .lora_down.weight, and .alpha."""
    found = {}
    for name, (down, up) in layers.items():
        flat = prefix + name.replace(".", "_")
        found |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        if alpha is not None:
            found[f"{flat}.alpha"] = torch.tensor(float(alpha))
    return found


# every layer of the tiny model by diffusers' names: (outputs, inputs)
def diffusers_layers(transformer) -> dict[str, tuple[int, int]]:
    return {name: (layer.out_features, layer.in_features)
            for name, layer in transformer.named_modules() if isinstance(layer, torch.nn.Linear)}


# Black Forest Labs' layers: name -> (diffusers' layers whose outputs it holds in this order), written out by hand
def bfl_layers(double: int = 1, single: int = 2) -> dict[str, tuple[str, ...]]:
    found = {
        "img_in": ("x_embedder",), "txt_in": ("context_embedder",), "final_layer.linear": ("proj_out",),
        "final_layer.adaLN_modulation.1": ("norm_out.linear",),
        "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
        "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
        "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
        "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
        "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
        "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    }
    for i in range(double):
        here, there = f"double_blocks.{i}.", f"transformer_blocks.{i}."
        found |= {
            here + "img_attn.qkv": tuple(there + f"attn.to_{x}" for x in "qkv"),
            here + "txt_attn.qkv": tuple(there + f"attn.add_{x}_proj" for x in "qkv"),
            here + "img_attn.proj": (there + "attn.to_out.0",), here + "txt_attn.proj": (there + "attn.to_add_out",),
            here + "img_mlp.0": (there + "ff.net.0.proj",), here + "img_mlp.2": (there + "ff.net.2",),
            here + "txt_mlp.0": (there + "ff_context.net.0.proj",), here + "txt_mlp.2": (there + "ff_context.net.2",),
            here + "img_mod.lin": (there + "norm1.linear",), here + "txt_mod.lin": (there + "norm1_context.linear",),
        }
    for i in range(single):
        here, there = f"single_blocks.{i}.", f"single_transformer_blocks.{i}."
        found |= {
            here + "linear1": (*(there + f"attn.to_{x}" for x in "qkv"), there + "proj_mlp"),
            here + "linear2": (there + "proj_out",), here + "modulation.lin": (there + "norm.linear",),
        }
    return found


# Every layout and every kind of file -------------------------------------------------------------------------------

# of both tiny models
CLIP_LAYERS = {"encoder.layers.0.mlp.fc1": (48, 24), "encoder.layers.0.self_attn.q_proj": (24, 24)}
T5_LAYERS = {"encoder.block.0.layer.1.DenseReluDense.wi_0": (64, 32),
             "encoder.block.0.layer.0.SelfAttention.v": (32, 32)}
WIDTH, HEAD = 32, 16
_XLABS = {"double_blocks.0.img_attn.qkv": "double_blocks.0.processor.qkv_lora1",
          "double_blocks.0.txt_attn.qkv": "double_blocks.0.processor.qkv_lora2",
          "double_blocks.0.img_attn.proj": "double_blocks.0.processor.proj_lora1",
          "single_blocks.1.linear2": "single_blocks.1.processor.proj_lora"}
_DIFFSYNTH = {
    "double_blocks.0.img_attn.qkv": "blocks.0.attn.a_to_qkv", "double_blocks.0.txt_attn.qkv": "blocks.0.attn.b_to_qkv",
    "double_blocks.0.img_attn.proj": "blocks.0.attn.a_to_out",
    "double_blocks.0.txt_attn.proj": "blocks.0.attn.b_to_out",
    "double_blocks.0.img_mlp.0": "blocks.0.ff_a.0", "double_blocks.0.txt_mlp.2": "blocks.0.ff_b.2",
    "double_blocks.0.img_mod.lin": "blocks.0.norm1_a.linear", "double_blocks.0.txt_mod.lin": "blocks.0.norm1_b.linear",
    "single_blocks.0.linear1": "single_blocks.0.to_qkv_mlp", "single_blocks.0.linear2": "single_blocks.0.proj_out",
    "single_blocks.1.modulation.lin": "single_blocks.1.norm.linear"}


def numbers(*shape: int, seed: int = 0, size: float = 0.25) -> torch.Tensor:
    """Random ones."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * size


def under(layers: dict[str, dict[str, torch.Tensor]], prefix: str, flat: bool = False) -> dict[str, torch.Tensor]:
    """{layer: {suffix: tensor}} as a file has them."""
    return {f"{prefix}{name.replace('.', '_') if flat else name}.{suffix}": tensor
            for name, parts in layers.items() for suffix, tensor in parts.items()}


def low_rank(size: tuple[int, int], seed: int, rank: int = RANK) -> dict[str, torch.Tensor]:
    down, up = pair(*size, seed, rank)
    return {"lora_down.weight": down, "lora_up.weight": up}


def lokr(size: tuple[int, int], seed: int, form: str = "whole") -> dict[str, torch.Tensor]:
    """`form`: which of the two factors are products themselves."""
    outputs, inputs = size
    a, b = 4, 2  # of the smaller factor
    parts = {}
    for number, (rows, columns) in (("1", (a, b)), ("2", (outputs // a, inputs // b))):
        if number in form:
            parts[f"lokr_w{number}_a"] = numbers(rows, 2, seed=seed)
            parts[f"lokr_w{number}_b"] = numbers(2, columns, seed=seed + 1)
        else:
            parts[f"lokr_w{number}"] = numbers(rows, columns, seed=seed)
    return parts


def loha(size: tuple[int, int], seed: int) -> dict[str, torch.Tensor]:
    parts = {}
    for number in (1, 2):
        down, up = pair(*size, seed + number)
        parts |= {f"hada_w{number}_a": up * 2, f"hada_w{number}_b": down * 2}
    return parts


def _sizes(sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """BFL's layers from diffusers'."""
    return {name: (sum(sizes[part][0] for part in parts), sizes[parts[0]][1]) for name, parts in bfl_layers().items()}


def matrix(sizes: dict[str, tuple[int, int]], words: int = 32128) -> dict[str, tuple[dict, dict | None]]:
    """Case -> (tensors, metadata): a file in every layout of docs/checkpoints.md, and of every kind that is read.

    Args:
        sizes: the transformer's layers, by `diffusers_layers`.
        words: that T5 knows.
    """
    bfl = _sizes(sizes)
    found: dict[str, dict[str, torch.Tensor]] = {}
    ours, theirs = seeded(sizes), seeded(bfl, 300)
    # layouts
    found |= {f"diffusers, {prefix or 'bare'}": peft(ours, prefix)
              for prefix in ("", "transformer.", "base_model.model.")}
    found |= {f"flat diffusers, {prefix}": kohya(ours, prefix, alpha=2)
              for prefix in ("lora_transformer_", "lycoris_")}
    found["OneTrainer, dots"] = under({name: low_rank(size, 7) for name, size in sizes.items()}, "lora_transformer.")
    found |= {f"BFL, {prefix or 'bare'}": peft(theirs, prefix)
              for prefix in ("", "diffusion_model.", "transformer.", "base_model.model.", "pipe.dit.")}
    found["PEFT with the adapter's name"] = peft(theirs, "base_model.model.", ".default")
    found["kohya"] = kohya(theirs, alpha=6)
    omi = {("img_in.proj" if name == "img_in" else name): size for name, size in bfl.items() if ".qkv" not in name
           and "linear1" not in name}
    omi |= {f"double_blocks.0.{kind}_attn.qkv.{i}": (WIDTH, WIDTH) for kind in ("img", "txt") for i in range(3)}
    omi |= {f"single_blocks.1.linear1.{i}": (WIDTH if i < 3 else 4 * WIDTH, WIDTH) for i in range(4)}
    found["OMI"] = under({name: low_rank(size, 20 + i) for i, (name, size) in enumerate(omi.items())}, "transformer.")
    xlabs = {other: theirs[name] for name, other in _XLABS.items()}
    xlabs["single_blocks.0.processor.qkv_lora"] = pair(3 * WIDTH, WIDTH, 4)
    found["XLabs"] = under({name: {"down.weight": down, "up.weight": up} for name, (down, up) in xlabs.items()}, "")
    found["DiffSynth"] = peft({_DIFFSYNTH[name]: theirs[name] for name in _DIFFSYNTH}, "", ".default")
    # text encoders
    clip, t5 = seeded(CLIP_LAYERS, 50), seeded(T5_LAYERS, 60)
    found |= {f"CLIP, {prefix}": kohya(clip, prefix, alpha=2)
              for prefix in ("lora_te1_text_model_", "lora_te_text_model_")}
    found |= {f"CLIP, {prefix}": peft(clip, prefix) for prefix in (
        "text_encoder.text_model.", "text_encoders.clip_l.transformer.text_model.", "clip_l.text_model.",
        "lora_te1.text_model.")}
    found |= {f"T5, {prefix}": kohya(t5, prefix, alpha=2) for prefix in ("lora_te3_", "lora_te2_")}
    found |= {f"T5, {prefix}": peft(t5, prefix) for prefix in (
        "text_encoder_2.", "text_encoders.t5xxl.transformer.", "t5.", "lora_te2.", "text_encoders.transformer.")}
    found["text encoders only"] = kohya(clip, "lora_te1_text_model_") | kohya(t5, "lora_te2_")
    # kinds
    fused, split = "double_blocks.0.img_attn.qkv", "transformer_blocks.0.attn.to_k"
    last, single = "final_layer.adaLN_modulation.1", "single_blocks.0.linear1"
    some = [fused, single, last, "double_blocks.0.txt_mlp.2", "img_in"]
    even = [name for name in some if bfl[name][0] % 4 == 0]
    for form in ("whole", "2", "12"):
        layers = {n: lokr(bfl[n], i, form) | {"alpha": torch.tensor(1.0)} for i, n in enumerate(even)}
        found[f"LoKr {form}"] = under(layers, "lora_unet_", flat=True)
    found["LoKr, diffusers' names"] = under({n: lokr(s, i, "2") for i, (n, s) in enumerate(sizes.items())},
                                            "lycoris_", True)
    found["LoHa"] = under({n: loha(bfl[n], 3 * i) | {"alpha": torch.tensor(2.0)} for i, n in enumerate(some)},
                          "lora_unet_", flat=True)
    for axis in ("outputs", "inputs", "outputs, PEFT"):
        scale = {"outputs": lambda s: (s[0], 1), "inputs": lambda s: (1, s[1]), "outputs, PEFT": lambda s: s[:1]}[axis]
        suffix = "lora_magnitude_vector.weight" if "PEFT" in axis else "dora_scale"
        for names, prefix, flat in (({n: bfl[n] for n in some}, "lora_unet_", True), (sizes, "transformer.", False)):
            found[f"DoRA of {axis}, {prefix}"] = under(
                {n: low_rank(s, i) | {suffix: numbers(*scale(s), seed=i).abs() * 4 + 0.1}
                 for i, (n, s) in enumerate(names.items())}, prefix, flat)
    found["DoRA of a LoKr and of a LoHa"] = under(
        {fused: lokr(bfl[fused], 1) | {"dora_scale": numbers(1, WIDTH).abs() + 0.5},
         single: loha(bfl[single], 1) | {"dora_scale": numbers(bfl[single][0], 1).abs() + 0.5}}, "lora_unet_", True)
    found["full"] = under({n: {"diff": numbers(*s, seed=i, size=0.05), "diff_b": numbers(s[0], seed=i, size=0.05)}
                           for i, (n, s) in enumerate(bfl.items())}, "diffusion_model.")
    kinds = [(part, kind) for part in ("img", "txt") for kind in ("query", "key")]
    norms = {f"double_blocks.0.{part}_attn.norm.{kind}_norm": {"diff": numbers(HEAD, seed=i, size=0.5)}
             for i, (part, kind) in enumerate(kinds)}
    norms["single_blocks.1.norm.query_norm.scale"] = {"diff": numbers(HEAD, seed=8)}
    norms["single_blocks.0.norm.key_norm"] = {"set_weight": numbers(HEAD, seed=9).abs() + 0.5}
    found["norms"] = under(norms, "diffusion_model.")
    found["norms, LyCORIS"] = under({"single_transformer_blocks.1.attn.norm_q": {"w_norm": numbers(HEAD, seed=8)}},
                                    "lycoris_", True)
    found["set"] = under({fused: {"set_weight": numbers(*bfl[fused])}, last: {"set_weight": numbers(*bfl[last])}},
                         "diffusion_model.")
    found["biases"] = peft({split: ours[split], fused.replace("img", "txt"): theirs[fused]}, "") | {
        f"{split}.lora_B.bias": numbers(WIDTH), f"diffusion_model.{last}.diff_b": numbers(2 * WIDTH)}
    in_clip, in_t5 = "clip_l.transformer.text_model.", "t5xxl.transformer."
    found["text norms and embeddings"] = under({
        f"{in_clip}encoder.layers.0.layer_norm1": {"diff": numbers(24), "diff_b": numbers(24, seed=1)},
        f"{in_clip}final_layer_norm": {"diff": numbers(24, seed=2)},
        f"{in_clip}embeddings.position_embedding": low_rank((77, 24), 3),
        f"{in_t5}encoder.block.0.layer.1.layer_norm": {"diff": numbers(32, seed=4)},
        f"{in_t5}encoder.final_layer_norm": {"diff": numbers(32, seed=5)},
        f"{in_t5}encoder.block.0.layer.0.SelfAttention.relative_attention_bias": {"diff": numbers(32, 2, seed=6)},
        f"{in_t5}shared": low_rank((words, 32), 7)}, "text_encoders.")
    mlp = "double_blocks.0.txt_mlp.0"
    found["mixed"] = (peft({split: ours[split]}) | kohya({single: theirs[single]}, alpha=1)
                      | kohya(clip, "lora_te1_text_model_") | under({mlp: lokr(bfl[mlp], 4)}, "diffusion_model."))
    found["bundled embeddings"] = kohya({fused: theirs[fused]}) | {"bundle_emb.token.clip_l": numbers(2, 24),
                                                                   "bundle_emb.token.t5": numbers(2, 32),
                                                                   "bundle_emb.token.step": torch.tensor([500])}
    found |= {f"numbers in {str(dtype)[6:]}": {name: tensor.to(dtype) for name, tensor in peft(theirs, "").items()}
              for dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)}
    cases = {name: (tensors, None) for name, tensors in found.items()}
    for name, config in (("alpha of the metadata", {"transformer.lora_alpha": 1}),
                         ("rsLoRA", {"transformer.lora_alpha": 2, "transformer.use_rslora": True})):
        cases[name] = peft(ours), {"lora_adapter_metadata": json.dumps(config)}
    return cases

"""What LoRA files call a layer, and where that layer is in the diffusers model. Tables and patterns only.

Four naming schemes are in use for FLUX.1, with dots or, in kohya's files, with underscores: BFL's
(`double_blocks.0.img_attn.qkv`), diffusers' (`transformer_blocks.0.attn.to_q`), DiffSynth-Studio's
(`blocks.0.attn.a_to_qkv`) and, in XLabs' files, the names of attention processors
(`double_blocks.0.processor.qkv_lora1`). The text encoders go by transformers' names everywhere.
"""

import re
from typing import NamedTuple

from .transformer import DOUBLE, OUTSIDE, SINGLE, SWAPPED


class Target(NamedTuple):
    """The layers of the model that one layer of a file changes."""

    component: str  # "transformer", "clip" or "t5"
    modules: tuple[str, ...]  # dotted paths; several share the file layer's outputs, in this order
    swapped: bool = False  # its two halves of outputs are the other way round in diffusers


_SINGLE_QKV = SINGLE["linear1"][:3]
_XLABS = {  # processor's name -> BFL's, in double blocks
    "qkv_lora1": "img_attn.qkv", "proj_lora1": "img_attn.proj", "qkv_lora2": "txt_attn.qkv",
    "proj_lora2": "txt_attn.proj",
}
_DIFFSYNTH_DOUBLE = {  # DiffSynth-Studio's name -> BFL's (its diffsynth/models/flux_dit.py)
    "attn.a_to_qkv": "img_attn.qkv", "attn.b_to_qkv": "txt_attn.qkv", "attn.a_to_out": "img_attn.proj",
    "attn.b_to_out": "txt_attn.proj", "ff_a.0": "img_mlp.0", "ff_a.2": "img_mlp.2", "ff_b.0": "txt_mlp.0",
    "ff_b.2": "txt_mlp.2", "norm1_a.linear": "img_mod.lin", "norm1_b.linear": "txt_mod.lin",
    "attn.norm_q_a": "img_attn.norm.query_norm", "attn.norm_k_a": "img_attn.norm.key_norm",
    "attn.norm_q_b": "txt_attn.norm.query_norm", "attn.norm_k_b": "txt_attn.norm.key_norm",
}
_DIFFSYNTH_SINGLE = {"to_qkv_mlp": "linear1", "norm_q_a": "norm.query_norm", "norm_k_a": "norm.key_norm"}
_OTHER_OUTSIDE = {
    "img_in.proj": "x_embedder",  # the Open Model Initiative's, of OneTrainer
    "time_embedder.timestep_embedder.0": "time_text_embed.timestep_embedder.linear_1",  # DiffSynth-Studio's
    "time_embedder.timestep_embedder.2": "time_text_embed.timestep_embedder.linear_2",
    "guidance_embedder.timestep_embedder.0": "time_text_embed.guidance_embedder.linear_1",
    "guidance_embedder.timestep_embedder.2": "time_text_embed.guidance_embedder.linear_2",
    "pooled_text_embedder.0": "time_text_embed.text_embedder.linear_1",
    "pooled_text_embedder.2": "time_text_embed.text_embedder.linear_2",
    "final_norm_out.linear": "norm_out.linear", "final_proj_out": "proj_out",
}


def _block_names(bfl: dict[str, tuple[str, ...]], other: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Every name inside a block -> diffusers' names; OneTrainer numbers the parts of a fused layer (`qkv.0`)."""
    parts = {f"{name}.{i}": (module,) for name, modules in bfl.items() if len(modules) > 1
             for i, module in enumerate(modules)}
    # ComfyUI before 0.14 calls a norm's weight `scale`, and names the norm with it
    norms = {f"{name}.scale": modules for name, modules in bfl.items() if name.endswith("_norm")}
    return (bfl | parts | norms | {module: (module,) for modules in bfl.values() for module in modules}
            | {name: bfl[meant] for name, meant in other.items()})


_DOUBLE_NAMES = (_block_names(DOUBLE, _DIFFSYNTH_DOUBLE)
                 | {f"processor.{name}": DOUBLE[bfl] for name, bfl in _XLABS.items()})
_SINGLE_NAMES = (_block_names(SINGLE, _DIFFSYNTH_SINGLE)
                 | {"processor.qkv_lora": _SINGLE_QKV, "linear1_qkv": _SINGLE_QKV,
                    "processor.proj_lora": ("proj_out",)})
_OUTSIDE_NAMES = OUTSIDE | {module: module for module in OUTSIDE.values()} | _OTHER_OUTSIDE


def _underscored(names: dict) -> dict:
    return {name.replace(".", "_"): modules for name, modules in names.items()}


# (what a name begins with, the blocks' folder in diffusers, names inside), with dots and with underscores
_BLOCKS = (
    ("double_blocks", "transformer_blocks", _DOUBLE_NAMES),
    ("transformer_blocks", "transformer_blocks", _DOUBLE_NAMES),
    ("blocks", "transformer_blocks", _DOUBLE_NAMES),
    ("single_blocks", "single_transformer_blocks", _SINGLE_NAMES),
    ("single_transformer_blocks", "single_transformer_blocks", _SINGLE_NAMES),
)
_DOTTED = {start: (folder, names) for start, folder, names in _BLOCKS}
_FLAT = {start: (folder, _underscored(names)) for start, folder, names in _BLOCKS}
_DOTTED_BLOCK = re.compile(rf"({'|'.join(_DOTTED)})\.(\d{{1,4}})\.(.+)")
_FLAT_BLOCK = re.compile(rf"({'|'.join(_FLAT)})_(\d{{1,4}})_(.+)")
_FLAT_OUTSIDE = {name.replace(".", "_"): name for name in _OUTSIDE_NAMES}

_DOTTED_PREFIX = re.compile(r"(?:base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\."
                            r"|lora_transformer\.|pipe\.dit\.|dit\.)*")
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")

# CLIP: lora_te1, lora_te (kohya, OneTrainer), text_encoder (diffusers), clip_l (Open Model Initiative), and ComfyUI's
_CLIP = re.compile(r"(?:lora_te1?[._]|text_encoder\.|(?:text_encoders\.)?clip_l\.(?:transformer\.)?)"
                   r"(?:text_model[._])?(.+)")
_CLIP_MODULE = re.compile(r"encoder[._]layers[._](\d{1,4})[._](?:(self_attn|mlp)[._](\w+)|(layer_norm[12]))")
_CLIP_OTHERS = ("final_layer_norm", "embeddings.token_embedding", "embeddings.position_embedding")
# T5: lora_te3 (kohya), lora_te2 (OneTrainer), text_encoder_2 (diffusers), t5 (Open Model Initiative), and ComfyUI's
_T5 = re.compile(r"(?:lora_te[23][._]|text_encoder_2\.|(?:text_encoders\.)?t5(?:xxl)?\.(?:transformer\.)?"
                 r"|text_encoders\.transformer\.)(.+)")
_T5_MODULE = re.compile(r"encoder[._]block[._](\d{1,4})[._]layer[._](\d)[._]"
                        r"(?:(SelfAttention|DenseReluDense)[._](\w+)|(layer_norm))")
_T5_OTHERS = {"encoder.final_layer_norm": "encoder.final_layer_norm", "shared": "shared",
              "encoder.embed_tokens": "shared"}
_OF_TEXT_ENCODER = re.compile(r"lora_te\d?[._]|text_encoders?(_\d)?\.|clip_[lg]\.|t5(xxl)?\.")


_NO_BIAS = re.compile(r"\.attn\.norm_|(^|\.)((final_)?layer_norm|shared|relative_attention_bias|\w+_embedding)$")


def find_target(name: str) -> Target | None:
    """Where the layer a file calls `name` (without its suffix, such as `.lora_A.weight`) is; None: nowhere in FLUX.1.

    Says nothing about whether a model has a block of that number.
    """
    if is_of_text_encoder(name):
        return _text_target(name)
    start = next((p for p in _FLAT_PREFIXES if name.startswith(p)), None)
    if start:
        # some of kohya's descendants leave an underscore at the end
        return _flat_target(name[len(start):].rstrip("_"))
    bare = _DOTTED_PREFIX.sub("", name, count=1)
    return _in_block(_DOTTED_BLOCK.fullmatch(bare), _DOTTED) or _outside(bare)


def is_of_text_encoder(name: str) -> bool:
    """Whether a file's layer belongs to a text encoder, known or not."""
    return bool(_OF_TEXT_ENCODER.match(name))


def can_have_bias(target: Target) -> bool:
    """Whether a layer can add a bias: RMS norms, T5's norms among them, and embeddings cannot."""
    is_layer_norm = target.component == "clip" and target.modules[0].endswith("layer_norm")
    return is_layer_norm or not _NO_BIAS.search(target.modules[0])


def _text_target(name: str) -> Target | None:
    if (match := _CLIP.fullmatch(name)) and (module := _clip_module(match[1])):
        return Target("clip", (module,))
    if (match := _T5.fullmatch(name)) and (module := _t5_module(match[1])):
        return Target("t5", (module,))
    return None


def _clip_module(name: str) -> str | None:
    if match := _CLIP_MODULE.fullmatch(name):
        number, part, layer, norm = match.groups()
        return f"encoder.layers.{int(number)}.{norm or f'{part}.{layer}'}"
    return next((module for module in _CLIP_OTHERS if name in (module, module.replace(".", "_"))), None)


def _t5_module(name: str) -> str | None:
    if match := _T5_MODULE.fullmatch(name):
        number, sub, part, layer, norm = match.groups()
        return f"encoder.block.{int(number)}.layer.{int(sub)}.{norm or f'{part}.{layer}'}"
    return next((module for other, module in _T5_OTHERS.items() if name in (other, other.replace(".", "_"))), None)


def _flat_target(name: str) -> Target | None:
    return _in_block(_FLAT_BLOCK.fullmatch(name), _FLAT) or _outside(_FLAT_OUTSIDE.get(name, ""))


def _in_block(match: re.Match | None, table: dict) -> Target | None:
    if not match:
        return None
    folder, names = table[match[1]]
    modules = names.get(match[3])
    return modules and Target("transformer", tuple(f"{folder}.{int(match[2])}.{module}" for module in modules))


def _outside(name: str) -> Target | None:
    module = _OUTSIDE_NAMES.get(name)
    return Target("transformer", (module,), name == SWAPPED) if module else None

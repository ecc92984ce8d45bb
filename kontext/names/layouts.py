"""Where each tensor of a model is in a file: BFL's, ComfyUI's and llama.cpp's names for those of the libraries.

The libraries' names (diffusers for transformer and VAE, transformers for text encoders) are the canonical ones. BFL
fuses layers that read the same input by stacking their rows, so a canonical tensor may be some rows of a file's tensor,
which fp8 rows, their scales and GGUF blocks allow without unpacking.
The VAE's and CLIP's correspondence is that of diffusers' `loaders/single_file_utils.py`; the T5 names are llama.cpp's
(`gguf-py/gguf/tensor_mapping.py`).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..files.packed import RowRanges
from ..files.source import Source
from ..files.weights import count_blocks
from .parts import spelt
from .transformer import SWAPPED, layers

MAX_BLOCKS = 256  # FLUX.1 has 38


class TensorRows(NamedTuple):
    """Where a canonical tensor is: all of a file's tensor, or some of its rows."""

    name: str
    rows: RowRanges | None = None


Layout = dict[str, TensorRows]  # canonical name -> where it is


def blocks(source: Source, name: str, names: Iterable[str] | None = None) -> int:
    """How many numbered blocks `name.0.`, `name.1.` ... there are among the names; without any, the source's own.

    Raises:
        InputError: more than any such model has.
    """
    count = count_blocks(source if names is None else names, name)
    if count > MAX_BLOCKS:
        raise source.refuse(name, count, f"blocks are more than {MAX_BLOCKS}", "use a FLUX.1 Kontext model")
    return count


def same_names(source: Source) -> Layout:
    """A file in the library's own names."""
    return {name: TensorRows(name) for name in source}


# Transformer -------------------------------------------------------------------------------------------------------


def bfl_transformer(source: Source) -> Layout:
    """FLUX.1's transformer in BFL's names (`double_blocks`, `single_blocks`)."""
    width = _rows(source, "img_in")
    layout: Layout = {}
    for bfl, modules in layers(blocks(source, "double_blocks"), blocks(source, "single_blocks")):
        if bfl.endswith("_norm"):
            layout[f"{modules[0]}.weight"] = TensorRows(spelt(source, f"{bfl}.scale"))
            continue
        for module, rows in zip(modules, _shares(source, bfl, len(modules), width), strict=True):
            for ending in (".weight", ".bias"):
                layout[module + ending] = TensorRows(spelt(source, bfl + ending), rows)
    return layout


def _shares(source: Source, bfl: str, count: int, width: int) -> list[RowRanges | None]:
    """Which rows of BFL's layer each of diffusers' has: `width` each in a fused one, the last all that are left."""
    if bfl == SWAPPED:
        return [((width, _rows(source, bfl)), (0, width))]
    if count == 1:
        return [None]
    ends = [*(width * k for k in range(1, count)), _rows(source, bfl)]
    return [((width * k, end),) for k, end in enumerate(ends)]


def _rows(source: Source, layer: str) -> int:
    name = spelt(source, f"{layer}.weight")
    shape = source[name].shape
    if len(shape) != 2:
        raise source.refuse(name, list(shape), "is not a matrix", "use a FLUX.1 Kontext model")
    return shape[0]


# Text encoders -----------------------------------------------------------------------------------------------------

_T5_GGUF = (
    (r"token_embd\.", "shared."), (r"enc\.output_norm\.", "encoder.final_layer_norm."),
    (r"enc\.blk\.(\d+)\.attn_([qkvo])\.", r"encoder.block.\1.layer.0.SelfAttention.\2."),
    (r"enc\.blk\.(\d+)\.attn_rel_b\.", r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"enc\.blk\.(\d+)\.attn_norm\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"enc\.blk\.(\d+)\.ffn_gate\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"enc\.blk\.(\d+)\.ffn_up\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"enc\.blk\.(\d+)\.ffn_down\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
    (r"enc\.blk\.(\d+)\.ffn_norm\.", r"encoder.block.\1.layer.1.layer_norm."),
)


_OPENAI_CLIP = (  # OpenAI's and OpenCLIP's names
    (r"token_embedding\.weight$", "embeddings.token_embedding.weight"),
    (r"positional_embedding$", "embeddings.position_embedding.weight"),
    (r"ln_final\.", "final_layer_norm."),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"encoder.layers.\1.mlp.fc1."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"encoder.layers.\1.mlp.fc2."),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"encoder.layers.\1.self_attn.out_proj."),
)
_OPENAI_QKV = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def clip(source: Source) -> Layout:
    """CLIP-L in transformers' names, with or without `text_model.`, or in OpenAI's, which has q, k, v in one."""
    layout = {}
    for name in source:
        fused = _OPENAI_QKV.fullmatch(name)
        if fused:
            width = (source[name].shape or (0,))[0] // 3
            for k, letter in enumerate("qkv"):
                layout[f"encoder.layers.{fused[1]}.self_attn.{letter}_proj.{fused[2]}"] = TensorRows(
                    name, ((k * width, (k + 1) * width),))
        else:
            layout[_renamed(name.removeprefix("text_model."), _OPENAI_CLIP)] = TensorRows(name)
    return layout


def t5(source: Source) -> Layout:
    """T5's encoder in transformers' or llama.cpp's names."""
    layout = {_renamed(name, _T5_GGUF): TensorRows(name) for name in source}
    if "shared.weight" not in layout and "encoder.embed_tokens.weight" in layout:
        layout["shared.weight"] = layout["encoder.embed_tokens.weight"]
    return layout


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, ours in rules:
        renamed, count = re.subn("^" + pattern, ours, name)
        if count:
            return renamed
    return name


# VAE ---------------------------------------------------------------------------------------------------------------

_ATTENTION = (("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0"))
_VAE_MIDDLE = ((r"^(en|de)coder\.mid\.block_1\.", r"\1coder.mid_block.resnets.0."),
               (r"^(en|de)coder\.mid\.block_2\.", r"\1coder.mid_block.resnets.1."),
               *((rf"^(en|de)coder\.mid\.attn_1\.{bfl}\.", rf"\1coder.mid_block.attentions.0.{ours}.")
                 for bfl, ours in _ATTENTION),
               (r"^encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
               (r"^encoder\.down\.(\d+)\.downsample\.conv\.", r"encoder.down_blocks.\1.downsamplers.0.conv."),
               (r"^(en|de)coder\.norm_out\.", r"\1coder.conv_norm_out."))


def bfl_vae(source: Source) -> Layout:
    """FLUX's autoencoder in BFL's names (`decoder.up.3.block.0`); its highest level is diffusers' first."""
    levels = blocks(source, "decoder.up")

    def up(match: re.Match) -> str:
        rest = {"block": f"resnets.{match[3]}", "upsample": "upsamplers.0.conv"}[match[2]]
        return f"decoder.up_blocks.{levels - 1 - int(match[1])}.{rest}."

    layout = {}
    for name in source:
        ours = re.sub(r"^decoder\.up\.(\d{1,4})\.(block|upsample)\.(\d+|conv)\.", up, name)
        for pattern, replacement in _VAE_MIDDLE:
            ours = re.sub(pattern, replacement, ours)
        layout[ours.replace(".nin_shortcut.", ".conv_shortcut.")] = TensorRows(name)
    return layout

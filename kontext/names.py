"""Where each tensor of a model is in a file: BFL's, ComfyUI's and llama.cpp's names for those of the libraries.

The libraries' names (diffusers for transformer and VAE, transformers for text encoders) are the canonical ones. BFL
fuses layers that read the same input by stacking their rows, so a canonical tensor may be some rows of a file's tensor,
which fp8 rows, their scales and GGUF blocks allow without unpacking.
The correspondence is that of diffusers' `scripts/convert_flux_to_diffusers.py` and `loaders/single_file_utils.py`; the
T5 names are llama.cpp's (`gguf-py/gguf/tensor_mapping.py`).
"""

import re
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from .files.source import Rows, Source
from .files.weights import count_blocks

MAX_BLOCKS = 256  # FLUX.1 has 38


class Piece(NamedTuple):
    """A canonical tensor: all of a file's tensor, or some of its rows."""

    name: str
    rows: Rows | None = None


Pieces = dict[str, Piece]  # canonical name -> where it is

# What stands before a part's names in a file of one part, of several or of all; "" is a file of this part alone.
TRANSFORMER, CLIP, T5, VAE = "transformer", "clip", "t5", "vae"
MODEL = "model.diffusion_model."
_CLIP_OWNERS = ("", "text_encoders.clip_l.", "clip_l.", "text_encoder.", "cond_stage_model.",
                "conditioner.embedders.0.")
_T5_OWNERS = ("", "text_encoders.t5xxl.", "t5xxl.", "text_encoder_2.", "t5.")
PREFIXES = {
    TRANSFORMER: ("", MODEL, "diffusion_model.", "transformer."),
    CLIP: tuple(owner + inner for owner in _CLIP_OWNERS for inner in ("", "transformer.")),
    T5: tuple(owner + inner for owner in _T5_OWNERS for inner in ("", "transformer.")),
    VAE: ("", "vae.", "first_stage_model."),
}
# Tensors of which one is in every file of a part -> whose names those are
TELL_TALES = {
    TRANSFORMER: {"img_in.weight": "BFL's", "x_embedder.weight": "diffusers'"},
    CLIP: {"text_model.embeddings.token_embedding.weight": "transformers'",
           "embeddings.token_embedding.weight": "transformers' without `text_model.`",
           "token_embedding.weight": "OpenAI's"},
    T5: {"shared.weight": "transformers'", "encoder.embed_tokens.weight": "transformers'",
         "token_embd.weight": "llama.cpp's"},
    VAE: {"decoder.conv_in.weight": "BFL's or diffusers'", "encoder.conv_in.weight": "BFL's or diffusers'"},
}
# Names that writers have spelt in several ways: as BFL has it -> as others have it
SPELLINGS = (
    (re.compile(r"(query|key)_norm\.scale$"), r"\1_norm.weight"),  # ComfyUI 0.14 and newer
    (re.compile(r"^img_in\."), "img_in.proj."),  # OMI's names, as OneTrainer writes them
)


def spellings(name: str) -> Iterator[str]:
    """All ways in which files spell a tensor that BFL gave this name."""
    yield name
    for pattern, other in SPELLINGS:
        spelt, count = pattern.subn(other, name)
        if count:
            yield spelt


def spelt(names: Container[str], name: str) -> str:
    """How these names spell BFL's name; BFL's own way if it is not among them."""
    return next((found for found in spellings(name) if found in names), name)


def find_prefix(names: Container[str], part: str) -> str | None:
    """What stands before the names of a part; None if none of its tell-tale tensors is there."""
    return next((prefix for prefix in PREFIXES[part] for tell_tale in TELL_TALES[part]
                 for name in spellings(tell_tale) if prefix + name in names), None)


def is_bfl(names: Container[str]) -> bool:
    """Are a transformer's names BFL's?"""
    return spelt(names, "img_in.weight") in names


def blocks(source: Source, name: str, names: Iterable[str] | None = None) -> int:
    """How many numbered blocks `name.0.`, `name.1.` ... there are among the names; without any, the source's own.

    Raises:
        InputError: more than any such model has.
    """
    count = count_blocks(source if names is None else names, name)
    if count > MAX_BLOCKS:
        raise source.refuse(name, count, f"blocks are more than {MAX_BLOCKS}", "use a FLUX.1 Kontext model")
    return count


def same_names(source: Source) -> Pieces:
    """A file in the library's own names."""
    return {name: Piece(name) for name in source}


# Transformer -------------------------------------------------------------------------------------------------------

_EMBEDDERS = (("time_in", "timestep_embedder"), ("vector_in", "text_embedder"), ("guidance_in", "guidance_embedder"))
_STREAMS = (  # BFL's stream -> its layers' names in diffusers
    ("img", ("to_q", "to_k", "to_v"), "norm_q", "norm_k", "to_out.0", "norm1", "ff"),
    ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"), "norm_added_q", "norm_added_k", "to_add_out", "norm1_context",
     "ff_context"),
)


def bfl_transformer(source: Source) -> Pieces:
    """FLUX.1's transformer in BFL's names (`double_blocks`, `single_blocks`)."""
    width = _rows(source, "img_in")
    pieces: Pieces = {}
    for canonical, name, rows in _bfl_linears(source, width):
        for ending in (".weight", ".bias"):
            pieces[canonical + ending] = Piece(spelt(source, name + ending), rows)
    for i in range(blocks(source, "double_blocks")):
        for stream, _, norm_q, norm_k, *_ in _STREAMS:
            for norm, bfl in ((norm_q, "query_norm"), (norm_k, "key_norm")):
                pieces[f"transformer_blocks.{i}.attn.{norm}.weight"] = Piece(
                    spelt(source, f"double_blocks.{i}.{stream}_attn.norm.{bfl}.scale"))
    for i in range(blocks(source, "single_blocks")):
        for norm, bfl in (("norm_q", "query_norm"), ("norm_k", "key_norm")):
            pieces[f"single_transformer_blocks.{i}.attn.{norm}.weight"] = Piece(
                spelt(source, f"single_blocks.{i}.norm.{bfl}.scale"))
    return pieces


def _bfl_linears(source: Source, width: int) -> Iterator[tuple[str, str, Rows | None]]:
    """(canonical layer, BFL's layer, rows) of every Linear."""
    yield "x_embedder", "img_in", None
    yield "context_embedder", "txt_in", None
    for bfl, ours in _EMBEDDERS:
        yield f"time_text_embed.{ours}.linear_1", f"{bfl}.in_layer", None
        yield f"time_text_embed.{ours}.linear_2", f"{bfl}.out_layer", None

    def fused(bfl: str, layers: tuple[str, ...]) -> Iterator[tuple[str, str, Rows]]:
        """The layers one below the other in a fused one, each of `width` rows, the last of all that are left."""
        ends = [*(width * k for k in range(1, len(layers))), _rows(source, bfl)]
        for k, (layer, end) in enumerate(zip(layers, ends, strict=True)):
            yield layer, bfl, ((k * width, end),)

    for i in range(blocks(source, "double_blocks")):
        ours, bfl = f"transformer_blocks.{i}", f"double_blocks.{i}"
        for stream, qkv, _, _, out, norm, feed_forward in _STREAMS:
            yield from fused(f"{bfl}.{stream}_attn.qkv", tuple(f"{ours}.attn.{layer}" for layer in qkv))
            yield f"{ours}.attn.{out}", f"{bfl}.{stream}_attn.proj", None
            yield f"{ours}.{norm}.linear", f"{bfl}.{stream}_mod.lin", None
            yield f"{ours}.{feed_forward}.net.0.proj", f"{bfl}.{stream}_mlp.0", None
            yield f"{ours}.{feed_forward}.net.2", f"{bfl}.{stream}_mlp.2", None
    for i in range(blocks(source, "single_blocks")):
        ours, bfl = f"single_transformer_blocks.{i}", f"single_blocks.{i}"
        yield from fused(f"{bfl}.linear1", (*(f"{ours}.attn.to_{letter}" for letter in "qkv"), f"{ours}.proj_mlp"))
        yield f"{ours}.proj_out", f"{bfl}.linear2", None
        yield f"{ours}.norm.linear", f"{bfl}.modulation.lin", None
    last = "final_layer.adaLN_modulation.1"  # BFL computes (shift, scale) here, diffusers (scale, shift)
    yield "norm_out.linear", last, ((width, _rows(source, last)), (0, width))
    yield "proj_out", "final_layer.linear", None


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


def clip(source: Source) -> Pieces:
    """CLIP-L in transformers' names, with or without `text_model.`, or in OpenAI's, which has q, k, v in one."""
    pieces = {}
    for name in source:
        fused = _OPENAI_QKV.fullmatch(name)
        if fused:
            width = (source[name].shape or (0,))[0] // 3
            for k, letter in enumerate("qkv"):
                pieces[f"encoder.layers.{fused[1]}.self_attn.{letter}_proj.{fused[2]}"] = Piece(
                    name, ((k * width, (k + 1) * width),))
        else:
            pieces[_renamed(name.removeprefix("text_model."), _OPENAI_CLIP)] = Piece(name)
    return pieces


def t5(source: Source) -> Pieces:
    """T5's encoder in transformers' or llama.cpp's names."""
    pieces = {_renamed(name, _T5_GGUF): Piece(name) for name in source}
    if "shared.weight" not in pieces and "encoder.embed_tokens.weight" in pieces:
        pieces["shared.weight"] = pieces["encoder.embed_tokens.weight"]
    return pieces


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


def bfl_vae(source: Source) -> Pieces:
    """FLUX's autoencoder in BFL's names (`decoder.up.3.block.0`); its highest level is diffusers' first."""
    levels = blocks(source, "decoder.up")

    def up(match: re.Match) -> str:
        rest = {"block": f"resnets.{match[3]}", "upsample": "upsamplers.0.conv"}[match[2]]
        return f"decoder.up_blocks.{levels - 1 - int(match[1])}.{rest}."

    pieces = {}
    for name in source:
        ours = re.sub(r"^decoder\.up\.(\d{1,4})\.(block|upsample)\.(\d+|conv)\.", up, name)
        for pattern, replacement in _VAE_MIDDLE:
            ours = re.sub(pattern, replacement, ours)
        pieces[ours.replace(".nin_shortcut.", ".conv_shortcut.")] = Piece(name)
    return pieces

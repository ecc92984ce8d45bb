"""What a lone weights file does not say, from its tensors' shapes: the arguments its model class is built with.

What shapes cannot tell is FLUX.1's own: heads of 128 with rotary axes of 16 + 56 + 56, CLIP's heads of 64, 32 groups in
the VAE's norms, its scaling factor and shift.
"""

from ..files.source import Source
from ..names.layouts import Layout, blocks
from ..names.parts import is_bfl
from ..networks import AutoencoderConfig, TransformerConfig

_HEAD, _AXES = TransformerConfig.attention_head_dim, TransformerConfig.axes_dims_rope
_CLIP_HEAD = 64
_VAE_GROUPS = AutoencoderConfig.norm_num_groups
_VAE_SCALE, _VAE_SHIFT = AutoencoderConfig.scaling_factor, AutoencoderConfig.shift_factor
_OTHER = "use a file of FLUX.1 Kontext"


class _Shapes:
    """Shapes of canonical tensors."""

    def __init__(self, source: Source, layout: Layout):
        self.source, self.layout = source, layout

    def __call__(self, name: str, axes: int) -> tuple[int, ...]:
        stored = self.layout.get(name)
        file_name = stored.name if stored else name
        shape = self.source[file_name].shape
        if len(shape) != axes or 0 in shape:
            raise self.source.refuse(file_name, list(shape), f"has not {axes} axes", _OTHER)
        return shape


def transformer(source: Source, layout: Layout) -> dict[str, object]:
    """Fields of a TransformerConfig."""
    shape = _Shapes(source, layout)
    width, channels = shape("x_embedder.weight", 2)
    (head,) = shape("transformer_blocks.0.attn.norm_q.weight", 1)
    if head != _HEAD or width % _HEAD:
        name = layout["transformer_blocks.0.attn.norm_q.weight"].name
        raise source.refuse(name, head, f"is not FLUX.1's head size {_HEAD}, or does not divide the width {width}",
                            _OTHER)
    bfl = is_bfl(source)
    double, single = ("double_blocks", "single_blocks") if bfl else ("transformer_blocks", "single_transformer_blocks")
    guidance = layout.get("time_text_embed.guidance_embedder.linear_1.weight")
    return {
        "patch_size": 1, "in_channels": channels, "attention_head_dim": _HEAD, "num_attention_heads": width // _HEAD,
        "num_layers": blocks(source, double), "num_single_layers": blocks(source, single),
        "joint_attention_dim": shape("context_embedder.weight", 2)[1],
        "pooled_projection_dim": shape("time_text_embed.text_embedder.linear_1.weight", 2)[1],
        "guidance_embeds": guidance is not None and guidance.name in source, "axes_dims_rope": _AXES,
    }


def clip(source: Source, layout: Layout) -> dict[str, object]:
    """Arguments of transformers' CLIPTextConfig, but for the end mark's id, which is the tokenizer's."""
    shape = _Shapes(source, layout)
    words, width = shape("embeddings.token_embedding.weight", 2)
    if width % _CLIP_HEAD:
        raise source.refuse(layout["embeddings.token_embedding.weight"].name, width,
                            f"is no multiple of CLIP's head size {_CLIP_HEAD}", _OTHER)
    return {
        "vocab_size": words, "hidden_size": width, "projection_dim": width, "num_attention_heads": width // _CLIP_HEAD,
        "intermediate_size": shape("encoder.layers.0.mlp.fc1.weight", 2)[0],
        "num_hidden_layers": blocks(source, "encoder.layers", layout),
        "max_position_embeddings": shape("embeddings.position_embedding.weight", 2)[0],
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "bos_token_id": None, "pad_token_id": None,
    }


def t5(source: Source, layout: Layout) -> dict[str, object]:
    """Arguments of transformers' T5Config, for the encoder of T5 1.1."""
    shape = _Shapes(source, layout)
    for number, layer, problem in (
        (0, "layer.1.DenseReluDense.wi.weight", "is the feed-forward of T5 1.0, where FLUX.1 reads T5 1.1"),
        (1, "layer.0.SelfAttention.relative_attention_bias.weight", "makes this UMT5, where FLUX.1 reads T5 1.1"),
    ):
        stored = layout.get(f"encoder.block.{number}.{layer}")
        if stored is not None:
            raise source.refuse(stored.name, list(source[stored.name].shape), problem, "choose a T5-XXL 1.1 file")
    words, width = shape("shared.weight", 2)
    buckets, heads = shape("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2)
    inner = shape("encoder.block.0.layer.0.SelfAttention.q.weight", 2)[0]
    return {
        "vocab_size": words, "d_model": width, "num_heads": heads, "d_kv": inner // heads,
        "d_ff": shape("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2)[0],
        "num_layers": blocks(source, "encoder.block", layout),
        "relative_attention_num_buckets": buckets, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
    }


def vae(source: Source, layout: Layout) -> dict[str, object]:
    """Fields of an AutoencoderConfig."""
    shape = _Shapes(source, layout)
    for half, use in (("encoder", "reads reference pictures"), ("decoder", "makes pictures")):
        if not any(name.startswith(f"{half}.") for name in source):
            raise source.refuse(half, "missing", f"is not in the file, which is the VAE's other half; Kontext {use} "
                                "with it", "choose the whole VAE of FLUX.1 (ae.safetensors)")
    bfl = "decoder.mid.block_1.norm1.weight" in source
    levels = blocks(source, "encoder.down" if bfl else "encoder.down_blocks")
    channels = tuple(shape(f"encoder.down_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in range(levels))
    if any(c % _VAE_GROUPS for c in channels):
        raise source.refuse("encoder", list(channels), f"are no multiples of {_VAE_GROUPS} channels", _OTHER)
    return {
        "down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": channels, "norm_num_groups": _VAE_GROUPS,
        "layers_per_block": blocks(source, "encoder.down.0.block" if bfl else "encoder.down_blocks.0.resnets"),
        "latent_channels": shape("decoder.conv_in.weight", 4)[1],
        "scaling_factor": _VAE_SCALE, "shift_factor": _VAE_SHIFT,
        "use_quant_conv": False, "use_post_quant_conv": False,
    }

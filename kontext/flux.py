"""The map of FLUX.1's architecture: its blocks, its modulation layers, what a pass takes, its networks without weights.

Whoever leaves weights out, moves them or counts them asks here which modules of a FluxTransformer are what.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from .layers.quantised import largest_unpacking
from .networks import Autoencoder, AutoencoderConfig, FluxTransformer, TransformerConfig

EMBEDDING = "time_text_embed"  # timestep, guidance and pooled text -> one vector
_NORMS = ("norm1", "norm1_context", "norm")  # of a block, those with a linear layer of their own
AnyModule = TypeVar("AnyModule", bound=nn.Module)


# Parts of a transformer --------------------------------------------------------------------------------------------


def transformer_blocks(transformer: FluxTransformer) -> list[nn.Module]:
    """All blocks in the order they run."""
    return [*transformer.transformer_blocks, *transformer.single_transformer_blocks]


def modulation_layers(transformer: FluxTransformer) -> dict[str, nn.Module]:
    """The layers that a table replaces, by path: the embedding first, then each norm's `linear`.

    Args:
        transformer: a FluxTransformer. Whatever stands for a linear layer (quantised, with a LoRA) will do.
    """
    layers: dict[str, nn.Module] = {EMBEDDING: transformer.time_text_embed}
    for blocks in ("transformer_blocks", "single_transformer_blocks"):
        for i, block in enumerate(getattr(transformer, blocks)):
            for norm in _NORMS:
                if hasattr(block, norm):
                    layers[f"{blocks}.{i}.{norm}.linear"] = getattr(block, norm).linear
    layers["norm_out.linear"] = transformer.norm_out.linear
    return layers


def activation_bytes(transformer: FluxTransformer, tokens: int) -> int:
    """Bytes one forward pass needs beside the weights.

    At its worst moment a block holds 16.2 to 16.6 tensors of the hidden width in bfloat16 (residual, q, k, v, rotated q
    and k in float32, the MLP's four and its output side), counted by a dry run on the meta device. Attention is fused
    and adds no square, and what an attention plan takes out of q, k and v is less than that moment. A quantised layer
    unpacks its matrix for the call.

    Args:
        tokens: text + picture + references.
    """
    activations = 17 * tokens * transformer.inner_dim * transformer.dtype.itemsize
    return activations + largest_unpacking(transformer, transformer.dtype)


# Networks by their published shapes, without FLUX.1 Kontext dev's weights: to count bytes and to measure -----------


def components(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> dict[str, nn.Module]:
    """"text_encoders" (ModuleDict clip, t5), "transformer" and "vae" with random initial weights.

    Args:
        device: where they are made; on "meta" they have shapes only.
        dtype: of all weights.
    """
    makers: Mapping[str, Callable[..., nn.Module]] = {
        "text_encoders": text_encoders, "transformer": transformer, "vae": vae}
    return {name: make(device, dtype) for name, make in makers.items()}


def transformer(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16, **changes) -> FluxTransformer:
    """FluxTransformer, 11.90 billion parameters; `changes` to its config make a smaller one."""
    return _made(lambda: FluxTransformer(TransformerConfig(guidance_embeds=True, **changes)), device, dtype)


def text_encoders(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> nn.ModuleDict:
    """CLIP-L's text half and the encoder of T5-XXL, 0.12 and 4.76 billion parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip = CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                          num_attention_heads=12, max_position_embeddings=77)
    t5 = T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                  feed_forward_proj="gated-gelu")
    return _made(lambda: nn.ModuleDict({"clip": CLIPTextModel(clip), "t5": T5EncoderModel(t5)}), device, dtype)


def vae(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> Autoencoder:
    """Autoencoder, 84 million parameters."""
    return _made(lambda: Autoencoder(AutoencoderConfig()), device, dtype)


def _made(make: Callable[[], AnyModule], device: torch.device | str, dtype: torch.dtype) -> AnyModule:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)  # so that no float32 copy is ever made
        with torch.inference_mode(False), torch.device(device):
            return make().requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)

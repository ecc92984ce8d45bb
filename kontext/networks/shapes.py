"""FLUX.1 Kontext dev's networks by their published shapes, without its weights: to count bytes and to measure."""

import torch
from torch import nn

from .autoencoder import Autoencoder, AutoencoderConfig
from .flux import FluxTransformer, TransformerConfig


def flux_kontext(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> dict[str, nn.Module]:
    """"text_encoders" (ModuleDict clip, t5), "transformer" and "vae" with random initial weights.

    Args:
        device: where they are made; on "meta" they have shapes only.
        dtype: of all weights.
    """
    makers = {"text_encoders": text_encoders, "transformer": transformer, "vae": vae}
    return {name: make(device, dtype) for name, make in makers.items()}


def transformer(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16, **changes) -> nn.Module:
    """FluxTransformer, 11.90 billion parameters; `changes` to its config make a smaller one."""
    return _made(lambda: FluxTransformer(TransformerConfig(guidance_embeds=True, **changes)), device, dtype)


def text_encoders(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """CLIP-L's text half and the encoder of T5-XXL, 0.12 and 4.76 billion parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip = CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                          num_attention_heads=12, max_position_embeddings=77)
    t5 = T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                  feed_forward_proj="gated-gelu")
    return _made(lambda: nn.ModuleDict({"clip": CLIPTextModel(clip), "t5": T5EncoderModel(t5)}), device, dtype)


def vae(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """Autoencoder, 84 million parameters."""
    return _made(lambda: Autoencoder(AutoencoderConfig()), device, dtype)


def _made(make, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)  # so that no float32 copy is ever made
        with torch.inference_mode(False), torch.device(device):
            return make().requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)

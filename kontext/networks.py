"""FLUX.1 Kontext dev's networks by their published shapes, without its weights: to count bytes and to measure."""

import torch
from torch import nn


def flux_kontext(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> dict[str, nn.Module]:
    """"text_encoders" (ModuleDict clip, t5), "transformer" and "vae" with the libraries' random initial weights.

    Args:
        device: where they are made; on "meta" they have shapes only.
        dtype: of all weights.
    """
    makers = {"text_encoders": text_encoders, "transformer": transformer, "vae": vae}
    return {name: make(device, dtype) for name, make in makers.items()}


def transformer(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16, **changes) -> nn.Module:
    """FluxTransformer2DModel, 11.90 billion parameters; `changes` to its config make a smaller one."""
    from diffusers import FluxTransformer2DModel

    return _made(lambda: FluxTransformer2DModel(guidance_embeds=True, **changes), device, dtype)


def text_encoders(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """CLIP-L's text half and the encoder of T5-XXL, 0.12 and 4.76 billion parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip = CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                          num_attention_heads=12, max_position_embeddings=77)
    t5 = T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                  feed_forward_proj="gated-gelu")
    return _made(lambda: nn.ModuleDict({"clip": CLIPTextModel(clip), "t5": T5EncoderModel(t5)}), device, dtype)


def vae(device: torch.device | str = "meta", dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """AutoencoderKL, 84 million parameters."""
    from diffusers import AutoencoderKL

    return _made(lambda: AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16, sample_size=1024,
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False), device, dtype)


def _made(make, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)  # so that no float32 copy is ever made
        with torch.inference_mode(False), torch.device(device):
            return make().requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)

"""A tiny random FLUX Kontext twice, from the same weights: a diffusers folder, and files for ComfyUI's own loaders.

ComfyUI reads FLUX's width and depths from a file and takes the heads, the VAE's and the text encoders' sizes for
granted; `accept_tiny` lets it take ours. For a process that has ComfyUI on its path.
"""

import inspect
import os
from pathlib import Path

import torch

UNET, VAE = "tiny-kontext.safetensors", "tiny-ae.safetensors"
CLIP_L, T5 = "tiny-clip_l.safetensors", "tiny-t5xxl.safetensors"
FOLDER = "tiny"
HEADS, AXES = 2, (4, 6, 6)  # heads of 16
CLIP_SIZES = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
T5_SIZES = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
VAE_SIZES = {"ch": 32, "ch_mult": [1, 1, 1, 1]}


def write(models: Path) -> None:
    """Write `diffusers/tiny`, and the same weights as `diffusion_models`, `text_encoders` and `vae` files."""
    import comfy.model_detection
    import comfy.sd1_clip
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
    from safetensors.torch import save_file
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        T5Config,
        T5EncoderModel,
        T5TokenizerFast,
    )

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=sum(AXES),
        num_attention_heads=HEADS, joint_attention_dim=T5_SIZES["d_model"],
        pooled_projection_dim=CLIP_SIZES["hidden_size"], guidance_embeds=True, axes_dims_rope=AXES)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(VAE_SIZES["ch"],) * 4, layers_per_block=2, norm_num_groups=32, latent_channels=16,
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    clip = CLIPTextModel(CLIPTextConfig(
        **CLIP_SIZES, vocab_size=49408, max_position_embeddings=77, bos_token_id=49406, eos_token_id=49407,
        pad_token_id=49407))
    t5 = T5EncoderModel(T5Config(
        **T5_SIZES, vocab_size=32128, feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1))
    texts = Path(inspect.getfile(comfy.sd1_clip)).parent
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
            max_image_seq_len=4096),
        vae=vae, transformer=transformer, text_encoder=clip, text_encoder_2=t5,
        tokenizer=CLIPTokenizer.from_pretrained(str(texts / "sd1_tokenizer"), model_max_length=77),
        tokenizer_2=T5TokenizerFast.from_pretrained(str(texts / "text_encoders" / "t5_tokenizer")),
    ).save_pretrained(models / "diffusers" / FOLDER)

    native = {
        "diffusion_models": (UNET, comfy.model_detection.convert_diffusers_mmdit(dict(transformer.state_dict()))),
        "vae": (VAE, vae.state_dict()),
        "text_encoders": (CLIP_L, _prefixed(clip.state_dict())),
    }
    for kind, (name, tensors) in native.items():
        os.makedirs(models / kind, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, models / kind / name)
    # tied to shared.weight
    tensors = {k: v.contiguous() for k, v in t5.state_dict().items() if k != "encoder.embed_tokens.weight"}
    save_file(tensors, models / "text_encoders" / T5)


def _prefixed(state: dict) -> dict:
    """transformers 5 leaves `text_model.` out."""
    return {key if key.startswith("text_model.") else f"text_model.{key}": tensor for key, tensor in state.items()}


def accept_tiny() -> None:
    """Let ComfyUI's loaders of FLUX read files of `write` (in this process, and nothing else any more)."""
    import comfy.model_detection
    import comfy.sd

    detect = comfy.model_detection.detect_unet_config
    encoders, autoencoder = comfy.sd.load_text_encoder_state_dicts, comfy.sd.AutoencodingEngine

    def detect_tiny(*args, **kwargs):
        config = detect(*args, **kwargs)
        return config and {**config, "num_heads": HEADS, "axes_dim": list(AXES)}

    def tiny_encoders(*args, model_options=None, **kwargs):
        sizes = {"model_config": CLIP_SIZES, "t5xxl_model_config": T5_SIZES}
        return encoders(*args, model_options={**(model_options or {}), **sizes}, **kwargs)

    def tiny_autoencoder(**kwargs):
        for part in ("encoder_config", "decoder_config"):
            kwargs[part]["params"].update(VAE_SIZES)
        return autoencoder(**kwargs)

    comfy.model_detection.detect_unet_config = detect_tiny
    comfy.sd.load_text_encoder_state_dicts = tiny_encoders
    comfy.sd.AutoencodingEngine = tiny_autoencoder

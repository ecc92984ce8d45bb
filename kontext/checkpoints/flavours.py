"""Who is who among image models: tell-tale tensors, widths, class names and words. Tables only.

The tensors are those that ComfyUI 0.3.75 (`comfy/model_detection.py`, `comfy/sd.py`) and diffusers 0.42
(`loaders/single_file_utils.py`) tell these models apart by.
"""

from typing import NamedTuple

KONTEXT, DEV, KREA, SCHNELL = "FLUX.1 Kontext dev", "FLUX.1 dev", "FLUX.1 Krea dev", "FLUX.1 schnell"
DEV_SHAPED = "FLUX.1 dev, Krea dev or Kontext dev"  # the same tensors in the same shapes
DEV_OR_KREA = "FLUX.1 dev or Krea dev"
FILL, CONTROL, CONTROL_MASK = "FLUX.1 Fill dev", "FLUX.1 Canny or Depth dev", "FLUX.1 Canny or Depth dev with a mask"
REDUX = "FLUX.1 Redux dev"
FLUX_BY_CHANNELS = {384: FILL, 128: CONTROL, 196: CONTROL_MASK}  # inputs of the first layer; dev and its kin have 64

# words of a file's name or metadata -> who of the same shapes that is; the first that is found counts
DEV_WORDS = (("kontext", KONTEXT), ("krea", KREA), ("dev", DEV))
CONTROL_WORDS = (("canny", "FLUX.1 Canny dev"), ("depth", "FLUX.1 Depth dev"))

BFL, DIFFUSERS, GROUPED = "BFL keys", "diffusers keys", "original keys"


class Mark(NamedTuple):
    """A model is who it says if all these tensors are there; `.weight` may be a quantised `.qweight`."""

    kind: str
    flavour: str
    layout: str
    tensors: tuple[str, ...]
    absent: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None  # of the first tensor: (axis, length); axis -1 is the last


_T = "transformer"
FLUX_1 = "FLUX.1"  # to be told apart further
MARKS = (
    # FLUX, the youngest first
    Mark(_T, "FLUX.3", BFL, ("early_stream_modulations.image.lin.weight",)),
    Mark(_T, "FLUX.2", BFL, ("double_stream_modulation_img.lin.weight",)),
    Mark(_T, "FLUX.2", DIFFUSERS, ("double_stream_modulation_img.linear.weight",)),
    Mark(_T, "Krea 2", GROUPED, ("txtfusion.projector.weight",)),
    Mark(_T, "HunyuanVideo", GROUPED, ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    Mark(_T, "HunyuanVideo", DIFFUSERS, ("context_embedder.token_refiner.refiner_blocks.0.norm1.weight",)),
    Mark("ControlNet", "ControlNet for FLUX.1", DIFFUSERS, ("controlnet_x_embedder.weight",
                                                            "context_embedder.weight")),
    Mark(_T, "Chroma", BFL, ("distilled_guidance_layer.in_proj.bias",)),
    Mark(_T, FLUX_1, BFL, ("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight")),
    Mark(_T, FLUX_1, DIFFUSERS, ("x_embedder.weight", "context_embedder.weight",
                                 "time_text_embed.timestep_embedder.linear_1.weight"), ("pos_embed.proj.weight",)),
    Mark("style model", REDUX, GROUPED, ("redux_up.weight", "redux_down.weight")),
    # other transformers
    Mark(_T, "Stable Diffusion 3 or 3.5", GROUPED, ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    Mark(_T, "Stable Diffusion 3 or 3.5", DIFFUSERS, ("pos_embed.proj.weight",
                                                      "transformer_blocks.0.attn.add_q_proj.weight")),
    Mark(_T, "Qwen-Image or Qwen-Image-Edit", DIFFUSERS, ("txt_norm.weight", "img_in.weight")),
    Mark(_T, "Wan", GROUPED, ("head.modulation", "patch_embedding.weight")),
    Mark(_T, "Wan", DIFFUSERS, ("condition_embedder.time_embedder.linear_1.weight", "patch_embedding.weight")),
    Mark(_T, "LTX-2", GROUPED, ("av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight",)),
    Mark(_T, "LTX-Video", GROUPED, ("patchify_proj.weight", "adaln_single.emb.timestep_embedder.linear_1.bias")),
    Mark(_T, "HiDream", GROUPED, ("caption_projection.0.linear.weight",)),
    Mark(_T, "AuraFlow", GROUPED, ("double_layers.0.attn.w1q.weight",)),
    Mark(_T, "Mochi", GROUPED, ("t5_yproj.weight",)),
    Mark(_T, "Z-Image", GROUPED, ("cap_embedder.1.weight",), shape=(0, 3840)),
    Mark(_T, "Lumina 2", GROUPED, ("cap_embedder.1.weight",), shape=(0, 2304)),
    Mark(_T, "PixArt", GROUPED, ("t_block.1.weight",)),
    Mark(_T, "HunyuanDiT", GROUPED, ("mlp_t5.0.weight",)),
    Mark(_T, "Stable Cascade", GROUPED, ("clf.1.weight",)),
    Mark(_T, "OmniGen 2", GROUPED, ("time_caption_embed.timestep_embedder.linear_1.bias",)),
    # Stable Diffusion's UNets; the width of the text they listen to tells them apart
    Mark(_T, "SDXL", GROUPED, ("label_emb.0.0.weight", "input_blocks.0.0.weight"), shape=(-1, 2816)),
    Mark(_T, "SDXL refiner", GROUPED, ("label_emb.0.0.weight", "input_blocks.0.0.weight"), shape=(-1, 2560)),
    Mark(_T, "Stable Diffusion 1.x", GROUPED, ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",),
         shape=(-1, 768)),
    Mark(_T, "Stable Diffusion 2.x", GROUPED, ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",),
         shape=(-1, 1024)),
    Mark(_T, "SDXL", DIFFUSERS, ("add_embedding.linear_1.weight", "conv_in.weight"), shape=(-1, 2816)),
    Mark(_T, "Stable Diffusion 1.x", DIFFUSERS,
         ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",), shape=(-1, 768)),
    Mark(_T, "Stable Diffusion 2.x", DIFFUSERS,
         ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",), shape=(-1, 1024)),
    # text encoders
    Mark("text encoder", "CLIP-G", "transformers keys", ("text_model.encoder.layers.30.mlp.fc1.weight",)),
    Mark("text encoder", "CLIP-H", "transformers keys", ("text_model.encoder.layers.22.mlp.fc1.weight",)),
    Mark("CLIP-L", "CLIP-L with its vision half", "transformers keys",
         ("text_model.encoder.layers.0.mlp.fc1.weight", "vision_model.encoder.layers.0.mlp.fc1.weight"),
         shape=(-1, 768)),
    Mark("CLIP-L", "CLIP-L", "transformers keys", ("text_model.encoder.layers.0.mlp.fc1.weight",), shape=(-1, 768)),
    Mark("CLIP-L", "CLIP-L", "transformers 5 keys", ("encoder.layers.0.mlp.fc1.weight",
                                                     "embeddings.token_embedding.weight"), shape=(-1, 768)),
    Mark("text encoder", "UMT5-XXL", "transformers keys",
         ("encoder.block.23.layer.1.DenseReluDense.wi_1.weight",
          "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"), shape=(-1, 4096)),
    Mark("T5-XXL", "T5-XXL 1.1", "transformers keys", ("encoder.block.23.layer.1.DenseReluDense.wi_1.weight",),
         shape=(-1, 4096)),
    Mark("text encoder", "UMT5-XXL", "GGUF keys", ("enc.blk.23.ffn_up.weight", "enc.blk.1.attn_rel_b.weight"),
         shape=(-1, 4096)),
    Mark("T5-XXL", "T5-XXL 1.1", "GGUF keys", ("enc.blk.23.ffn_up.weight",), shape=(-1, 4096)),
    # VAEs
    Mark("VAE", "Wan 2.1 or Qwen-Image VAE", GROUPED, ("decoder.middle.0.residual.0.gamma",),
         ("decoder.upsamples.0.upsamples.0.residual.2.weight",)),
    Mark("VAE", "Wan 2.2 VAE", GROUPED, ("decoder.middle.0.residual.0.gamma",)),
    Mark("VAE", "LTX-Video VAE", GROUPED, ("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",)),
    Mark("VAE", "HunyuanVideo VAE", GROUPED, ("decoder.conv_in.conv.weight", "decoder.mid.block_1.norm1.weight")),
    *(Mark("VAE", flavour, layout, ("decoder.conv_in.weight", middle), shape=(1, channels))
      for layout, middle in ((GROUPED, "decoder.mid.block_1.norm1.weight"),
                             (DIFFUSERS, "decoder.mid_block.resnets.0.norm1.weight"))
      for flavour, channels in (("FLUX.1 VAE (or SD3's, of the same shapes)", 16), ("FLUX.2 VAE", 32),
                                ("Stable Diffusion 1.x, 2.x or SDXL VAE", 4))),
)

# a LoRA's keys begin like this -> for whom it is; the first that is found counts
FLUX_LORA = "LoRA for FLUX.1 or a model built like it (FLUX.2, HunyuanVideo)"
LORA_STARTS = (
    (("lora_unet_double_blocks_", "lora_unet_single_blocks_", "double_blocks.", "diffusion_model.double_blocks.",
      "transformer.single_transformer_blocks.", "lora_transformer_single_transformer_blocks_",
      "single_transformer_blocks.", "transformer.double_blocks.", "base_model.model.double_blocks.",
      "base_model.model.single_transformer_blocks."),
     FLUX_LORA),
    (("lora_te2_", "lora_unet_input_blocks_4_", "text_encoder_2."), "LoRA for SDXL"),
    (("lora_unet_down_blocks_", "unet.down_blocks.", "lora_unet_mid_block_"), "LoRA for Stable Diffusion or SDXL"),
    (("diffusion_model.blocks.0.cross_attn.", "lora_unet_blocks_0_cross_attn_"), "LoRA for Wan"),
)

PIPELINES = (  # the class in model_index.json begins like this -> flavour; the first that fits counts
    ("FluxKontext", KONTEXT), ("FluxFill", FILL), ("FluxControlNet", "FLUX.1 with a ControlNet"),
    ("FluxControl", CONTROL), ("FluxPriorRedux", REDUX), ("Flux2", "FLUX.2"), ("Flux3", "FLUX.3"), ("Flux", FLUX_1),
    ("Chroma", "Chroma"), ("StableDiffusion3", "Stable Diffusion 3 or 3.5"), ("StableDiffusionXL", "SDXL"),
    ("StableDiffusion", "Stable Diffusion 1.x or 2.x"), ("QwenImage", "Qwen-Image or Qwen-Image-Edit"),
    ("Wan", "Wan"), ("HunyuanVideo", "HunyuanVideo"), ("LTX2", "LTX-2"), ("LTX", "LTX-Video"), ("HiDream", "HiDream"),
    ("ZImage", "Z-Image"), ("Lumina2", "Lumina 2"), ("AuraFlow", "AuraFlow"), ("Mochi", "Mochi"),
)


def pipeline_flavour(class_name: object) -> str | None:
    """Flavour of a diffusers pipeline by its class, None for an unknown one."""
    return next((flavour for start, flavour in PIPELINES if str(class_name).startswith(start)), None)

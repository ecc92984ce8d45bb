"""Who is who among image models: tell-tale tensors, widths, class names and words. Tables only.

The tensors are those that ComfyUI 0.3.75 (`comfy/model_detection.py`, `comfy/sd.py`) and diffusers 0.42
(`loaders/single_file_utils.py`) tell these models apart by.
"""

from typing import NamedTuple

from ..names.parts import CLIP, T5, TRANSFORMER, VAE

KONTEXT, DEV, KREA, SCHNELL = "FLUX.1 Kontext dev", "FLUX.1 dev", "FLUX.1 Krea dev", "FLUX.1 schnell"
DEV_SHAPED = "FLUX.1 dev, Krea dev or Kontext dev"  # the same tensors in the same shapes
LITE = "FLUX.1 lite or Flex.1"  # made from dev and schnell, with fewer blocks
FILL, CONTROL, FLEX_2 = "FLUX.1 Fill dev", "FLUX.1 Canny or Depth dev", "Flex.2"
REDUX = "FLUX.1 Redux dev"
FLUX_BY_CHANNELS = {384: FILL, 128: CONTROL, 196: FLEX_2}  # inputs of the first layer; dev and its kin have 64
FLUX_BY_BLOCKS = {(8, 38): LITE}  # double and single blocks; dev and its kin have 19 + 38
ALIKE = (DEV, KREA, DEV_SHAPED, LITE)  # load like Kontext, but were not trained to edit

# words of a file's name or metadata -> who of the same shapes that is; the first that is found counts
DEV_WORDS = (("kontext", KONTEXT), ("krea", KREA), ("dev", DEV))
CONTROL_WORDS = (("canny", "FLUX.1 Canny dev"), ("depth", "FLUX.1 Depth dev"))

BFL, DIFFUSERS, GROUPED = "BFL keys", "diffusers keys", "original keys"


class Mark(NamedTuple):
    """A model is who it says if all these tensors are there; a name that ends in * stands for all that begin so."""

    kind: str
    flavour: str
    layout: str
    tensors: tuple[str, ...]
    absent: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None  # of the first tensor: (axis, length); axis -1 is the last
    part: str | None = None  # of FLUX.1 Kontext, as which such a model can serve


STABLE_DIFFUSION_3 = "Stable Diffusion 3 or 3.5"
_T, _E = "transformer", "text encoder"
_HF, _OPENAI = "transformers keys", "OpenAI's keys"
FLUX_VAE = "FLUX.1 VAE (or SD3's, of the same shapes)"
FLUX_1 = "FLUX.1"  # to be told apart further
MARKS = (
    # FLUX, the youngest first
    Mark(_T, "FLUX.3", BFL, ("early_stream_modulations.image.lin.weight",)),
    Mark(_T, "FLUX.2", BFL, ("double_stream_modulation_img.lin.weight",)),
    Mark(_T, "FLUX.2", DIFFUSERS, ("double_stream_modulation_img.linear.weight",)),
    Mark(_T, "Krea 2", GROUPED, ("txtfusion.projector.weight",)),
    Mark(_T, "HunyuanVideo", GROUPED, ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    Mark(_T, "HunyuanVideo", DIFFUSERS, ("context_embedder.token_refiner.refiner_blocks.0.norm1.weight",)),
    # what is laid beside a model; some bring many of its tensors
    Mark("ControlNet", "ControlNet for FLUX.1", DIFFUSERS, ("controlnet_x_embedder.*", "context_embedder.weight")),
    Mark("ControlNet", "ControlNet for FLUX.1 (XLabs, MistoLine)", BFL, ("controlnet_blocks.*", "double_blocks.*")),
    Mark("ControlNet", "ControlNet for Qwen-Image", DIFFUSERS, ("controlnet_blocks.*",
                                                                "transformer_blocks.0.img_mlp.net.0.proj.weight")),
    Mark("ControlNet", f"ControlNet for {STABLE_DIFFUSION_3}", DIFFUSERS, ("controlnet_blocks.*",
                                                                               "pos_embed_input.proj.weight")),
    Mark("ControlNet", "ControlNet for Stable Diffusion or SDXL", DIFFUSERS, ("controlnet_cond_embedding.*",)),
    Mark("ControlNet", "ControlNet for Stable Diffusion or SDXL", GROUPED, ("input_hint_block.*", "zero_convs.*")),
    Mark("ControlNet", "ControlNet for Stable Diffusion or SDXL", GROUPED, ("control_model.*",)),
    Mark("IP-Adapter", "IP-Adapter for FLUX.1 (XLabs)", GROUPED, ("ip_adapter_proj_model.*",)),
    Mark("IP-Adapter", "IP-Adapter", GROUPED, ("image_proj.*", "ip_adapter.*")),
    Mark("PuLID", "PuLID for FLUX.1", GROUPED, ("pulid_ca.*",)),
    Mark("PuLID", "PuLID", GROUPED, ("pulid_encoder.*",)),
    Mark(_T, "Chroma", BFL, ("distilled_guidance_layer.*",)),
    Mark(_T, FLUX_1, BFL, ("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight"), part=TRANSFORMER),
    Mark(_T, FLUX_1, DIFFUSERS, ("x_embedder.weight", "context_embedder.weight",
                                 "time_text_embed.timestep_embedder.linear_1.weight"), ("pos_embed.proj.weight",),
         part=TRANSFORMER),
    Mark("style model", REDUX, GROUPED, ("redux_up.weight", "redux_down.weight")),
    # other transformers
    Mark(_T, STABLE_DIFFUSION_3, GROUPED, ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    Mark(_T, STABLE_DIFFUSION_3, DIFFUSERS, ("pos_embed.proj.weight",
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
    Mark(_E, "CLIP-G", _HF, ("text_model.encoder.layers.30.mlp.fc1.weight",)),
    Mark(_E, "CLIP-G", _OPENAI, ("transformer.resblocks.30.mlp.c_fc.weight",)),
    Mark(_E, "CLIP-H", _HF, ("text_model.encoder.layers.22.mlp.fc1.weight",)),
    Mark(_E, "CLIP-H", _OPENAI, ("transformer.resblocks.22.mlp.c_fc.weight",)),
    Mark(_E, "SigLIP's text half", _HF, ("text_model.encoder.layers.0.mlp.fc1.weight", "logit_bias")),
    Mark("CLIP-L", "CLIP-L with its vision half", _HF,
         ("text_model.encoder.layers.0.mlp.fc1.weight", "vision_model.*"), shape=(-1, 768), part=CLIP),
    *(Mark("CLIP-L", flavour, layout, names, shape=shape, part=CLIP) for layout, names in (
        (_HF, ("text_model.embeddings.position_embedding.weight", "text_model.encoder.layers.0.mlp.fc1.weight")),
        ("transformers 5 keys", ("embeddings.position_embedding.weight", "encoder.layers.0.mlp.fc1.weight")),
        (_OPENAI, ("positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight")))
      for flavour, shape in (("LongCLIP-L (the first 77 of its 248 positions are used)", (0, 248)),
                             ("CLIP-L", (-1, 768)))),
    Mark("CLIP-L", "CLIP-L", _HF, ("text_model.encoder.layers.0.mlp.fc1.weight",), shape=(-1, 768), part=CLIP),
    *(Mark(_E, "CLIP of another width than CLIP-L's", layout, names, part=CLIP) for layout, names in (
        (_HF, ("text_model.encoder.layers.0.mlp.fc1.weight",)),
        ("transformers 5 keys", ("encoder.layers.0.mlp.fc1.weight", "embeddings.token_embedding.weight")),
        (_OPENAI, ("transformer.resblocks.0.mlp.c_fc.weight", "token_embedding.weight")))),
    Mark("image encoder", "CLIP vision or SigLIP", _HF, ("vision_model.*",), ("model.embed_tokens.weight",)),
    *(Mark(_E, flavour, layout, names) for flavour, layout, names in (
        ("UMT5", _HF, ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",)),
        ("UMT5", "GGUF keys", ("enc.blk.1.attn_rel_b.weight",)),
        ("T5 1.0", _HF, ("encoder.block.0.layer.1.DenseReluDense.wi.weight",)))),
    Mark(_E, "mT5", _HF, ("shared.weight", "encoder.block.0.layer.1.DenseReluDense.wi_1.weight"), shape=(0, 250112)),
    Mark("T5-XXL", "T5-XXL 1.1", _HF, ("encoder.block.23.layer.1.DenseReluDense.wi_1.weight",), shape=(-1, 4096),
         part=T5),
    Mark("T5-XXL", "T5-XXL 1.1", "GGUF keys", ("enc.blk.23.ffn_up.weight",), shape=(-1, 4096), part=T5),
    Mark(_E, "T5 1.1 of another size than XXL", _HF, ("encoder.block.0.layer.1.DenseReluDense.wi_1.weight",), part=T5),
    Mark(_E, "T5 1.1 of another size than XXL", "GGUF keys", ("enc.blk.0.ffn_up.weight",), part=T5),
    Mark(_E, "Gemma", _HF, ("model.layers.0.post_feedforward_layernorm.weight",)),
    Mark(_E, "Qwen2.5-VL", _HF, ("model.layers.0.self_attn.k_proj.bias", "visual.*")),
    Mark(_E, "Qwen2 or Qwen2.5", _HF, ("model.layers.0.self_attn.k_proj.bias",)),
    Mark(_E, "Qwen3", _HF, ("model.layers.0.self_attn.q_norm.weight",)),
    Mark(_E, "a language model such as Llama, Mistral or Qwen", _HF, ("model.layers.0.self_attn.q_proj.weight",)),
    Mark(_E, "a language model such as Llama, Mistral or Qwen", "GGUF keys", ("token_embd.weight", "blk.*")),
    # VAEs
    Mark("VAE", "Wan 2.1 or Qwen-Image VAE", GROUPED, ("decoder.middle.0.residual.0.gamma",),
         ("decoder.upsamples.0.upsamples.0.residual.2.weight",)),
    Mark("VAE", "Wan 2.2 VAE", GROUPED, ("decoder.middle.0.residual.0.gamma",)),
    Mark("VAE", "LTX-Video VAE", GROUPED, ("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",)),
    Mark("VAE", "HunyuanVideo VAE", GROUPED, ("decoder.conv_in.conv.weight", "decoder.mid.block_1.norm1.weight")),
    *(Mark("VAE", flavour, layout, ("decoder.conv_in.weight", middle), shape=(1, channels))
      for layout, middle in ((GROUPED, "decoder.mid.block_1.norm1.weight"),
                             (DIFFUSERS, "decoder.mid_block.resnets.0.norm1.weight"))
      for flavour, channels in (("FLUX.2 VAE", 32), ("Stable Diffusion 1.x, 2.x or SDXL VAE", 4))),
    *(Mark("VAE", FLUX_VAE, layout, ("decoder.conv_in.weight", middle), shape=(1, 16), part=VAE)
      for layout, middle in ((GROUPED, "decoder.mid.block_1.norm1.weight"),
                             (DIFFUSERS, "decoder.mid_block.resnets.0.norm1.weight"))),
    Mark("VAE", "the encoder of a VAE without its decoder", GROUPED, ("encoder.conv_in.weight",),
         ("decoder.conv_in.weight",), part=VAE),
    *(Mark("VAE", "tiny autoencoder (TAESD) for previews", layout, names) for layout, names in (
        (DIFFUSERS, ("decoder.layers.2.conv.0.weight",)), (DIFFUSERS, ("encoder.layers.1.conv.0.weight",)),
        (GROUPED, ("taesd_decoder.*",)), (GROUPED, ("taesd_encoder.*",)),
        (GROUPED, ("1.weight", "3.conv.0.weight")), (GROUPED, ("0.weight", "1.conv.0.weight")))),
)

FLUX_LORA = "LoRA for FLUX.1 or a model built like it (FLUX.2, HunyuanVideo)"
# the tensors of a LoRA begin like this -> for whom it is, if none is of FLUX.1's transformer (names/loras.py knows
# those); the first that is found counts
LORA_STARTS = (
    (("transformer.double_blocks.", "diffusion_model.double_blocks.", "lora_unet_double_blocks_",
      "base_model.model.double_blocks."), "LoRA for HunyuanVideo or another model built much like FLUX.1"),
    (("lora_te2_text_model_", "lora_unet_input_blocks_4_", "lora_te2.text_model.", "text_encoder_2.text_model."),
     "LoRA for SDXL"),
    (("lora_unet_down_blocks_", "unet.down_blocks.", "lora_unet_mid_block_", "lora_unet_input_blocks_"),
     "LoRA for Stable Diffusion or SDXL"),
    (("diffusion_model.blocks.0.cross_attn.", "lora_unet_blocks_0_cross_attn_", "lora_unet__blocks_0_cross_attn_"),
     "LoRA for Wan"),
)

PIPELINES = (  # the class in model_index.json begins like this -> flavour; the first that fits counts
    ("FluxKontext", KONTEXT), ("FluxFill", FILL), ("FluxControlNet", "FLUX.1 with a ControlNet"),
    ("FluxControl", CONTROL), ("FluxPriorRedux", REDUX), ("Flux2", "FLUX.2"), ("Flux3", "FLUX.3"), ("Flux", FLUX_1),
    ("Chroma", "Chroma"), ("StableDiffusion3", STABLE_DIFFUSION_3), ("StableDiffusionXL", "SDXL"),
    ("StableDiffusion", "Stable Diffusion 1.x or 2.x"), ("QwenImage", "Qwen-Image or Qwen-Image-Edit"),
    ("Wan", "Wan"), ("HunyuanVideo", "HunyuanVideo"), ("LTX2", "LTX-2"), ("LTX", "LTX-Video"), ("HiDream", "HiDream"),
    ("ZImage", "Z-Image"), ("Lumina2", "Lumina 2"), ("AuraFlow", "AuraFlow"), ("Mochi", "Mochi"),
)


def pipeline_flavour(class_name: object) -> str | None:
    """Flavour of a diffusers pipeline by its class, None for an unknown one."""
    return next((flavour for start, flavour in PIPELINES if str(class_name).startswith(start)), None)

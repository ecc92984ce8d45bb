"""Who else reads what this pack does not, in words. What is read and what is not, the reader alone decides."""

from .identify import Identity

GET_KONTEXT = ("get FLUX.1 Kontext dev: one file for models/diffusion_models, or the whole folder "
               "black-forest-labs/FLUX.1-Kontext-dev from Hugging Face for models/diffusers (gated: accept its "
               "non-commercial licence there first)")
_PACKINGS = (  # what a precision's name holds -> who reads such a file
    ("nunchaku", "the node pack ComfyUI-nunchaku reads it"),
    ("bitsandbytes", "a node pack for bitsandbytes files reads it"),
    ("AWQ", "ComfyUI itself does not read it either"),
    ("quanto", "ComfyUI itself does not read it either"),
)
_LOADERS = (  # the same of formats that ComfyUI or this pack reads, for a transformer of another model
    *_PACKINGS,
    ("GGUF", "the node pack ComfyUI-GGUF reads it"),
    ("comfy_quant", "a ComfyUI newer than 0.3.75 reads it with Load Diffusion Model (UNETLoader)"),
    ("", "ComfyUI's own Load Diffusion Model (UNETLoader) reads it from models/diffusion_models"),
)
_KINDS = {  # of a file -> what to do with it
    "diffusers folder": GET_KONTEXT,
    "all-in-one checkpoint": "ComfyUI's Load Checkpoint (CheckpointLoaderSimple) reads it from models/checkpoints",
    "LoRA": "choose it in Load Kontext LoRA if it is for FLUX.1; ComfyUI's own Load LoRA reads it from models/loras",
    "style model": "ComfyUI's Load Style Model reads it from models/style_models",
    "ControlNet": "ComfyUI's Load ControlNet Model reads it from models/controlnet",
    "IP-Adapter": "the node packs for IP-Adapters read it", "PuLID": "the node packs for PuLID read it",
    "image encoder": "ComfyUI's Load CLIP Vision reads it from models/clip_vision",
    "text encoder": "Kontext's text encoders are CLIP-L and T5-XXL 1.1",
    "CLIP-L": "choose it as clip in Load Kontext Files", "T5-XXL": "choose it as t5 in Load Kontext Files",
    "VAE": "Kontext's VAE is FLUX.1's, ae.safetensors; ComfyUI's Load VAE reads others from models/vae",
}


def packing(precision: str) -> str | None:
    """Who reads a packing of weights that this pack may not; None for floats, fp8 and GGUF."""
    return next((who for word, who in _PACKINGS if word in precision), None)


def elsewhere(found: Identity) -> str:
    """What to do with a model that is none for this pack."""
    if found.kind == "transformer":
        return next(who for word, who in _LOADERS if word in found.precision)
    return _KINDS.get(found.kind, "choose a file of FLUX.1 Kontext")

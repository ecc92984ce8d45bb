"""One line on what a file is good for, here and in ComfyUI."""

from .flavours import DEV_SHAPED, KONTEXT

GET_KONTEXT = ("download the whole folder black-forest-labs/FLUX.1-Kontext-dev from Hugging Face (gated: accept its "
               "non-commercial licence there first) to models/diffusers")
_BESIDE = "beside it Kontext needs T5-XXL (8.9 GiB in bf16, 4.4 in fp8), CLIP-L (0.23) and the VAE (0.16)"
_TODAY = "this version of the pack reads only whole diffusers folders of FLUX.1 Kontext"
_LOADERS = (  # the precision holds this -> who reads it; the first that fits counts
    ("GGUF", "the node pack ComfyUI-GGUF reads it"),
    ("nunchaku", "the node pack ComfyUI-nunchaku reads it"),
    ("bitsandbytes", "ComfyUI itself does not read it, a node pack for bitsandbytes files does"),
    ("comfy_quant", "a ComfyUI newer than 0.3.75 reads it with Load Diffusion Model (UNETLoader)"),
    ("AWQ", "ComfyUI itself does not read it"),
)
_PLAIN = "ComfyUI's own Load Diffusion Model (UNETLoader) reads it from models/diffusion_models"
_KINDS = {
    "CLIP-L": "ComfyUI's DualCLIPLoader (type flux) reads it from models/text_encoders, together with T5-XXL",
    "T5-XXL": "ComfyUI's DualCLIPLoader (type flux) reads it from models/text_encoders, together with CLIP-L",
    "LoRA": "if it is for FLUX.1, choose it in Load Kontext LoRA; ComfyUI's own Load LoRA reads it from models/loras",
    "style model": "ComfyUI's Load Style Model reads it from models/style_models",
    "ControlNet": "ComfyUI's Load ControlNet Model reads it from models/controlnet",
}


def advise(kind: str, flavour: str, precision: str, size: int) -> str:
    """What to do with a file of this kind."""
    weights = f"its weights take {gib(size)}"
    kontext = flavour in (KONTEXT, DEV_SHAPED)
    if flavour == "unknown" and kind != "LoRA":
        return f"not for this pack as far as its header tells; {_TODAY}."
    if kind == "diffusers folder":
        return f"not Kontext, so not for this pack, which needs a model trained to edit: {GET_KONTEXT}."
    if kind == "transformer":
        loader = next((text for word, text in _LOADERS if word in precision), _PLAIN)
        if kontext:
            return f"a transformer alone: {_TODAY}, so {GET_KONTEXT}; {loader}; {weights}, and {_BESIDE}."
        return f"not Kontext, so not for this pack; {loader}; {weights}."
    if kind == "all-in-one checkpoint":
        loader = "ComfyUI's Load Checkpoint (CheckpointLoaderSimple) reads it from models/checkpoints"
        if kontext:
            return f"{_TODAY}, so {GET_KONTEXT}; {loader}; {weights}."
        return f"not Kontext, so not for this pack; {loader}; {weights}."
    if kind == "VAE":
        fits = "of the shapes Kontext uses" if flavour.startswith("FLUX.1") else "not Kontext's"
        return f"{fits}; {_TODAY}, with the VAE in it; ComfyUI's Load VAE reads it from models/vae; {weights}."
    if kind in ("CLIP-L", "T5-XXL") and "GGUF" in precision:
        return f"{_TODAY}, with its text encoders in it; the node pack ComfyUI-GGUF reads this file; {weights}."
    if kind in ("CLIP-L", "T5-XXL"):
        return f"{_TODAY}, with its text encoders in it; {_KINDS[kind]}; {weights}."
    if kind == "text encoder":
        return f"not one of Kontext's text encoders (CLIP-L and T5-XXL); {weights}."
    return f"{_KINDS[kind]}; {weights}."


def gib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.2f} MiB"

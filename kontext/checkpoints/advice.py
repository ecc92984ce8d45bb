"""One line on what a file is good for, here and in ComfyUI."""

from ..dequantise import BLOCKS
from .flavours import DEV, DEV_SHAPED, KONTEXT, KREA
from .gguf import GGML_TYPES

GET_KONTEXT = ("get FLUX.1 Kontext dev: one file for models/diffusion_models, or the whole folder "
               "black-forest-labs/FLUX.1-Kontext-dev from Hugging Face for models/diffusers (gated: accept its "
               "non-commercial licence there first)")
_BESIDE = "beside it Kontext needs T5-XXL (8.9 GiB in bf16, 4.4 in fp8), CLIP-L (0.23) and the VAE (0.16)"
_FILES = "choose it in Load Kontext Files"
_ALIKE = "if it is dev or Krea dev, it loads too, but was not trained to edit"
_UNREAD = (  # the precision holds this, so this pack does not read it -> who does
    ("nunchaku", "the node pack ComfyUI-nunchaku reads it"),
    ("bitsandbytes", "ComfyUI itself does not read it, a node pack for bitsandbytes files does"),
    ("AWQ", "ComfyUI itself does not read it"),
    *((f"GGUF {kind}", "the node pack ComfyUI-GGUF reads it") for kind, block, _ in GGML_TYPES.values()
      if block > 1 and kind not in BLOCKS),
    ("int8", "a loader made for it may read it"),
)
_LOADERS = (  # a transformer of another model: the precision holds this -> who reads it
    *_UNREAD,
    ("GGUF", "the node pack ComfyUI-GGUF reads it"),
    ("comfy_quant", "a ComfyUI newer than 0.3.75 reads it with Load Diffusion Model (UNETLoader)"),
)
_PLAIN = "ComfyUI's own Load Diffusion Model (UNETLoader) reads it from models/diffusion_models"
_KINDS = {
    "LoRA": "if it is for FLUX.1, choose it in Load Kontext LoRA; ComfyUI's own Load LoRA reads it from models/loras",
    "style model": "ComfyUI's Load Style Model reads it from models/style_models",
    "ControlNet": "ComfyUI's Load ControlNet Model reads it from models/controlnet",
}


def unread_by(precision: str) -> str | None:
    """Who reads a precision that this pack does not; None if this pack reads it."""
    return next((text for word, text in _UNREAD if word in precision), None)


def advise(kind: str, flavour: str, precision: str, size: int) -> str:
    """What to do with a file of this kind."""
    weights = f"its weights take {gib(size)}"
    kontext = flavour in (KONTEXT, DEV, KREA, DEV_SHAPED)
    other = unread_by(precision)
    if flavour == "unknown" and kind != "LoRA":
        return "not for this pack as far as its header tells."
    if kind == "diffusers folder":
        return f"not Kontext, so not for this pack, which needs a model trained to edit: {GET_KONTEXT}."
    if kind in ("transformer", "all-in-one checkpoint") and not kontext:
        loader = next((text for word, text in _LOADERS if word in precision), _PLAIN)
        if kind == "all-in-one checkpoint":
            loader = "ComfyUI's Load Checkpoint (CheckpointLoaderSimple) reads it from models/checkpoints"
        return f"not Kontext, so not for this pack; {loader}; {weights}."
    if kind in ("transformer", "all-in-one checkpoint", "VAE", "CLIP-L", "T5-XXL") and other:
        return f"in a precision this pack does not read; {other}; use a bf16, fp8 or GGUF Q version; {weights}."
    alike = "" if flavour == KONTEXT else f"{_ALIKE}; "
    if kind == "transformer":
        return f"{_FILES}, from models/diffusion_models; {alike}{weights}, and {_BESIDE}."
    if kind == "all-in-one checkpoint":
        return f"{_FILES}, from models/checkpoints; {alike}{weights}."
    if kind == "VAE":
        if not flavour.startswith("FLUX.1"):
            return f"not Kontext's VAE; ComfyUI's Load VAE reads it from models/vae; {weights}."
        return f"of the shapes Kontext uses: {_FILES} as vae, from models/vae; {weights}."
    if kind in ("CLIP-L", "T5-XXL"):
        return f"{_FILES} as {'clip' if kind == 'CLIP-L' else 't5'}, from models/text_encoders; {weights}."
    if kind == "text encoder":
        return f"not one of Kontext's text encoders (CLIP-L and T5-XXL); {weights}."
    return f"{_KINDS[kind]}; {weights}."


def gib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.2f} MiB"

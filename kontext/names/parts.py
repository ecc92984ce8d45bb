"""The parts of a FLUX.1 model and how files call their tensors: prefixes, tell-tale tensors, several spellings."""

import re
from collections.abc import Container, Iterator

# What stands before a part's names in a file of one part, of several or of all; "" is a file of this part alone.
TRANSFORMER, CLIP, T5, VAE = "transformer", "clip", "t5", "vae"
MODEL = "model.diffusion_model."
_CLIP_OWNERS = ("", "text_encoders.clip_l.", "clip_l.", "text_encoder.", "cond_stage_model.",
                "conditioner.embedders.0.")
_T5_OWNERS = ("", "text_encoders.t5xxl.", "t5xxl.", "text_encoder_2.", "t5.")
PREFIXES = {
    TRANSFORMER: ("", MODEL, "diffusion_model.", "transformer."),
    CLIP: tuple(owner + inner for owner in _CLIP_OWNERS for inner in ("", "transformer.")),
    T5: tuple(owner + inner for owner in _T5_OWNERS for inner in ("", "transformer.")),
    VAE: ("", "vae.", "first_stage_model."),
}
# Tensors of which one is in every file of a part -> whose names those are
TELL_TALES = {
    TRANSFORMER: {"img_in.weight": "BFL's", "x_embedder.weight": "diffusers'"},
    CLIP: {"text_model.embeddings.token_embedding.weight": "transformers'",
           "embeddings.token_embedding.weight": "transformers' without `text_model.`",
           "token_embedding.weight": "OpenAI's"},
    T5: {"shared.weight": "transformers'", "encoder.embed_tokens.weight": "transformers'",
         "token_embd.weight": "llama.cpp's"},
    VAE: {"decoder.conv_in.weight": "BFL's or diffusers'", "encoder.conv_in.weight": "BFL's or diffusers'"},
}
# Names that writers have spelt in several ways: as BFL has it -> as others have it
SPELLINGS = (
    (re.compile(r"(query|key)_norm\.scale$"), r"\1_norm.weight"),  # ComfyUI 0.14 and newer
    (re.compile(r"^img_in\."), "img_in.proj."),  # OMI's names, as OneTrainer writes them
)


def spellings(name: str) -> Iterator[str]:
    """All ways in which files spell a tensor that BFL gave this name."""
    yield name
    for pattern, other in SPELLINGS:
        spelt, count = pattern.subn(other, name)
        if count:
            yield spelt


def spelt(names: Container[str], name: str) -> str:
    """How these names spell BFL's name; BFL's own way if it is not among them."""
    return next((spelling for spelling in spellings(name) if spelling in names), name)


def find_prefix(names: Container[str], part: str) -> str | None:
    """What stands before the names of a part; None if none of its tell-tale tensors is there."""
    return next((prefix for prefix in PREFIXES[part] for tell_tale in TELL_TALES[part]
                 for name in spellings(tell_tale) if prefix + name in names), None)


def is_bfl(names: Container[str]) -> bool:
    """Are a transformer's names BFL's?"""
    return spelt(names, "img_in.weight") in names

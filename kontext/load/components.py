"""The four networks of Kontext, each from the tensors of a file or folder."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from ...common import InputError
from ..files.source import Source
from ..names import layouts
from ..names.parts import is_bfl
from ..networks import Autoencoder, FluxTransformer
from . import dimensions
from .fill import Filling

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Config = Mapping[str, object] | None  # a folder's config.json; None: the tensors' shapes tell

_CLIP_SPARE = ("text_model.embeddings.position_ids", "embeddings.position_ids", "text_projection", "logit_scale",
               "vision_model.", "visual_projection.",
               "visual.", "attn_mask", "input_resolution", "context_length", "vocab_size")  # OpenAI's
T5_DECODER = ("decoder.", "lm_head.", "dec.", "output.")  # FLUX.1 reads the encoder alone; the last two are llama.cpp's
_T5_SPARE = ("encoder.embed_tokens.", "logit_scale", "spiece_model", *T5_DECODER)


def transformer_filling(source: Source, dtype: torch.dtype, config: Config = None) -> Filling:
    """FLUX.1's transformer, in diffusers' or BFL's names.

    Args:
        source: its tensors.
        dtype: of everything that is not quantised, and of the activations.
        config: diffusers' config; None: from the shapes.

    Returns:
        What reads a FluxTransformer, some of its Linears QuantisedLinear.

    Raises:
        InputError: see `Filling`.
    """
    if is_bfl(source):
        layout = layouts.bfl_transformer(source)
    else:
        layout = layouts.same_names(source)
    config = config or dimensions.transformer(source, layout)
    return Filling(_build(source, config, FluxTransformer.from_config), source, layout, dtype)


def vae_filling(source: Source, dtype: torch.dtype, config: Config = None) -> Filling:
    """FLUX.1's autoencoder, in diffusers' or BFL's names; otherwise as above."""
    bfl = any(name.startswith("decoder.mid.") for name in source)
    layout = layouts.bfl_vae(source) if bfl else layouts.same_names(source)
    config = config or dimensions.vae(source, layout)
    return Filling(_build(source, config, Autoencoder.from_config), source, layout, dtype)


def clip_filling(source: Source, dtype: torch.dtype, end_mark: int | None, config: Config = None) -> Filling:
    """CLIP-L's text half (transformers' CLIPTextModel); without a config it pools at `end_mark`, the tokenizer's."""
    from transformers import CLIPTextConfig, CLIPTextModel

    layout = layouts.clip(source)
    config = config or dimensions.clip(source, layout) | {"eos_token_id": end_mark}
    model = _build(source, config, lambda known: CLIPTextModel(CLIPTextConfig.from_dict(known)))
    return Filling(model, source, layout, dtype, _CLIP_SPARE)


def t5_filling(source: Source, dtype: torch.dtype, config: Config = None) -> Filling:
    """T5's encoder (transformers' T5EncoderModel), in transformers' or llama.cpp's names."""
    from transformers import T5Config, T5EncoderModel

    layout = layouts.t5(source)
    config = config or dimensions.t5(source, layout)
    model = _build(source, config, lambda known: T5EncoderModel(T5Config.from_dict(known)))
    model.set_input_embeddings(model.shared)  # one module, not two with the same weights
    return Filling(model, source, layout, dtype, _T5_SPARE)


def _build(source: Source, config: Mapping[str, object], make: Callable[[dict], AnyModule]) -> AnyModule:
    """A model whose parameters have shapes but no memory."""
    for field, value in config.items():
        if "layers" in field and isinstance(value, int) and value > layouts.MAX_BLOCKS:
            raise InputError(source.where, field, value, f"layers are more than {layouts.MAX_BLOCKS}",
                             "use a FLUX.1 Kontext model")
    try:
        with torch.device("meta"):
            model = make(dict(config))
    except Exception as error:  # whatever the libraries say to a config that makes no sense
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(source.where, "config", type(error).__name__, f"gives no model ({reason})",
                         "take config and weights from the same model") from error
    for module in model.modules():
        places = module._buffers.get("position_ids")  # CLIP's, the only buffer of the four models
        if places is not None:
            module.position_ids = torch.arange(places.shape[-1]).unsqueeze(0)
    return model

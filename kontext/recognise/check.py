"""Is a diffusers folder FLUX.1 Kontext shaped? Answered from its configs and safetensors headers; loads nothing.

The layout is diffusers' `FluxKontextPipeline.save_pretrained`. FLUX's relatives share most of it, so the fields that
tell them apart are looked at first and the message says which relative it is.
"""

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

from ...common import InputError
from ..files.source import Source
from ..files.weights import count_blocks, read_json, read_weights_files
from ..networks import TransformerConfig
from ..sampling import Schedule
from ..settings import FILE_NAME, ModelSettings, parse_settings
from ..sizes import MULTIPLE, is_whole
from .flavours import FLUX_BY_CHANNELS, KONTEXT, SCHNELL, pipeline_flavour
from .identify import recognise

_GET_KONTEXT = "choose a FLUX.1 Kontext folder"
_PIPELINES = ("FluxKontextPipeline", "FluxKontextInpaintPipeline")
_ALIKE = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")  # of the same parts: dev's, and fine-tunes of
# Kontext that were saved with them
_COMPONENTS = {  # entry of model_index.json -> classes it may be
    "transformer": ("FluxTransformer2DModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("T5EncoderModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("T5TokenizerFast", "T5Tokenizer"),
    "scheduler": ("FlowMatchEulerDiscreteScheduler",),
}
_METHODS = ("bitsandbytes", "quanto")  # whose tensors say all that it takes (`packings.py`)
_RELATIVES = {  # in_channels of the transformer -> who that is
    **FLUX_BY_CHANNELS,
    16: "an unpacked or Stable Diffusion 3 transformer",
}
_IN_CHANNELS = TransformerConfig.in_channels  # 16 latent channels x a 2x2 patch
_PLAIN_SCHEDULE = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas",
                   "stochastic_sampling", "shift_terminal")


def check_folder(path: str | Path) -> None:
    """Refuse a folder that is not a whole, Kontext-shaped diffusers folder with safetensors weights.

    Reads configs and safetensors headers only: no weights, no network, no code of the folder.

    Args:
        path: the folder that holds model_index.json.

    Raises:
        InputError: one line naming the file, the field, its value, the trouble and the way out.
    """
    root = Path(path)
    where = str(root)
    if root.is_file():
        raise InputError(where, "folder", root.name, "is a single file, not a diffusers folder",
                         "choose the folder that holds model_index.json")
    if not root.is_dir():
        raise InputError(where, "folder", root.name, "does not exist", "check the path")
    if not (root / "model_index.json").is_file():
        raise InputError(where, "file", "model_index.json", "is missing, so this is no diffusers folder",
                         "choose the folder that holds model_index.json")
    _check_index(root / "model_index.json")
    transformer = _check_transformer(root / "transformer" / "config.json")
    _check_vae(root / "vae" / "config.json")
    _check_text(root, transformer)
    _check_scheduler(root / "scheduler" / "scheduler_config.json")
    read_settings(root)
    _check_transformer_weights(root / "transformer", transformer)
    read_weights_files(root / "vae", "diffusion_pytorch_model")
    read_weights_files(root / "text_encoder", "model")
    read_weights_files(root / "text_encoder_2", "model")


def check_transformer(folder: Path) -> None:
    """Refuse a diffusers folder's `transformer` that is not Kontext-shaped. Raises: InputError."""
    _check_transformer_weights(folder, _check_transformer(folder / "config.json"))


def not_of_kontext(root: Path) -> str | None:
    """What makes a folder that `check_folder` takes another model than Kontext, or leaves it open; None: it is one."""
    pipeline = read_json(root / "model_index.json").get("_class_name")
    if pipeline in _PIPELINES:
        return None
    identity = recognise(root / "transformer")
    if identity.flavour == KONTEXT:
        return None
    return (f"model_index.json names {pipeline}, and of its transformer {identity.reasons[0]} ({identity.flavour}). "
            "It has the tensors of FLUX.1 Kontext, so it loads; if it is FLUX.1 dev or Krea dev, it was not trained to "
            "edit and takes little from a reference picture")


def read_settings(root: Path) -> tuple[ModelSettings, str | None]:
    """The folder's `kontinuity.json`: (settings, name or None); FLUX.1 Kontext dev's if there is no such file."""
    path = root / FILE_NAME
    if not path.exists():
        return ModelSettings(), None
    return parse_settings(read_json(path), _IN_CHANNELS // 4, str(path))


def _check_index(path: Path) -> None:
    index, where = read_json(path), str(path)
    pipeline = index.get("_class_name", "missing")
    if pipeline not in (*_PIPELINES, *_ALIKE):
        flavour = pipeline_flavour(pipeline)
        problem = "is not FluxKontextPipeline" + (f" but {flavour}" if flavour else "")
        if str(pipeline).startswith("Flux"):
            problem += "; this FLUX model was not trained to edit"
        raise InputError(where, "_class_name", pipeline, problem, _GET_KONTEXT)
    for component, classes in _COMPONENTS.items():
        entry = index.get(component, "missing")
        name = entry[1] if isinstance(entry, list) and len(entry) == 2 else entry
        if name not in classes:
            raise InputError(where, component, name, f"is not {' or '.join(classes)}", _GET_KONTEXT)


def _read_config(path: Path) -> Mapping[str, object]:
    config = read_json(path)
    quantised = config.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
    if quantised and method not in _METHODS:
        raise InputError(str(path), "quantization_config", quantised,
                         f"makes this a quantised model, of which only {' and '.join(_METHODS)} are read",
                         "use the bf16, fp16 or fp32 folder")
    return config


def _field(config: Mapping[str, object], field: str) -> object:
    """A field of a transformer's config; diffusers leaves out those that are FLUX.1's."""
    return config.get(field, getattr(TransformerConfig, field))


def _need(where: str, config: Mapping[str, object], field: str) -> int:
    value = _field(config, field)
    if not is_whole(value) or value < 1:
        raise InputError(where, field, value, "is not a positive whole number", "download the config again")
    return value


def _check_transformer(path: Path) -> Mapping[str, object]:
    config, where = _read_config(path), str(path)
    if config.get("_class_name") != "FluxTransformer2DModel":
        raise InputError(where, "_class_name", config.get("_class_name", "missing"),
                         "is not FluxTransformer2DModel", _GET_KONTEXT)
    channels = _field(config, "in_channels")
    if channels != _IN_CHANNELS:
        known = _RELATIVES.get(channels) if is_whole(channels) else None
        problem = f"is {known}, not Kontext" if known else f"is not {_IN_CHANNELS}, so this is not Kontext"
        raise InputError(where, "in_channels", channels, problem, _GET_KONTEXT)
    if config.get("out_channels") not in (None, _IN_CHANNELS):
        raise InputError(where, "out_channels", config["out_channels"], f"is not {_IN_CHANNELS}", _GET_KONTEXT)
    if config.get("patch_size", 1) != 1:
        raise InputError(where, "patch_size", config["patch_size"], "is not 1", _GET_KONTEXT)
    if config.get("guidance_embeds", False) is not True:  # absent means False to diffusers
        raise InputError(where, "guidance_embeds", config.get("guidance_embeds", "missing"),
                         f"has no guidance embedding: this is {SCHNELL}, not Kontext dev", _GET_KONTEXT)
    for field in ("num_layers", "num_single_layers", "num_attention_heads", "attention_head_dim", "joint_attention_dim",
                  "pooled_projection_dim"):
        _need(where, config, field)
    axes = config.get("axes_dims_rope", list(TransformerConfig.axes_dims_rope))
    head = _field(config, "attention_head_dim")
    if (not isinstance(axes, list) or len(axes) != 3 or not all(is_whole(a) and a > 0 and a % 2 == 0 for a in axes)
            or sum(axes) != head):
        raise InputError(where, "axes_dims_rope", axes,
                         f"are not three even numbers that add up to attention_head_dim {head}", _GET_KONTEXT)
    return config


def _check_vae(path: Path) -> None:
    config, where = _read_config(path), str(path)
    channels = config.get("latent_channels", 4)
    if channels != _IN_CHANNELS // 4:
        raise InputError(where, "latent_channels", channels, f"is not the {_IN_CHANNELS // 4} of FLUX's VAE",
                         "put the vae folder of FLUX.1 in its place")
    blocks = config.get("block_out_channels")
    factor = 2 ** (len(blocks) - 1) if isinstance(blocks, list) else 0
    if factor * 2 != MULTIPLE:
        raise InputError(where, "block_out_channels", blocks, f"does not shrink pictures by {MULTIPLE // 2}",
                         "put the vae folder of FLUX.1 in its place")
    for field in ("scaling_factor", "shift_factor"):
        value = config.get(field)
        if (not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value)
                or (field == "scaling_factor" and value <= 0)):
            raise InputError(where, field, value, "is not a usable number",
                             "put the vae folder of FLUX.1 in its place")


def _check_text(root: Path, transformer: Mapping[str, object]) -> None:
    encoders = (  # folder, model_type, its width, the transformer's field that must agree
        ("text_encoder", "clip_text_model", "hidden_size", "pooled_projection_dim"),
        ("text_encoder_2", "t5", "d_model", "joint_attention_dim"),
    )
    for folder, kind, width, partner in encoders:
        path = root / folder / "config.json"
        config, where = _read_config(path), str(path)
        if config.get("model_type") != kind:
            raise InputError(where, "model_type", config.get("model_type", "missing"), f"is not {kind}",
                             _GET_KONTEXT)
        wanted = _field(transformer, partner)
        if config.get(width) != wanted:
            raise InputError(where, width, config.get(width, "missing"),
                             f"does not fit the transformer's {partner} {wanted}",
                             "use the text encoder that belongs to this model")
    check_tokenizers(root / "tokenizer", root / "tokenizer_2")


def check_tokenizers(clip: Path, t5: Path) -> None:
    """Refuse folders without CLIP's and T5's tokenizer: transformers would make an empty one. Raises: InputError."""
    for folder, choices in ((clip, (("tokenizer.json",), ("vocab.json", "merges.txt"))), (t5, (("tokenizer.json",),))):
        if not any(all((folder / name).is_file() for name in names) for names in choices):
            raise InputError(str(folder), "file", choices[-1][0], "is missing",
                             "copy or download the whole folder again")
        for name in ("tokenizer.json", "vocab.json"):
            if (folder / name).is_file():
                read_json(folder / name)


def _check_scheduler(path: Path) -> None:
    config, where = read_json(path), str(path)
    if config.get("_class_name") != "FlowMatchEulerDiscreteScheduler":
        raise InputError(where, "_class_name", config.get("_class_name", "missing"),
                         "is not FlowMatchEulerDiscreteScheduler", "take the scheduler folder of FLUX.1 Kontext")
    for field in _PLAIN_SCHEDULE:
        if config.get(field):
            raise InputError(where, field, config[field], "is a schedule FLUX.1 Kontext was not trained with",
                             "remove the field")
    if config.get("time_shift_type", "exponential") not in ("exponential", "linear"):
        raise InputError(where, "time_shift_type", config["time_shift_type"], "is unknown", "use exponential")
    for field in ("num_train_timesteps", "shift", "base_shift", "max_shift", "base_image_seq_len",
                  "max_image_seq_len"):
        value = config.get(field)
        if value is None:
            continue
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            raise InputError(where, field, value, "is not a number above 0",
                             "take the scheduler folder of FLUX.1 Kontext")
    shortest, longest = (config.get(field, getattr(Schedule, field)) for field in ("base_image_seq_len",
                                                                                    "max_image_seq_len"))
    if shortest == longest:
        raise InputError(where, "max_image_seq_len", longest, "equals base_image_seq_len",
                         "take the scheduler folder of FLUX.1 Kontext")


def _check_transformer_weights(folder: Path, config: Mapping[str, object]) -> None:
    header, where = Source(folder, read_weights_files(folder, "diffusion_pytorch_model")), str(folder)
    width = _need(where, config, "num_attention_heads") * _need(where, config, "attention_head_dim")
    shape = list(header["x_embedder.weight"].shape) if "x_embedder.weight" in header else "missing"
    if shape != [width, _IN_CHANNELS]:
        raise InputError(where, "x_embedder.weight", shape, f"is not [{width}, {_IN_CHANNELS}] as config.json says",
                         "take config and weights from the same model")
    for prefix, field in (("transformer_blocks", "num_layers"), ("single_transformer_blocks", "num_single_layers")):
        count, wanted = count_blocks(header, prefix), _field(config, field)
        if count != wanted:
            raise InputError(where, prefix, count, f"blocks are in the files where config.json says {wanted}",
                             "download the missing files")

"""Files people own become a KontextModel: transformer, CLIP-L, T5-XXL and VAE, each in any layout that is read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..backends.modules import ModuleBackend
from ..errors import InputError
from ..model import KontextModel
from ..placement import Resident
from ..sampling import Schedule
from ..settings import ModelSettings
from . import components, dimensions
from .advice import unread_by
from .check import check_tokenizers, check_transformer
from .fill import Filling
from .flavours import DEV, DEV_OR_KREA, DEV_SHAPED, KONTEXT, KREA
from .identify import identify
from .source import Source, with_prefix
from .weights import read_json, read_weights_files

log = logging.getLogger("kontinuity")

TRANSFORMER, CLIP, T5, VAE = "transformer", "clip", "t5", "vae"
_FOLDERS = {  # part -> (its folder in a diffusers folder, its files' stem)
    TRANSFORMER: ("transformer", "diffusion_pytorch_model"), CLIP: ("text_encoder", "model"),
    T5: ("text_encoder_2", "model"), VAE: ("vae", "diffusion_pytorch_model"),
}
_MODEL_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
_PREFIXES = {  # in an all-in-one file
    CLIP: ("text_encoders.clip_l.transformer.",), T5: ("text_encoders.t5xxl.transformer.",),
    VAE: ("vae.", "first_stage_model."),
}
_ELSEWHERE = ("text_encoders.", "vae.", "first_stage_model.", "scaled_fp8")
_TELL_TALE = {  # part -> tensors of which one must be there, and what to call the part
    CLIP: (("text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"), "a CLIP-L file"),
    T5: (("shared.weight", "encoder.embed_tokens.weight", "token_embd.weight"), "a T5-XXL file"),
    VAE: (("decoder.conv_in.weight",), "FLUX.1's VAE (ae.safetensors)"),
}
_ALIKE = (DEV, KREA, DEV_SHAPED, DEV_OR_KREA)  # load like Kontext
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Part:
    """Where a part's tensors are, and its config.json if it is a folder."""

    source: Source
    config: Mapping[str, object] | None = None


def load_parts(
    transformer: str | Path,
    *,
    clip: str | Path | None = None,
    t5: str | Path | None = None,
    vae: str | Path | None = None,
    tokenizers: tuple[str | Path, str | Path],
    name: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> KontextModel:
    """Load FLUX.1 Kontext from the files people own. docs/checkpoints.md lists what is read.

    fp8 weights and GGUF blocks stay as they are in memory; each layer unpacks its own in a pass. Nothing is downloaded.

    Args:
        transformer: a safetensors or GGUF file, an all-in-one checkpoint, or a diffusers folder's `transformer`.
        clip, t5, vae: files or such folders of the other parts; they win over those the first one brings.
        tokenizers: folders of CLIP's and T5's tokenizer.
        name: what to call it; without it the transformer file's name.
        dtype: float32, bfloat16 or float16, of what is not quantised and of the computation; None: bfloat16 on CUDA,
            else float32.
        device: where its `Resident` placement will run it.

    Returns:
        The model, its weights in CPU memory or still in the files, which are mapped.

    Raises:
        InputError: not a FLUX.1 Kontext, a part is missing or of another model, or a file is damaged; most of it is
            known from the headers, before weights are read.
    """
    path = Path(transformer)
    device = torch.device(device)
    dtype = choose_dtype(dtype, device, str(path))
    _check_flavour(path)
    parts = _parts(path)
    for part, given in ((CLIP, clip), (T5, t5), (VAE, vae)):
        if given is not None:
            parts[part] = _given(Path(given), part)
        elif part not in parts:
            what = _TELL_TALE[part][1]
            raise InputError(str(path), part, "missing", f"{what} is not in this file and none was given",
                             f"choose {what} too")
    clip_tokenizer, t5_tokenizer = load_tokenizers(*map(Path, tokenizers))
    return assemble(
        parts, clip_tokenizer, t5_tokenizer, dtype=dtype, device=device, name=name or path.resolve().stem,
        schedule=Schedule.from_config(dimensions.SCHEDULE), settings=ModelSettings())


def choose_dtype(dtype: torch.dtype | None, device: torch.device, where: str) -> torch.dtype:
    """The dtype asked for, or the device's. Raises: InputError for one the model does not run in."""
    if dtype is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise InputError(where, "dtype", dtype, "is no dtype this model runs in",
                         "choose float32, bfloat16 or float16")
    return dtype


def folder_parts(root: Path) -> dict[str, Part]:
    """The parts of a whole diffusers folder."""
    return {part: _folder(root / name, part) for part, (name, _) in _FOLDERS.items()}


def load_tokenizers(clip: Path, t5: Path):
    """(CLIP's tokenizer, T5's) from their folders.

    Raises:
        InputError: one is missing or could not be loaded.
    """
    check_tokenizers(clip, t5)
    # those of the tokenizers library: in transformers 4 the plain CLIPTokenizer is another one, with other tokens for
    # some texts, and cannot read a tokenizer.json
    from transformers import CLIPTokenizerFast, T5TokenizerFast

    loaded = []
    for kind, folder in ((CLIPTokenizerFast, clip), (T5TokenizerFast, t5)):
        try:
            # transformers 5 writes a list into tokenizer_config.json, which 4 takes for a dict and fails; the tokens
            # themselves are in tokenizer.json
            loaded.append(kind.from_pretrained(str(folder), local_files_only=True, extra_special_tokens={}))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise InputError(str(folder), "tokenizer", kind.__name__, f"could not be loaded ({_first_line(error)})",
                             "copy or download the whole folder again") from error
    return tuple(loaded)


def assemble(parts: Mapping[str, Part], clip_tokenizer, t5_tokenizer, *, dtype: torch.dtype, device: torch.device,
             name: str, schedule: Schedule, settings: ModelSettings) -> KontextModel:
    """Check all parts by their headers and against each other, then read them.

    Raises:
        InputError: see `load_parts`.
    """
    # ComfyUI runs nodes in inference mode; weights made there could not be moved or patched outside it later
    with torch.inference_mode(False):
        fillings = {
            TRANSFORMER: components.transformer_filling(parts[TRANSFORMER].source, dtype, parts[TRANSFORMER].config),
            CLIP: components.clip_filling(parts[CLIP].source, dtype, clip_tokenizer.eos_token_id, parts[CLIP].config),
            T5: components.t5_filling(parts[T5].source, dtype, parts[T5].config),
            VAE: components.vae_filling(parts[VAE].source, dtype, parts[VAE].config),
        }
        _check_fit(fillings, clip_tokenizer, t5_tokenizer)
        read = {part: filling.read() for part, filling in fillings.items()}
    modules: dict[str, nn.Module] = {
        "text_encoders": nn.ModuleDict({"clip": read[CLIP], "t5": read[T5]}).eval(),
        "transformer": read[TRANSFORMER],
        "vae": read[VAE],
    }
    backend = ModuleBackend(modules, clip_tokenizer, t5_tokenizer, Resident(modules, device))
    model = KontextModel(name=name, backend=backend, schedule=schedule, settings=settings)
    log.info("loaded %s from %s as %s", name, parts[TRANSFORMER].source.where, str(dtype).removeprefix("torch."))
    return model


# Finding the parts -------------------------------------------------------------------------------------------------


def _parts(path: Path) -> dict[str, Part]:
    """What the transformer's file or folder brings."""
    if (path / "model_index.json").is_file():
        raise InputError(str(path), TRANSFORMER, path.name, "is a whole diffusers folder",
                         "load it as one (Load Kontext Model, load_folder), or choose its folder transformer")
    if path.is_dir():
        check_transformer(path)
        return {TRANSFORMER: _folder(path, TRANSFORMER)}
    whole = Source.of_file(path)
    prefix = with_prefix(whole, _MODEL_PREFIXES)
    if prefix is None:
        return {TRANSFORMER: Part(whole)}
    stray = next((name for name in whole if not name.startswith((prefix, *_ELSEWHERE))), None)
    if stray is not None:
        raise whole.refuse(stray, "unknown", "belongs to no part of FLUX.1 Kontext", "use another file of the model")
    parts = {TRANSFORMER: Part(whole.below(prefix))}
    for part, prefixes in _PREFIXES.items():
        found = with_prefix(whole, prefixes)
        if found is not None:
            parts[part] = Part(whole.below(found))
    return parts


def _given(path: Path, part: str) -> Part:
    """One of the other parts, from a file or folder of its own."""
    if not path.exists():
        raise InputError(str(path), part, path.name, "does not exist", "check the path")
    found = _folder(path, part) if path.is_dir() else Part(Source.of_file(path))
    names, what = _TELL_TALE[part]
    if not any(name in found.source for name in names):
        other = identify(path)
        raise InputError(str(path), part, path.name, f"is not {what} but {other.kind} ({other.flavour})",
                         f"choose {what}")
    return found


def _folder(folder: Path, part: str) -> Part:
    source = Source(folder, read_weights_files(folder, _FOLDERS[part][1]))
    return Part(source, read_json(folder / "config.json"))


# Checks ------------------------------------------------------------------------------------------------------------


def _check_flavour(path: Path) -> None:
    found = identify(path)
    if unread_by(found.precision):
        raise InputError(str(path), "precision", found.precision, "is a quantisation this pack does not read",
                         found.advice)
    if found.flavour == KONTEXT:
        return
    if found.flavour not in _ALIKE:
        raise InputError(str(path), "model", f"{found.flavour}: {found.kind}", f"is not FLUX.1 Kontext "
                         f"({found.reasons[0]})", found.advice)
    log.warning("%s: %s (%s). FLUX.1 dev and Krea dev have the tensors of Kontext, so they load, but they were "
                "not trained to edit and take little from a reference picture.",
                path.name, found.flavour, found.reasons[-2])


def _check_fit(fillings: Mapping[str, Filling], clip_tokenizer, t5_tokenizer) -> None:
    """The transformer must read what the text encoders and the VAE make, and they what the tokenizers make."""
    transformer, clip, t5, vae = (fillings[part].model.config for part in (TRANSFORMER, CLIP, T5, VAE))
    for part, found, wanted, what in (
        (CLIP, clip.hidden_size, transformer.pooled_projection_dim, "wide where the transformer reads"),
        (T5, t5.d_model, transformer.joint_attention_dim, "wide where the transformer reads"),
        (VAE, vae.latent_channels * 4, transformer.in_channels, "values a token where the transformer reads"),
    ):
        if found != wanted:
            raise InputError(fillings[part].source.where, part, found, f"{what} {wanted}",
                             f"choose {_TELL_TALE[part][1]} that belongs to this model")
    for part, tokenizer, words in ((CLIP, clip_tokenizer, clip.vocab_size), (T5, t5_tokenizer, t5.vocab_size)):
        if len(tokenizer) > words:
            raise InputError(fillings[part].source.where, part, words, f"words are known where its tokenizer has "
                             f"{len(tokenizer)}", f"choose {_TELL_TALE[part][1]} that belongs to this model")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

"""Files people own become a KontextModel: transformer, CLIP-L, T5-XXL and VAE, each in any layout that is read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...common import InputError
from ..backends.modules import ModuleBackend
from ..files.headers import read_weights_file
from ..files.source import Source
from ..files.tensors import WeightsFile
from ..files.weights import PART_OF, own_name, read_json, read_weights_files
from ..memory.placement import Resident
from ..model import KontextModel
from ..names.parts import CLIP, PREFIXES, T5, TRANSFORMER, VAE, find_prefix
from ..recognise.check import check_tokenizers, check_transformer
from ..recognise.elsewhere import elsewhere, packing
from ..recognise.flavours import ALIKE, KONTEXT, STABLE_DIFFUSION_3
from ..recognise.identify import Identity, recognise, recognise_tensors
from ..recognise.precision import read_precision
from ..sampling import FLUX_SCHEDULE, Schedule
from ..settings import ModelSettings
from . import components
from .fill import Filling

log = logging.getLogger("kontinuity")

_FOLDERS = {  # part -> (its folder in a diffusers folder, its files' stem)
    TRANSFORMER: ("transformer", "diffusion_pytorch_model"), CLIP: ("text_encoder", "model"),
    T5: ("text_encoder_2", "model"), VAE: ("vae", "diffusion_pytorch_model"),
}
_IN_A_CHECKPOINT = (  # what names in an all-in-one file begin with, beside the transformer's
    "text_encoders.", "scaled_fp8",
    *(prefix for part in (CLIP, T5, VAE) for prefix in PREFIXES[part] if prefix not in ("", "transformer.")))
_WHAT = {CLIP: "a CLIP-L file", T5: "a T5-XXL file", VAE: "FLUX.1's VAE (ae.safetensors)"}
_SPARE_WORDS = 1024  # more than these beyond the tokenizer's are another tokenizer's (mT5 has 250,112, T5 32,128)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Tokenizers = tuple[Any, Any]  # CLIP's and T5's, of transformers


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
    may_map: bool = True,
) -> KontextModel:
    """Load FLUX.1 Kontext from the files people own. docs/checkpoints.md lists what is read.

    fp8 weights and GGUF blocks stay as they are in memory; each layer unpacks its own in a pass. Nothing is downloaded.

    Args:
        transformer: a safetensors or GGUF file, an all-in-one checkpoint, or a diffusers folder's `transformer`.
        clip, t5, vae: files or such folders of the other parts; they win over those the first one brings.
        tokenizers: folders of CLIP's and T5's tokenizer.
        name: what to call it; without it the transformer file's name.
        dtype: float32, bfloat16 or float16, of the computation; None: bfloat16 on CUDA where the card
            computes in it, else float16 there, and float32 elsewhere. With float16 the text encoders and the VAE
            compute in float32. A large part's matrices stay in the number format of their file, whatever the dtype.
        device: where its `Resident` placement will run it.
        may_map: whether large files may stay mapped instead of being copied into memory.

    Returns:
        The model, its weights in CPU memory or still in the files, which are mapped.

    Raises:
        InputError: not a FLUX.1 Kontext, a part is missing or of another model, or a file is damaged; most of it is
            known from the headers, before weights are read.
    """
    path = Path(transformer)
    device = torch.device(device)
    dtype = choose_dtype(dtype, device, str(path))
    parts = {TRANSFORMER: _transformer(path)}
    _warn_of_dev(path)
    brought = parts_in(path)
    for part, given in ((CLIP, clip), (T5, t5), (VAE, vae)):
        if given is None and part not in brought:
            raise InputError(str(path), part, "missing", f"{_WHAT[part]} is not in this file and none was given",
                             f"choose {_WHAT[part]} too")
        parts[part] = _given(path if given is None else Path(given), part)
    clip_tokenizer, t5_tokenizer = load_tokenizers(*map(Path, tokenizers))
    return assemble(
        fill_parts(parts, (clip_tokenizer, t5_tokenizer), dtype), (clip_tokenizer, t5_tokenizer), device=device,
        name=name or _name(path), schedule=FLUX_SCHEDULE, settings=ModelSettings(),
        may_map=may_map)


def check_file(path: Path, part: str, tokenizers: Tokenizers | None = None) -> Filling:
    """What `load_parts` checks of a file or folder before it reads weights, as far as the file alone tells.

    Args:
        path: the file or folder.
        part: which part is looked for in it.
        tokenizers: CLIP's and T5's; None: whether the text encoders have their words is not checked.

    Returns:
        The part, ready to be read.

    Raises:
        InputError: what `load_parts` would say.
    """
    given = _transformer(path) if part == TRANSFORMER else _given(path, part)
    return fill_parts({part: given}, tokenizers, torch.float32)[part]


def parts_in(path: Path) -> tuple[str, ...]:
    """CLIP, T5 and VAE, those of which a tensor that every such part has is in a file or in a component's folder."""
    files = read_weights_files(path) if path.is_dir() else {path: read_weights_file(path)}
    names = {name.removesuffix("._data") for file in files.values() for name in file.tensors}  # quanto's ending
    return tuple(part for part in (CLIP, T5, VAE) if find_prefix(names, part) is not None)


def left_out(part: str, source: Source) -> str | None:
    """What of a part is not used, in words."""
    unused = sum(name.startswith(components.T5_DECODER) for name in source) if part == T5 else 0
    return f"T5's decoder ({unused} tensors) is left out: FLUX.1 reads the encoder alone" if unused else None


def choose_dtype(dtype: torch.dtype | None, device: torch.device, where: str) -> torch.dtype:
    """The dtype asked for, or the device's. Raises: InputError for one the model does not run in."""
    if dtype is None:
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if dtype not in DTYPES:
        raise InputError(where, "dtype", dtype, "is no dtype this model runs in",
                         "choose float32, bfloat16 or float16")
    return dtype


def folder_parts(root: Path) -> dict[str, Part]:
    """The parts of a whole diffusers folder."""
    return {part: _folder(root / name, part) for part, (name, _) in _FOLDERS.items()}


def load_tokenizers(clip: Path, t5: Path) -> Tokenizers:
    """(CLIP's tokenizer, T5's) from their folders.

    Raises:
        InputError: one is missing or could not be loaded.
    """
    check_tokenizers(clip, t5)
    # those of the tokenizers library: in transformers 4 the plain CLIPTokenizer is another one, with other tokens for
    # some texts, and cannot read a tokenizer.json
    from transformers import CLIPTokenizerFast, T5TokenizerFast  # pyright: ignore[reportAttributeAccessIssue]

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


def fill_parts(parts: Mapping[str, Part], tokenizers: Tokenizers | None, dtype: torch.dtype) -> dict[str, Filling]:
    """Check parts by their headers and against each other.

    Raises:
        InputError: see `load_parts`.
    """
    # ComfyUI runs nodes in inference mode; weights made there could not be moved or patched outside it later
    with torch.inference_mode(False):
        fillings = {part: _fill(part, given, tokenizers, dtype) for part, given in parts.items()}
    check_fit(fillings, tokenizers)
    return fillings


def _fill(part: str, given: Part, tokenizers: Tokenizers | None, dtype: torch.dtype) -> Filling:
    source, config = given.source, given.config
    if part != TRANSFORMER and dtype == torch.float16:  # T5's and the VAE's numbers can leave float16
        dtype = torch.float32
    try:
        if part == CLIP:
            end_mark = tokenizers[0].eos_token_id if tokenizers else None
            return components.clip_filling(source, dtype, end_mark, config)
        make = {TRANSFORMER: components.transformer_filling, T5: components.t5_filling, VAE: components.vae_filling}
        return make[part](source, dtype, config)
    except InputError as error:
        precision = read_precision(_as_file(source))[0]
        who = packing(precision)
        if who is None:
            raise
        raise InputError(source.where, "precision", precision, "is a quantisation this pack does not read "
                         f"({error.field} {error.problem})", f"use a bf16, fp8 or GGUF version; {who}") from error


def assemble(fillings: Mapping[str, Filling], tokenizers: Tokenizers, *, device: torch.device, name: str,
             schedule: Schedule, settings: ModelSettings, may_map: bool) -> KontextModel:
    """Read the parts that `fill_parts` checked.

    Raises:
        InputError: see `load_parts`.
    """
    with torch.inference_mode(False):
        read = {part: filling.read(may_map) for part, filling in fillings.items()}
    modules: dict[str, nn.Module] = {
        "text_encoders": nn.ModuleDict({"clip": read[CLIP], "t5": read[T5]}).eval(),
        "transformer": read[TRANSFORMER],
        "vae": read[VAE],
    }
    backend = ModuleBackend(modules, *tokenizers, Resident(modules, device))
    model = KontextModel(name=name, backend=backend, schedule=schedule, settings=settings)
    for part, filling in fillings.items():
        if note := left_out(part, filling.source):
            log.info("%s: %s", filling.source.where, note)
    log.info("loaded %s from %s as %s", name, fillings[TRANSFORMER].source.where,
             str(fillings[TRANSFORMER].dtype).removeprefix("torch."))
    return model


# Finding the parts -------------------------------------------------------------------------------------------------


def _transformer(path: Path) -> Part:
    """The transformer of a file or folder.

    Raises:
        InputError: it is no FLUX.1 Kontext nor what loads like it, or tensors belong to no part.
    """
    if (path / "model_index.json").is_file():
        raise InputError(str(path), TRANSFORMER, path.name, "is a whole diffusers folder",
                         "load it as one (Load Kontext Model, load_folder), or choose its folder transformer")
    _check_whole(path)
    identity = recognise(path)
    if identity.flavour not in (KONTEXT, *ALIKE) or identity.part != TRANSFORMER:
        what = "unknown" if identity.flavour == "unknown" else f"{identity.flavour}: {identity.kind}"
        raise InputError(str(path), "model", what, f"is not FLUX.1 Kontext ({identity.reasons[0]})",
                         elsewhere(identity))
    if path.is_dir():
        check_transformer(path)
        return _folder(path, TRANSFORMER)
    whole = Source.of_file(path)
    prefix = find_prefix(whole, TRANSFORMER)
    if not prefix:
        return Part(whole)
    stray = next((name for name in whole if not name.startswith((prefix, *_IN_A_CHECKPOINT))), None)
    if stray is not None:
        raise whole.refuse(stray, "unknown", "belongs to no part of FLUX.1 Kontext", "use another file of the model")
    return Part(whole.below(prefix))


def _given(path: Path, part: str) -> Part:
    """One of the other parts, from a file or folder of its own, or out of a file that holds others too."""
    if not path.exists():
        raise InputError(str(path), part, path.name, "does not exist", "check the path")
    _check_whole(path)

    def refuse(other: Identity) -> InputError:
        why = other.reasons[0] if other.flavour == "unknown" else other.flavour
        return InputError(str(path), part, path.name, f"is not {_WHAT[part]} but {other.kind} ({why})",
                          f"choose {_WHAT[part]}")

    given_part = _folder(path, part) if path.is_dir() else Part(Source.of_file(path))
    prefix = find_prefix(given_part.source, part)
    if prefix is None:
        raise refuse(recognise(path))
    if prefix:
        whole = recognise(path)
        if part == VAE and whole.flavour == STABLE_DIFFUSION_3:
            raise InputError(str(path), part, whole.flavour, "has a VAE of the shapes of FLUX.1's, but with other "
                             "weights", f"choose {_WHAT[part]}")
        given_part = Part(given_part.source.below(prefix))
    own = recognise_tensors(path, _as_file(given_part.source))
    if own.part != part and own.kind != "unknown":
        raise refuse(own)
    return given_part


def _check_whole(path: Path) -> None:
    """Refuse one file of several, as large models of diffusers and transformers come."""
    count = PART_OF.search(path.name)
    if count and int(count[1]) > 1 and path.is_file():
        raise InputError(str(path), "file", path.name, f"is one of {int(count[1])} files that make a model together",
                         "choose a file that is whole, or put the diffusers folder that it is from under "
                         "models/diffusers and choose that in Load Kontext Model")


def _folder(folder: Path, part: str) -> Part:
    source = Source(folder, read_weights_files(folder, _FOLDERS[part][1]))
    return Part(source, read_json(folder / "config.json"))


def _as_file(source: Source) -> WeightsFile:
    """A source's tensors as those of a header."""
    return WeightsFile("safetensors", {name: source[name] for name in source}, source.metadata, 0)


def _name(path: Path) -> str:
    """What to call a model that was loaded from a transformer's file or folder."""
    if path.is_dir():
        return own_name(path.parent if path.name == _FOLDERS[TRANSFORMER][0] else path)
    return Path(own_name(path)).stem


# Checks ------------------------------------------------------------------------------------------------------------


def _warn_of_dev(path: Path) -> None:
    identity = recognise(path)
    if identity.flavour in ALIKE:
        log.warning("%s: %s (%s). It has the tensors of FLUX.1 Kontext, so it loads, but FLUX.1 dev and Krea dev were "
                    "not trained to edit and take little from a reference picture.", own_name(path), identity.flavour,
                    identity.reasons[0])


def check_fit(fillings: Mapping[str, Filling], tokenizers: Tokenizers | None = None) -> None:
    """The transformer must read what the text encoders and the VAE make, and they what the tokenizers make.

    Raises:
        InputError: a part that does not fit those that are there.
    """
    configs: dict[str, Any] = {part: filling.model.config for part, filling in fillings.items()}
    for part, makes, reads, what in (
        (CLIP, lambda c: c.hidden_size, lambda t: t.pooled_projection_dim, "wide where the transformer reads"),
        (T5, lambda c: c.d_model, lambda t: t.joint_attention_dim, "wide where the transformer reads"),
        (VAE, lambda c: c.latent_channels * 4, lambda t: t.in_channels, "values a token where the transformer reads"),
    ):
        if part in configs and TRANSFORMER in configs:
            width, wanted = makes(configs[part]), reads(configs[TRANSFORMER])
            if width != wanted:
                raise InputError(fillings[part].source.where, part, width, f"{what} {wanted}",
                                 f"choose {_WHAT[part]} that belongs to this model")
    for part, tokenizer in zip((CLIP, T5), tokenizers or (), strict=False):
        words = configs[part].vocab_size if part in configs else None
        if words is not None and not len(tokenizer) <= words <= len(tokenizer) + _SPARE_WORDS:
            raise InputError(fillings[part].source.where, part, words, f"words are known where its tokenizer has "
                             f"{len(tokenizer)}", f"choose {_WHAT[part]} that belongs to this model")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

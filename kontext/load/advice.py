"""What a file is good for: the loaders' own checks are run on its header, and what they say is passed on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...common import InputError
from ..files.headers import read_weights_file
from ..lora.file import lora_advice
from ..names.parts import CLIP, T5, TRANSFORMER, VAE
from ..networks import TransformerConfig
from ..recognise.flavours import ALIKE, DEV_SHAPED
from ..recognise.identify import Identity, gib, recognise
from .fill import Filling
from .folder import prepare_folder
from .parts import check_file, check_fit, left_out, load_tokenizers, parts_in

FOLDER, LORA = "folder", "LoRA"  # what a file loads as, beside the parts
_BESIDE = "beside it Kontext needs T5-XXL (8.9 GiB in bf16, 4.4 in fp8), CLIP-L (0.23) and the VAE (0.16)"
_ALIKE = "it was not trained to edit, if it is dev or Krea dev"
_PLACES = {TRANSFORMER: "models/diffusion_models", CLIP: "models/text_encoders", T5: "models/text_encoders",
           VAE: "models/vae"}
_OWN = {  # the field that has a text encoder's width, and FLUX.1's own width
    CLIP: ("hidden_size", TransformerConfig.pooled_projection_dim),
    T5: ("d_model", TransformerConfig.joint_attention_dim),
}


def identify(path: str | Path, tokenizers: tuple[str | Path, str | Path] | None = None) -> Identity:
    """Say what a model file (safetensors, GGUF) or folder is, and what this pack's loaders say to it.

    Reads headers and configs, and the folder's tokenizers.

    Args:
        path: a file, the folder that holds model_index.json, or one component's folder.
        tokenizers: folders of CLIP's and T5's tokenizer, as for `load_parts`; without them it is not checked whether
            a text encoder has their words.

    Returns:
        The finding; its flavour may be "unknown". `loads_as` says what it loads as, judged by itself (its partners
        may not fit it), NaN and infinity among its numbers aside, which only reading finds; `refusal` why it does not.

    Raises:
        InputError: nothing is there, it is a pickle, or its header is cut off or broken.
    """
    path = Path(path)
    identity = recognise(path)
    if identity.kind == "diffusers folder":
        return _of_folder(path, identity)
    if identity.kind == "LoRA" and path.is_file():
        return _of_lora(path, identity)
    return _of_parts(path, identity, tokenizers)


def _of_folder(root: Path, identity: Identity) -> Identity:
    try:
        prepare_folder(root)
    except InputError as error:
        return _refused(identity, error, f"Load Kontext Model refuses it: {_said(error)}.")
    alike = f"; {_ALIKE}" if identity.flavour in ALIKE else ""
    return replace(identity, loads_as=(FOLDER,), advice=f"whole and ready{alike}: put it under models/diffusers and "
                                                     "choose it in Load Kontext Model.")


def _of_lora(path: Path, identity: Identity) -> Identity:
    advice = lora_advice(path, read_weights_file(path))
    refused = advice.startswith("Load Kontext LoRA refuses")
    return replace(identity, loads_as=() if refused else (LORA,), refusal=advice if refused else "",
                   advice=f"{advice.removesuffix('.')}.")


def _of_parts(path: Path, identity: Identity, folders: tuple[str | Path, str | Path] | None) -> Identity:
    fillings: dict[str, Filling] = {}
    refusals: dict[str, InputError] = {}
    others = parts_in(path)
    tokenizers = None
    if folders is not None and (CLIP in others or T5 in others):
        tokenizers = load_tokenizers(*map(Path, folders))
    for part in (TRANSFORMER, *others):
        try:
            fillings[part] = check_file(path, part, tokenizers)
            check_fit(fillings)
        except InputError as error:
            fillings.pop(part, None)
            refusals[part] = error
    weights = f"its weights take {gib(identity.bytes)}"
    if not fillings:
        whole = identity.kind in ("transformer", "all-in-one checkpoint")
        error = refusals.get(identity.part or "") or refusals[TRANSFORMER if whole else next(reversed(refusals))]
        return _refused(identity, error, f"Load Kontext Files refuses it: {_said(error)}; {weights}.")
    loads = tuple(part for part in (TRANSFORMER, CLIP, T5, VAE) if part in fillings)
    parts = [part for part in loads if part != TRANSFORMER]
    if TRANSFORMER in fillings:
        place = "models/checkpoints" if parts else _PLACES[TRANSFORMER]
        said = [f"choose it in Load Kontext Files, from {place}"]
        if identity.flavour in ALIKE:
            said.append(_ALIKE if identity.flavour == DEV_SHAPED else f"{identity.flavour} was not trained to edit")
        missing = [part for part in (CLIP, T5, VAE) if part not in parts]
        said.append(weights + (f", and {_BESIDE}" if missing == [CLIP, T5, VAE] else ""))
        if parts and missing:
            said.append(f"choose {' and '.join(missing)} too")
            said += [f"its own {part} is refused: {_said(refusals[part])}" for part in missing if part in refusals]
    else:
        place = _PLACES[parts[0]] if len(parts) == 1 and identity.kind != "all-in-one checkpoint" else "its folder"
        said = [f"choose it in Load Kontext Files as {' and as '.join(parts)}, from {place}", weights]
        if identity.kind == "all-in-one checkpoint":
            said.append(f"its transformer is refused there: {_said(refusals[TRANSFORMER])}")
        said = [*_misfits(fillings), *said]
    said += [note for part, filling in fillings.items() if (note := left_out(part, filling.source))]
    return replace(identity, loads_as=loads, refusal="", advice="; ".join(said) + ".")


def _misfits(fillings: Mapping[str, Filling]) -> list[str]:
    """Text encoders of another width than those of FLUX.1, which fit other transformers only."""
    widths = {part: getattr(fillings[part].model.config, field) for part, (field, _) in _OWN.items()
              if part in fillings}
    return [f"not for FLUX.1 Kontext itself, whose transformer reads a width of {_OWN[part][1]} as {part}, but for one "
            f"that reads {width}" for part, width in widths.items() if width != _OWN[part][1]]


def _refused(identity: Identity, error: InputError, advice: str) -> Identity:
    return replace(identity, refusal=str(error), advice=advice)


def _said(error: InputError) -> str:
    return str(error).removeprefix(f"{error.where}: ")

"""What a model file or folder is, and what it is good for. Reads headers and configs only, loads nothing.

A flavour is told by the tensors' names and shapes where they tell it; FLUX.1 dev, Krea dev and Kontext dev have the
same tensors, so there only metadata or the name can, and `confidence` says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from ..errors import InputError
from .advice import advise, gib
from .check import check_folder
from .flavours import (
    BFL,
    CONTROL,
    CONTROL_WORDS,
    DEV,
    DEV_OR_KREA,
    DEV_SHAPED,
    DEV_WORDS,
    FLUX_1,
    FLUX_BY_CHANNELS,
    FLUX_LORA,
    KONTEXT,
    LORA_STARTS,
    MARKS,
    SCHNELL,
    Mark,
    pipeline_flavour,
)
from .headers import Tensor, WeightsFile, read_weights_file
from .precision import read_precision
from .weights import count_blocks, read_json

_PREFIXES = ("", "model.diffusion_model.", "diffusion_model.")
_PARTS = {"text_encoders.": "text encoders", "cond_stage_model.": "text encoder", "conditioner.": "text encoders",
          "first_stage_model.": "VAE", "vae.": "VAE"}
_LORA = re.compile(r"\.lora_[AB]\.|\.lora_(down|up)\.weight$|\.lora\.(down|up)\.weight$|\.(lokr_w[12]|hada_w[12]_)")
_TITLES = ("modelspec.title", "modelspec.architecture", "general.name", "general.basename", "general.finetune",
           "ss_base_model_version", "ss_sd_model_name")  # metadata that names the model, and not only its neighbours
_PART_OF = re.compile(r"-\d{5}-of-\d{5}\.")
_PLAIN_NAMES = re.compile(r"(diffusion_pytorch_)?model\b.*|transformer|unet|vae|text_encoder(_2)?")
_UNPACKED = ("fp64", "fp32", "fp16", "bf16")
_MAX_FILES = 200
_FLUX_SIZE = (19, 38, 3072)  # double blocks, single blocks, width


@dataclass(frozen=True)
class Identity:
    """What `identify` found."""

    kind: str  # transformer, all-in-one checkpoint, diffusers folder, CLIP-L, T5-XXL, text encoder, VAE, LoRA, ...
    flavour: str  # whose; "unknown" if nothing tells
    confidence: str  # what tells it: "tensors", "config", "metadata", "name" or "none"
    reasons: tuple[str, ...]
    layout: str
    precision: str
    parameters: int
    bytes: int  # on disk
    advice: str = ""

    def loaded_bytes(self, itemsize: int) -> int:
        """Bytes its weights take in memory: packed ones as on disk, ordinary numbers in `itemsize` bytes each."""
        return self.parameters * itemsize if self.precision in _UNPACKED else self.bytes

    @property
    def report(self) -> str:
        """All of it as text of several lines."""
        told = {"none": "nothing tells for certain", "name": "by its name only"}.get(
            self.confidence, f"told by its {self.confidence}")
        lines = [f"{self.flavour}: {self.kind} ({told})", f"layout: {self.layout}", f"precision: {self.precision}",
                 f"size: {self.parameters / 1e6:,.1f} million weights, {gib(self.bytes)} on disk",
                 *(f"because: {reason}" for reason in self.reasons), f"advice: {self.advice}"]
        return "\n".join(lines)


def identify(path: str | Path) -> Identity:
    """Say what a model file (safetensors, GGUF) or diffusers folder is.

    Args:
        path: the file, the folder that holds model_index.json, or one component's folder.

    Returns:
        The finding; its flavour may be "unknown".

    Raises:
        InputError: nothing is there, it is a pickle, or its header is cut off or broken.
    """
    path = Path(path)
    if path.is_dir():
        found = _folder(path)
    elif path.exists():
        found = _tensors(path, read_weights_file(path))
    else:
        raise InputError(str(path), "file", path.name, "does not exist", "check the path")
    return replace(found, advice=found.advice or advise(found.kind, found.flavour, found.precision, found.bytes))


# Folders -----------------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Identity:
    if not (root / "model_index.json").is_file():
        return _component(root)
    class_name = read_json(root / "model_index.json").get("_class_name", "missing")
    flavour, confidence = pipeline_flavour(class_name) or "unknown", "config"
    reasons = [f"model_index.json names the class {_shown(class_name)}"]
    size = parameters = 0
    precisions = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        try:
            part = _component(folder)
        except InputError as error:
            if any(folder.glob("*.safetensors*")) or folder.name in ("transformer", "unet"):
                reasons.append(f"{folder.name} is not whole: {error.problem}")
            continue
        size, parameters = size + part.bytes, parameters + part.parameters
        if folder.name in ("transformer", "unet"):
            precisions.insert(0, part.precision)
            if flavour in (FLUX_1, CONTROL) and part.flavour.startswith("FLUX"):
                no_kontext = flavour == FLUX_1 and part.flavour in (KONTEXT, DEV_SHAPED)  # its class says so
                flavour = DEV_OR_KREA if no_kontext else part.flavour
                confidence = "config" if no_kontext else part.confidence
                reasons += part.reasons[:2]
        else:
            precisions.append(part.precision)
    if flavour == "unknown":
        confidence = "none"
    return Identity("diffusers folder", flavour, confidence, tuple(reasons), "diffusers folder",
                    precisions[0] if precisions else "no weights", parameters, size,
                    _folder_advice(root) if flavour == KONTEXT else "")


def _folder_advice(root: Path) -> str:
    try:
        check_folder(root)
    except InputError as error:
        return f"Load Kontext Model refuses it: {error.field} '{_shown(error.value)}' {error.problem}; {error.remedy}."
    return "whole and ready: put it under models/diffusers and choose it in Load Kontext Model."


def _component(folder: Path) -> Identity:
    """One component's folder; its files are put together."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        weight_map = read_json(indices[0]).get("weight_map")
        names = sorted({str(v) for v in weight_map.values()}) if isinstance(weight_map, dict) else []
    else:
        names = sorted(p.name for p in folder.glob("*.safetensors"))[:1]
    if not names or len(names) > _MAX_FILES:
        raise InputError(str(folder), "folder", folder.name, "holds no model_index.json and no safetensors weights",
                         "choose a diffusers folder or a weights file")
    tensors: dict[str, Tensor] = {}
    size = 0
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise InputError(str(indices[0]), "weight_map", name, "is not a safetensors file beside the index",
                             "download the folder again")
        if not (folder / name).is_file():
            raise InputError(str(folder), "file", name, "is named by the index but missing", "download this file too")
        part = read_weights_file(folder / name)
        tensors |= part.tensors
        size += part.bytes
    whole = WeightsFile("safetensors", tensors, part.metadata, size)
    return replace(_tensors(folder, whole), bytes=size)


# Tensors -----------------------------------------------------------------------------------------------------------


class _View(Mapping):
    """The tensors below a prefix, without it."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name: str) -> Tensor:
        full = self.prefix + name
        if full not in self.tensors and full.endswith(".weight"):
            full = full.removesuffix("weight") + "qweight"
        return self.tensors[full]

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None

    def __iter__(self):
        return (name.removeprefix(self.prefix) for name in self.tensors if name.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _tensors(path: Path, file: WeightsFile) -> Identity:
    if any(_LORA.search(name) for name in file.tensors):
        return _lora(path, file)
    for prefix in _PREFIXES:
        view = _View(file.tensors, prefix)
        mark = next((mark for mark in MARKS if _bears(view, mark)), None)
        if mark:
            break
    others = sorted({part for start, part in _PARTS.items() if any(n.startswith(start) for n in file.tensors)})
    model = "model.diffusion_model."
    one_of_all = bool(others) and any(name.startswith(model) for name in file.tensors)
    main = replace(file, tensors={n: t for n, t in file.tensors.items() if n.startswith(model)}) if one_of_all else file
    precision, parameters, why = read_precision(main)
    if one_of_all:
        parameters = read_precision(file)[1]
    kind, layout = (mark.kind, mark.layout) if mark else ("unknown", "unknown")
    if file.format == "GGUF":
        layout = f"GGUF, {layout}" if not layout.startswith("GGUF") else layout
    elif path.is_dir():
        layout = f"diffusers folder, {layout}"
    if one_of_all:
        kind, layout = "all-in-one checkpoint", f"all-in-one: {model} ({layout}) with {' and '.join(others)}"
    elif mark and prefix:
        layout = f"{layout} with prefix {prefix}"
    flavour, confidence, reasons = _flavour(path, file, mark, view)
    return Identity(kind, flavour, confidence, (*reasons, f"precision {why}"), layout, precision, parameters,
                    file.bytes)


def _bears(view: _View, mark: Mark) -> bool:
    if not all(name in view for name in mark.tensors) or any(name in view for name in mark.absent):
        return False
    if not mark.shape:
        return True
    (axis, length), shape = mark.shape, view[mark.tensors[0]].shape
    return -len(shape) <= axis < len(shape) and shape[axis] == length


def _flavour(path: Path, file: WeightsFile, mark: Mark | None, view: _View) -> tuple[str, str, list[str]]:
    if mark is None:
        first = ", ".join(_shown(name) for name in list(file.tensors)[:4])
        said = [f"the header says architecture {_shown(file.metadata['general.architecture'])}"] \
            if "general.architecture" in file.metadata else []
        return "unknown", "none", [f"no known tensors among its {len(file.tensors)}: {first} ...", *said]
    if mark.flavour != FLUX_1:
        return mark.flavour, "tensors", [f"has {mark.tensors[0]}"]
    return _flux(path, file, view, mark.layout == BFL)


def _flux(path: Path, file: WeightsFile, view: _View, bfl: bool) -> tuple[str, str, list[str]]:
    """Which FLUX.1 a transformer is."""
    first = "img_in" if bfl else "x_embedder"
    guidance = ("guidance_in.in_layer" if bfl else "time_text_embed.guidance_embedder.linear_1") + ".weight"
    width, channels = _linear(view, first)
    blocks = [count_blocks(file.tensors, view.prefix + name) for name in
              (("double_blocks", "single_blocks") if bfl else ("transformer_blocks", "single_transformer_blocks"))]
    reasons = [f"{first}.weight takes {channels} channels"]
    if _PART_OF.search(path.name):
        reasons.append("it is one of several parts: what is missing here may be in the others")
    elif (*blocks, width) != _FLUX_SIZE:
        reasons.append(f"has {blocks[0]} + {blocks[1]} blocks of width {width}, where FLUX.1 has 19 + 38 of 3072")
    if channels in FLUX_BY_CHANNELS:
        flavour = FLUX_BY_CHANNELS[channels]
        if flavour == CONTROL:
            return _by_words(path, file, CONTROL_WORDS, CONTROL, "tensors", reasons)
        return flavour, "tensors", reasons
    if channels != 64:
        return "unknown", "none", [*reasons, "built like FLUX.1, but no known member takes as many"]
    if guidance not in view:
        if _PART_OF.search(path.name):
            return DEV_SHAPED.replace(" or ", ", schnell or "), "none", reasons
        reasons.append("has no guidance embedding, which only schnell and what was made from it lack")
        return SCHNELL, "tensors", reasons
    reasons.append("has a guidance embedding, so it is no schnell; dev, Krea dev and Kontext dev share every tensor "
                   "and shape, so only metadata or the name can tell them apart")
    return _by_words(path, file, DEV_WORDS, DEV_SHAPED, "none", reasons)


def _linear(view: _View, name: str) -> tuple[int, int]:
    """(outputs, inputs) of a Linear, also where its weight is packed to 4 bit and has lost its shape."""
    weight = view[name + ".weight"]
    bias = view.get(name + ".bias")
    if bias is not None and weight.dtype in ("U8", "I8") and len(bias.shape) == 1 and bias.shape[0]:
        return bias.shape[0], prod(weight.shape) * 2 // bias.shape[0]
    return (weight.shape[0], weight.shape[1]) if len(weight.shape) == 2 else (0, 0)


def _by_words(path: Path, file: WeightsFile, words: tuple[tuple[str, str], ...], undecided: str, confidence: str,
              reasons: list[str]) -> tuple[str, str, list[str]]:
    """Decide among models of the same shapes by the metadata, then by the name."""
    titles = {key: file.metadata[key] for key in _TITLES if key in file.metadata}
    name = path.name
    if _PLAIN_NAMES.fullmatch(name):  # a component's file or folder: its model's folder has the name
        name = "/".join(path.parts[-2 if path.is_dir() else -3:])
    special = [pair for pair in words if pair[1] != DEV]
    for table in (special, [pair for pair in words if pair[1] == DEV]):
        for source, texts in (("metadata", titles), ("name", {"name": name})):
            hits = {flavour: (key, text) for key, text in texts.items() for word, flavour in table
                    if re.search(rf"(?<![a-z]){word}(?![a-z])" if word == "dev" else word, text.lower())}
            if len(hits) == 1:
                flavour, (key, text) = next(iter(hits.items()))
                said = f"the {'file name' if source == 'name' else f'metadata {key}'} says '{_shown(text)}'"
                return flavour, source, [*reasons, said]
            if hits:
                return undecided, confidence, [*reasons, f"its {source} names several: {', '.join(hits)}"]
    return undecided, confidence, [*reasons, "neither its metadata nor its name says which"]


def _lora(path: Path, file: WeightsFile) -> Identity:
    precision, parameters, why = read_precision(file)
    flavour, confidence, reasons = "unknown", "none", []
    for starts, known in LORA_STARTS:
        hit = next((name for name in file.tensors if name.startswith(starts)), None)
        if hit:
            flavour, confidence, reasons = known, "tensors", [f"has {_shown(hit)}"]
            break
    if flavour in (FLUX_LORA, "unknown"):
        text = " ".join(file.metadata.get(key, "") for key in _TITLES).lower()
        if "kontext" in text:
            flavour, confidence = "LoRA for FLUX.1 Kontext", "metadata"
            reasons.append("its metadata says kontext")
        elif re.search(r"flux[-_. ]?1", text):
            flavour, confidence = "LoRA for FLUX.1", "metadata"
            reasons.append("its metadata says flux 1")
    if flavour == "unknown":
        reasons.append(f"first keys: {', '.join(_shown(name) for name in list(file.tensors)[:4])}")
    return Identity("LoRA", flavour, confidence, (*reasons, f"precision {why}"), "LoRA keys", precision, parameters,
                    file.bytes)


def _shown(text: object) -> str:
    line = " ".join(str(text)[:200].encode("utf-8", "backslashreplace").decode("utf-8").split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= 80 else line[:77] + "..."

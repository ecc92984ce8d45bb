"""What a model file or folder is. Reads headers and configs only; what it is good for, `advice.py` says.

A flavour is told by the tensors' names and shapes where they tell it; FLUX.1 dev, Krea dev and Kontext dev have the
same tensors, so there only metadata or the name can, and `confidence` says so.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from ...common import InputError
from ..files.headers import read_weights_file
from ..files.source import LARGE
from ..files.tensors import Tensor, WeightsFile
from ..files.weights import PART_OF, count_blocks, own_name, read_json, read_weights_files
from ..names.parts import MODEL, PREFIXES, spellings
from ..networks import TransformerConfig
from .flavours import (
    BFL,
    CONTROL,
    CONTROL_WORDS,
    DEV,
    DEV_SHAPED,
    DEV_WORDS,
    FLUX_1,
    FLUX_BY_BLOCKS,
    FLUX_BY_CHANNELS,
    MARKS,
    SCHNELL,
    Mark,
    pipeline_flavour,
)
from .loras import flavour_of, looks_like_lora
from .precision import read_precision

_PREFIXES = tuple(dict.fromkeys(prefix for prefixes in PREFIXES.values() for prefix in prefixes))
_PARTS = {"text_encoders.": "text encoders", "cond_stage_model.": "text encoder", "conditioner.": "text encoders",
          "first_stage_model.": "VAE", "vae.": "VAE"}
_TITLES = ("modelspec.title", "modelspec.architecture", "general.name", "general.basename", "general.finetune",
           "ss_base_model_version", "ss_sd_model_name", "_name_or_path")  # these name the model, not its neighbours
_PLAIN_NAMES = re.compile(r"(diffusion_pytorch_)?model\b.*|transformer|unet|vae|text_encoder(_2)?")
_UNPACKED = ("fp64", "fp32", "fp16", "bf16")
_PACKED = ("qweight", "weight._data", "weight._data._data", "_weight_qdata")  # AWQ's, quanto's two, torchao's weight
_HEADS = {name[:-2] for mark in MARKS for name in (*mark.tensors, *mark.absent) if name.endswith(".*")}
_FLUX = TransformerConfig()
_FLUX_SIZE = (_FLUX.num_layers, _FLUX.num_single_layers, _FLUX.num_attention_heads * _FLUX.attention_head_dim)


@dataclass(frozen=True)
class Identity:
    """What a file was found to be."""

    kind: str  # transformer, all-in-one checkpoint, diffusers folder, CLIP-L, T5-XXL, text encoder, VAE, LoRA, ...
    flavour: str  # whose; "unknown" if nothing tells
    confidence: str  # what tells it: "tensors", "config", "metadata", "name" or "none"
    reasons: tuple[str, ...]  # what told it first
    layout: str
    precision: str
    parameters: int
    bytes: int  # on disk
    part: str | None = None  # of Kontext, for which its names are right: "transformer", "clip", "t5" or "vae"
    advice: str = ""  # by `advice.identify`
    loads_as: tuple[str, ...] = ()  # what the loaders take it for: one of the parts, "folder", "LoRA"
    refusal: str = ""  # what they say otherwise

    def loaded_bytes(self, itemsize: int) -> int:
        """Bytes its weights take in memory: packed ones as on disk, ordinary numbers in `itemsize` bytes each, or as on
        disk if that is less and the file is large (`source.LARGE`)."""
        if self.precision not in _UNPACKED:
            return self.bytes
        computed = self.parameters * itemsize
        return min(self.bytes, computed) if self.bytes >= LARGE else computed

    @property
    def report(self) -> str:
        """All of it as text of several lines."""
        told = {"none": "nothing tells for certain", "name": "by its name only"}.get(
            self.confidence, f"told by its {self.confidence}")
        lines = [f"{self.flavour}: {self.kind} ({told})", f"layout: {self.layout}", f"precision: {self.precision}",
                 f"size: {self.parameters / 1e6:,.1f} million weights, {gib(self.bytes)} on disk",
                 *(f"because: {reason}" for reason in self.reasons), f"advice: {self.advice}"]
        return "\n".join(lines)


def gib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.2f} MiB"


def recognise(path: str | Path) -> Identity:
    """Say what a model file (safetensors, GGUF) or diffusers folder is.

    Args:
        path: the file, the folder that holds model_index.json, or one component's folder.

    Returns:
        The finding, without advice; its flavour may be "unknown".

    Raises:
        InputError: nothing is there, it is a pickle, or its header is cut off or broken.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return recognise_tensors(path, read_weights_file(path))
    raise InputError(str(path), "file", path.name, "does not exist", "check the path")


# Folders -----------------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Identity:
    if not (root / "model_index.json").is_file():
        return _component(root)
    class_name = read_json(root / "model_index.json").get("_class_name", "missing")
    flavour, confidence = pipeline_flavour(class_name) or "unknown", "config"
    reasons = [f"model_index.json names the class {shown(class_name)}"]
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
            if flavour in (FLUX_1, CONTROL) and part.flavour.startswith("FLUX"):  # the class fits several models
                flavour, confidence = part.flavour, part.confidence
                reasons += part.reasons[:2]
        else:
            precisions.append(part.precision)
    if flavour == "unknown":
        confidence = "none"
    return Identity("diffusers folder", flavour, confidence, tuple(reasons), "diffusers folder",
                    precisions[0] if precisions else "no weights", parameters, size)


def _component(folder: Path) -> Identity:
    """One component's folder; its files are put together."""
    files = read_weights_files(folder)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in files.values():
        tensors |= file.tensors
        metadata |= file.metadata
    if (folder / "config.json").is_file():
        origin = read_json(folder / "config.json").get("_name_or_path")
        metadata |= {"_name_or_path": origin} if isinstance(origin, str) else {}
    return recognise_tensors(folder, WeightsFile("safetensors", tensors, metadata,
                                                 sum(file.bytes for file in files.values())))


# Tensors -----------------------------------------------------------------------------------------------------------


class _View(Mapping):
    """The tensors below a prefix, without it, found under each spelling of their names."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str):
        self.tensors, self.prefix = tensors, prefix
        self.heads = {head for name in self if (head := name.partition(".")[0]) in _HEADS}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + self.spelt(name)]

    def spelt(self, name: str) -> str:
        """How this file spells a name; quantised weights are called in other ways by some."""
        known = list(spellings(name))
        known += [spelling.removesuffix("weight") + packed for spelling in known if spelling.endswith("weight")
                  for packed in _PACKED]
        return next((spelling for spelling in known if self.prefix + spelling in self.tensors), name)

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None

    def __iter__(self):
        return (name.removeprefix(self.prefix) for name in self.tensors if name.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def bears(self, name: str) -> bool:
        """Whether a name of a Mark is there."""
        return name[:-2] in self.heads if name.endswith(".*") else name in self


def recognise_tensors(path: Path, file: WeightsFile) -> Identity:
    """`recognise`, from the tensors of a header or of a part of it; the path tells by its name alone."""
    if looks_like_lora(file.tensors):
        return _lora(path, file)
    for prefix in [prefix for prefix in _PREFIXES if any(name.startswith(prefix) for name in file.tensors)]:
        view = _View(file.tensors, prefix)
        mark = next((mark for mark in MARKS if _bears(view, mark)), None)
        if mark:
            break
    others = sorted({part for start, part in _PARTS.items() if any(n.startswith(start) for n in file.tensors)})
    one_of_all = bool(others) and any(name.startswith(MODEL) for name in file.tensors)
    main = replace(file, tensors={n: t for n, t in file.tensors.items() if n.startswith(MODEL)}) if one_of_all else file
    precision, parameters, why = read_precision(main)
    if one_of_all:
        parameters = read_precision(file)[1]
    kind, layout = (mark.kind, mark.layout) if mark else ("unknown", "unknown")
    if file.format == "GGUF":
        layout = f"GGUF, {layout}" if not layout.startswith("GGUF") else layout
    elif path.is_dir():
        layout = f"diffusers folder, {layout}"
    if one_of_all:
        kind, layout = "all-in-one checkpoint", f"all-in-one: {MODEL} ({layout}) with {' and '.join(others)}"
    elif mark and prefix:
        layout = f"{layout} with prefix {prefix}"
    flavour, confidence, reasons = _flavour(path, file, mark, view)
    return Identity(kind, flavour, confidence, (*reasons, f"precision {why}"), layout, precision, parameters,
                    file.bytes, mark.part if mark else None)


def _bears(view: _View, mark: Mark) -> bool:
    if not all(view.bears(name) for name in mark.tensors) or any(view.bears(name) for name in mark.absent):
        return False
    if not mark.shape:
        return True
    (axis, length), shape = mark.shape, view[mark.tensors[0]].shape
    return -len(shape) <= axis < len(shape) and shape[axis] == length


def _flavour(path: Path, file: WeightsFile, mark: Mark | None, view: _View) -> tuple[str, str, list[str]]:
    if mark is None:
        first = ", ".join(shown(name) for name in list(file.tensors)[:4])
        said = [f"the header says architecture {shown(file.metadata['general.architecture'])}"] \
            if "general.architecture" in file.metadata else []
        return "unknown", "none", [f"no known tensors among its {len(file.tensors)}: {first} ...", *said]
    if mark.flavour != FLUX_1:
        return mark.flavour, "tensors", [f"has {view.spelt(mark.tensors[0])}"]
    return _flux(path, file, view, mark.layout == BFL)


def _flux(path: Path, file: WeightsFile, view: _View, bfl: bool) -> tuple[str, str, list[str]]:
    """Which FLUX.1 a transformer is."""
    first = "img_in" if bfl else "x_embedder"
    guidance = ("guidance_in.in_layer" if bfl else "time_text_embed.guidance_embedder.linear_1") + ".weight"
    width, channels = _linear(view, first)
    blocks = [count_blocks(file.tensors, view.prefix + name) for name in
              (("double_blocks", "single_blocks") if bfl else ("transformer_blocks", "single_transformer_blocks"))]
    reasons = [f"{first}.weight takes {channels} channels"]
    if PART_OF.search(path.name):
        reasons.append("it is one of several parts: what is missing here may be in the others")
    elif (*blocks, width) != _FLUX_SIZE:
        reasons.append(f"has {blocks[0]} + {blocks[1]} blocks of width {width}, where FLUX.1 has 19 + 38 of 3072")
    if channels in FLUX_BY_CHANNELS:
        flavour = FLUX_BY_CHANNELS[channels]
        if flavour == CONTROL:
            return _by_words(path, file, CONTROL_WORDS, CONTROL, "tensors", reasons)
        return flavour, "tensors", reasons
    if channels != 64:
        return "unknown", "none", ["built like FLUX.1, but no known member takes as many channels", *reasons]
    if guidance not in view:
        if PART_OF.search(path.name):
            return DEV_SHAPED.replace(" or ", ", schnell or "), "none", reasons
        return SCHNELL, "tensors", ["has no guidance embedding, which only schnell and what was made from it lack",
                                    *reasons]
    reasons.append("has a guidance embedding, so it is no schnell; dev, Krea dev and Kontext dev share every tensor "
                   "and shape, so only metadata or the name can tell them apart")
    undecided = FLUX_BY_BLOCKS.get((blocks[0], blocks[1]), DEV_SHAPED)
    return _by_words(path, file, DEV_WORDS, undecided, "none" if undecided == DEV_SHAPED else "tensors", reasons)


def _linear(view: _View, name: str) -> tuple[int, int]:
    """(outputs, inputs) of a Linear, also where its weight is packed to 4 bit and has lost its shape."""
    weight = view[name + ".weight"]
    bias = view.get(name + ".bias")
    if bias is not None and weight.dtype in ("U8", "I8") and len(bias.shape) == 1 and bias.shape[0]:
        in_a_byte = 1 if weight.dtype == "I8" and not view.spelt(name + ".weight").endswith("qweight") else 2
        return bias.shape[0], prod(weight.shape) * in_a_byte // bias.shape[0]
    return (weight.shape[0], weight.shape[1]) if len(weight.shape) == 2 else (0, 0)


def _by_words(path: Path, file: WeightsFile, words: tuple[tuple[str, str], ...], undecided: str, confidence: str,
              reasons: list[str]) -> tuple[str, str, list[str]]:
    """Decide among models of the same shapes by the metadata, then by the name."""
    def with_reason(said: str) -> list[str]:
        return [said, *reasons] if confidence == "none" else [*reasons, said]  # what tells it stands first

    titles = {key: file.metadata[key] for key in _TITLES if key in file.metadata}
    name = _name(path)
    special = [pair for pair in words if pair[1] != DEV]
    for table in (special, [pair for pair in words if pair[1] == DEV]):
        for source, texts in (("metadata", titles), ("name", {"name": name})):
            hits = {flavour: (key, text) for key, text in texts.items() for word, flavour in table
                    if re.search(rf"(?<![a-z]){word}(?![a-z])" if word == "dev" else word, text.lower())}
            if len(hits) == 1:
                flavour, (key, text) = next(iter(hits.items()))
                said = f"the {'file name' if source == 'name' else f'metadata {key}'} says '{shown(text)}'"
                return flavour, source, with_reason(said)
            if hits:
                return undecided, confidence, with_reason(f"its {source} names several: {', '.join(hits)}")
    return undecided, confidence, with_reason("neither its metadata nor its name says which")


def _name(path: Path) -> str:
    """What a file is called; of a component's file or folder, its model's folder too, which has the name."""
    path = Path(os.path.abspath(path))
    names = [own_name(path)]
    while _PLAIN_NAMES.fullmatch(path.name) and len(names) < 3 and path.name != path.parent.name:
        path = path.parent
        names.insert(0, own_name(path))
    return "/".join(names)


def _lora(path: Path, file: WeightsFile) -> Identity:
    precision, parameters, why = read_precision(file)
    flavour = flavour_of(file.tensors)
    confidence = "none" if flavour == "unknown" else "tensors"
    reasons = [f"first keys: {', '.join(shown(name) for name in list(file.tensors)[:4])}"]
    if flavour == "unknown" or "FLUX.1" in flavour:
        text = " ".join(file.metadata.get(key, "") for key in _TITLES).lower()
        if "kontext" in text:
            flavour, confidence = "LoRA for FLUX.1 Kontext", "metadata"
            reasons.append("its metadata says kontext")
        elif re.search(r"flux[-_. ]?1", text):
            flavour, confidence = "LoRA for FLUX.1", "metadata"
            reasons.append("its metadata says flux 1")
    return Identity("LoRA", flavour, confidence, (*reasons, f"precision {why}"), "LoRA keys", precision, parameters,
                    file.bytes)


def shown(text: object) -> str:
    """Text of a file on one line, not too long."""
    line = " ".join(str(text)[:200].encode("utf-8", "backslashreplace").decode("utf-8").split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= 80 else line[:77] + "..."

"""What a LoRA file's header says: the layers it changes and how. All checks that need no numbers are here.

`read_lora` begins with it and Inspect Model ends with it, so both say the same of every file.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...common import InputError
from ..files.tensors import Tensor, WeightsFile
from ..files.weights import read_json
from ..names.loras import Target, can_have_bias, find_target, is_of_text_encoder
from ..names.transformer import FIRST_LAYER
from ..recognise.flavours import FLUX_BY_CHANNELS, FLUX_LORA
from ..recognise.identify import recognise
from ..recognise.loras import LORA_TENSOR, flavour_of, looks_like_lora

_OTHER_KINDS = (  # a tensor's name holds this -> what the file is instead
    (re.compile(r"\.(oft_|boft_)"), "an OFT, which turns weights instead of adding to them"),
    (re.compile(r"\.lora_mid\.|\.lokr_t[12]$|\.hada_t[12]$"), "a LoRA of convolutions, which FLUX.1 does not have"),
    (re.compile(r"\.(a1|a2|b1|b2)\.weight$"), "a GLoRA"), (re.compile(r"\.on_input$"), "an IA3"),
    (re.compile(r"\.lora_(down|up)$"), "a LoRA packed for nunchaku"),
)
_CONTROL = re.compile(r"(double|single)_blocks\.\d+\..*norm\.(key|query)_norm\.scale$")
_METADATA = "lora_adapter_metadata"  # of diffusers: JSON of PEFT's configuration
_PEFT_FILE, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # as PEFT's save_pretrained names them
_EMBEDDINGS = "bundle_emb."  # OneTrainer's textual inversions, packed into the same file
DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_SHOWN = 3  # keys in an error message
_REMEDY = "choose a LoRA for FLUX.1 Kontext or FLUX.1 dev"
_DAMAGED = "this file is damaged or no LoRA; download or save it again"


@dataclass(frozen=True)
class Outline:
    """One layer of a file, without its numbers.

    Attributes:
        name: in the file.
        target: the layers of the model it changes.
        kind: "LoRA", "LoKr", "LoHa", "full" (a difference for each weight), "set" (new weights), "bias" (no weights).
        tensors: what each tensor is of the layer ("down", "up", "lokr_w1", "alpha", ...) -> its name in the file.
        shape: of the weights that it changes, [outputs, inputs] or [n]; None if it changes the bias only.
        bias_size: length of the bias that it changes, None if it changes none.
        rank: of a low-rank product; None where there is none.
    """

    name: str
    target: Target
    kind: str
    tensors: Mapping[str, str]
    shape: tuple[int, ...] | None
    bias_size: int | None
    rank: int | None


@dataclass(frozen=True)
class Header:
    """A LoRA file's header, read.

    Attributes:
        flavour: what model it seems to be for.
        layers: all it changes.
        left_out: tensors that change something which FLUX.1 does not have, or which this pack does not use.
        embeddings: how many tensors are textual inversions, which are left out too.
        config: PEFT's configuration from the metadata, {"transformer.lora_alpha": 64, ...}, or from the
            adapter_config.json beside the file, {"lora_alpha": 64, ...}; empty without one.
    """

    flavour: str
    layers: tuple[Outline, ...]
    left_out: tuple[str, ...]
    embeddings: int
    config: Mapping[str, object]


def read_header(path: Path, file: WeightsFile, is_zero: Callable[[str], bool]) -> Header:
    """Check a LoRA file as far as its header tells.

    Args:
        path: the file, for messages.
        file: its header.
        is_zero: whether all numbers of a tensor are zero. Asked of tensors only that have no place in FLUX.1, and no
            further than the first that is not zero: zeros do nothing wherever they belong.

    Raises:
        InputError: no LoRA, one of a kind that is not read or for another model, half a pair, shapes that do not fit
            each other, a layer twice.
    """
    where, names = str(path), list(file.tensors)
    flavour = flavour_of(names)
    _check_kind(where, file)
    groups, unknown = _group(where, names)
    embeddings = [name for name in unknown if name.startswith(_EMBEDDINGS)]
    unknown = [name for name in unknown if not name.startswith(_EMBEDDINGS) and not name.endswith(".alpha")]
    if not groups:
        raise _mismatch(path, file, [*embeddings, *unknown], flavour, partly=False)
    foreign = [name for name in unknown if not is_of_text_encoder(name)]
    if flavour == "LoRA for SDXL" or any(not is_zero(name) for name in foreign):
        raise _mismatch(path, file, foreign or unknown, flavour, partly=True)
    layers = [layer for name, tensors in groups.items() if (layer := outline(where, name, tensors, file.tensors))]
    _check_twice(where, layers)
    config = _peft_config(path, file)
    if not layers:
        raise InputError(where, "LoRA", path.name, "changes nothing: no layer of it holds a change", _REMEDY)
    return Header(flavour, tuple(layers),
                  tuple(name for name in unknown if is_of_text_encoder(name)), len(embeddings), config)


def _peft_config(path: Path, file: WeightsFile) -> Mapping[str, object]:
    """PEFT's configuration as diffusers or PEFT itself stores it."""
    where, beside = str(path), path.with_name(_PEFT_CONFIG)
    if _METADATA in file.metadata:
        try:
            config = json.loads(file.metadata[_METADATA])
        except (ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise InputError(where, "metadata", _METADATA, "is not JSON", "download the file again")
    elif path.name == _PEFT_FILE and beside.is_file():
        config = read_json(beside)
    else:
        return {}
    for key, patterns in config.items():
        names = patterns if key.endswith("alpha_pattern") and isinstance(patterns, dict) else ()
        unread = next((name for name in names if layer_pattern(name) is None), None)
        if unread is not None:
            raise InputError(where, key, unread, "is a regular expression for layers that have an alpha of their own: "
                             "not read", "save this LoRA with an alpha beside each layer")
    is_dora = any(key.split(".")[-1] == "use_dora" and value for key, value in config.items())
    if is_dora and not any((match := LORA_TENSOR.fullmatch(name)) and match["magnitude"] for name in file.tensors):
        raise InputError(where, "metadata", "use_dora", "makes this a DoRA, but its magnitudes are not in the file",
                         _DAMAGED)
    return config


def layer_pattern(pattern: str) -> str | None:
    """What the names of the layers end with that a key of PEFT's `alpha_pattern` is for; None if it says it in another
    way. PEFT takes it for a regular expression, which from a file nobody vouches for could run for ever."""
    ending = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
    return ending if re.fullmatch(r"[\w.]+", ending) else None


def _check_kind(where: str, file: WeightsFile) -> None:
    """Refuse what is no LoRA of a kind that is read."""
    for pattern, kind in _OTHER_KINDS:
        marker = next((key for key in file.tensors if pattern.search(key)), None)
        if marker:
            raise InputError(where, "tensor", marker, f"makes this {kind}: not read",
                             "have it converted to a LoRA, or use the nodes it was made for")
    control = next((key for key in file.tensors if _CONTROL.search(key) or key.endswith(".reshape_weight")), None)
    if control:
        raise InputError(where, "tensor", control, "makes this a Canny or Depth LoRA, for a model of more inputs",
                         _REMEDY)
    for key, tensor in file.tensors.items():
        is_number = tensor.shape in ((), (1,)) and key.endswith(".alpha")
        if tensor.dtype not in DTYPES and not is_number and not key.startswith(_EMBEDDINGS):
            raise InputError(where, key, tensor.dtype, "is no type a LoRA is read from",
                             f"save it as one of {', '.join(DTYPES)}")


def _group(where: str, keys: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """({layer: {what: key}}, keys that belong to no layer of FLUX.1)."""
    groups: dict[str, dict[str, str]] = {}
    unknown = []
    for key in keys:
        match = LORA_TENSOR.fullmatch(key)
        if not match or not find_target(match["name"]):
            unknown.append(key)
            continue
        kind, text = next((kind, text) for kind, text in match.groupdict().items() if text and kind != "name")
        role = f"{kind}_{text}" if kind in ("lokr", "hada") else kind
        first = groups.setdefault(match["name"], {}).setdefault(role, key)
        if first != key:
            raise InputError(where, "tensor", key, f"is the same as '{first}' under another name",
                             "this file holds a LoRA twice; choose another save of it")
    return groups, unknown


_NEEDED = {  # kind -> the tensors that make it
    "LoRA": ("down", "up"),
    "LoHa": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "LoKr": tuple(f"lokr_w{i}{half}" for i in "12" for half in ("", "_a", "_b")), "full": ("diff",), "set": ("set",),
}


def outline(where: str, name: str, tensors: Mapping[str, str], entries: Mapping[str, Tensor]) -> Outline | None:
    """Check the tensors of one layer, of a name that `find_target` knows, against each other; None if they do nothing
    (a lone alpha).

    Raises:
        InputError: a part is missing, or the parts' shapes do not fit each other.
    """
    def refuse(value: object, problem: str) -> InputError:
        return InputError(where, name, value, problem, _DAMAGED)

    sizes = {role: entries[key].shape for role, key in tensors.items()}
    target = find_target(name)
    assert target is not None
    kinds = [kind for kind, parts in _NEEDED.items() if any(part in tensors for part in parts)]
    if len(kinds) > 1:
        raise refuse(" and ".join(kinds), "are two kinds of change of one layer")
    kind = kinds[0] if kinds else "bias"
    shape, rank = _shape(kind, sizes.get, refuse)
    channels = shape[1] if shape and len(shape) == 2 else 0
    if target.modules == (FIRST_LAYER,) and channels in FLUX_BY_CHANNELS:
        raise InputError(where, name, f"{channels} channels",
                         f"is the first layer of {FLUX_BY_CHANNELS[channels]}, and FLUX.1 Kontext's takes 64: what "
                         "the other layers learnt goes with that model's further inputs", _REMEDY)
    if "magnitude" in sizes:
        _check_magnitude(kind, shape, sizes["magnitude"], refuse)
    if "alpha" in sizes and math.prod(sizes["alpha"]) != 1:
        raise refuse(list(sizes["alpha"]), "is an alpha that is not one number")
    biases = [sizes[role] for role in ("up_bias", "diff_b") if role in sizes]
    if any(len(bias) != 1 or shape and bias[0] != shape[0] for bias in biases) or len(set(biases)) > 1:
        raise refuse(list(biases[0]), "is a bias of another size than its layer")
    if biases and not can_have_bias(target):
        raise refuse("bias", "is for a norm or an embedding that has none")
    if kind == "bias" and not biases:
        return None
    return Outline(name, target, kind, tensors, shape, biases[0][0] if biases else None, rank)


def _shape(kind: str, size: Callable, refuse: Callable) -> tuple[tuple[int, ...] | None, int | None]:
    """(shape of the weights, rank) of one kind."""
    def pair(down: str, up: str) -> tuple[tuple[int, int], int]:
        a, b = size(down), size(up)
        if a is None and b is None:
            raise refuse(f"{down} and {up}", "are missing, and others of this layer are there")
        if a is None or b is None:
            present, absent = (up, down) if a is None else (down, up)
            raise refuse(present, f"is there without the other half of the pair, {absent}")
        if len(a) != 2 or len(b) != 2 or a[0] != b[1] or 0 in (*a, *b):
            raise refuse(f"{list(a)} and {list(b)}", "do not multiply (want [rank, inputs], [outputs, rank])")
        if a[0] > max(a[1], b[0]):
            raise refuse(f"rank {a[0]}", f"is more than the layer's {a[1]} inputs and {b[0]} outputs")
        return (b[0], a[1]), a[0]

    def factor(number: int) -> tuple[tuple[int, int], int | None]:
        whole, halves = size(f"lokr_w{number}"), (f"lokr_w{number}_b", f"lokr_w{number}_a")
        if whole is None and not any(size(half) for half in halves):
            raise refuse(f"lokr_w{3 - number}", f"is there without lokr_w{number}")
        if whole is None:
            return pair(*halves)
        if len(whole) != 2 or 0 in whole or any(size(half) for half in halves):
            raise refuse(list(whole), f"is no lokr_w{number} of a linear layer")
        return whole, None

    if kind == "LoRA":
        return pair("down", "up")
    if kind == "LoHa":
        first, second = pair("hada_w1_b", "hada_w1_a"), pair("hada_w2_b", "hada_w2_a")
        if first[0] != second[0]:
            raise refuse(f"{list(first[0])} and {list(second[0])}", "are two halves of a LoHa of different sizes")
        return first
    if kind == "LoKr":
        (left, rank), (right, second) = factor(1), factor(2)
        return (left[0] * right[0], left[1] * right[1]), second or rank
    if kind in ("full", "set"):
        whole = size("diff" if kind == "full" else "set")
        if len(whole) not in (1, 2) or 0 in whole:
            raise refuse(list(whole), "is no matrix and no vector")
        return whole, None
    return None, None


def _check_magnitude(kind: str, shape: tuple[int, ...] | None, size: tuple[int, ...], refuse: Callable) -> None:
    if shape is None or len(shape) != 2 or kind == "set":
        raise refuse(list(size), "is a DoRA's scale without the change that it scales")
    if size not in ((shape[0],), (shape[0], 1), (1, shape[1])):
        raise refuse(list(size), f"is a DoRA's scale of neither the {shape[0]} outputs nor the {shape[1]} inputs")


def _check_twice(where: str, layers: Iterable[Outline]) -> None:
    """A file of two naming schemes at once would be applied twice."""
    seen: dict[tuple[str, str], str] = {}
    for layer in layers:
        for module in layer.target.modules:
            first = seen.setdefault((layer.target.component, module), layer.name)
            if first != layer.name:
                raise InputError(where, "layer", layer.name, f"is the same as '{first}' under another name",
                                 "this file holds a LoRA twice; choose another save of it")


def _mismatch(path: Path, file: WeightsFile, keys: list[str], flavour: str, partly: bool) -> InputError:
    """Keys that belong to no layer of FLUX.1, and why that may be."""
    count = f"{len(keys)} of its tensors have no" if partly else "none of its tensors has a"
    cause = f"{count} place in FLUX.1, such as {shown(keys)}"
    if looks_like_lora(file.tensors):
        unlike = {"unknown": "another model", FLUX_LORA: "another model built like FLUX.1"}.get(flavour)
        seems = f"a LoRA for {unlike}" if unlike else f"a {flavour}"
    elif all(key.startswith(_EMBEDDINGS) for key in keys):
        seems = "textual inversions without a LoRA"
    else:
        identity = recognise(path)
        seems = "no LoRA" if identity.flavour == "unknown" else f"no LoRA but {identity.flavour} ({identity.kind})"
    return InputError(str(path), "LoRA", path.name, f"{cause}; it seems to be {seems}", _REMEDY)


def shown(keys: Iterable[str]) -> str:
    """The first few of some names."""
    keys = list(keys)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key if len(key) <= 80 else key[:77] + "..." for key in keys[:_SHOWN]) + more

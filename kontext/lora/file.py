"""Reading a LoRA file: which layers it changes and how much. Knows no model yet; `branches.py` fits it to one.

A LoRA adds `strength * alpha / rank * up @ down` to a layer's weight (Hu et al., arXiv:2106.09685). kohya's files store
alpha as a tensor beside each layer; diffusers' newer ones in the header's metadata; many store none, and then everyone
takes alpha = rank, which is right only if it was trained so or the scale is in the weights.
"""

import json
import logging
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..checkpoints.flavours import FLUX_LORA
from ..checkpoints.headers import WeightsFile, read_weights_file
from ..checkpoints.identify import identify
from ..errors import InputError
from .names import Target, find_target, is_of_text_encoder

log = logging.getLogger("kontinuity")

_SUFFIX = re.compile(  # of a tensor's name -> what it is of its layer
    r"(?P<name>.+?)\.(?:(?:lora_A|lora_down|lora\.down|lora_linear_layer\.down|down)(?:\.\w+)?\.(?P<down>weight)"
    r"|(?:lora_B|lora_up|lora\.up|lora_linear_layer\.up|up)(?:\.\w+)?\.(?P<up>weight)"
    r"|lora_B(?:\.\w+)?\.(?P<up_bias>bias)|(?P<alpha>alpha)|(?P<diff_b>diff_b))")
_OTHER_KINDS = (  # a tensor's name holds this -> what the file is instead
    (re.compile(r"\.(dora_scale$|lora_magnitude_vector)"), "DoRA"),
    (re.compile(r"\.lokr_"), "LoKr"), (re.compile(r"\.hada_"), "LoHa"), (re.compile(r"\.(oft|boft)_"), "OFT"),
)
_CONTROL = re.compile(r"(double|single)_blocks\.\d+\..*norm\.(key|query)_norm\.scale$")
_DTYPES = ("F64", "F32", "F16", "BF16")
_SHOWN = 3  # keys in an error message
_METADATA = "lora_adapter_metadata"  # of diffusers: JSON of PEFT's configuration
_COMPONENT_NAMES = {"transformer": "transformer", "clip": "text_encoder", "t5": "text_encoder_2"}


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a file. Adds `scale * up @ down` to the weights and `bias` to the bias of its target's layers."""

    name: str  # in the file
    target: Target
    down: torch.Tensor | None  # [rank, inputs]
    up: torch.Tensor | None  # [outputs, rank]
    scale: float  # alpha / rank
    bias: torch.Tensor | None  # [outputs]


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA file, read. Its tensors are on the CPU as the file has them; two readings of a file are two Loras.

    Attributes:
        name: the file's name without its ending.
        where: the file, for messages.
        flavour: what model it seems to be for ("LoRA for FLUX.1 Kontext"), as far as the file tells.
        layers: all it changes.
        alpha: where alpha stands: "file", "metadata", "some layers" or "missing" (alpha = rank is assumed).
        left_out: text encoder tensors of the file that change something no layer of FLUX.1's text encoders has.
    """

    name: str
    where: str
    flavour: str
    layers: tuple[Layer, ...]
    alpha: str
    left_out: tuple[str, ...] = ()
    token: object = field(default_factory=object)  # tells cached prompts of one Lora from another's, without keeping it

    @property
    def changes_text(self) -> bool:
        """Whether it changes a text encoder."""
        return any(layer.target.component != "transformer" for layer in self.layers)

    @property
    def report(self) -> str:
        """What it holds, as text of several lines."""
        parts = {"transformer": "transformer", "clip": "CLIP", "t5": "T5"}
        counts = {label: sum(layer.target.component == part for layer in self.layers) for part, label in parts.items()}
        ranks = sorted({layer.down.shape[0] for layer in self.layers if layer.down is not None})
        lines = [f"{self.name}: {self.flavour}",
                 "changes " + ", ".join(f"{n} layers of {label}" for label, n in counts.items() if n),
                 f"rank: {', '.join(map(str, ranks)) or 'none'}", f"alpha: {_ALPHA[self.alpha]}"]
        if self.left_out:
            lines.append(f"left out: {len(self.left_out)} tensors that FLUX.1's text encoders have no place for: "
                         f"{_shown(self.left_out)}")
        return "\n".join(lines)


_ALPHA = {
    "file": "in the file",
    "metadata": "in the file's metadata",
    "some layers": "in the file for some layers only; for the others alpha = rank is assumed",
    "missing": "not in the file, so alpha = rank is assumed; if it was trained with another alpha, the strength that "
               "it was trained with is alpha / rank",
}


def read_lora(path: str | Path) -> Lora:
    """Read a LoRA for FLUX.1: diffusers, PEFT, BFL, kohya, OneTrainer, XLabs or ComfyUI keys (docs/checkpoints.md).

    Args:
        path: a safetensors file.

    Returns:
        The LoRA. What is unusual (no alpha, tensors left out) is also logged.

    Raises:
        InputError: no safetensors file, a broken or hostile header, no LoRA or one of another kind (DoRA, LoKr, Canny)
            or for another model, half a pair, shapes that do not fit each other, NaN.
    """
    path = Path(path)
    file = read_weights_file(path)
    _check_kind(path, file)
    groups, unknown = _group(path, file.tensors)
    if not groups:
        raise _mismatch(path, [*file.tensors], partly=False)
    left_out, foreign = [], []
    with _opened(path) as tensors:
        for key in unknown:  # zeros do nothing wherever they belong; ComfyUI's saved LoRAs are full of them
            if not key.endswith(".alpha") and tensors(key).any():
                (left_out if is_of_text_encoder(key) else foreign).append(key)
        if foreign:
            raise _mismatch(path, foreign, partly=True)
        groups = {name: {kind: tensors(key) for kind, key in keys.items()} for name, keys in groups.items()}
    config = _peft_config(path, file.metadata)
    stated: list[str] = []
    found = (_layer(path, name, group, config, stated) for name, group in groups.items())
    layers = tuple(layer for layer in found if layer)
    if not layers:
        raise InputError(str(path), "LoRA", path.name, "changes nothing: all it holds is zero", "choose another LoRA")
    _check_twice(path, layers)
    flavour = identify(path).flavour
    lora = Lora(path.stem, str(path), FLUX_LORA if flavour == "unknown" else flavour, layers, _where_alpha_is(stated),
                tuple(left_out))
    log.info("LoRA %s", lora.report.replace("\n", "; "))
    return lora


def _check_kind(path: Path, file: WeightsFile) -> None:
    """Refuse what is no plain LoRA, by its header."""
    where = str(path)
    if file.format != "safetensors":
        raise InputError(where, "file", path.name, "is a GGUF file, which no LoRA is", "choose a safetensors file")
    for pattern, kind in _OTHER_KINDS:
        found = next((key for key in file.tensors if pattern.search(key)), None)
        if found:
            raise InputError(where, "tensor", found, f"makes this a {kind}, and only plain LoRAs are read",
                             "have it converted to a LoRA, or use ComfyUI's own nodes for it")
    control = next((key for key in file.tensors if _CONTROL.search(key)), None)
    if control:
        raise InputError(where, "tensor", control, "makes this a Canny or Depth LoRA, for a model of more inputs",
                         "choose a LoRA for FLUX.1 Kontext or FLUX.1 dev")
    for key, tensor in file.tensors.items():
        if tensor.dtype not in _DTYPES and not (tensor.shape in ((), (1,)) and key.endswith(".alpha")):
            raise InputError(where, key, tensor.dtype, "is no type a LoRA is read from",
                             f"save it as one of {', '.join(_DTYPES)}")


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[str], torch.Tensor]]:
    """A function that reads a tensor by its name, into memory of its own: training overwrites the file later."""
    from safetensors import SafetensorError, safe_open

    def read(key: str) -> torch.Tensor:
        tensor = file.get_tensor(key).clone()
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(str(path), "tensor", key, "holds NaN or infinity",
                             "this LoRA's training failed; choose an earlier save of it, or another LoRA")
        return tensor

    try:
        with safe_open(path, "pt") as file:
            yield read
    except (SafetensorError, OSError) as error:
        raise InputError(str(path), "file", path.name, f"cannot be read ({error})", "download the file again") from None


def _group(path: Path, keys: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Layer name -> its tensors' names by kind; and the names that are no LoRA tensor of a layer of FLUX.1."""
    groups, unknown = defaultdict(dict), []
    for key in keys:
        match = _SUFFIX.fullmatch(key)
        if not match or not find_target(match["name"]):
            unknown.append(key)
            continue
        kind = next(kind for kind, text in match.groupdict().items() if text and kind != "name")
        first = groups[match["name"]].setdefault(kind, key)
        if first != key:
            raise InputError(str(path), "tensor", key, f"is the same as '{first}' under another name",
                             "this file holds a LoRA twice; choose another save of it")
    return dict(groups), unknown


def _layer(path: Path, name: str, group: dict[str, torch.Tensor], config: Mapping, stated: list[str]) -> Layer | None:
    """Check one layer's tensors against each other; None if they do nothing. `stated` learns where alpha is."""
    def refuse(value: object, problem: str) -> InputError:
        return InputError(str(path), name, value, problem, "this file is damaged or no LoRA; download or save it again")

    target = find_target(name)
    down, up, scale = group.get("down"), group.get("up"), 1.0
    if (down is None) != (up is None):
        raise refuse("up" if down is None else "down", "is there without the other half of the pair")
    if down is not None:
        if down.dim() != 2 or up.dim() != 2 or down.shape[0] != up.shape[1] or 0 in (*down.shape, *up.shape):
            raise refuse(f"{_size(down)} and {_size(up)}", "do not multiply (want [rank, inputs], [outputs, rank])")
        rank = down.shape[0]
        if rank > max(down.shape[1], up.shape[0]):
            raise refuse(f"rank {rank}", f"is more than the layer's {down.shape[1]} inputs and {up.shape[0]} outputs")
        if "alpha" in group and group["alpha"].numel() != 1:
            raise refuse(_size(group["alpha"]), "is an alpha that is not one number")
        scale, place = _scale(group.get("alpha"), rank, target, config)
        stated.append(place)
    bias = _bias(group, scale)
    if bias is not None and (bias.dim() != 1 or up is not None and bias.shape[0] != up.shape[0]):
        raise refuse(_size(bias), "is a bias of another size than its layer")
    if down is None and bias is None:
        return None
    return Layer(name, target, down, up, scale, bias)


def _scale(alpha: torch.Tensor | None, rank: int, target: Target, config: Mapping) -> tuple[float, str]:
    """alpha / rank, and where alpha stands ("file", "metadata", "missing"); with PEFT's rsLoRA, alpha / sqrt(rank)."""
    if alpha is not None:
        return float(alpha) / rank, "file"

    def stated(key: str) -> object:
        return config.get(f"{_COMPONENT_NAMES[target.component]}.{key}", config.get(key))

    patterns, number = stated("alpha_pattern"), stated("lora_alpha")
    for ending, own in patterns.items() if isinstance(patterns, dict) else ():
        if f".{target.modules[0]}".endswith(f".{ending.lstrip('^')}"):
            number = own
            break
    if not isinstance(number, (int, float)) or not abs(number) < 1e9:
        return 1.0, "missing"
    return number / (math.sqrt(rank) if stated("use_rslora") else rank), "metadata"


def _bias(group: Mapping[str, torch.Tensor], scale: float) -> torch.Tensor | None:
    """PEFT scales the bias of lora_B like its weights, ComfyUI's diff_b is added as it is; zeros are nothing."""
    biases = [group[kind].float() * factor for kind, factor in (("up_bias", scale), ("diff_b", 1.0)) if kind in group]
    return sum(biases) if any(bias.any() for bias in biases) else None


def _peft_config(path: Path, metadata: Mapping[str, str]) -> Mapping[str, object]:
    """PEFT's configuration from diffusers' metadata, as {"transformer.lora_alpha": 64, ...}; empty without one."""
    if _METADATA not in metadata:
        return {}
    try:
        config = json.loads(metadata[_METADATA])
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InputError(str(path), "metadata", _METADATA, "is not JSON", "download the file again")
    if any(key.split(".")[-1] == "use_dora" and value for key, value in config.items()):
        raise InputError(str(path), "metadata", "use_dora", "makes this a DoRA, and only plain LoRAs are read",
                         "have it converted to a LoRA")
    return config


def _where_alpha_is(stated: Iterable[str]) -> str:
    places = set(stated)
    if len(places) == 1:
        return places.pop()
    return "some layers" if "missing" in places else "file"


def _check_twice(path: Path, layers: Iterable[Layer]) -> None:
    """A file of two naming schemes at once would be applied twice."""
    seen: dict[tuple[str, str], str] = {}
    for layer in layers:
        for module in layer.target.modules:
            first = seen.setdefault((layer.target.component, module), layer.name)
            if first != layer.name:
                raise InputError(str(path), "layer", layer.name, f"is the same as '{first}' under another name",
                                 "this file holds a LoRA twice; choose another save of it")


def _mismatch(path: Path, keys: list[str], partly: bool) -> InputError:
    """Keys that belong to no layer of FLUX.1, and why that may be."""
    identity = identify(path)
    count = f"{len(keys)} of its tensors have no" if partly else "none of its tensors has a"
    cause = f"{count} place in FLUX.1, such as {_shown(keys)}"
    if identity.kind == "LoRA":
        seems = "a LoRA for another model" if identity.flavour == "unknown" else f"a {identity.flavour}"
    else:
        seems = "no LoRA" if identity.flavour == "unknown" else f"no LoRA but {identity.flavour} ({identity.kind})"
    return InputError(str(path), "LoRA", path.name, f"{cause}; it seems to be {seems}",
                      "choose a LoRA for FLUX.1 Kontext or FLUX.1 dev")


def _shown(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key if len(key) <= 80 else key[:77] + "..." for key in keys[:_SHOWN]) + more


def _size(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape))

"""Reading a LoRA file: which layers it changes and how much. Knows no model yet; `branches.py` fits it to one.

A LoRA adds `strength * alpha / rank * up @ down` to a layer's weight (Hu et al., arXiv:2106.09685). kohya's files store
alpha as a tensor beside each layer; diffusers' newer ones in the header's metadata; many store none, and then everyone
takes alpha = rank, which is right only if it was trained so or the scale is in the weights.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ...common import InputError
from ..files.headers import read_weights_file
from ..files.source import read_tensor
from ..files.tensors import WeightsFile
from ..names.loras import Target
from ..recognise.flavours import FLUX_LORA
from ..recognise.identify import recognise
from .changes import Change, Full, Hadamard, Kronecker, LowRank
from .fit import misfit_with_flux
from .header import Header, Outline, layer_pattern, read_header, shown

log = logging.getLogger("kontinuity")

_COMPONENT_NAMES = {"transformer": "transformer", "clip": "text_encoder", "t5": "text_encoder_2"}
_Read = Callable[[str], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a file: what it does to the weights W and the bias of its target's layers.

    W becomes W + change; with a magnitude m, m * (W + change) / |W + change|, the norm of each output or each input
    (DoRA: Liu et al., arXiv:2402.09353, as PEFT, LyCORIS and OneTrainer train it); with `replaces`, change alone.
    """

    name: str  # in the file
    target: Target
    change: Change | None
    bias: torch.Tensor | None  # [outputs], added to the bias
    magnitude: torch.Tensor | None = None  # [outputs, 1] or [1, inputs], float32
    replaces: bool = False

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the weights that it changes; None if it changes the bias only."""
        return None if self.change is None else self.change.shape

    @property
    def scale(self) -> float:
        """alpha / rank of a plain low-rank change."""
        return self.change.scale if isinstance(self.change, LowRank) else 1.0

    @property
    def held(self) -> int:
        """Numbers it holds."""
        return (self.change.held if self.change else 0) + (0 if self.bias is None else self.bias.numel())

    @property
    def made_on_the_way(self) -> int:
        """Numbers of the largest matrices that applying it makes."""
        if self.change is None:
            return 0
        return self.change.made_on_the_way if self.magnitude is None else 3 * math.prod(self.change.shape)

    @property
    def bias_size(self) -> int | None:
        """Length of its bias."""
        return None if self.bias is None else self.bias.shape[0]


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA file, read. Its tensors are on the CPU as the file has them; two readings of a file are two Loras.

    Attributes:
        name: the file's name without its ending.
        where: the file, for messages.
        flavour: what model it seems to be for ("LoRA for FLUX.1 Kontext"), as far as the file tells.
        layers: all it changes.
        kinds: what its layers are ("LoRA", "LoKr", "DoRA", ...) -> how many.
        ranks: of its low-rank products, ascending.
        alpha: where alpha stands: "file", "metadata", "some layers" or "missing" (alpha = rank is assumed).
        left_out: tensors of the file that change something no layer of FLUX.1 has.
        embeddings: how many tensors are textual inversions packed into the file, which are left out too.
    """

    name: str
    where: str
    flavour: str
    layers: tuple[Layer, ...]
    kinds: Mapping[str, int]
    ranks: tuple[int, ...]
    alpha: str
    left_out: tuple[str, ...] = ()
    embeddings: int = 0
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
        lines = [f"{self.name}: {self.flavour}",
                 "changes " + ", ".join(f"{n} layers of {label}" for label, n in counts.items() if n)]
        if set(self.kinds) != {"LoRA"}:
            most_first = sorted(self.kinds.items(), key=lambda item: -item[1])
            lines.append("kinds: " + ", ".join(f"{n} {kind}" for kind, n in most_first))
        lines += [f"rank: {', '.join(map(str, self.ranks)) or 'none'}", f"alpha: {_ALPHA[self.alpha]}"]
        if self.left_out:
            lines.append(f"left out: {len(self.left_out)} tensors that FLUX.1's text encoders have no place for: "
                         f"{shown(self.left_out)}")
        if self.embeddings:
            lines.append(f"left out: {self.embeddings} tensors of textual inversions (bundle_emb), which prompts here "
                         "cannot name")
        return "\n".join(lines)


_ALPHA = {
    "file": "in the file",
    "metadata": "in the file's metadata, or in adapter_config.json beside it",
    "some layers": "in the file for some layers only; for the others alpha = rank is assumed",
    "missing": "not in the file, so alpha = rank is assumed; if it was trained with another alpha, the strength that "
               "it was trained with is alpha / rank",
    "none": "of no use: no layer is a low-rank product",
}


def read_lora(path: str | Path) -> Lora:
    """Read a LoRA, LoKr, LoHa, DoRA or full difference for FLUX.1, in any layout of docs/checkpoints.md.

    Args:
        path: a safetensors file.

    Returns:
        The LoRA. What is unusual (no alpha, tensors left out) is also logged.

    Raises:
        InputError: no safetensors file, a broken or hostile header, no LoRA or one of another kind (OFT, Canny) or for
            another model, half a pair, shapes that do not fit each other, NaN.
    """
    path = Path(path)
    file = read_weights_file(path)
    header, tensors = _opened(path, file)
    # of no use here, so NaN in them does no harm: ComfyUI 0.33 saves a text_projection that its CLIP never had
    left_out = tuple(name for name in header.left_out if read_tensor(path, file, name).float().any())
    stated: list[str] = []
    layers = tuple(layer for part in header.layers if (layer := _layer(part, tensors, header.config, stated)))
    if not layers:
        raise InputError(str(path), "LoRA", path.name, "changes nothing: all it holds is zero", "choose another LoRA")
    outlines = {part.name: part for part in header.layers}
    kinds: dict[str, int] = {}
    for layer in layers:
        kind = "DoRA" if layer.magnitude is not None else outlines[layer.name].kind
        kinds[kind] = kinds.get(kind, 0) + 1
    ranks = sorted({rank for layer in layers if (rank := outlines[layer.name].rank)})
    flavour = recognise(path).flavour
    lora = Lora(path.stem, str(path), FLUX_LORA if flavour == "unknown" else flavour, layers, kinds, tuple(ranks),
                _where_alpha_is(stated), left_out, header.embeddings)
    log.info("LoRA %s", lora.report.replace("\n", "; "))
    return lora


def lora_advice(path: Path, file: WeightsFile) -> str:
    """What to do with a LoRA file, from `read_lora`'s own checks of its header.

    Beyond the header only tensors that have no place in FLUX.1 are looked at, up to the first that is not zero.
    """
    try:
        header, _ = _opened(path, file)
        misfit = misfit_with_flux(str(path), header.layers)
    except InputError as error:
        return f"Load Kontext LoRA refuses it: {str(error).removeprefix(f'{error.where}: ')}"
    advice = "choose it in Load Kontext LoRA, from models/loras"
    if misfit:
        return f"{advice}, but for a model of its own size only, not for FLUX.1: {misfit}"
    return advice


def _opened(path: Path, file: WeightsFile) -> tuple[Header, _Read]:
    """A LoRA file's header, checked, and a function that reads a tensor by its name.

    It reads into memory of its own: training overwrites the file later.
    """
    if file.format != "safetensors":
        raise InputError(str(path), "file", path.name, "is a GGUF file, which no LoRA is", "choose a safetensors file")

    def read(key: str) -> torch.Tensor:
        tensor = read_tensor(path, file, key)
        wide = tensor.float() if tensor.itemsize == 1 and tensor.is_floating_point() else tensor  # torch tests no fp8
        if wide.is_floating_point() and not wide.isfinite().all():
            raise InputError(str(path), "tensor", key, "holds NaN or infinity",
                             "this LoRA's training failed; choose an earlier save of it, or another LoRA")
        return wide if tensor.itemsize == 1 else tensor

    return read_header(path, file, lambda name: not read(name).any()), read


def _layer(part: Outline, read: _Read, config: Mapping, stated: list[str]) -> Layer | None:
    """One layer's numbers; None if they do nothing. `stated` learns where alpha is."""
    own = {role: read(key) for role, key in part.tensors.items()}
    scale = 1.0
    if part.rank is not None:
        scale, place = _scale(own.get("alpha"), part, part.rank, config)
        stated.append(place)
    change = _change(part.kind, own, scale)
    bias = _bias(own, scale)
    magnitude = own.get("magnitude")
    if magnitude is not None:
        magnitude = magnitude.float().reshape((-1, 1) if magnitude.dim() == 1 else magnitude.shape)
    if part.kind == "full" and not own["diff"].any():  # ComfyUI's saved LoRAs are full of them
        change = None
    if change is None and bias is None:
        return None
    return Layer(part.name, part.target, change, bias, magnitude, part.kind == "set")


def _change(kind: str, own: Mapping[str, torch.Tensor], scale: float) -> Change | None:
    def product(name: str, scale: float = 1.0) -> LowRank:
        return LowRank(own[f"{name}_b"], own[f"{name}_a"], scale)

    def factor(name: str, scale: float = 1.0) -> Full | LowRank:
        whole = own.get(name)
        return product(name, scale) if whole is None else Full(whole, scale)

    if kind == "LoRA":
        return LowRank(own["down"], own["up"], scale)
    if kind == "LoHa":
        return Hadamard(product("hada_w1", scale), product("hada_w2"))
    if kind == "LoKr":
        left, right = factor("lokr_w1", scale), factor("lokr_w2")
        return Kronecker(left, right, 0, left.shape[0] * right.shape[0])
    return Full(own["diff" if kind == "full" else "set"]) if kind in ("full", "set") else None


def _scale(alpha: torch.Tensor | None, part: Outline, rank: int, config: Mapping) -> tuple[float, str]:
    """alpha / rank, and where alpha stands ("file", "metadata", "missing"); with PEFT's rsLoRA, alpha / sqrt(rank)."""
    if alpha is not None:
        return float(alpha) / rank, "file"

    def stated(key: str) -> object:
        return config.get(f"{_COMPONENT_NAMES[part.target.component]}.{key}", config.get(key))

    patterns, number = stated("alpha_pattern"), stated("lora_alpha")
    for pattern, own in patterns.items() if isinstance(patterns, dict) else ():  # by the names of the file
        if f".{part.name}".endswith(f".{layer_pattern(pattern)}"):
            number = own
            break
    if not isinstance(number, (int, float)) or not abs(number) < 1e9:
        return 1.0, "missing"
    return number / (math.sqrt(rank) if stated("use_rslora") else rank), "metadata"


def _bias(group: Mapping[str, torch.Tensor], scale: float) -> torch.Tensor | None:
    """PEFT scales the bias of lora_B like its weights, ComfyUI's diff_b is added as it is; zeros are nothing."""
    biases = [group[kind].float() * factor for kind, factor in (("up_bias", scale), ("diff_b", 1.0)) if kind in group]
    return sum(biases, torch.zeros(())) if any(bias.any() for bias in biases) else None


def _where_alpha_is(stated: Iterable[str]) -> str:
    places = set(stated)
    if len(places) <= 1:
        return places.pop() if places else "none"
    return "some layers" if "missing" in places else "file"

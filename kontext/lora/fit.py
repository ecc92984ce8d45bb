"""Where a LoRA's layers are in a model, whoever's classes it is made of, and whether they fit.

diffusers' model, which is ours, has q, k and v in layers of their own; BFL's, which is ComfyUI's, has them in one.
Either is a list of `Home`s: for each of diffusers' modules, which rows of which weight are its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple, Protocol

from torch import nn

from ...common import InputError
from ..flux import text_encoders, transformer
from ..layers.quantised import QuantisedLinear
from ..names.loras import Target, find_target

RowRange = tuple[int, int]  # from, up to


class Home(NamedTuple):
    """The place of one of diffusers' modules in a model."""

    component: str  # "transformer" or "text_encoders"
    weight: str  # what the model calls the layer
    rows: tuple[RowRange, ...]  # of that layer's weight, in the order of the module's outputs
    inputs: int | None  # None for a norm, whose weight is a vector


Homes = Mapping[tuple[str, str], Home]  # (component as a file's Target names it, diffusers' module) -> home


class ChangedRows(NamedTuple):
    """Part of a file's layer: its rows `own` change the rows `rows` of a weight."""

    component: str
    weight: str
    own: RowRange
    rows: RowRange


class ALayer(Protocol):
    """What a layer with numbers and one without have in common."""

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> Target: ...

    @property
    def shape(self) -> tuple[int, ...] | None: ...

    @property
    def bias_size(self) -> int | None: ...


# Models --------------------------------------------------------------------------------------------------------------


def homes_of_modules(components: Mapping[str, nn.Module]) -> dict[tuple[str, str], Home]:
    """Of a model with diffusers' layers: `KontextModel.components`."""
    roots = [("transformer", "transformer", ""), ("clip", "text_encoders", "clip."), ("t5", "text_encoders", "t5.")]
    homes = {}
    for part, component, start in roots:
        for path, layer in components[component].named_modules():
            shape = _shape(layer) if path.startswith(start) else None
            if shape:
                module = path[len(start):].removeprefix("text_model.")  # transformers' older prefix
                module = "shared" if module == "encoder.embed_tokens" else module
                homes[part, module] = Home(component, path, ((0, shape[0]),), shape[1] if len(shape) == 2 else None)
    return homes


def _shape(layer: nn.Module) -> tuple[int, ...] | None:
    """Of a layer's weight, None if it has none."""
    if isinstance(layer, (nn.Linear, QuantisedLinear)):  # also where the weight is packed
        return layer.out_features, layer.in_features
    weight = getattr(layer, "weight", None)
    return tuple(weight.shape) if weight is not None and weight.dim() in (1, 2) else None


def homes_of_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[tuple[str, str], Home]:
    """Of a model with other layers, known by any names that LoRA files have for them.

    Args:
        shapes: of each weight, by its name without ".weight" ("diffusion_model.double_blocks.0.img_attn.qkv",
            "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1"). Names that are none in FLUX.1 are passed over.
    """
    homes = {}
    for name, shape in shapes.items():
        target = find_target(name)
        if target is None or len(shape) not in (1, 2):
            continue
        component = "transformer" if target.component == "transformer" else "text_encoders"
        start = 0
        for module, count in zip(target.modules, _shares(target, shape), strict=True):
            rows = ((start, start + count),)
            if target.swapped:
                rows = (count // 2, count), (0, count // 2)
            homes[target.component, module] = Home(component, name, rows, shape[1] if len(shape) == 2 else None)
            start += count
    return homes


def _shares(target: Target, shape: tuple[int, ...]) -> list[int]:
    """How many outputs of a layer each of diffusers' modules has: q, k and v alike, the MLP beside them the rest."""
    count = len(target.modules)
    if count < 4:
        return [shape[0] // count] * count
    return [*[shape[1]] * 3, shape[0] - 3 * shape[1]]


# Fit -----------------------------------------------------------------------------------------------------------------


def check_fit(where: str, layers: Sequence[ALayer], homes: Homes) -> None:
    """Refuse a LoRA for a model of another size.

    Raises:
        InputError: a layer is not in the model, or has another size there; the first is named, the others counted.
    """
    absent, misfits = [], []
    for layer in layers:
        modules = [(layer.target.component, module) for module in layer.target.modules]
        there = [homes[module] for module in modules if module in homes]
        if len(there) < len(modules):
            absent.append(layer.name)
            continue
        outputs = sum(stop - start for home in there for start, stop in home.rows)
        wanted = (outputs,) if there[0].inputs is None else (outputs, there[0].inputs)
        own = layer.shape
        if own is None:
            assert layer.bias_size is not None, "a layer changes the weights, the bias or both"
            own = (layer.bias_size, *wanted[1:])
        if own != wanted:
            misfits.append((layer.name, _words(own, " inputs", " outputs"), _words(wanted)))
    if misfits:
        name, own, wanted = misfits[0]
        raise InputError(where, name, own, f"but this model has {wanted} there; {len(misfits)} of "
                         f"{len(layers)} layers do not fit: the LoRA is for a model of another width "
                         "(FLUX.1's is 3072)",
                         "load the model the LoRA was made for, or choose another LoRA")
    if absent:
        raise InputError(where, "layer", absent[0], f"is one of {len(absent)} layers this model does not have: "
                         "the LoRA is for a model of more blocks", "choose a LoRA for this model")


def _words(shape: tuple[int, ...], inputs: str = "", outputs: str = "") -> str:
    return f"{shape[1]}{inputs} and {shape[0]}{outputs}" if len(shape) == 2 else f"{shape[0]} numbers"


def misfit_with_flux(where: str, layers: Sequence[ALayer]) -> str | None:
    """Why layers do not fit FLUX.1 itself, None if they do."""
    try:
        check_fit(where, layers, _homes_of_flux(any(layer.target.component != "transformer" for layer in layers)))
    except InputError as error:
        return f"{error.field} has {error.value}, {error.problem}"
    return None


@cache
def _homes_of_flux(with_text: bool) -> Homes:
    text = text_encoders("meta") if with_text else nn.ModuleDict()
    return homes_of_modules({"transformer": transformer("meta"), "text_encoders": text})


# Rows ----------------------------------------------------------------------------------------------------------------


def changed_rows(target: Target, homes: Homes) -> list[ChangedRows]:
    """Which rows of which weights a file's layer changes. Its own rows are in the order of `target.modules`."""
    there = [homes[target.component, module] for module in target.modules]
    parts = [(home.component, home.weight, rows) for home in there for rows in home.rows]
    if target.swapped:
        parts = _exchanged(parts)
    changed, own = [], 0
    for component, weight, (start, stop) in _joined(parts):
        changed.append(ChangedRows(component, weight, (own, own + stop - start), (start, stop)))
        own += stop - start
    return changed


def _exchanged(parts: list[tuple[str, str, RowRange]]) -> list[tuple[str, str, RowRange]]:
    """The second half of all rows, then the first."""
    half = sum(stop - start for _, _, (start, stop) in parts) // 2
    first, second = [], []
    for component, weight, (start, stop) in parts:
        middle = min(max(start + half, start), stop)
        first += [(component, weight, (start, middle))] if middle > start else []
        second += [(component, weight, (middle, stop))] if stop > middle else []
        half -= middle - start
    return second + first


def _joined(parts: list[tuple[str, str, RowRange]]) -> Iterable[tuple[str, str, RowRange]]:
    """Neighbouring rows of one weight as one range."""
    joined = parts[:1]
    for (_, before, _), (component, weight, (start, stop)) in pairwise(parts):
        begin, end = joined[-1][2]
        if weight == before and start == end:
            joined[-1] = (component, weight, (begin, stop))
        else:
            joined.append((component, weight, (start, stop)))
    return joined

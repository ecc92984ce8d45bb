"""LoRAs beside a model's layers: what they add is added to a layer's output while an edit runs. No weight is changed.

So the base is restored exactly by leaving the branches out, and a base in fp8 or GGUF needs no repacking. The plain
twin, `Branches.merged`, adds the same to the weights themselves, in float32.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..checkpoints.flavours import FLUX_BY_CHANNELS
from ..errors import InputError
from .file import Layer, Lora
from .names import FIRST_LAYER


class _Piece(NamedTuple):
    """What one LoRA adds to one layer: scale * up @ down to its weight, strength * bias to its bias."""

    down: torch.Tensor | None  # [rank, inputs]
    up: torch.Tensor | None  # [outputs, rank]
    scale: float  # strength * alpha / rank
    bias: torch.Tensor | None  # [outputs]
    strength: float


Choice = tuple[Lora, float]  # a LoRA and its strength
_Place = tuple[str, str]  # component of the model, path of the layer in it


class Branches:
    """What some LoRAs add to a model. Never changes; `plus` makes another one.

    Attributes:
        choices: the LoRAs with their strengths, in the order they were added.
        text_key: equal for two sets of branches only if both change a prompt's embeddings alike.
    """

    def __init__(self):
        self.choices: tuple[Choice, ...] = ()
        self._pieces: dict[_Place, tuple[_Piece, ...]] = {}
        self._on: set[str] = set()

    @property
    def text_key(self) -> tuple:
        return tuple((lora.token, strength) for lora, strength in self.choices if strength and lora.changes_text)

    def plus(self, loras: Sequence[Choice], components: Mapping[str, nn.Module]) -> "Branches":
        """These branches and those of more LoRAs.

        Args:
            loras: (LoRA, strength) each; strength may be negative. With 0 a LoRA is checked and adds nothing at all.
            components: of the model they are for, `KontextModel.components`.

        Raises:
            InputError: a strength is no finite number, or a LoRA changes a layer the model does not have, or has in
                another size.
        """
        more = Branches()
        more.choices = (*self.choices, *loras)
        more._pieces = dict(self._pieces)
        layers = _layers(components)
        for lora, strength in loras:
            if not isinstance(strength, (int, float)) or not math.isfinite(strength):
                raise InputError(lora.where, "strength", strength, "is no finite number", "give a number such as 0.8")
            _check_fit(lora, layers)
            for layer in lora.layers if strength else ():
                for place, piece in _split(layer, strength, layers):
                    more._pieces[place] = (*more._pieces.get(place, ()), piece)
        return more

    def bytes(self, component: str, dtype: torch.dtype) -> int:
        """Memory the branches of a component take on its device while it runs; `dtype` is the one it computes in."""
        numbers = sum(tensor.numel() for (part, _), pieces in self._pieces.items() if part == component
                      for piece in pieces for tensor in (piece.down, piece.up, piece.bias) if tensor is not None)
        return numbers * max(2, dtype.itemsize)  # a quantised component's dtype may be that of its storage

    @contextmanager
    def on(self, components: Mapping[str, nn.Module], component: str) -> Iterator[None]:
        """Within the block the component computes with the branches; after it, exactly as before.

        A block inside a block adds nothing.
        """
        if component in self._on:
            yield
            return
        hooks = []
        self._on.add(component)
        try:
            for (part, path), pieces in self._pieces.items():
                if part == component:
                    layer = components[part].get_submodule(path)
                    hooks.append(layer.register_forward_hook(_Branch(pieces)))
            yield
        finally:
            self._on.remove(component)
            for hook in hooks:
                hook.remove()

    def merged(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """The plain twin: float32 copies of the components with the LoRAs in their weights. For nn.Linear only."""
        copies = {part: copy.deepcopy(module).float() for part, module in components.items()}
        for (part, path), pieces in self._pieces.items():
            layer = copies[part].get_submodule(path)
            for piece in pieces:
                if piece.up is not None:
                    layer.weight.data += piece.scale * (piece.up.float() @ piece.down.float())
                if piece.bias is not None:
                    if layer.bias is None:
                        layer.bias = nn.Parameter(torch.zeros(layer.out_features), requires_grad=False)
                    layer.bias.data += piece.strength * piece.bias.float()
        return copies


def with_branches(component: str) -> Callable:
    """For a method of an object with `branches` and `components`: it runs with the component's branches on."""
    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def run(self, *args, **kwargs):
            with self.branches.on(self.components, component):
                return method(self, *args, **kwargs)
        return run
    return decorate


class _Branch:
    """The forward hook of one layer: adds its pieces to the layer's output.

    All pieces become one pair of matrices, in the device and dtype of the first input that comes: those the base
    computes in, whatever it is stored in and wherever an offloading placement brings it.
    """

    def __init__(self, pieces: Sequence[_Piece]):
        self._pieces = pieces
        self._ready: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None] | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        x = inputs[0]
        if self._ready is None:
            self._ready = _fold(self._pieces, x.device, x.dtype)
        down, up, bias = self._ready
        if bias is not None:
            output = output + bias
        if up is None:
            return output
        # one matrix product that adds to what is there: no second tensor of the output's size is written and read
        flat = output.flatten(0, -2)
        flat.addmm_(F.linear(x, down).flatten(0, -2).to(flat.dtype), up.t().to(flat.dtype))
        return flat.view(output.shape)


def _fold(pieces: Sequence[_Piece], device: torch.device, dtype: torch.dtype):
    """(down [ranks, inputs], up [outputs, ranks] with the scales in it, bias [outputs]); each None if there is none."""
    pairs = [piece for piece in pieces if piece.up is not None]
    biases = [piece.strength * piece.bias.to(device, torch.float32) for piece in pieces if piece.bias is not None]
    bias = torch.stack(biases).sum(0).to(dtype) if biases else None
    if not pairs:
        return None, None, bias
    down = torch.cat([piece.down.to(device, dtype) for piece in pairs])
    up = torch.cat([(piece.up.to(device, torch.float32) * piece.scale).to(dtype) for piece in pairs], dim=1)
    return down, up, bias


def _layers(components: Mapping[str, nn.Module]) -> dict[_Place, tuple[str, nn.Module]]:
    """(component as a file's Target names it, path without transformers' older prefix) -> (real path, layer)."""
    roots = [("transformer", "transformer", ""), ("clip", "text_encoders", "clip."), ("t5", "text_encoders", "t5.")]
    found = {}
    for part, component, start in roots:
        for path, layer in components[component].named_modules():
            if path.startswith(start) and hasattr(layer, "in_features"):
                found[part, path[len(start):].removeprefix("text_model.")] = (path, layer)
    return found


def _check_fit(lora: Lora, layers: Mapping[_Place, tuple[str, nn.Module]]) -> None:
    """Refuse a LoRA for a model of another size."""
    absent, misfits = [], []
    for layer in lora.layers:
        part, modules, _ = layer.target
        if any((part, module) not in layers for module in modules):
            absent.append(layer.name)
            continue
        there = [layers[part, module][1] for module in modules]
        outputs, inputs = sum(module.out_features for module in there), there[0].in_features
        if layer.down is not None and layer.down.shape[1] != inputs and modules == (FIRST_LAYER,):
            channels = layer.down.shape[1]
            whose = FLUX_BY_CHANNELS.get(channels, "another model")
            raise InputError(lora.where, layer.name, f"{channels} channels", f"is the first layer of {whose}, and this "
                             f"model's takes {inputs}", "choose a LoRA for FLUX.1 Kontext or FLUX.1 dev")
        own_inputs, own_outputs = (layer.down.shape[1], layer.up.shape[0]) if layer.up is not None else (
            inputs, layer.bias.shape[0])
        if (own_inputs, own_outputs) != (inputs, outputs):
            misfits.append((layer.name, f"{own_inputs} inputs and {own_outputs} outputs", f"{inputs} and {outputs}"))
    if misfits:
        name, own, wanted = misfits[0]
        raise InputError(lora.where, name, own, f"but this model has {wanted} there; {len(misfits)} of "
                         f"{len(lora.layers)} layers do not fit: the LoRA is for a model of another width "
                         "(FLUX.1's is 3072)",
                         "load the model the LoRA was made for, or choose another LoRA")
    if absent:
        raise InputError(lora.where, "layer", absent[0], f"is one of {len(absent)} layers this model does not have: "
                         "the LoRA is for a model of more blocks", "choose a LoRA for this model")


def _split(layer: Layer, strength: float, layers: Mapping) -> Iterable[tuple[_Place, _Piece]]:
    """One layer of a file as pieces for the layers of the model: by rows, as they share its outputs."""
    part, modules, swapped = layer.target
    component = "transformer" if part == "transformer" else "text_encoders"
    up, bias = layer.up, layer.bias
    if swapped:
        up, bias = (tensor if tensor is None else torch.cat(tensor.chunk(2)[::-1]) for tensor in (up, bias))
    row = 0
    for module in modules:
        path, there = layers[part, module]
        rows = slice(row, row + there.out_features)
        row = rows.stop
        yield (component, path), _Piece(layer.down, None if up is None else up[rows], strength * layer.scale,
                                        None if bias is None else bias[rows], strength)

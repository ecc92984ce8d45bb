"""LoRAs beside a model's layers: what they add is added to a layer's output while an edit runs. No weight is changed.

So the base is restored exactly by leaving the branches out, and a base in fp8 or GGUF needs no repacking. The plain
twin, `Branches.merged`, adds the same to the weights themselves, in float32.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from ...common import InputError
from ..layers.quantised import QuantisedLinear
from .changes import Change, LowRank
from .effects import Effect, Place, difference, dora_factor, effects_of, rows_of
from .file import Layer, Lora
from .fit import Homes, RowRange, check_fit, homes_of_modules

Choice = tuple[Lora, float]  # a LoRA and its strength
AnyLinear = nn.Linear | QuantisedLinear


class Branches:
    """What some LoRAs add to a model. Never changes; `plus` makes another one.

    Attributes:
        choices: the LoRAs with their strengths, in the order they were added.
        text_key: equal for two sets of branches only if both change a prompt's embeddings alike.
    """

    def __init__(self):
        self.choices: tuple[Choice, ...] = ()
        self._effects_at: dict[Place, tuple[Effect, ...]] = {}
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
        extended = Branches()
        extended.choices = (*self.choices, *loras)
        extended._effects_at = join(self._effects_at, loras, homes_of_modules(components))
        return extended

    def bytes(self, component: str, dtype: torch.dtype) -> int:
        """Memory the branches of a component take on its device while it runs; `dtype` is the one it computes in."""
        numbers, widest = 0, 0
        for (part, _), effects in self._effects_at.items():
            for layer in (effect.layer for effect in effects if part == component):
                numbers += layer.held
                widest = max(widest, layer.made_on_the_way)
        return numbers * max(2, dtype.itemsize) + widest * 4  # a quantised component's dtype may be that of its storage

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
            factors = self._factors_in(components)
            for (part, path), effects in self._effects_at.items():
                if part == component:
                    layer = components[part].get_submodule(path)
                    kind = _Branch if isinstance(layer, AnyLinear) else _Instead
                    hooks.append(layer.register_forward_hook(kind(effects, factors)))
            yield
        finally:
            self._on.remove(component)
            for hook in hooks:
                hook.remove()

    def merged(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """The plain twin: float32 copies of the components with the LoRAs in their weights. For plain layers only."""
        copies = {part: copy.deepcopy(module).float() for part, module in components.items()}
        factors = self._factors_in(components)
        for (part, path), effects in self._effects_at.items():
            layer = copies[part].get_submodule(path)
            weight = cast(torch.Tensor, layer.weight)
            added = difference(effects, weight, factors)
            if added is not None:
                weight.data += added
            if any(effect.layer.bias is not None for effect in effects):
                bias = torch.zeros(weight.shape[0]) if layer.bias is None else cast(torch.Tensor, layer.bias)
                layer.bias = nn.Parameter(bias + added_bias(effects, len(bias)), requires_grad=False)
        return copies

    def _factors_in(self, components: Mapping[str, nn.Module]) -> Callable[[Effect], torch.Tensor | None]:
        """`dora_factor` of an effect's layer on these components, computed when it is first wanted."""
        known: dict[Layer, torch.Tensor] = {}
        modules = {part: components[part.component].get_submodule(part.weight)  # a modulation table hides some later
                   for effects in self._effects_at.values() for effect in effects
                   for part in effect.whole if effect.layer.magnitude is not None}

        def factor(effect: Effect) -> torch.Tensor | None:
            if effect.layer.magnitude is None:
                return None
            if effect.layer not in known:
                known[effect.layer] = dora_factor(effect.layer, (
                    (part, _weight_of(modules[part], torch.float32)[slice(*part.rows)]) for part in effect.whole))
            return known[effect.layer]
        return factor


def join(before: Mapping[Place, tuple[Effect, ...]], loras: Sequence[Choice],
         homes: Homes) -> dict[Place, tuple[Effect, ...]]:
    """The effects of LoRAs on a model, added to those of others.

    Raises:
        InputError: a strength is no finite number, or a LoRA does not fit.
    """
    effects = dict(before)
    for lora, strength in loras:
        if not isinstance(strength, (int, float)) or not math.isfinite(strength):
            raise InputError(lora.where, "strength", strength, "is no finite number", "give a number such as 0.8")
        check_fit(lora.where, lora.layers, homes)
        for layer in lora.layers if strength else ():
            for place, effect in effects_of(layer, strength, homes):
                effects[place] = (*effects.get(place, ()), effect)
    return effects


def added_bias(effects: Sequence[Effect], size: int) -> torch.Tensor:
    """What effects add to a bias, float32 [size]."""
    total = torch.zeros(size)
    for effect in effects:
        if (bias := effect.bias()) is not None:
            total[slice(*effect.rows)] += bias
    return total


def _weight_of(layer: nn.Module, dtype: torch.dtype) -> torch.Tensor:
    """A layer's matrix in this dtype, also where it is packed. Not to be changed."""
    if isinstance(layer, QuantisedLinear):
        layer.check_origin()
        return layer.weight_as(dtype)
    return cast(torch.Tensor, layer.weight).detach().to(dtype)


class _Branch:
    """The forward hook of one linear layer: adds its effects to the layer's output.

    All plain low-rank ones become one pair of matrices, in the device and dtype of the first input that comes: those
    the base computes in, whatever it is stored in and wherever an offloading placement brings it.
    """

    def __init__(self, effects: Sequence[Effect], factors: Callable[[Effect], torch.Tensor | None]):
        self._effects, self._factors = effects, factors
        self._ready: tuple | None = None

    def __call__(self, layer: AnyLinear, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        x = inputs[0]
        if self._ready is None:
            self._ready = self._prepare(layer, x.device, x.dtype)
        down, up, bias, others = self._ready
        additions = [(rows, self._addition(layer, x, output[..., slice(*rows)], rows, change, factor, effect))
                     for effect, rows, change, factor in others]
        if bias is not None:
            output = output + bias
        for rows, addition in additions:
            output[..., slice(*rows)] += addition
        if up is None:
            return output
        # one matrix product that adds to what is there: no second tensor of the output's size is written and read
        flat = output.flatten(0, -2)
        flat.addmm_(F.linear(x, down).flatten(0, -2).to(flat.dtype), up.t().to(flat.dtype))
        return flat.view(output.shape)

    def _prepare(self, layer: AnyLinear, device: torch.device, dtype: torch.dtype) -> tuple:
        """(down [ranks, inputs], up [outputs, ranks] with the scales in it, bias [outputs], others)."""
        outputs = layer.out_features
        pairs = [(e, e.layer.change) for e in self._effects if e.is_sum and isinstance(e.layer.change, LowRank)]
        others = [(e, e.rows, e.layer.change.rows(*e.own).to(device, dtype), self._factor(e, device))
                  for e in self._effects
                  if e.layer.change is not None and not (e.is_sum and isinstance(e.layer.change, LowRank))]
        biased = any(e.layer.bias is not None for e in self._effects)
        bias = added_bias(self._effects, outputs).to(device, dtype) if biased else None
        if not pairs:
            return None, None, bias, others
        changes = list(dict.fromkeys(change for _, change in pairs))  # several effects of one layer share its `down`
        down = torch.cat([change.down.to(device, dtype) for change in changes])
        ends = dict(zip(changes, accumulate(change.down.shape[0] for change in changes), strict=True))
        up = torch.zeros(outputs, down.shape[0], device=device)
        for e, change in pairs:
            columns = slice(ends[change] - change.down.shape[0], ends[change])
            up[slice(*e.rows), columns] += change.up[slice(*e.own)].to(up) * (e.strength * change.scale)
        up = up.to(dtype)
        return down, up, bias, others

    def _factor(self, effect: Effect, device: torch.device) -> torch.Tensor | None:
        factor = self._factors(effect)
        return None if factor is None else rows_of(factor, effect.own).to(device)

    @staticmethod
    def _addition(layer: AnyLinear, x: torch.Tensor, output: torch.Tensor, rows: RowRange, change: Change,
                  factor: torch.Tensor | None, effect: Effect) -> torch.Tensor:
        """What one effect adds to some of the layer's outputs, given those without any effect.

        With y = W x, the outputs without the bias: a replaced weight V gives V x - y, a factor f of the outputs
        f (y + D x) - y, and one of the inputs (W + D) (f x) - y = W (f - 1) x + D (f x).
        """
        if effect.is_sum:
            return effect.strength * change.times(x)
        if factor is not None and factor.shape[1] != 1:
            weight = _weight_of(layer, x.dtype)[slice(*rows)]
            added = F.linear(x * (factor[0] - 1).to(x.dtype), weight) + change.times(x * factor[0].to(x.dtype))
            return effect.strength * added
        plain = output if layer.bias is None else output - layer.bias[slice(*rows)].to(output.dtype)
        if effect.layer.replaces:
            return effect.strength * (change.times(x) - plain)
        assert factor is not None, "what is no sum and replaces nothing has a magnitude"
        factor = factor[:, 0]
        return effect.strength * (factor.to(x.dtype) * change.times(x) + (factor - 1).to(x.dtype) * plain)


class _Instead:
    """The forward hook of a norm or an embedding: computes it with other weights, as the plain twin has them."""

    def __init__(self, effects: Sequence[Effect], factors: Callable[[Effect], torch.Tensor | None]):
        self._effects, self._factors = effects, factors

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, nn.Embedding) and all(effect.is_sum for effect in self._effects):
            return output + self._embedded(inputs[0].cpu()).to(output.device, output.dtype)
        weight = cast(torch.Tensor, layer.weight).detach()
        parameters: dict[str, torch.Tensor | None] = dict(layer._parameters)
        added = difference(self._effects, weight.float(), self._factors)
        if added is not None:
            parameters["weight"] = (weight.float() + added).to(weight.dtype)
        if any(effect.layer.bias is not None for effect in self._effects):
            more = added_bias(self._effects, weight.shape[0]).to(weight.device)
            bias = cast("torch.Tensor | None", layer.bias)
            parameters["bias"] = (more if bias is None else bias.float() + more).to(weight.dtype)
        other: Any = copy.copy(layer)
        other.__dict__["_parameters"] = parameters
        return type(layer).forward(other, *inputs)

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """What is added for these words, float32: their rows only, not those of a whole vocabulary."""
        changes = [(effect.strength, effect.layer.change) for effect in self._effects]  # embeddings have no bias
        return sum((strength * change.take(ids) for strength, change in changes if change), torch.zeros(()))

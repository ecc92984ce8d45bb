"""What layers of LoRA files make of a weight: the formulas, plainly, in float32."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from .file import Layer
from .fit import ChangedRows, Homes, RowRange, changed_rows

Place = tuple[str, str]  # component of the model, what the model calls the layer


class Effect(NamedTuple):
    """What a layer of a file does to some rows of a weight."""

    layer: Layer
    strength: float
    own: RowRange  # the layer's rows
    rows: RowRange  # the weight's
    whole: tuple[ChangedRows, ...]  # all that the layer changes

    def bias(self) -> torch.Tensor | None:
        """What is added to these rows of the bias, float32."""
        bias = self.layer.bias
        return None if bias is None else self.strength * bias[slice(*self.own)].float()

    @property
    def is_sum(self) -> bool:
        """Whether it adds the layer's change and nothing else."""
        return self.layer.magnitude is None and not self.layer.replaces


def effects_of(layer: Layer, strength: float, homes: Homes) -> Iterable[tuple[Place, Effect]]:
    """One layer of a file as effects on the weights of a model."""
    whole = tuple(changed_rows(layer.target, homes))
    for changed in whole:
        yield (changed.component, changed.weight), Effect(layer, strength, changed.own, changed.rows, whole)


def difference(effects: Sequence[Effect], weight: torch.Tensor,
               factors: Callable[[Effect], torch.Tensor | None]) -> torch.Tensor | None:
    """What several effects together add to a weight: each looks at the weight as it comes in, so order plays no part.

    Args:
        effects: on this weight.
        weight: float32 [outputs, inputs] or [n].
        factors: `dora_factor` of an effect's layer, None without a magnitude.

    Returns:
        float32 of the weight's shape; None if they change the bias only.
    """
    total = None
    for effect in effects:
        layer = effect.layer
        if layer.change is None:
            continue
        total = torch.zeros_like(weight) if total is None else total
        base = weight[slice(*effect.rows)]
        change = layer.change.rows(*effect.own).to(weight.device, torch.float32).matrix()
        if layer.replaces:
            change = change - base
        elif (factor := factors(effect)) is not None:
            change = rows_of(factor, effect.own) * (base + change) - base
        total[slice(*effect.rows)] += effect.strength * change
    return total


def dora_factor(layer: Layer, weights: Iterable[tuple[ChangedRows, torch.Tensor]]) -> torch.Tensor:
    """m / |W + change| (Liu et al., arXiv:2402.09353): [outputs, 1], or [1, inputs] where m is of the inputs.

    The norm is that of the changed weight, as in PEFT (tuners/lora/dora.py), LyCORIS (apply_weight_decompose) and
    OneTrainer (DoRAModule), where such files come from. ComfyUI's own `weight_decompose` divides by |W| where m is of
    the outputs (github.com/Comfy-Org/ComfyUI/pull/15458), which is not what was trained.

    Args:
        layer: one with a change and a magnitude.
        weights: the rows that it changes, each part with these rows of W in float32, on whatever device. Looked at one
            after another.
    """
    assert layer.change is not None and layer.magnitude is not None
    squares = []
    axis = 1 if layer.magnitude.shape[1] == 1 else 0
    for part, weight in weights:
        changed = weight + layer.change.rows(*part.own).to(weight.device, torch.float32).matrix()
        squares.append(changed.square().sum(dim=axis, keepdim=True).cpu())
    norm = (torch.cat(squares) if axis == 1 else sum(squares, torch.zeros(()))).sqrt()
    return layer.magnitude / norm.clamp_min(torch.finfo(torch.float32).eps)


def rows_of(factor: torch.Tensor, rows: RowRange) -> torch.Tensor:
    """A DoRA's factor for some outputs."""
    return factor[slice(*rows)] if factor.shape[1] == 1 else factor

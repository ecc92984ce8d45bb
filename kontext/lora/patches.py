"""LoRAs as patches of the weights of a model not made of our classes (ComfyUI's: nodes/host/native_loras.py)."""

from collections.abc import Collection, Mapping, Sequence

import torch

from ...common import InputError
from ..names.loras import find_target
from .branches import Choice, added_bias, join
from .effects import Effect, difference, dora_factor
from .fit import changed_rows, homes_of_weights


class WeightPatch:
    """What LoRAs add to one weight and its bias.

    Args:
        effects: on this weight.
    """

    def __init__(self, effects: Sequence[Effect]):
        self._effects = tuple(effects)

    @property
    def changes_weight(self) -> bool:
        """Whether it changes the weight, and not the bias only."""
        return any(effect.layer.change is not None for effect in self._effects)

    def difference(self, weight: torch.Tensor) -> torch.Tensor | None:
        """What to add to the weight as it is ([outputs, inputs] or [n], unpacked): float32, on its device; None if
        nothing (see `changes_weight`)."""
        wide = weight.detach().float()

        def factor(effect: Effect) -> torch.Tensor | None:
            if effect.layer.magnitude is None:
                return None
            rows = ((part, wide[slice(*part.rows)]) for part in effect.whole)  # a file's layer is within one weight
            return dora_factor(effect.layer, rows).to(wide.device)

        return difference(self._effects, wide, factor)

    def bias(self, size: int) -> torch.Tensor | None:
        """What to add to the bias, float32 [size] on the CPU; None if nothing."""
        if all(effect.layer.bias is None for effect in self._effects):
            return None
        return added_bias(self._effects, size)


def lora_component(name: str) -> str | None:
    """Which part of FLUX.1 a weight of this name (as for `weight_patches`) is of: "transformer", "clip" or "t5"."""
    target = find_target(name)
    return target and target.component


def weight_patches(loras: Sequence[Choice], shapes: Mapping[str, tuple[int, ...]],
                   unbiased: Collection[str] = ()) -> dict[str, WeightPatch]:
    """LoRAs as patches, by the names of the weights they change.

    Args:
        loras: (LoRA, strength) each. All that are to be on the model: a DoRA looks at the weights without any of them.
        shapes: of the model's weights, by names that LoRA files use, without ".weight"
            ("diffusion_model.double_blocks.0.img_attn.qkv", "t5xxl.transformer.shared").
        unbiased: those of them that have no bias.

    Raises:
        InputError: a strength is no finite number, or a LoRA does not fit, as for a model of our own; or it changes a
            bias that is not there.
    """
    homes = homes_of_weights(shapes)
    joined = join({}, loras, homes)
    for lora, _ in loras:
        for layer in lora.layers:
            if layer.bias is not None and any(part.weight in unbiased for part in changed_rows(layer.target, homes)):
                raise InputError(lora.where, layer.name, "bias", "is for a layer that has none in this model",
                                 "choose another save of this LoRA, or load the model with Load Kontext Model")
    return {weight: WeightPatch(effects) for (_, weight), effects in joined.items()}

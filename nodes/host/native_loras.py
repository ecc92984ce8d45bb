"""LoRAs on ComfyUI's own MODEL and CLIP: what our reader found, as patches of their weights.

ComfyUI's own reader plays no part, so a file means the same on either backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.utils
import comfy.weight_adapter
import torch

from ...common import InputError
from ...kontext import Lora, lora_component, weight_patches

_ENDINGS = (".weight", ".scale")  # of a weight's name; norms' were called scale before ComfyUI 0.14
_PARTS = {"MODEL": ("transformer",), "CLIP": ("clip", "t5")}
_REMEDY = ("use the LoRA node that belongs to the MODEL's loader, before 'Kontext from MODEL, CLIP, VAE', or Load "
           "Kontext LoRA directly after Load Kontext Model")


def with_loras(model: Any, clip: Any, loras: Sequence[tuple[Lora, float]]) -> tuple[Any, Any]:
    """MODEL and CLIP with LoRAs on them; those that come in stay as they are, and are given back where no LoRA changes
    anything.

    Args:
        model, clip: without any of the LoRAs.
        loras: (LoRA, strength) each, all that are to be on them: a DoRA looks at the weights without the others.

    Raises:
        InputError: a strength is no finite number, or a LoRA changes what the MODEL or the CLIP does not have, or has
            in another size; names the layer.
    """
    sockets = {"MODEL": model, "CLIP": clip}
    modules = {"MODEL": model.model, "CLIP": clip.cond_stage_model}
    names = {socket: _weights(modules[socket], _PARTS[socket]) for socket in sockets}
    for socket, parts in _PARTS.items():
        lora = next((lora for lora, _ in loras if any(layer.target.component in parts for layer in lora.layers)), None)
        if lora and not names[socket]:
            raise InputError(lora.where, "lora", lora.name, f"finds none of its layers in this {socket}", _REMEDY)
    layers = {name: (comfy.utils.get_attr(modules[socket], name), comfy.utils.get_attr(modules[socket], key))
              for socket in sockets for name, key in names[socket].items()}
    shapes = {name: tuple(weight.shape) for name, (_, weight) in layers.items()}
    unbiased = {name for name, (layer, _) in layers.items() if getattr(layer, "bias", None) is None}
    weight_changes = weight_patches(loras, shapes, unbiased)
    for socket in sockets:
        patches: dict[str, Any] = {}
        for name, key in names[socket].items():
            if name in weight_changes and weight_changes[name].changes_weight:
                patches[key] = LoraPatch(set(), (weight_changes[name],))
            if name in weight_changes and (bias := weight_changes[name].bias(shapes[name][0])) is not None:
                patches[f"{name}.bias"] = ("diff", (bias,))
        if patches:
            sockets[socket] = sockets[socket].clone()
            landed = sockets[socket].add_patches(patches, 1.0)
            lost = sorted(set(patches) - set(landed))
            if lost:
                raise InputError(loras[-1][0].where, "layer", lost[0], f"is one of {len(lost)} layers on which this "
                                 f"{socket} takes no patch", _REMEDY)
    return sockets["MODEL"], sockets["CLIP"]


def _weights(module: torch.nn.Module, parts: tuple[str, ...]) -> dict[str, str]:
    """Names of a model's weights that are of these parts of FLUX.1, without their ending -> whole."""
    names = {key.rpartition(".")[0]: key for key in module.state_dict() if key.endswith(_ENDINGS)}
    return {name: key for name, key in names.items() if lora_component(name) in parts}


class LoraPatch(comfy.weight_adapter.WeightAdapterBase):
    """What our LoRAs add to one weight, in the form ComfyUI has for its own kinds of LoRA.

    Args:
        loaded_keys: none, since no file of ComfyUI's reader is behind it.
        weights: one WeightPatch. (ComfyUI makes adapters anew from these two.)
    """

    name = "kontinuity"

    def __init__(self, loaded_keys: set[str], weights: tuple):
        self.loaded_keys = loaded_keys
        self.weights: Any = weights  # ComfyUI's own kinds have tensors here

    def calculate_weight(self, weight: torch.Tensor, key: str, strength: float, strength_model: float, offset: Any,
                         function: Any, intermediate_dtype: torch.dtype = torch.float32,
                         original_weight: Any = None) -> torch.Tensor:
        """The weight, changed in place as ComfyUI's own adapters do."""
        patch, = self.weights
        weight += function((strength * patch.difference(weight)).to(weight.dtype))
        return weight

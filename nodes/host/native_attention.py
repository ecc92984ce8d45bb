"""An attention plan on ComfyUI's own FLUX: in the place that it keeps for another attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.ldm.flux.model
import torch

from ...common import InputError
from ...kontext import AttentionPlan
from .native_out import PLAN, KontextTransformer

_OVERRIDE = "optimized_attention_override"  # comfy/ldm/modules/attention.py asks for it at each call


def with_attention(model: Any, plan: AttentionPlan) -> Any:
    """A copy of a MODEL that follows the plan, instead of another attention that may be on it (SageAttention and the
    like), in the steps that have one.

    Raises:
        InputError: its transformer is not ComfyUI's own and computes attention itself.
    """
    network = model.model.diffusion_model
    if not isinstance(network, (comfy.ldm.flux.model.Flux, KontextTransformer)):
        raise InputError("Kontinuity", "model", type(network).__name__, "computes attention itself, so that strengths "
                         "and regions of references have no effect on it", "load FLUX.1 Kontext with Load Diffusion "
                         "Model or Load Kontext Model, or set every strength to 1 and use no regions")
    model = model.clone()
    options = model.model_options["transformer_options"] = {**model.model_options.get("transformer_options", {})}
    options[PLAN] = plan
    options[_OVERRIDE] = _planned(plan, options.get(_OVERRIDE))
    return model


def _planned(plan: AttentionPlan, other: Callable | None) -> Callable:
    def attention(usual: Callable, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int,
                  *args, **kwargs) -> torch.Tensor:
        """[batch, heads, tokens, head_dim] each -> [batch, tokens, heads * head_dim], as FLUX calls it."""
        planned = plan.at(float(kwargs["transformer_options"]["sigmas"][0]), query.device)
        if planned is None:
            return (other or _usual)(usual, query, key, value, heads, *args, **kwargs)
        return planned(query, key, value).transpose(1, 2).flatten(2)
    return attention


def _usual(usual: Callable, *args, **kwargs) -> torch.Tensor:
    return usual(*args, **kwargs)

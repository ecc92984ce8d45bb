"""An attention plan on ComfyUI's own FLUX: in the place that it keeps for another attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.ldm.flux.model
import torch

from ...common import InputError
from ...kontext import Attend, AttentionPlan
from .native_out import PLAN, KontextTransformer

_OVERRIDE = "optimized_attention_override"  # comfy/ldm/modules/attention.py asks for it at each call


def check_attention(model: Any, where: str) -> None:
    """Raise InputError for a MODEL whose transformer is not ComfyUI's own and computes attention itself (nunchaku)."""
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, (comfy.ldm.flux.model.Flux, KontextTransformer)):
        raise InputError(where, "model", type(network).__name__, "computes attention itself, so that strengths and "
                         "regions of references have no effect on it", "load FLUX.1 Kontext with Load Diffusion Model "
                         "or Load Kontext Model, or set every strength to 1 and use no regions")


class FollowedPlan:
    """A plan in the place of FLUX's attention.

    Args:
        plan: what to follow.
        other: another attention that was there before (SageAttention and the like), used in steps without a plan.
    """

    def __init__(self, plan: AttentionPlan, other: Callable | None):
        self._plan, self._other = plan, other
        self._planned: Attend | None = None

    def begin_step(self, sigma: torch.Tensor) -> None:
        """Say, once a step, at which noise level it begins: asking a GPU for it in each block would be slow."""
        self._planned = self._plan.at(float(sigma), sigma.device)

    def __call__(self, usual: Callable, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int,
                 *args, **kwargs) -> torch.Tensor:
        """[batch, heads, tokens, head_dim] each -> [batch, tokens, heads * head_dim], as FLUX calls it."""
        if self._planned is not None:
            return self._planned(query, key, value).transpose(1, 2).flatten(2)
        if self._other is not None:
            return self._other(usual, query, key, value, heads, *args, **kwargs)
        return usual(query, key, value, heads, *args, **kwargs)


def with_attention(model: Any, plan: AttentionPlan) -> tuple[Any, FollowedPlan]:
    """A copy of a MODEL (see check_attention) that follows a plan, and the plan as it stands there."""
    model = model.clone()
    options = {**model.model_options.get("transformer_options", {})}
    followed = FollowedPlan(plan, options.get(_OVERRIDE))
    model.model_options["transformer_options"] = {**options, PLAN: plan, _OVERRIDE: followed}
    return model, followed

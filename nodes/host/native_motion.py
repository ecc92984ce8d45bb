"""Optical flow and frame interpolation models that ComfyUI's own nodes load (from 0.20 on), brought into our form."""

from __future__ import annotations

from typing import Any

import comfy.model_patcher
import torch

from ... import flow
from ...common import InputError
from .memory import device_of


def flow_estimator(model: flow.Estimator | comfy.model_patcher.ModelPatcher, where: str) -> flow.Estimator:
    """Ours as it is; that of ComfyUI's own Load Optical Flow Model (from 0.21 on) brought into our form."""
    if not isinstance(model, comfy.model_patcher.ModelPatcher):
        return model
    if not hasattr(model.model, "feature_encoder"):
        raise InputError(where, "flow_model", type(model.model).__name__, "is not torchvision's RAFT",
                         "connect Load Flow Model or Load Optical Flow Model")
    return flow.RaftFlow(model.model, device_of(model))


def in_between_model(model: flow.InBetweenModel | comfy.model_patcher.ModelPatcher, where: str
                     ) -> flow.InBetweenModel:
    """Ours as it is; that of ComfyUI's own Load Frame Interpolation Model (from 0.20 on) brought into our form."""
    if isinstance(model, flow.InBetweenModel):
        return model
    network = getattr(model, "model", None)
    if network is None or not hasattr(network, "extract_features"):
        raise InputError(where, "in_between_model", type(network or model).__name__, "makes no pictures in between",
                         "connect Load In-Between Model or Load Frame Interpolation Model")
    return flow.InBetweenModel(NativeInBetween(network), device_of(model), model.model_dtype() or torch.float32)


class NativeInBetween:
    """RIFE or FILM as ComfyUI itself loads it, as our `InBetweenNetwork`."""

    work_bytes = flow.FILM_WORK_BYTES  # the larger one

    def __init__(self, network: Any):
        self.network = network
        self.name = {"IFNet": "RIFE", "FILMNet": "FILM"}.get(type(network).__name__, type(network).__name__)
        self.align = max(64, getattr(network, "pad_align", 1))  # FILM halves six times

    def prepare(self, a: torch.Tensor, b: torch.Tensor) -> tuple:
        """Both pictures and the features of each."""
        return a, b, {"img0": self.network.extract_features(a), "img1": self.network.extract_features(b)}

    def make(self, prepared: tuple, t: float) -> torch.Tensor:
        """The picture at `t`."""
        a, b, features = prepared
        return self.network(a, b, timestep=t, cache=features)

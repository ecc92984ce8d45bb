"""Who decides on which device a component's weights are."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn


class Placement(Protocol):
    """Asked before every use of a component. In ComfyUI its memory manager answers; elsewhere `Resident` does."""

    def use(self, component: str, activation_bytes: int) -> torch.device:
        """Bring a component's weights to a device and say which.

        Args:
            component: "text_encoders", "transformer" or "vae".
            activation_bytes: estimate of the memory the coming pass needs beside the weights.
        """


class Resident:
    """The plain placement: each component moves to the device on its first use and stays there.

    Args:
        model_components: `KontextModel.components`.
        device: e.g. "cpu", "cuda", torch.device("cuda:1").
    """

    def __init__(self, model_components: Mapping[str, nn.Module], device: torch.device | str):
        self._components = model_components
        self._device = torch.device(device)
        self._moved: set[str] = set()

    def use(self, component: str, activation_bytes: int) -> torch.device:
        if component not in self._moved:
            self._components[component].to(self._device)
            self._moved.add(component)
        return self._device

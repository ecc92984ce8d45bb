"""Who decides on which device a component's weights are."""

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import torch
from torch import nn

from .offload import weight_bytes


class Placement(Protocol):
    """Asked before every use of a component. In ComfyUI its memory manager answers, elsewhere one of the below."""

    def room(self) -> int | None:
        """Bytes of the device that a component's weights and work can have if all others leave; None: no limit."""

    def use(self, component: str, activation_bytes: int, away: Collection[nn.Module] = ()) -> torch.device:
        """Bring a component's weights to a device and say which.

        Args:
            component: "text_encoders", "transformer" or "vae".
            activation_bytes: estimate of the memory the coming pass needs beside the weights.
            away: modules inside the component whose weights stay in main memory; no parameter may belong to a module
                that holds one of them and others.
        """
        ...


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

    def room(self) -> None:
        return None

    def use(self, component: str, activation_bytes: int, away: Collection[nn.Module] = ()) -> torch.device:
        if component not in self._moved:
            self._components[component].to(self._device)
            self._moved.add(component)
        return self._device


class Limited:
    """A number of bytes on a device; components leave, the longest unused first, when another needs their room.

    Args:
        model_components: `KontextModel.components`, in main memory.
        device: where they compute.
        limit: bytes of weights and work.
    """

    def __init__(self, model_components: Mapping[str, nn.Module], device: torch.device | str, limit: int):
        self._components = model_components
        self._device = torch.device(device)
        self._limit = limit
        self._there: dict[str, frozenset[nn.Module]] = {}  # component -> its modules that are away; last used last

    @property
    def weights_there(self) -> int:
        """Bytes of weights on the device."""
        return sum(self._bytes(name, away) for name, away in self._there.items())

    def room(self) -> int:
        return self._limit

    def use(self, component: str, activation_bytes: int, away: Collection[nn.Module] = ()) -> torch.device:
        wanted = frozenset(away)
        present = self._there.pop(component, None)
        need = self._bytes(component, wanted) + activation_bytes
        while self._there and self.weights_there + need > self._limit:
            self._leave(next(iter(self._there)))
        if present != wanted:
            for module in wanted:
                module.to("cpu")
            for part in resident_parts(self._components[component], wanted):
                part.to(self._device)
        self._there[component] = wanted
        return self._device

    def clear(self) -> None:
        """Send everything back to main memory."""
        for component in list(self._there):
            self._leave(component)

    def _leave(self, component: str) -> None:
        self._components[component].to("cpu")
        del self._there[component]

    def _bytes(self, component: str, away: frozenset[nn.Module]) -> int:
        return sum(map(weight_bytes, resident_parts(self._components[component], away)))


def resident_parts(module: nn.Module, away: Collection[nn.Module]) -> list[nn.Module]:
    """The largest parts of a module that hold none of the modules that are away.

    Raises:
        ValueError: a parameter or buffer belongs to a module beside one that is away.
    """
    return list(_parts(module, {id(part) for part in away})) if away else [module]


def _parts(module: nn.Module, away: set[int]) -> Iterator[nn.Module]:
    if id(module) in away:
        return
    if not any(id(part) in away for part in module.modules()):
        yield module
        return
    if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
        raise ValueError(f"{type(module).__name__} has weights of its own beside modules that are away")
    for child in module.children():
        yield from _parts(child, away)

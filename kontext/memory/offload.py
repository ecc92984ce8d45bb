"""Modules whose weights stay in main memory and visit the device one after another, each while the one before computes.

Why not diffusers' `apply_group_offloading` or accelerate's hooks: docs/decisions/no_library_offloading.md.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..layers.quantised import QuantisedLinear

log = logging.getLogger("kontinuity")

_ALIGNMENT = 256  # bytes, as CUDA's own allocations


class Prefetcher:
    """Brings the weights of many modules to a device in turn, into two places there.

    `bring(i)` puts module i's weights into one place and starts to copy those of module i + 1 into the other;
    `leave(i)` puts the module back on its weights in main memory. Weights are only ever read, so nothing is copied
    back. On CUDA the main-memory side is pinned and the copies run beside the computation.

    Use it in a `with` block: at its end, whatever happened inside, every module is back in main memory and the places
    are freed. It may be opened again.

    Args:
        modules: in the order of their use. Their parameters and buffers must be plain tensors in main memory.
        device: where they are to compute.
    """

    def __init__(self, modules: Sequence[nn.Module], device: torch.device | str):
        self.modules = list(modules)
        self.device = torch.device(device)
        self._weights = [PackedWeights(module) for module in self.modules]
        self._places: list[_Place] = []
        self._stream = None

    def __enter__(self) -> "Prefetcher":
        with torch.inference_mode(False):  # a module's weights may not become inference tensors
            for weights in self._weights:
                weights.measure()
            if self.device.type == "cuda":
                self._stream = torch.cuda.Stream(self.device)
            size = max((weights.bytes for weights in self._weights), default=0)
            self._places = [_Place(torch.empty(size, dtype=torch.uint8, device=self.device))
                            for _ in range(min(2, len(self.modules)))]
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))  # the places may be memory still in use
        return self

    def __exit__(self, *_) -> None:
        for place in self._places:
            if place.in_use:
                assert place.holds is not None
                self._weights[place.holds].go_home()
        if self._stream is not None:
            self._stream.synchronize()  # a copy may still be writing into a place
        self._places, self._stream = [], None

    @property
    def device_bytes(self) -> int:
        """What it holds on the device now."""
        return sum(place.memory.numel() for place in self._places)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let the modules' own forward bring them and make them leave, inside an opened prefetcher."""
        handles = []
        try:
            for i, module in enumerate(self.modules):
                handles.append(module.register_forward_pre_hook(lambda *_, i=i: self.bring(i)))
                handles.append(module.register_forward_hook(lambda *_, i=i: self.leave(i)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def bring(self, i: int) -> None:
        """Put module i's weights on the device, and begin with those of the next module (after the last, the first)."""
        place = next((p for p in self._places if p.holds == i), None) or self._fetch(i)
        if place.ready is not None:
            torch.cuda.current_stream(self.device).wait_event(place.ready)
        place.in_use = True
        self._weights[i].point_into(place.memory)
        following = (i + 1) % len(self.modules)
        if all(p.holds != following for p in self._places) and not all(p.in_use for p in self._places):
            self._fetch(following)

    def leave(self, i: int) -> None:
        """Put module i back on its weights in main memory; its place is free once what was queued has run."""
        place = next(p for p in self._places if p.holds == i and p.in_use)
        self._weights[i].go_home()
        place.in_use = False
        if self._stream is not None:
            place.free = torch.cuda.current_stream(self.device).record_event()

    def _fetch(self, i: int) -> "_Place":
        place = next((p for p in self._places if not p.in_use), None)
        if place is None:
            raise RuntimeError("more than two modules of a prefetcher are in use at once")
        place.holds = i
        weights = self._weights[i]
        packed = weights.pack(pin=self._stream is not None)
        if self._stream is None:
            place.memory[: weights.bytes].copy_(packed)
            return place
        if place.free is not None:
            self._stream.wait_event(place.free)
        with torch.cuda.stream(self._stream):
            place.memory[: weights.bytes].copy_(packed, non_blocking=True)
        place.ready = self._stream.record_event()
        return place


class Prefetchers:
    """Prefetchers by name, kept from one use to the next, for they hold weights in pinned memory."""

    def __init__(self):
        self._kept: dict[str, Prefetcher] = {}

    def get(self, name: str, modules: Sequence[nn.Module], device: torch.device | str) -> Prefetcher:
        """The one of this name; a new one if the modules or the device are others."""
        kept = self._kept.get(name)
        if kept is None or kept.device != torch.device(device) or [*map(id, kept.modules)] != [*map(id, modules)]:
            self._kept[name] = Prefetcher(modules, device)
        return self._kept[name]

    @property
    def device_bytes(self) -> int:
        """What they hold on the device now."""
        return sum(prefetcher.device_bytes for prefetcher in self._kept.values())

    def clear(self) -> None:
        self._kept.clear()


class _Place:
    """Device memory for one module's weights at a time."""

    def __init__(self, memory: torch.Tensor):
        self.memory = memory
        self.holds: int | None = None
        self.in_use = False
        self.ready: torch.cuda.Event | torch.Event | None = None  # on CUDA: its copy has arrived
        self.free: torch.cuda.Event | torch.Event | None = None  # on CUDA: its last user is done


class PackedWeights:
    """One module's weights: packed into one piece of main memory, and where each tensor lies in it."""

    def __init__(self, module: nn.Module):
        self._module = module
        self._tensors: list[torch.Tensor] = []
        self._starts: list[int] = []
        self._home: list[torch.Tensor] = []
        self.packed: torch.Tensor | None = None
        self.bytes = 0

    def measure(self) -> None:
        """Lay the weights out; new ones (an adapter came or went) are packed again."""
        tensors = _weights(self._module)
        if self.packed is not None and len(tensors) == len(self._tensors) and all(
                new is old and new.data_ptr() == home.data_ptr()
                for new, old, home in zip(tensors, self._tensors, self._home, strict=True)):
            return
        self._tensors, self._starts, self._home, self.packed = tensors, [], [], None
        self.bytes = 0
        for tensor in tensors:
            self._starts.append(self.bytes)
            self.bytes += packed_bytes(tensor)

    def pack(self, pin: bool) -> torch.Tensor:
        """Move the weights into one piece of (pinned) main memory, uint8; they are the same tensors afterwards."""
        if self.packed is not None:
            return self.packed
        for part in self._module.modules():
            if isinstance(part, QuantisedLinear):
                part.check_origin()
        with torch.inference_mode(False):
            try:
                packed = torch.empty(self.bytes, dtype=torch.uint8, pin_memory=pin)
            except RuntimeError as error:  # the system gives no more pinned memory
                log.warning("weights are copied slowly, because memory could not be pinned: %s", error)
                packed = torch.empty(self.bytes, dtype=torch.uint8)
            for tensor, start in zip(self._tensors, self._starts, strict=True):
                view = _view(packed, tensor, start)
                view.copy_(tensor.data)
                tensor.data = view
                self._home.append(view)
        self.packed = packed
        return packed

    def point_into(self, memory: torch.Tensor) -> None:
        """Let the module compute with its weights in `memory`."""
        with torch.inference_mode(False):
            for tensor, start in zip(self._tensors, self._starts, strict=True):
                tensor.data = _view(memory, tensor, start)

    def go_home(self) -> None:
        """Let the module have its weights in main memory again."""
        with torch.inference_mode(False):
            for tensor, home in zip(self._tensors, self._home, strict=True):
                tensor.data = home


def into_memory(module: nn.Module) -> nn.Module:
    """The module with its weights in memory of this process, and in no mapped file, as transformers loads them.

    If another program cut off a file that is mapped, the next look at its weights would end the whole process.
    """
    with torch.no_grad():
        for tensor in _weights(module):
            tensor.data = tensor.data.clone()
    return module


def packed_bytes(tensor: torch.Tensor) -> int:
    """What a tensor takes in a place, the gap after it included."""
    return -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT


def prefetcher_bytes(modules: Sequence[nn.Module]) -> int:
    """Device memory that an open prefetcher of these modules (or of their like on the meta device) holds."""
    sizes = [sum(packed_bytes(tensor) for tensor in _weights(module)) for module in modules]
    return min(2, len(sizes)) * max(sizes, default=0)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, each counted once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _weights(module))


def _weights(module: nn.Module) -> list[torch.Tensor]:
    return list({id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}.values())


def _view(memory: torch.Tensor, like: torch.Tensor, start: int) -> torch.Tensor:
    """The piece of `memory` that has the tensor's dtype, shape and strides (of a dense tensor)."""
    piece = memory[start : start + like.numel() * like.element_size()].view(like.dtype)
    return piece.as_strided(like.shape, like.stride())

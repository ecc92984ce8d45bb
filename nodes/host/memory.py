"""ComfyUI's memory manager for our models: who is on the card, what has room, what to compute in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

import comfy.latent_formats
import comfy.model_management as memory
import comfy.model_patcher
import torch
from comfy.cli_args import args
from torch import nn

from ...common import InputError
from ...kontext import resident_parts
from .progress import stop_if_cancelled


class KontextComponent(nn.Module):
    """A bare holder: ModelPatcher writes `model.device`, which is read-only on our and transformers' networks."""

    def __init__(self, parts: Sequence[nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(parts)


class ComfyPlacement:
    """kontext's `Placement` on ComfyUI's memory manager: one ModelPatcher per component.

    So "Unload models", `/free`, an out-of-memory and other packs can evict each component, and it comes back on use.
    A patcher holds what stays on the device and nothing else: what ComfyUI counts is what is there.

    Args:
        components: of the model.
        limit: bytes the model may take of the device, also if there is more; None: what is there.
    """

    def __init__(self, components: Mapping[str, nn.Module], limit: int | None = None):
        self._components = components
        self._limit = limit
        self._devices = {
            "text_encoders": (memory.text_encoder_device(), memory.text_encoder_offload_device()),
            "transformer": (memory.get_torch_device(), memory.unet_offload_device()),
            "vae": (memory.vae_device(), memory.vae_offload_device()),
        }
        self._patchers: dict[str, comfy.model_patcher.ModelPatcher] = {}
        self._away: dict[str, frozenset[nn.Module]] = {}

    def room(self) -> int | None:
        """What the card has for us, see `card_room`, and not more than the limit."""
        return min((size for size in (card_room(), self._limit) if size is not None), default=None)

    def use(self, component: str, activation_bytes: int, away: Collection[nn.Module] = ()) -> torch.device:
        """Bring the component's weights, but for what is away, to its device, with room for activations; return it."""
        stop_if_cancelled()
        # Weights moved in inference mode would become inference tensors for good.
        with torch.inference_mode(False):
            patcher = self._patcher(component, frozenset(away))
            memory.load_models_gpu([patcher], memory_required=activation_bytes, force_full_load=True)
            if patcher.loaded_size() < patcher.model_size():
                # --novram loads partially all the same, which plain modules cannot run with.
                patcher.partially_load(patcher.load_device, 10**32)
        return patcher.load_device

    def _patcher(self, component: str, away: frozenset[nn.Module]) -> comfy.model_patcher.ModelPatcher:
        """The component's patcher; another one than before, and the old one unloaded, if others are away."""
        if self._away.get(component) != away:
            if component in self._patchers:
                _unload(self._patchers.pop(component))
            for module in away:
                module.to("cpu")
            parts = resident_parts(self._components[component], away)
            self._patchers[component] = comfy.model_patcher.ModelPatcher(
                KontextComponent(parts), *self._devices[component])
            self._away[component] = away
        return self._patchers[component]


def card_room() -> int | None:
    """Bytes that are free on the card or that ComfyUI can free by unloading models; None: no card of its own memory."""
    device = memory.get_torch_device()
    if memory.is_device_cpu(device) or memory.vram_state == memory.VRAMState.SHARED:
        return None
    held = sum(model.model_loaded_memory() for model in memory.current_loaded_models if model.device == device)
    return int(_free_bytes(device) + held - memory.extra_reserved_memory())


def _free_bytes(device: torch.device) -> int:
    return cast(int, memory.get_free_memory(device))  # a pair only where both kinds of free memory are asked for


def _unload(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Take one model off its device and out of ComfyUI's books."""
    loaded = memory.current_loaded_models
    for i in reversed(range(len(loaded))):
        if loaded[i].model is patcher:
            loaded.pop(i).model_unload()
    patcher.detach()


def new_images(count: int, height: int, width: int, where: str, field: str, channels: int = 3) -> torch.Tensor:
    """An IMAGE batch to be filled, `float32 [count, height, width, channels]`; InputError if it does not fit in
    memory."""
    needed, free = count * height * width * channels * 4, _free_bytes(torch.device("cpu"))
    if needed > free:
        raise InputError(
            where, field, f"{count} pictures of {width}x{height}",
            f"need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            "make fewer new pictures, or work on the clip in parts")
    return torch.empty(count, height, width, channels)


def weight_dtype() -> torch.dtype:
    """What to compute in: bfloat16 where the device does; else float16 where ComfyUI trusts it, else float32.

    Cards without bfloat16 are those before Ampere. On Turing (RTX 20) ComfyUI uses float16; on its GTX 16 float16 is
    broken, and on Pascal under Linux slower than float32.
    """
    device = memory.get_torch_device()
    if memory.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if memory.should_use_fp16(device) else torch.float32


def may_map_files() -> bool:
    """Whether model files may be mapped into memory (ComfyUI's --disable-mmap says no)."""
    return not args.disable_mmap


def card_memory() -> str:
    """The device models run on and its memory, in a few words."""
    device = memory.get_torch_device()
    total, free = cast(int, memory.get_total_memory(device)), _free_bytes(device)
    return f"{memory.get_torch_device_name(device)}: {total / 2**30:.1f} GiB, {free / 2**30:.1f} free"


def flux_latent_rgb() -> dict[str, list]:
    """FLUX's linear map from latents to colours (`ModelSettings.latent_rgb`), for models that bring none."""
    flux = comfy.latent_formats.Flux()
    return {"factors": flux.latent_rgb_factors, "bias": flux.latent_rgb_factors_bias}


def work_device(work_bytes: int) -> torch.device:
    """The device models run on, with that much memory free on it."""
    device = memory.get_torch_device()
    memory.free_memory(work_bytes, device)
    return device


def device_for(network: nn.Module) -> Callable[..., torch.device]:
    """A function that brings a small network to the GPU, if there is one, under ComfyUI's memory manager.

    It takes the bytes that the work needs beside the weights, 0 if not given.
    """
    return device_of(comfy.model_patcher.ModelPatcher(KontextComponent([network]), memory.get_torch_device(),
                                                       memory.unet_offload_device()))


def device_of(patcher: comfy.model_patcher.ModelPatcher) -> Callable[..., torch.device]:
    def use(work_bytes: int = 0) -> torch.device:
        with torch.inference_mode(False):
            memory.load_models_gpu([patcher], memory_required=work_bytes, force_full_load=True)
        return patcher.load_device
    return use

"""ComfyUI's services for the nodes. With native.py the only file of the pack that touches `comfy.*`."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import comfy.latent_formats
import comfy.model_management as memory
import comfy.model_patcher
import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy.cli_args import args
from comfy_api.latest import InputImpl
from PIL import Image
from torch import nn

from .. import flow
from ..common import InputError
from ..kontext import resident_parts

log = logging.getLogger("kontinuity")

PREVIEW_PIXELS = 512  # the longer side of a live preview, as ComfyUI's own samplers send it


# Progress and Cancel ---------------------------------------------------------------------------------------------


def stop_if_cancelled() -> None:
    """Raise ComfyUI's interrupt exception if the user pressed Cancel."""
    memory.throw_exception_if_processing_interrupted()


class Progress:
    """The running node's progress bar with a live preview. Create it inside `execute`: it binds to the node then."""

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self._bar = comfy.utils.ProgressBar(total)

    def advance(self, preview: np.ndarray | None = None) -> None:
        """One step more is done; show it, with a small uint8 picture if there is one. Raises on Cancel."""
        stop_if_cancelled()
        self.done += 1
        picture = None if preview is None else ("JPEG", Image.fromarray(preview), PREVIEW_PIXELS)
        self._bar.update_absolute(self.done, self.total, picture)

    def reach(self, done: int) -> None:
        """Work up to `done` is done, or was not needed. Raises on Cancel."""
        self.done = max(self.done, done - 1)
        if self.done < done:
            self.advance()


# Memory ----------------------------------------------------------------------------------------------------------


class KontextComponent(nn.Module):
    """A bare holder: ModelPatcher writes `model.device`, which is read-only on diffusers and transformers models."""

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
        """Bring the component's weights to its device, with room for the activations; return that device."""
        stop_if_cancelled()
        # Weights moved in inference mode would become inference tensors for good.
        with torch.inference_mode(False):
            patcher = self._patcher(component, frozenset(away))
            memory.load_models_gpu([patcher], memory_required=activation_bytes, force_full_load=True)
            if patcher.loaded_size() < patcher.model_size():
                # --novram loads partially all the same, which plain modules cannot run with.
                patcher.partially_load(patcher.load_device, 1e32)
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
    return int(memory.get_free_memory(device) + held - memory.extra_reserved_memory())


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
    needed, free = count * height * width * channels * 4, memory.get_free_memory(torch.device("cpu"))
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
    total, free = memory.get_total_memory(device), memory.get_free_memory(device)
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
    return _device_of(comfy.model_patcher.ModelPatcher(KontextComponent([network]), memory.get_torch_device(),
                                                       memory.unet_offload_device()))


def _device_of(patcher: comfy.model_patcher.ModelPatcher) -> Callable[..., torch.device]:
    def use(work_bytes: int = 0) -> torch.device:
        with torch.inference_mode(False):
            memory.load_models_gpu([patcher], memory_required=work_bytes, force_full_load=True)
        return patcher.load_device
    return use


def flow_estimator(model: flow.Estimator | comfy.model_patcher.ModelPatcher, where: str) -> flow.Estimator:
    """Ours as it is; that of ComfyUI's own Load Optical Flow Model (from 0.21 on) brought into our form."""
    if not isinstance(model, comfy.model_patcher.ModelPatcher):
        return model
    if not hasattr(model.model, "feature_encoder"):
        raise InputError(where, "flow_model", type(model.model).__name__, "is not torchvision's RAFT",
                         "connect Load Flow Model or Load Optical Flow Model")
    return flow.RaftFlow(model.model, _device_of(model))


def in_between_model(model: flow.InBetweenModel | comfy.model_patcher.ModelPatcher, where: str
                     ) -> flow.InBetweenModel:
    """Ours as it is; that of ComfyUI's own Load Frame Interpolation Model (from 0.20 on) brought into our form."""
    if isinstance(model, flow.InBetweenModel):
        return model
    network = getattr(model, "model", None)
    if not hasattr(network, "extract_features"):
        raise InputError(where, "in_between_model", type(network or model).__name__, "makes no pictures in between",
                         "connect Load In-Between Model or Load Frame Interpolation Model")
    return flow.InBetweenModel(NativeInBetween(network), _device_of(model), model.model_dtype() or torch.float32)


class NativeInBetween:
    """RIFE or FILM as ComfyUI itself loads it, as our `InBetweenNetwork`."""

    work_bytes = 5200  # a pixel: FILM's in float32, the larger one

    def __init__(self, network: nn.Module):
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


# Saving ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OutputNames:
    """Where one run's pictures go: `<folder>/<stem>_<counter>_<suffix>.png`."""

    folder: Path
    subfolder: str
    stem: str
    counter: int

    def file_name(self, suffix: str) -> str:
        """The file's name for the panel or part called `suffix`."""
        return f"{self.stem}_{self.counter:05}_{suffix}.png"

    def earlier(self) -> dict[str, list[Path]]:
        """What earlier runs have saved here, by suffix, the newest first."""
        ours = re.compile(rf"{re.escape(self.stem)}_(\d+)_(.+)\.png")
        matches = filter(None, (ours.fullmatch(path.name) for path in self.folder.iterdir()))
        found: dict[str, list[Path]] = {}
        for match in sorted(matches, key=lambda match: int(match[1]), reverse=True):
            found.setdefault(match[2], []).append(self.folder / match[0])
        return found

    def numbered(self, extension: str) -> str:
        """The name of the run's only file, as ComfyUI's own nodes write it."""
        return f"{self.stem}_{self.counter:05}_{extension}"


def output_names(prefix: str, where: str) -> OutputNames:
    """Claim the next free counter for a file name prefix (which may hold subfolders) in the output folder."""
    if "\0" in prefix or not os.path.basename(prefix.strip()):
        raise InputError(where, "filename_prefix", prefix, "is no file name",
                         "give a name, with subfolders if you like: kontinuity/board")
    output = folder_paths.get_output_directory()
    try:
        folder, stem, counter, subfolder, _ = folder_paths.get_save_image_path(prefix.strip(), output)
    except Exception as error:  # ComfyUI raises a bare Exception for a path outside, OSError for an unusable one
        raise InputError(where, "filename_prefix", prefix, f"cannot be used under {output}",
                         "give a name inside the output folder that can be written: kontinuity/board") from error
    return OutputNames(Path(folder), subfolder, stem, counter)


def saved_image(names: OutputNames, file_name: str) -> dict[str, str]:
    """A saved picture as ComfyUI's frontend wants to hear of it."""
    return {"filename": file_name, "subfolder": names.subfolder, "type": "output"}


def video_of(path: Path):
    """A video file as ComfyUI's VIDEO; it is read only when a node asks."""
    return InputImpl.VideoFromFile(str(path))


def keeps_metadata() -> bool:
    """Whether pictures may carry text chunks (ComfyUI's --disable-metadata says no)."""
    return not args.disable_metadata


def png_text(hidden) -> dict[str, str]:
    """The text chunks ComfyUI writes into its pictures, so that they reopen as a workflow."""
    if not keeps_metadata() or hidden is None:
        return {}
    chunks = {"prompt": json.dumps(hidden.prompt)} if hidden.prompt else {}
    return chunks | {key: json.dumps(value) for key, value in (hidden.extra_pnginfo or {}).items()}

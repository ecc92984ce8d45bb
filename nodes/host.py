"""ComfyUI's services for the nodes. With native.py the only file of the pack that touches `comfy.*`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from PIL import Image
from torch import nn

from ..kontext import InputError, resident_parts

log = logging.getLogger("kontinuity")

DEMO_MODEL = "demo model (built in)"
MODEL_INDEX = "model_index.json"
STORY_SUFFIXES = (".yaml", ".yml")
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


def weight_dtype() -> torch.dtype:
    """The precision to load weights in: bfloat16 where the device computes in it, else float32."""
    return torch.bfloat16 if memory.should_use_bf16(memory.get_torch_device()) else torch.float32


def card_memory() -> str:
    """The device models run on and its memory, in a few words."""
    device = memory.get_torch_device()
    total, free = memory.get_total_memory(device), memory.get_free_memory(device)
    return f"{memory.get_torch_device_name(device)}: {total / 2**30:.1f} GiB, {free / 2**30:.1f} free"


def flux_latent_rgb() -> dict[str, list]:
    """FLUX's linear map from latents to colours (`ModelSettings.latent_rgb`), for models that bring none."""
    flux = comfy.latent_formats.Flux()
    return {"factors": flux.latent_rgb_factors, "bias": flux.latent_rgb_factors_bias}


# Model folders ---------------------------------------------------------------------------------------------------


def model_names() -> list[str]:
    """The demo model, then every diffusers folder under ComfyUI's `diffusers` model paths."""
    return [DEMO_MODEL, *sorted(_diffusers_folders())]


def model_folder(name: str, where: str) -> Path:
    """The folder behind a name of `model_names`."""
    if name == DEMO_MODEL:
        from ..demo_model import weights_folder

        return Path(weights_folder())
    folders = _diffusers_folders()
    if name not in folders:
        searched = ", ".join(folder_paths.get_folder_paths("diffusers"))
        raise InputError(
            where, "model", name, f"no such model folder under {searched}",
            f"put a diffusers folder with a {MODEL_INDEX} there and refresh, or choose '{DEMO_MODEL}'",
        )
    return folders[name]


def _diffusers_folders() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in folder_paths.get_folder_paths("diffusers"):
        for folder, subfolders, files in os.walk(root, followlinks=True):
            if MODEL_INDEX in files:
                found.setdefault(Path(folder).relative_to(root).as_posix(), Path(folder))
                subfolders.clear()  # a pipeline's own parts are no models
    found.pop(".", None)
    return found


# Any model file, by its kind's folder: "diffusion_models/flux1-kontext-dev.safetensors"

WEIGHT_KINDS = ("diffusion_models", "checkpoints", "text_encoders", "vae", "loras", "style_models")
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
WEIGHT_SUFFIXES = (".safetensors", ".sft", ".gguf", *PICKLES)
LORA_SUFFIXES = (".safetensors", ".sft")
NO_WEIGHTS = "no model files found"
NO_LORAS = "no LoRA found"


def weight_names() -> list[str]:
    """The demo model, then every diffusers folder and every file in ComfyUI's model folders, as `kind/name`.

    ComfyUI searches models/unet as diffusion_models and models/clip as text_encoders, so do we.
    """
    return [DEMO_MODEL, *sorted(_weights())]


def lora_names() -> list[str]:
    """The safetensors files in ComfyUI's loras folders, with subfolders; never an empty list."""
    return sorted(name for name in _files("loras") if name.lower().endswith(LORA_SUFFIXES)) or [NO_LORAS]


def lora_path(name: str, where: str) -> Path:
    """The file behind a name of `lora_names`."""
    found = _files("loras")
    if name not in found:
        raise InputError(where, "lora", name, "is not in ComfyUI's loras folders",
                         f"put LoRAs into {folder_paths.get_folder_paths('loras')[0]}, refresh (R) and choose one")
    return found[name]


def weight_files(*kinds: str) -> list[str]:
    """Those names of `weight_names` that are files of these kinds and no pickles."""
    return sorted(name for name in _weights(kinds) if not name.lower().endswith(PICKLES)
                  and not name.startswith("diffusers/"))


def weight_path(name: str, where: str, field: str = "file") -> Path:
    """The file or folder behind a name of `weight_names`."""
    if name == DEMO_MODEL:
        return model_folder(name, where)
    found = _weights()
    if name not in found:
        raise InputError(where, field, name, "is in none of ComfyUI's model folders",
                         f"put model files into {folder_paths.models_dir}, refresh (R) and choose one")
    return found[name]


def weight_stamp(*names: str) -> str:
    """Changes when a file behind one of the names does."""
    found, stamps = _weights(), []
    for name in names:
        try:
            stat = found[name].stat()
            stamps.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
        except (KeyError, OSError):
            stamps.append(name)
    return "\n".join(stamps)


def tokenizer_folders() -> tuple[Path, Path]:
    """ComfyUI's own tokenizers of CLIP-L and T5-XXL."""
    comfy_folder = Path(comfy.utils.__file__).parent
    return comfy_folder / "sd1_tokenizer", comfy_folder / "text_encoders" / "t5_tokenizer"


def _weights(kinds: Iterable[str] = WEIGHT_KINDS) -> dict[str, Path]:
    found = {f"diffusers/{name}": folder for name, folder in _diffusers_folders().items()}
    for kind in kinds:
        found |= {f"{kind}/{name}": path for name, path in _files(kind).items()}
    return found


def _files(kind: str) -> dict[str, Path]:
    """Every weights file in one kind's folders, by its path there; the first folder wins."""
    found: dict[str, Path] = {}
    for root in folder_paths.folder_names_and_paths.get(kind, ([],))[0]:
        for folder, _, files in os.walk(root, followlinks=True):
            for file in files:
                if file.lower().endswith(WEIGHT_SUFFIXES) and not file.startswith("."):
                    path = Path(folder, file)
                    found.setdefault(path.relative_to(root).as_posix(), path)
    return found


# Input folder ----------------------------------------------------------------------------------------------------


def input_folder() -> Path:
    """ComfyUI's input folder."""
    return Path(folder_paths.get_input_directory())


def story_files() -> list[str]:
    """The story files in the input folder, as relative names with forward slashes."""
    root = input_folder()
    names = []
    for folder, _, files in os.walk(root, followlinks=True):
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in files
                  if name.lower().endswith(STORY_SUFFIXES) and not name.startswith(".")]
    return sorted(names)


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


def keeps_metadata() -> bool:
    """Whether pictures may carry text chunks (ComfyUI's --disable-metadata says no)."""
    return not args.disable_metadata


def png_text(hidden) -> dict[str, str]:
    """The text chunks ComfyUI writes into its pictures, so that they reopen as a workflow."""
    if not keeps_metadata() or hidden is None:
        return {}
    chunks = {"prompt": json.dumps(hidden.prompt)} if hidden.prompt else {}
    return chunks | {key: json.dumps(value) for key, value in (hidden.extra_pnginfo or {}).items()}

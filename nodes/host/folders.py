"""ComfyUI's folders: models and input. One of the few files that touch the host (`tests/test_walls.py` names them)."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from pathlib import Path

import comfy.utils
import folder_paths

from ...common import InputError
from ...storyboard import STORY_SUFFIXES

DEMO_MODEL = "demo model (built in)"
MODEL_INDEX = "model_index.json"
DICTIONARY_SUFFIXES = (".dictionary.yaml", ".dictionary.yml")
TRANSLATION = "translation"  # the folder in models/ for translation models
NO_TRANSLATION = "no translation"
IDENTITY = "identity"  # the folder in models/ for identity encoders and face finders


# Model folders ---------------------------------------------------------------------------------------------------


def model_names() -> list[str]:
    """The demo model, then every diffusers folder under ComfyUI's `diffusers` model paths."""
    return [DEMO_MODEL, *sorted(_diffusers_folders())]


def model_folder(name: str, where: str) -> Path:
    """The folder behind a name of `model_names`."""
    if name == DEMO_MODEL:
        from ...demo_model import weights_folder

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
DEMO_LORA = "in-betweens of the demo model (built in)"


def weight_names() -> list[str]:
    """The demo model, then every diffusers folder and every file in ComfyUI's model folders, as `kind/name`.

    ComfyUI searches models/unet as diffusion_models and models/clip as text_encoders, so do we.
    """
    return [DEMO_MODEL, *sorted(_weights())]


def lora_names() -> list[str]:
    """The safetensors files in ComfyUI's loras folders, with subfolders, or that there is none; last our own."""
    files = sorted(name for name in _files("loras") if name.lower().endswith(LORA_SUFFIXES))
    return [*(files or [NO_LORAS]), DEMO_LORA]


def lora_path(name: str, where: str) -> Path:
    """The file behind a name of `lora_names`."""
    if name == DEMO_LORA:
        from ...demo_model import in_between_lora

        return in_between_lora()
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
            stamps.append(str(name))
    return "\n".join(stamps)


def tokenizer_folders() -> tuple[Path, Path]:
    """ComfyUI's own tokenizers of CLIP-L and T5-XXL."""
    comfy_folder = Path(inspect.getfile(comfy.utils)).parent
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


# Flow and in-between models, in the folders that later versions of ComfyUI itself use for them

FLOW_MODELS, IN_BETWEEN_MODELS = "optical_flow", "frame_interpolation"
MOTION_SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl")
for _kind in (FLOW_MODELS, IN_BETWEEN_MODELS):
    if _kind not in folder_paths.folder_names_and_paths:
        folder_paths.add_model_folder_path(_kind, os.path.join(folder_paths.models_dir, _kind))


def motion_model_names(kind: str) -> list[str]:
    """The files in models/optical_flow or models/frame_interpolation; never an empty list."""
    names = [name for name in folder_paths.get_filename_list(kind) if name.lower().endswith(MOTION_SUFFIXES)]
    return sorted(names) or [f"no files in models/{kind}"]


def motion_model_path(kind: str, name: str, where: str, what: str) -> Path:
    """The file behind a name of `motion_model_names`; `what` belongs there, for the message."""
    path = folder_paths.get_full_path(kind, name) if name in motion_model_names(kind) else None
    if path is None:
        raise InputError(where, "file", name, f"is not in {folder_paths.get_folder_paths(kind)[0]}",
                         f"put {what} there, refresh (R) and choose the file")
    return Path(path)


# Identity models -------------------------------------------------------------------------------------------------


def identity_encoders() -> list[str]:
    """The transformers folders, as `identity/name`."""
    return sorted(_identity_models("*/config.json"))


def face_models() -> list[str]:
    """The ONNX files, as `identity/name.onnx`: face detectors and face embeddings; only the user knows which."""
    return sorted(_identity_models("*.onnx"))


def identity_path(name: str, where: str, field: str) -> Path:
    """The folder or file behind a name."""
    found = _identity_models("*/config.json") | _identity_models("*.onnx")
    if name not in found:
        raise InputError(where, field, name, "is not there",
                         f"put it into {_identity_roots()[0]}, refresh (R) and choose it, or choose what is built in")
    return found[name]


def _identity_roots() -> list[Path]:
    known = folder_paths.folder_names_and_paths.get(IDENTITY)
    return [Path(root) for root in known[0]] if known else [Path(folder_paths.models_dir, IDENTITY)]


def _identity_models(pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in _identity_roots():
        for path in root.glob(pattern):
            path = path.parent if path.name == "config.json" else path
            found.setdefault(f"{IDENTITY}/{path.relative_to(root).as_posix()}", path)
    return found


# Input folder ----------------------------------------------------------------------------------------------------


def input_folder() -> Path:
    """ComfyUI's input folder."""
    return Path(folder_paths.get_input_directory())


def story_files() -> list[str]:
    """The story files in the input folder, as relative names with forward slashes."""
    return [name for name in _input_files(STORY_SUFFIXES) if not name.lower().endswith(DICTIONARY_SUFFIXES)]


def _input_files(suffixes: tuple[str, ...]) -> list[str]:
    root = input_folder()
    names = []
    for folder, _, files in os.walk(root, followlinks=True):
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in files
                  if name.lower().endswith(suffixes) and not name.startswith(".")]
    return sorted(names)


# Translators -----------------------------------------------------------------------------------------------------


def translators() -> list[str]:
    """The dictionaries of the input folder, then the model folders in models/translation, as `translation/name`."""
    return sorted(_translators())


def translator_path(name: str, where: str) -> Path:
    """The file or folder behind a name of `translators`."""
    found = _translators()
    if name not in found:
        raise InputError(where, "translator", name, "is neither a dictionary nor a translation model",
                         f"put NAME{DICTIONARY_SUFFIXES[0]} into {input_folder()}, or a model folder into "
                         f"{Path(folder_paths.models_dir, TRANSLATION)}, and refresh")
    return found[name]


def translator_stamp(name: str) -> str:
    """Changes when the dictionary or the model behind the name does."""
    path = _translators().get(name)
    try:
        return name if path is None else f"{name} {path.stat().st_mtime_ns} {path.stat().st_size}"
    except OSError:
        return name


def _translators() -> dict[str, Path]:
    found = {name: input_folder() / name for name in _input_files(DICTIONARY_SUFFIXES)}
    roots = folder_paths.folder_names_and_paths.get(TRANSLATION, ([Path(folder_paths.models_dir, TRANSLATION)],))[0]
    for config in (config for root in roots for config in Path(root).glob("*/config.json")):
        found.setdefault(f"{TRANSLATION}/{config.parent.name}", config.parent)
    return found

"""Where the models that tell who is in a picture are: ComfyUI's folder models/identity."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..kontext import InputError

FOLDER = "identity"


def encoder_names() -> list[str]:
    """The transformers folders, as `identity/name`."""
    return sorted(_found("*/config.json"))


def face_finder_names() -> list[str]:
    """The ONNX files, as `identity/name.onnx`."""
    return sorted(_found("*.onnx"))


def path_of(name: str, where: str, field: str) -> Path:
    """The folder or file behind a name."""
    found = _found("*/config.json") | _found("*.onnx")
    if name not in found:
        raise InputError(where, field, name, "is not there",
                         f"put it into {_roots()[0]}, refresh (R) and choose it, or choose what is built in")
    return found[name]


def _roots() -> list[Path]:
    known = folder_paths.folder_names_and_paths.get(FOLDER)
    return [Path(root) for root in known[0]] if known else [Path(folder_paths.models_dir, FOLDER)]


def _found(pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in _roots():
        for path in root.glob(pattern):
            path = path.parent if path.name == "config.json" else path
            found.setdefault(f"{FOLDER}/{path.relative_to(root).as_posix()}", path)
    return found

"""Files in ComfyUI's output folder: their names, and what they say of themselves."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl

from ...common import InputError


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

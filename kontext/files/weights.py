"""Weight files of a diffusers folder: safetensors only, whole, and read by their headers alone."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...common import InputError
from .headers import read_weights_file
from .tensors import WeightsFile

_MAX_JSON = 16 * 1024 * 1024  # bytes; FLUX's largest index has 0.12 MB
_MAX_FILES = 200
_VARIANTS = ("bf16", "fp16", "fp32")  # the first of them is taken where the weights without a variant are not there
PART_OF = re.compile(r"-\d{5}-of-(\d{5})\.", re.ASCII)


def read_json(path: Path) -> dict:
    """Read a JSON object from a file.

    Raises:
        InputError: missing, over 16 MiB, not UTF-8, not JSON, or not an object.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise InputError(str(path), "file", path.name, "is far too large for a config file", "download it again")
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(str(path.parent), "file", path.name, "is missing",
                         "copy or download the whole folder again") from None
    except OSError as error:
        raise InputError(str(path), "file", path.name, f"cannot be read ({error.strerror})",
                         "check its permissions") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(path), "file", path.name, f"is not JSON ({error})", "download it again") from None
    if not isinstance(data, dict):
        raise InputError(str(path), "file", path.name, "holds no JSON object", "download it again")
    return data


def own_name(path: Path) -> str:
    """What a file or folder is called where it was found, links not followed: behind a link of Hugging Face's cache
    there is a hash. The cache's folder of one commit is called by its model."""
    path = Path(os.path.abspath(path))
    model = path.parent.parent.name
    if path.parent.name == "snapshots" and model.startswith("models--"):
        return model.rpartition("--")[2]
    return path.name


def read_weights_files(folder: Path, stem: str | None = None) -> dict[Path, WeightsFile]:
    """Headers of a component's weights, one file or several named by an index, with or without a variant's name.

    Args:
        folder: e.g. MODEL/transformer.
        stem: "diffusion_pytorch_model" (diffusers) or "model" (transformers); None: whatever is there.

    Raises:
        InputError: no safetensors, several variants of which none is usual, an index that names missing or foreign
            files, or a cut file.
    """
    single, index = _plain_or_variant(folder, stem)
    if single is not None:
        return {single: read_weights_file(single)}
    assert index is not None  # one of the two is there
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(str(index), "weight_map", weight_map, "names no files", "download it again")
    names = sorted({str(name) for name in weight_map.values()})
    if len(names) > _MAX_FILES:
        raise InputError(str(index), "weight_map", len(names), f"files are more than {_MAX_FILES}", "download it again")
    files: dict[Path, WeightsFile] = {}
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise InputError(str(index), "weight_map", name, "is not a safetensors file beside the index",
                             "download the folder again")
        if not (folder / name).is_file():
            raise InputError(str(index), "weight_map", name, "is named here but missing",
                             "download this file into the folder too")
        files[folder / name] = read_weights_file(folder / name)
    absent = [tensor for tensor in weight_map if not any(tensor in file.tensors for file in files.values())]
    if absent:
        raise InputError(str(index), "weight_map", absent[0], "is in none of the files", "download the folder again")
    return files


def _plain_or_variant(folder: Path, stem: str | None) -> tuple[Path | None, Path | None]:
    """(the file, None) or (None, the index), or both.

    Variants are named as diffusers and transformers name them: `model.fp16.safetensors`,
    `model.safetensors.index.fp16.json`, in newer versions `model.fp16.safetensors.index.json`.
    """
    start = r"(?P<stem>[\w-]+)" if stem is None else rf"(?P<stem>{re.escape(stem)})"
    pattern = re.compile(start + r"(\.(?P<a>\w+))?\.safetensors(?P<index>\.index(\.(?P<b>\w+))?\.json)?", re.ASCII)
    found: dict[str, dict[bool, Path]] = {}  # variant -> is it an index -> path
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match and path.is_file() and not (stem is None and PART_OF.search(path.name)):
            found.setdefault(match["a"] or match["b"] or "", {}).setdefault(bool(match["index"]), path)
    if not found:
        raise _no_weights(folder, stem)
    variant = next((usual for usual in ("", *_VARIANTS) if usual in found), None)
    if variant is None and len(found) > 1:
        raise InputError(str(folder), "variant", ", ".join(found), "are several variants of the same weights",
                         "keep one of them in the folder")
    kinds = found[next(iter(found)) if variant is None else variant]
    return kinds.get(False), kinds.get(True)


def _no_weights(folder: Path, stem: str | None) -> InputError:
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".bin.index.json"))]
    others = [n for n in names if n.endswith((".safetensors", ".gguf"))]
    wanted = f"{stem or 'model'}.safetensors"
    if others:
        return InputError(str(folder), "file", wanted, f"is missing (there is {others[0]})",
                          "download the whole folder again, or rename the file if it is whole")
    if pickles:
        return InputError(str(folder), "file", pickles[0], "is a pickle, which can run any code when opened",
                          "convert it to safetensors, or download the safetensors version")
    if stem is None:
        return InputError(str(folder), "folder", own_name(folder),
                          "holds no model_index.json and no safetensors weights",
                          "choose a diffusers folder or a weights file")
    return InputError(str(folder), "file", wanted, "is missing", "copy or download the whole folder again")


def count_blocks(names: Iterable[str], prefix: str) -> int:
    """How many numbered blocks `prefix.0.`, `prefix.1.` ... the tensors belong to."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({m.group(1) for name in names if (m := pattern.match(name))})

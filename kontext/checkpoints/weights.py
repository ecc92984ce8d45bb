"""Weight files of a diffusers folder: safetensors only, whole, and read by their headers alone."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .headers import Tensor, WeightsFile, read_weights_file

_MAX_JSON = 16 * 1024 * 1024  # bytes; FLUX's largest index has 0.12 MB

Header = dict[str, Tensor]


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


def read_weights_files(folder: Path, stem: str) -> dict[Path, WeightsFile]:
    """Headers of a component's weights, one file or several named by an index.

    Args:
        folder: e.g. MODEL/transformer.
        stem: "diffusion_pytorch_model" (diffusers) or "model" (transformers).

    Raises:
        InputError: no safetensors, an index that names missing or foreign files, or a cut file.
    """
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.is_file():
        return {single: read_weights_file(single)}
    if not index.is_file():
        raise _no_weights(folder, single.name)
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(str(index), "weight_map", weight_map, "names no files", "download it again")
    files: dict[Path, WeightsFile] = {}
    for name in sorted({str(v) for v in weight_map.values()}):
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


def read_weights_headers(folder: Path, stem: str) -> Header:
    """All tensors of `read_weights_files`."""
    return {name: tensor for file in read_weights_files(folder, stem).values() for name, tensor in file.tensors.items()}


def _no_weights(folder: Path, wanted: str) -> InputError:
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".bin.index.json"))]
    others = [n for n in names if n.endswith((".safetensors", ".gguf"))]
    if others:
        return InputError(str(folder), "file", wanted, f"is missing (there is {others[0]})",
                          "use a folder without a variant suffix, or rename the file if it is whole")
    if pickles:
        return InputError(str(folder), "file", pickles[0], "is a pickle, which can run any code when opened",
                          "convert it to safetensors, or download the safetensors version")
    return InputError(str(folder), "file", wanted, "is missing", "copy or download the whole folder again")


def count_blocks(names: Iterable[str], prefix: str) -> int:
    """How many numbered blocks `prefix.0.`, `prefix.1.` ... the tensors belong to."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({m.group(1) for name in names if (m := pattern.match(name))})

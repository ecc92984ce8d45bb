"""Weight files as plain tensors: no code is run while reading one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..common import InputError

MAX_FILE_BYTES = 1 << 30
Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: Path, what: str, where: str) -> dict[str, Tensor]:
    """All tensors of a file by name, on the CPU.

    Args:
        path: ``.safetensors``, or a ``.pth``, ``.pt`` or ``.pkl`` of plain tensors.
        what: what the user wants to load, for messages: "RAFT".
        where: for messages, too.
    Raises:
        InputError: a file that is too large, cannot be read, or holds more than tensors.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise refused(path, where, f"is larger than {MAX_FILE_BYTES >> 20} MB, no {what} is", "choose another file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            # not load_file, which maps the file: a program that cut it off would end this one
            return load(path.read_bytes())
        if _is_program(path):
            raise refused(path, where, "is a TorchScript archive, a program with its weights, and is not run here",
                          f"use {what} as .safetensors or as a plain state dict")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # of safetensors, zipfile, the unpickler: all mean the same to the user
        raise refused(path, where, "cannot be read as tensors", "download it again, best as .safetensors") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise refused(path, where, "holds more than tensors", "use a plain state dict")
    return state


def refused(path: Path, where: str, problem: str, remedy: str) -> InputError:
    """The error to raise for a weight file."""
    return InputError(where, "file", path.name, problem, remedy)


def fill(network: Network, state: dict[str, Tensor], path: Path, remedy: str, where: str) -> Network:
    """A network of the meta device with a file's tensors in it: all of them, of the same shapes, as float32.

    Returns:
        ``network``, in eval mode on the CPU, without gradients.
    Raises:
        InputError: a tensor that is missing, too many, or of another shape.
    """
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or extra:
        what = f"there is no {missing[0]}" if missing else f"{extra[0]} is not part of it"
        raise refused(path, where, f"does not fit: {what}", remedy)
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            shapes = f"{list(state[name].shape)}, {list(value.shape)} is needed"
            raise refused(path, where, f"does not fit: {name} is {shapes}", remedy)
    network.load_state_dict({name: state[name].float() for name in wanted}, assign=True)
    return network.eval().requires_grad_(False)


def _is_program(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())

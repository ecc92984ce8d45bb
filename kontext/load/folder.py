"""A diffusers folder becomes a KontextModel. Local files only, safetensors only, no code from the folder."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch

from ..files.weights import own_name, read_json
from ..model import KontextModel
from ..recognise.check import check_folder, not_of_kontext, read_settings
from ..sampling import Schedule
from ..settings import ModelSettings
from .fill import Filling
from .parts import Tokenizers, assemble, choose_dtype, fill_parts, folder_parts, load_tokenizers

log = logging.getLogger("kontinuity")


def load_folder(
    path: str | Path,
    *,
    name: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    may_map: bool = True,
) -> KontextModel:
    """Load a FLUX.1 Kontext model from a diffusers folder.

    Args:
        path: the folder that holds model_index.json.
        name: what to call it; without it the name in `kontinuity.json`, else the folder's.
        dtype: float32, bfloat16 or float16, of the computation; None: bfloat16 on CUDA where the card
            computes in it, else float16 there, and float32 elsewhere. With float16 the text encoders and the VAE
            compute in float32. A large part's matrices stay in the number format of their file, whatever the dtype.
        device: where its `Resident` placement will run it. The weights move there on first use.
        may_map: whether large files may stay mapped instead of being copied into memory.

    Returns:
        The model, its weights in CPU memory or still in the files, which are mapped.

    Raises:
        InputError: the folder is not whole or not Kontext-shaped (`check_folder`), its weights do not fit its
            configs or are damaged, or `dtype` is another one.
    """
    root = Path(path)
    device = torch.device(device)
    ready = prepare_folder(root, choose_dtype(dtype, device, str(root)))
    if note := not_of_kontext(root):
        log.warning("%s: %s", own_name(root), note)
    return assemble(
        ready.fillings, ready.tokenizers, device=device, name=name or ready.name or own_name(root),
        settings=ready.settings, may_map=may_map,
        schedule=Schedule.from_config(read_json(root / "scheduler" / "scheduler_config.json")))


class Ready(NamedTuple):
    """A folder that was found to fit, before its weights are read."""

    fillings: dict[str, Filling]
    tokenizers: Tokenizers
    settings: ModelSettings
    name: str | None


def prepare_folder(root: Path, dtype: torch.dtype = torch.float32) -> Ready:
    """All that `load_folder` checks before it reads weights. Raises: InputError."""
    check_folder(root)
    settings, name = read_settings(root)
    tokenizers = load_tokenizers(root / "tokenizer", root / "tokenizer_2")
    return Ready(fill_parts(folder_parts(root), tokenizers, dtype), tokenizers, settings, name)

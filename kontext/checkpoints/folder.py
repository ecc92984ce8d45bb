"""A diffusers folder becomes a KontextModel. Local files only, safetensors only, no code from the folder."""

from pathlib import Path

import torch

from ..model import KontextModel
from ..sampling import Schedule
from .check import check_folder, read_settings
from .parts import assemble, choose_dtype, folder_parts, load_tokenizers
from .weights import read_json


def load_folder(
    path: str | Path,
    *,
    name: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> KontextModel:
    """Load a FLUX.1 Kontext model from a diffusers folder.

    Args:
        path: the folder that holds model_index.json.
        name: what to call it; without it the name in `kontinuity.json`, else the folder's.
        dtype: float32, bfloat16 or float16, whatever the files hold; None: bfloat16 on CUDA, else float32. Weights
            stored in fp8 stay fp8.
        device: where its `Resident` placement will run it. The weights move there on first use.

    Returns:
        The model, its weights in CPU memory or still in the files, which are mapped.

    Raises:
        InputError: the folder is not whole or not Kontext-shaped (`check_folder`), its weights do not fit its
            configs or are damaged, or `dtype` is another one.
    """
    root = Path(path)
    check_folder(root)
    device = torch.device(device)
    dtype = choose_dtype(dtype, device, str(root))
    settings, own_name = read_settings(root)
    clip_tokenizer, t5_tokenizer = load_tokenizers(root / "tokenizer", root / "tokenizer_2")
    return assemble(
        folder_parts(root), clip_tokenizer, t5_tokenizer, dtype=dtype, device=device,
        name=name or own_name or root.resolve().name, settings=settings,
        schedule=Schedule.from_config(read_json(root / "scheduler" / "scheduler_config.json")))

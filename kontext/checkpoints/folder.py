"""A diffusers folder becomes a KontextModel. Local files only, safetensors only, no code from the folder."""

import logging
import sys
from pathlib import Path

import torch
from torch import nn

from ..backends.diffusers import DiffusersBackend
from ..errors import InputError
from ..model import KontextModel
from ..placement import Resident
from ..sampling import Schedule
from .check import check_folder, read_settings
from .weights import read_json

log = logging.getLogger("kontinuity")

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


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
        dtype: float32, bfloat16 or float16, whatever the files hold; None: bfloat16 on CUDA, else float32.
        device: where its `Resident` placement will run it. The weights move there on first use.

    Returns:
        The model, its weights in CPU memory.

    Raises:
        InputError: the folder is not whole or not Kontext-shaped (`check_folder`), its weights do not fit its
            configs, or `dtype` is another one.
    """
    root = Path(path)
    check_folder(root)
    device = torch.device(device)
    if dtype is None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in _DTYPES:
        raise InputError(str(root), "dtype", dtype, "is no dtype this model runs in",
                         "choose float32, bfloat16 or float16")
    settings, own_name = read_settings(root)

    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

    # ComfyUI runs nodes in inference mode; weights made there could not be moved or patched outside it later
    with torch.inference_mode(False):
        components: dict[str, nn.Module] = {
            "text_encoders": nn.ModuleDict({
                "clip": _load(CLIPTextModel, root / "text_encoder", dtype),
                "t5": _load(T5EncoderModel, root / "text_encoder_2", dtype),
            }),
            "transformer": _load(FluxTransformer2DModel, root / "transformer", dtype),
            "vae": _load(AutoencoderKL, root / "vae", dtype),
        }
    for component in components.values():
        component.requires_grad_(False).eval()
    model = KontextModel(
        name=name or own_name or root.resolve().name,
        backend=DiffusersBackend(
            components,
            _load_tokenizer(CLIPTokenizer, root / "tokenizer"),
            _load_tokenizer(T5TokenizerFast, root / "tokenizer_2"),
            Resident(components, device),
        ),
        schedule=Schedule.from_config(read_json(root / "scheduler" / "scheduler_config.json")),
        settings=settings,
    )
    log.info("loaded %s from %s as %s", model.name, root, str(dtype).removeprefix("torch."))
    return model


def _load(kind: type, folder: Path, dtype: torch.dtype) -> nn.Module:
    try:
        module, info = kind.from_pretrained(
            str(folder), **_dtype_argument(kind, dtype), use_safetensors=True, local_files_only=True,
            output_loading_info=True)
    except Exception as error:  # the safetensors library raises a bare Exception
        raise InputError(str(folder), "weights", kind.__name__, f"could not be loaded ({_first_line(error)})",
                         "see that config and weights are of the same model and that memory suffices") from error
    # either library fills what is missing with random numbers and only warns
    for key in ("missing_keys", "mismatched_keys"):
        if info[key]:
            first = sorted(str(k) for k in info[key])[0]
            raise InputError(str(folder), "weights", first, f"is among {len(info[key])} {key.replace('_', ' ')}",
                             "take config and weights from the same model")
    return module


def _dtype_argument(kind: type, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """`torch_dtype` became `dtype` in both libraries; a version that knows the other name only would load float32."""
    from packaging.version import Version

    library = sys.modules[kind.__module__.partition(".")[0]]
    since = {"diffusers": "0.42", "transformers": "4.56"}[library.__name__]
    return {"dtype" if Version(library.__version__) >= Version(since) else "torch_dtype": dtype}


def _load_tokenizer(kind: type, folder: Path):
    try:
        return kind.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise InputError(str(folder), "tokenizer", kind.__name__, f"could not be loaded ({_first_line(error)})",
                         "copy or download the whole folder again") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

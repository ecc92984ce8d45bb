"""What a weights file's header says of its tensors, in whichever format the file is."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

AGAIN = "download the file again"  # the usual way out of a damaged file
SLACK = 1024 * 1024  # bytes of memory any header may take on top of its file's size

# a header's name of a number format -> torch's
FP8 = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Tensor(NamedTuple):
    """One entry of a header."""

    dtype: str  # "BF16", "F8_E4M3" (safetensors); "Q4_K" (GGUF)
    shape: tuple[int, ...]  # as PyTorch counts: rows first
    bytes: int
    start: int = 0  # of its bytes in the file


@dataclass(frozen=True)
class WeightsFile:
    """A header, read."""

    format: str  # "safetensors" or "GGUF"
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    bytes: int  # of the whole file

"""The tensors of one part of a model, by name, wherever their bytes are. Reads a tensor when it is asked for one.

Files are mapped into memory, not copied: a tensor that is used in the number format it is stored in costs no memory of
its own until it moves to another device.
"""

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import torch

from ..dequantise import BLOCKS, scales_are_finite
from ..errors import InputError
from .headers import AGAIN, Tensor, WeightsFile, read_weights_file

FP8 = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
UNREAD = "use a bf16, fp16, fp8 or GGUF (Q4_0 to Q8_0, Q2_K to Q6_K) version"
_FP8_BROKEN = {"F8_E4M3": (0x7F, 0xFF), "F8_E5M2": (0x7C, 0xFC)}  # NaN and infinity begin here, positive and negative

Rows = tuple[tuple[int, int], ...]  # row ranges (from, up to), joined in this order


class Source:
    """Named tensors of one or several files.

    Attributes:
        where: the file or folder, for messages.
        metadata: of the (last) header.
        prefix: what stands before each name in the file.
    """

    def __init__(self, where: str | Path, files: dict[Path, WeightsFile]):
        self.where, self.prefix = str(where), ""
        self.metadata: dict[str, str] = {}
        self._entries: dict[str, tuple[Path, Tensor]] = {}
        self._sizes = {path: file.bytes for path, file in files.items()}
        self._maps: dict[Path, torch.Tensor] = {}
        for path, file in files.items():
            self.metadata |= file.metadata
            self._entries |= {name: (path, tensor) for name, tensor in file.tensors.items()}

    @classmethod
    def of_file(cls, path: Path) -> "Source":
        """Raises: InputError, see `read_weights_file`."""
        return cls(path, {path: read_weights_file(path)})

    def below(self, prefix: str) -> "Source":
        """The tensors whose names begin with the prefix, without it."""
        part = Source.__new__(Source)
        part.__dict__ |= self.__dict__
        part.prefix = self.prefix + prefix
        part._entries = {n.removeprefix(prefix): e for n, e in self._entries.items() if n.startswith(prefix)}
        return part

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> Tensor:
        """The header's entry. Raises: InputError if there is none."""
        if name not in self._entries:
            raise self.refuse(name, "missing", "is not in the file: it was cut, is one part of several, or is another "
                              "model", "use a whole file of FLUX.1 Kontext and its parts")
        return self._entries[name][1]

    def refuse(self, name: str, value: object, problem: str, remedy: str = AGAIN) -> InputError:
        """An error about one tensor, by its full name in its file."""
        where = str(self._entries[name][0]) if name in self._entries else self.where
        return InputError(where, self.prefix + name, value, problem, remedy)

    def read(self, name: str, rows: Rows | None = None) -> torch.Tensor:
        """A tensor in the number format it is stored in; GGUF blocks as uint8 [rows, bytes of a row].

        Args:
            name: one of the names.
            rows: parts of its first axis, joined; None is all of it.

        Raises:
            InputError: a number format that is not read, NaN or infinity in it, or the file cannot be read.
        """
        entry = self[name]
        raw = self._bytes(name)
        if entry.dtype in BLOCKS:
            tensor = raw.view(prod(entry.shape[:-1]), -1)
        elif entry.dtype in FP8 or entry.dtype in FLOATS:
            dtype = FP8.get(entry.dtype) or FLOATS[entry.dtype]
            if entry.start % dtype.itemsize:
                raw = raw.clone()  # a view needs whole multiples
            tensor = raw.view(dtype).view(entry.shape)
        else:
            raise self.refuse(name, entry.dtype, "is a number format this pack does not read", UNREAD)
        if rows is not None:
            pieces = [tensor[begin:end] for begin, end in rows]
            tensor = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        if not _is_finite(tensor, entry.dtype):
            raise self.refuse(name, "NaN", "is among its numbers (or infinity): the file is damaged, or was "
                              "converted to a format too small for it")
        return tensor

    def read_bytes(self, name: str) -> bytes:
        """The bytes of a small tensor that holds text."""
        return bytes(self._bytes(name).tolist())

    def _bytes(self, name: str) -> torch.Tensor:
        path, tensor = self._entries[name]
        if path not in self._maps:
            try:
                self._maps[path] = torch.from_file(str(path), shared=False, size=self._sizes[path], dtype=torch.uint8)
            except (RuntimeError, OSError) as error:
                raise InputError(str(path), "file", path.name, f"cannot be read ({str(error).splitlines()[0][:200]})",
                                 "check the file and its permissions") from error
        return self._maps[path][tensor.start : tensor.start + tensor.bytes]


def _is_finite(tensor: torch.Tensor, dtype: str) -> bool:
    if tensor.numel() == 0:
        return True
    if dtype in BLOCKS:
        return scales_are_finite(tensor, dtype)
    if dtype in FP8:
        positive, negative = _FP8_BROKEN[dtype]
        as_bytes = tensor.view(torch.uint8)
        return as_bytes.view(torch.int8).max().item() < positive and as_bytes.max().item() < negative
    return all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor))  # both ends are NaN if any number is


def with_prefix(names: Iterable[str], prefixes: Iterable[str]) -> str | None:
    """The first prefix that any name begins with, None if no name does."""
    return next((prefix for prefix in prefixes if any(name.startswith(prefix) for name in names)), None)

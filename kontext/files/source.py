"""The tensors of one part of a model, by name, wherever their bytes are. Reads a tensor when it is asked for one.

Large parts are mapped into memory, not copied: a tensor that is used in the number format it is stored in costs no
memory of its own until it moves to another device. A mapped file that another program cuts off would end the whole
process (SIGBUS), so each tensor's file is looked at right before its bytes are touched (`FileMap.check`).
"""

import os
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import torch

from ...common import InputError
from ..layers.dequantise import BLOCKS, scales_are_finite
from ..layers.quantised import GgufLinear, QuantisedLinear, StoredLinear
from .headers import read_weights_file
from .packed import Packing, RowRanges, logical
from .packings import PackingFinder
from .tensors import AGAIN, FLOATS, FP8, Tensor, WeightsFile

UNREAD = f"use a bf16, fp16, fp8, int8, nvfp4 or GGUF ({', '.join(BLOCKS)}) version"
LARGE = 2**30  # bytes: parts from here on are mapped, and their matrices stay in the format they are stored in
_FP8_BROKEN = {"F8_E4M3": (0x7F, 0xFF), "F8_E5M2": (0x7C, 0xFC)}  # NaN and infinity begin here, positive and negative
_INTEGERS = {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "BOOL": torch.bool}
_BYTES = {"U8": torch.uint8, "I8": torch.int8, "F8_E8M0": torch.uint8}


class Source:
    """Named tensors of one or several files. A weight that is stored as several tensors is one (`packings.py`).

    Attributes:
        where: the file or folder, for messages.
        metadata: of the (last) header.
        prefix: what stands before each name in the file.
        packings: the weights that are stored as several tensors.
        is_large: whether its matrices are worth keeping in the number format they are stored in, and mapping: else to
            turn them into another one in each pass would cost more time than the memory is worth.
        may_map: whether a large part's files may be mapped; if not, its bytes are copied into memory.

    Args:
        where: see above.
        files: their headers.

    Raises:
        InputError: tensors that should make a weight together do not.
    """

    def __init__(self, where: str | Path, files: dict[Path, WeightsFile]):
        self.where, self.prefix = str(where), ""
        self.metadata: dict[str, str] = {}
        self._files = {path: _File(path, file.bytes) for path, file in files.items()}
        self._raw: dict[str, tuple[Path, Tensor]] = {}
        for path, file in files.items():
            self.metadata |= file.metadata
            self._raw |= {name: (path, tensor) for name, tensor in file.tensors.items()}
        tensors = {name: tensor for name, (_, tensor) in self._raw.items()}
        finder = PackingFinder(tensors, self.metadata, self.read_bytes, self.refuse)
        self.packings: dict[str, Packing] = finder.packings
        self._entries = dict(logical(tensors, finder.packings, finder.names))
        self.may_map, self.is_large = True, self._is_large()

    @classmethod
    def of_file(cls, path: Path) -> "Source":
        """Raises: InputError, see `read_weights_file` and above."""
        return cls(path, {path: read_weights_file(path)})

    def below(self, prefix: str) -> "Source":
        """The tensors whose names begin with the prefix, without it."""
        def cut(entries: dict) -> dict:
            return {name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)}

        part = Source.__new__(Source)
        part.__dict__ |= self.__dict__
        part.prefix = self.prefix + prefix
        part._entries, part.packings = cut(self._entries), cut(self.packings)
        part.is_large = part._is_large()
        return part

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> Tensor:
        """The header's entry; of a packed weight its own shape, all its bytes and the packing's kind as dtype.

        Raises:
            InputError: there is none.
        """
        if name not in self._entries:
            raise self.refuse(name, "missing", "is not in the file: it was cut, is one part of several, or is another "
                              "model", "use a whole file of FLUX.1 Kontext and its parts")
        return self._entries[name]

    def _is_large(self) -> bool:
        return sum(tensor.bytes for tensor in self._entries.values()) >= LARGE

    def refuse(self, name: str, value: object, problem: str, remedy: str = AGAIN) -> InputError:
        """An error about one tensor, by its full name in its file."""
        full = self.prefix + name
        where = str(self._raw[full][0]) if full in self._raw else self.where
        return InputError(where, full, value, problem, remedy)

    def layer(self, name: str, rows: RowRanges | None = None, bias: torch.Tensor | None = None) -> QuantisedLinear:
        """A weight as a layer that keeps it as it is stored; one of other than two axes is flattened to two.

        Args:
            name: one of the names.
            rows: parts of its first axis, joined; None is all of it.
            bias: of the layer.

        Raises:
            InputError: a number format that is not read, NaN or infinity in it, or the file cannot be read.
        """
        entry, packing = self[name], self.packings.get(name)
        if packing is not None:
            layer = packing.layer(self._read, self._refuse_full, rows, bias)
        else:
            stored = self._read(self.prefix + name, rows)
            if entry.dtype in BLOCKS:
                layer = GgufLinear(stored, entry.dtype, bias)
            else:
                layer = StoredLinear(stored.reshape(len(stored), -1) if stored.dim() > 1 else stored.reshape(-1, 1),
                                     bias=bias)
        layer.origin = self._files[self._raw[packing.values if packing else self.prefix + name][0]].map
        return layer

    def read_bytes(self, name: str) -> bytes:
        """The bytes of a small tensor that holds text."""
        path, tensor = self._raw[self.prefix + name]
        return bytes(self._files[path].copied(tensor).tolist())

    def _refuse_full(self, full: str, value: object, problem: str) -> InputError:
        return InputError(str(self._raw[full][0]), full, value, problem, AGAIN)

    def _read(self, full: str, rows: RowRanges | None = None) -> torch.Tensor:
        """A tensor of the file in the number format it is stored in; GGUF blocks as uint8 [rows, bytes of a row]."""
        path, entry = self._raw[full]
        file = self._files[path]
        stretches = [file.mapped(stretch) if self.may_map and self.is_large else file.copied(stretch)
                     for stretch in _stretches(entry, rows)]
        raw = stretches[0] if len(stretches) == 1 else torch.cat(stretches)
        if entry.dtype in BLOCKS:
            tensor = raw.view(-1, entry.bytes // prod(entry.shape[:-1]))
        elif dtype := FP8.get(entry.dtype) or FLOATS.get(entry.dtype) or _BYTES.get(entry.dtype):
            if raw.data_ptr() % dtype.itemsize:
                raw = raw.clone()  # a view needs whole multiples
            tensor = raw.view(dtype).view(entry.shape if rows is None else (-1, *entry.shape[1:]))
        else:
            raise InputError(str(path), full, entry.dtype, "is a number format this pack does not read", UNREAD)
        if not _is_finite(tensor, entry.dtype):
            raise self._refuse_full(full, "NaN", "is among its numbers (or infinity): the file is damaged, or was "
                                    "converted to a format too small for it")
        return tensor


def _stretches(entry: Tensor, rows: RowRanges | None) -> list[Tensor]:
    """The bytes of some rows of a tensor, one entry for each range; all of it in one if `rows` is None."""
    if rows is None:
        return [entry]
    row = entry.bytes // entry.shape[0]
    return [entry._replace(bytes=(end - begin) * row, start=entry.start + begin * row) for begin, end in rows]


def read_tensor(path: Path, file: WeightsFile, name: str) -> torch.Tensor:
    """A tensor of a safetensors file, in memory of its own.

    Raises:
        InputError: a number format that torch has not, or the file was changed since its header was read.
    """
    entry = file.tensors[name]
    dtype = FP8.get(entry.dtype) or FLOATS.get(entry.dtype) or _INTEGERS.get(entry.dtype) or _BYTES.get(entry.dtype)
    if dtype is None:
        raise InputError(str(path), name, entry.dtype, "is a number format this pack does not read", UNREAD)
    return _File(path, file.bytes).copied(entry).view(dtype).view(entry.shape)


class _File:
    """A file whose header was read when it had `size` bytes."""

    def __init__(self, path: Path, size: int):
        self.path, self.size = path, size
        self.map: FileMap | None = None

    def mapped(self, entry: Tensor) -> torch.Tensor:
        """A tensor's bytes where they are, uint8."""
        if self.map is None:
            self.map = FileMap(self.path, self.size)
        piece = self.map.bytes[entry.start : entry.start + entry.bytes]
        self.map.check(piece)
        return piece

    def copied(self, entry: Tensor) -> torch.Tensor:
        """A tensor's bytes in memory, uint8. Raises: InputError if they are not there any more."""
        if not entry.bytes:
            return torch.empty(0, dtype=torch.uint8)
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    raise _changed(self.path)
                file.seek(entry.start)
                memory = torch.empty(entry.bytes, dtype=torch.uint8)
                if file.readinto(memory.numpy().data) != entry.bytes:
                    raise _changed(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return memory


class FileMap:
    """A file's bytes as memory.

    Args:
        path: the file.
        size: it had when its header was read.

    Attributes:
        bytes: uint8 [size].

    Raises:
        InputError: it has another size now, or cannot be read.
    """

    def __init__(self, path: Path, size: int):
        self.path = path
        try:
            self._file = path.open("rb")  # the same file even if its name goes to another one
            self._stamp = self._looked_at()
            if self._stamp[0] != size:
                raise _changed(path)
            self.bytes = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        except (RuntimeError, OSError) as error:
            raise _unreadable(path, error) from error

    def check(self, tensor: torch.Tensor) -> None:
        """To be called right before a tensor's bytes are read: what is missing in the file would end the process.

        Raises:
            InputError: the tensor lies in this map, and the file was changed since.
        """
        start = self.bytes.data_ptr()
        inside = tensor.device.type == "cpu" and start <= tensor.data_ptr() < start + self.bytes.numel()
        if inside and self._looked_at() != self._stamp:
            raise _changed(self.path)

    def _looked_at(self) -> tuple[int, int]:
        stat = os.fstat(self._file.fileno())
        return stat.st_size, stat.st_mtime_ns

    def __deepcopy__(self, _) -> "FileMap":
        return self


def _changed(path: Path) -> InputError:
    return InputError(str(path), "file", path.name, "was changed or cut off by another program after its header was "
                      "read", "wait until the program is done with it, then load the model again")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(str(path), "file", path.name, f"cannot be read ({str(error).splitlines()[0][:200]})",
                      "check the file and its permissions")


def _is_finite(tensor: torch.Tensor, dtype: str) -> bool:
    if tensor.numel() == 0 or dtype in _BYTES:
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

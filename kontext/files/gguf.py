"""The header of a GGUF file: metadata and tensor infos (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

import struct
from math import prod
from typing import BinaryIO

from ...common import InputError
from ..layers.dequantise import BLOCKS
from .tensors import AGAIN, SLACK, Tensor

_UNPACKED = {  # number -> name, of the kinds that layers/dequantise.py unpacks and knows the block of
    2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
    20: "IQ4_NL", 23: "IQ4_XS", 39: "MXFP4",
}
GGML_TYPES = {  # number -> (name, weights in a block, bytes of a block)
    **{number: (name, *BLOCKS[name]) for number, name in _UNPACKED.items()},
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 9: ("Q8_1", 32, 40), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # metadata type -> bytes
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_MAX_KEYS = 65536
_MAX_ITEMS = 4_000_000  # strings in all arrays; the largest vocabularies have 0.26 million
_MAX_NAME = 1024  # bytes of a tensor's or key's name
_MAX_NOTE = 4096  # bytes of a metadata string that is kept; longer ones are passed over
_MAX_DIMENSIONS = 4  # ggml's own limit
_MEMORY = 640  # bytes of memory one tensor's entry takes, its name aside
_KEPT = ("general.",)


def read_gguf(file: BinaryIO, size: int, where: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and `general.*` strings of a GGUF file, version 2 or 3, little-endian.

    Args:
        file: open for reading; its position does not matter.
        size: of the file, in bytes.
        where: the file, for messages.

    Raises:
        InputError: the header is cut off, contradicts itself or names more than the file can hold.
    """
    return _Reader(file, size, where).read()


class _Reader:
    def __init__(self, file: BinaryIO, size: int, where: str):
        self.file, self.size, self.where = file, size, where
        self.at = self.items = 0

    def read(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        self.file.seek(4)
        self.at = 4
        version = self.number("<I")
        if version not in (2, 3):
            raise self.refuse("version", version, "is not 2 or 3 (or the file is big-endian)")
        tensor_count, key_count = self.number("<Q"), self.number("<Q")
        if key_count > _MAX_KEYS:
            raise self.refuse("metadata keys", key_count, f"are more than {_MAX_KEYS}")
        if tensor_count * _MEMORY > self.size + SLACK:
            raise self.refuse("tensors", tensor_count, "are more than the file can hold")
        metadata, alignment = {}, 32
        for _ in range(key_count):
            key, kind = self.name("key"), self.number("<I")
            if key == "general.alignment":
                if kind != _UINT32:
                    raise self.refuse(key, f"type {kind}", "is not a 32 bit number")
                alignment = self.number("<I")
            elif kind == _STRING and key.startswith(_KEPT) and len(metadata) < 64:
                note = self.string()
                if note is not None:
                    metadata[key] = note
            else:
                self.skip_value(kind)
        if not 1 <= alignment <= 65536 or alignment & (alignment - 1):
            raise self.refuse("general.alignment", alignment, "is not a power of two")
        return self.tensors(tensor_count, alignment), metadata

    def tensors(self, count: int, alignment: int) -> dict[str, Tensor]:
        entries, end, total, memory = {}, 0, 0, 0
        for _ in range(count):
            name, dimensions = self.name("tensor"), self.number("<I")
            memory += _MEMORY + 4 * len(name)
            if memory > self.size + SLACK:
                raise self.refuse("tensors", count, "are more than the file can hold")
            if name in entries:
                raise self.refuse("tensor", name, "is there twice")
            if dimensions > _MAX_DIMENSIONS:
                raise self.refuse(name, dimensions, f"dimensions are more than {_MAX_DIMENSIONS}")
            shape = tuple(self.number("<Q") for _ in range(dimensions))[::-1]  # GGUF counts columns first
            kind, offset = self.number("<I"), self.number("<Q")
            dtype, block, width = GGML_TYPES.get(kind, (f"GGML type {kind}", 1, 0))
            if shape and shape[-1] % block:
                raise self.refuse(name, shape[-1], f"columns are no whole blocks of {dtype}")
            length = prod(shape) // block * width
            entries[name] = Tensor(dtype, shape, length, offset)
            end, total = max(end, offset + length), total + length
        start = -(-self.at // alignment) * alignment  # offsets count from here
        room = self.size - start
        if max(end, total) > room:
            raise self.refuse("size", f"{self.size} bytes", f"hold {max(room, 0)} bytes of weights where the header "
                              f"names {max(end, total)}: the file was cut off")
        if not entries:
            raise self.refuse("tensors", 0, "are named: there are no weights in it")
        return {name: tensor._replace(start=start + tensor.start) for name, tensor in entries.items()}

    def skip_value(self, kind: int, depth: int = 0) -> None:
        if kind in _SCALARS:
            self.skip(_SCALARS[kind])
        elif kind == _STRING:
            self.skip(self.number("<Q"))
        elif kind == _ARRAY and depth < 4:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in _SCALARS:
                self.skip(_SCALARS[inner] * count)
                return
            self.items += count
            if self.items > _MAX_ITEMS:
                raise self.refuse("metadata array", count, f"items are more than {_MAX_ITEMS}")
            for _ in range(count):
                self.skip_value(inner, depth + 1)
        else:
            raise self.refuse("metadata", f"type {kind}", "is unknown")

    def name(self, field: str) -> str:
        length = self.number("<Q")
        if length > _MAX_NAME:
            raise self.refuse(field, f"{length} bytes", f"are no name (at most {_MAX_NAME})")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse(field, f"{length} bytes", "are not UTF-8") from None

    def string(self) -> str | None:
        length = self.number("<Q")
        if length > _MAX_NOTE:
            self.skip(length)
            return None
        return self.take(length).decode("utf-8", "replace")

    def number(self, code: str) -> int:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def take(self, length: int) -> bytes:
        data = self.file.read(length) if length <= self.size - self.at else b""
        if len(data) != length:
            raise self.refuse("header", f"{self.size} bytes", "is cut off")
        self.at += length
        return data

    def skip(self, length: int) -> None:
        if length > self.size - self.at:
            raise self.refuse("header", f"{self.size} bytes", "is cut off")
        self.file.seek(length, 1)
        self.at += length

    def refuse(self, field: str, value: object, problem: str) -> InputError:
        return InputError(self.where, field, value, problem, AGAIN)

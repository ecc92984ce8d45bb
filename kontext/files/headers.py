"""What a single weights file says of itself: every tensor's type, shape and size, and the metadata. Reads no weights.

Written for files nobody vouches for: each length is checked against the file's size before anything is read or built,
and a header that would take more memory than its file is refused.

A safetensors file is 8 bytes (little-endian length n), n bytes of JSON naming each tensor's dtype, shape and byte
range, then the bytes (https://github.com/huggingface/safetensors, "Format").
"""

import codecs
import json
from math import prod
from pathlib import Path
from typing import TypeGuard

from ...common import InputError
from .gguf import read_gguf
from .tensors import AGAIN, SLACK, Tensor, WeightsFile

PICKLES = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp", ".!qb")
_PICKLE, _NO_PICKLE = ("is a pickle, which can run any code when opened",
                       "use the safetensors version of this model")
_SNIFFED = 64  # bytes of the beginning that tell what a file is
_MAX_HEADER = 100 * 1024 * 1024  # bytes; the format's own limit
_MAX_DIMENSIONS = 8
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "I64": 64,
         "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64}


def read_weights_file(path: Path) -> WeightsFile:
    """Read the header of a safetensors or GGUF file; which of the two, its first bytes say.

    Raises:
        InputError: unreadable, a pickle, an unfinished download, a Git LFS pointer, a web page, cut off, or no header.
    """
    where = str(path)
    if path.suffix.lower() in PICKLES:
        raise InputError(where, "file", path.name, _PICKLE, _NO_PICKLE)
    if path.suffix.lower() in UNFINISHED or path.with_name(path.name + ".aria2").exists():
        raise InputError(where, "file", path.name, "is a download that has not finished",
                         "let it finish, or " + AGAIN)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if start[:4] == b"GGUF":
                tensors, metadata = read_gguf(file, size, where)
                return WeightsFile("GGUF", tensors, metadata, size)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 0 < length <= min(size - 8, _MAX_HEADER):
                raise _no_weights(path, size, start + file.read(_SNIFFED))
            raw = file.read(length)
    except OSError as error:
        raise InputError(where, "file", path.name, f"cannot be read ({error.strerror})",
                         "check its permissions") from None
    if _memory(raw) > size + SLACK:
        raise InputError(where, "header", f"{length} bytes", "names far more than the file can hold", AGAIN)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise InputError(where, "header", path.name, "is not a safetensors header", AGAIN) from None
    tensors, metadata = _safetensors(header, 8 + length, size - 8 - length, where)
    return WeightsFile("safetensors", tensors, metadata, size)


def _no_weights(path: Path, size: int, start: bytes) -> InputError:
    """What a file is that begins neither like safetensors nor like GGUF."""
    where = str(path)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if size == 0:
        return InputError(where, "file", path.name, "is empty: its download was cut off before the first byte", AGAIN)
    if not start.strip(b"\0"):
        return InputError(where, "file", path.name, "begins with zeros: its download has not finished, or was cut off",
                          AGAIN)
    if text.startswith(b"version https://git-lfs"):
        return InputError(where, "file", path.name, "is a Git LFS pointer, not the weights",
                          "run `git lfs pull` in the folder, or " + AGAIN)
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return InputError(where, "file", path.name, "is a web page, not the weights",
                          "log in where you got it from, accept the model's licence there and " + AGAIN)
    if start.startswith((b"PK\3\4", b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")):
        packed = "a zip archive, as PyTorch's pickles are" if start.startswith(b"PK") else "a pickle"
        return InputError(where, "file", path.name, f"is {packed}, under another name; a pickle can run any code when "
                          "opened", _NO_PICKLE)
    letters = codecs.getincrementaldecoder("utf-8")("replace").decode(start)  # its end may be half a letter
    if len(text) >= 8 and all(letter.isprintable() and letter != "\ufffd" or letter.isspace() for letter in letters):
        return InputError(where, "file", path.name, "is a text file, not the weights", AGAIN)
    length = int.from_bytes(start[:8], "little")
    problem = "is cut off" if len(start) < 8 or 0 < length <= _MAX_HEADER else "is neither safetensors nor GGUF"
    return InputError(where, "header", f"{size} bytes", problem, AGAIN)


def _memory(raw: bytes) -> int:
    """An upper estimate of the memory that reading this JSON takes, in bytes."""
    text = 3 * len(raw) if raw.isascii() else 9 * len(raw)
    return text + raw.count(b'"') * 100 + raw.count(b",") * 100 + raw.count(b"[") * 160 + raw.count(b"{") * 540


def _safetensors(header: object, start: int, room: int, where: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The entries of a parsed header, of a file with `room` bytes from `start` on."""
    def refuse(name: str, value: object, problem: str) -> InputError:
        return InputError(where, name, value, problem, AGAIN)

    if not isinstance(header, dict):
        raise refuse("header", type(header).__name__, "is not a safetensors header")
    notes = header.pop("__metadata__", {})
    metadata = {k: v for k, v in notes.items() if isinstance(v, str)} if isinstance(notes, dict) else {}
    tensors, total = {}, 0
    while header:  # emptied on the way, so that it is never held twice
        name, entry = header.popitem()
        if not isinstance(entry, dict):
            raise refuse(name, entry, "does not describe a tensor")
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if (not isinstance(dtype, str) or len(dtype) > 16 or not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS
                or not _are_counts(offsets) or len(offsets) != 2):
            raise refuse(name, type(entry).__name__, "does not describe a tensor")
        begin, end = offsets
        if begin > end or (dtype in _BITS and prod(shape) * _BITS[dtype] != (end - begin) * 8):
            raise refuse(name, f"bytes {begin} to {end}", "do not fit the tensor's shape and dtype")
        total += end - begin
        if end > room:
            raise refuse(name, f"{end} bytes", f"are named, but only {room} are there: the file was cut off")
        tensors[name] = Tensor(dtype, tuple(shape), end - begin, start + begin)
    if total > room:
        raise refuse("header", f"{total} bytes", f"are named, but only {room} are there: tensors overlap")
    if not tensors:
        raise refuse("header", where.rpartition("/")[2], "does not describe tensors")
    return dict(reversed(tensors.items())), metadata


def _are_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)

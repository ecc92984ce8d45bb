"""Writes weights files of any header; their data is a hole, so that true sizes cost nothing. And judges small ones."""

import json
import struct
import tracemalloc
from math import prod
from pathlib import Path

import torch
from kontinuity.common import InputError
from kontinuity.kontext.files.source import Source
from kontinuity.kontext.load.components import t5_filling

BITS = {"F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "U8": 8, "I8": 8, "I32": 32}
MIB = 1024 * 1024


def write_safetensors(path: Path, tensors: dict, metadata: dict | None = None) -> Path:
    """A file whose data is a hole: name -> shape (of bf16) or (dtype, shape)."""
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, what in tensors.items():
        dtype, shape = what if what and isinstance(what[0], str) else ("BF16", what)
        size = prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def packed_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


GGML = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210)}


def gguf_bytes(tensors: dict, metadata: dict | None = None, version: int = 3) -> tuple[bytes, int]:
    """(header, bytes of weights); name -> (type, shape as PyTorch has it)."""
    metadata = {"general.architecture": "flux"} if metadata is None else metadata
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata) + 1)
    for key, value in metadata.items():
        head += packed_string(key) + struct.pack("<I", 8) + packed_string(value)
    head += packed_string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + packed_string("a") * 2
    offset = 0
    for name, (dtype, shape) in tensors.items():
        number, block, width = GGML[dtype]
        head += packed_string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", number, offset)
        offset += -(-prod(shape) // block * width // 32) * 32
    return head + b"\0" * (-len(head) % 32), offset


def write_gguf(path: Path, tensors: dict, metadata: dict | None = None) -> Path:
    head, size = gguf_bytes(tensors, metadata)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def bfl(channels: int = 64, guidance: bool = True, prefix: str = "", double: int = 19, single: int = 38) -> dict:
    """FLUX.1's transformer in BFL's keys: true first and last layers, of the blocks a few."""
    width = 3072
    found = {"img_in.weight": (width, channels), "img_in.bias": (width,), "txt_in.weight": (width, 4096)}
    if guidance:
        found["guidance_in.in_layer.weight"] = (width, 256)
    for i in range(double):
        found[f"double_blocks.{i}.img_attn.norm.key_norm.scale"] = (128,)
        found[f"double_blocks.{i}.img_attn.qkv.weight"] = (3 * width, width)
    for i in range(single):
        found[f"single_blocks.{i}.linear1.weight"] = (7 * width, width)
    return {prefix + name: shape for name, shape in found.items()}


def real(part: str) -> dict:
    """All tensors of FLUX.1 Kontext's "transformer", "clip", "t5" or "vae" in the libraries' names, in true sizes."""
    from kontinuity.kontext import flux

    made = flux.text_encoders()[part] if part in ("clip", "t5") else getattr(flux, part)()
    names = {name.removeprefix("text_model."): tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    return {name: shape for name, shape in names.items()
            if name != "encoder.embed_tokens.weight" and not name.endswith("position_ids")}


def judge_t5(path: Path, most: int) -> None:
    """A file is read as a T5 of at most `most` times its size, or refused by an InputError; either in the memory of
    the file's size and what Python needs for a small model."""
    tracemalloc.start()
    try:
        model = t5_filling(Source.of_file(path), torch.float32).read()
        assert sum(t.nbytes for t in (*model.parameters(), *model.buffers())) <= most * path.stat().st_size
    except InputError as error:
        assert "\n" not in str(error) and str(path) in error.where
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < path.stat().st_size + 3 * MIB

"""Weights that are stored as several tensors: which tensors of a file belong together, and what they mean.

| tensors beside `X.weight` | its numbers |
|---|---|
| `X.scale_weight`, and one marker `scaled_fp8` (ComfyUI's older layout) | fp8 values times the scale |
| `X.weight_scale`; the header's `_quantization_metadata`, or `X.comfy_quant` (JSON), names the format | see below |
| `X.SCB` (bitsandbytes' LLM.int8) | int8 values times SCB / 127 |
| `X.weight.absmax`, `.quant_map`, `.quant_state.bitsandbytes__nf4` | 4 bit codes into a table, times absmax a block |
| none; `X.weight._data` and `X.weight._scale` in its place (quanto) | int8 or fp8 values times the scale |

ComfyUI's formats (`comfy/ops.py`, comfy-kitchen's `tensor/`): float8 and int8_tensorwise have one scale or one for each
row; int8 with `convrot` was turned before it was rounded; nvfp4 and mxfp8 have scales for blocks of 16 and 32 columns
in the order cuBLAS wants ("1D block scaling factors layout" in its manual), nvfp4 a factor `weight_scale_2` too.
NVIDIA's ModelOpt writes nvfp4 and mxfp4 in the libraries' names with the scales in order and the lower four bits of a
byte first; nothing in the file says so but the names and that no list names a format.

The scales of activations (`scale_input`, `input_scale`, `output_scale`) are for multiplying in few bits, which this
pack does not do.
"""

import json
import math
from collections.abc import Callable, Mapping

import torch

from ..layers.dequantise import E2M1
from ..layers.quantised import fp8_table
from .packed import TILE, Packing, Read, Refuse, RowRanges, in_order, powers, scaled_by, some_rows
from .tensors import FLOATS, FP8, Tensor

REMEDY = "use a bf16, fp16, fp8, int8, nvfp4 or GGUF version of the model"

_SCALES = (".scale_weight", ".weight_scale")
_LISTED, _MARKER = ".comfy_quant", "scaled_fp8"
_UNUSED = (".scale_input", ".input_scale", ".output_scale")
_SCALED = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_rowwise", "int8_tensorwise", "int8_rowwise")
_MAX_NOTE = 4096  # bytes of a note in JSON
_BFL = ("double_blocks.", "single_blocks.")
_PREFIXES = ("", "model.diffusion_model.", "diffusion_model.")  # that a list of layers may leave out


class PackingFinder:
    """Finds what is packed among the tensors of one or several files.

    Args:
        tensors: of the headers, by name.
        metadata: of the headers.
        read_bytes: the bytes of a small tensor.
        refuse: (name, value, problem, remedy) -> an InputError.

    Attributes:
        packings: the weights that are stored as several tensors.
        names: every tensor that is no weight of its own.

    Raises:
        InputError: a scale of no weight, two of one, a shape or number format that is no scale's, or a format that is
            not read.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str],
                 read_bytes: Callable[[str], bytes], refuse: Callable[..., Exception]):
        self._tensors, self._read_bytes, self.refuse = tensors, read_bytes, refuse
        self.packings: dict[str, Packing] = {}
        self.names: set[str] = set()
        listed = self._listed(metadata)
        self._by_modelopt = "modelopt" in metadata.get("quantization_config", "").lower()
        for name in tensors:
            layer, _, ending = name.rpartition(".")
            if name == _MARKER or name.endswith("." + _MARKER) or f".{ending}" in (*_UNUSED, _LISTED):
                self.names.add(name)
            elif f".{ending}" in _SCALES:
                self._add_scaled(layer, name, listed.get(layer))
            elif ending == "SCB":
                self._add_llm_int8(layer, name)
            elif name.endswith(".weight.absmax"):
                self._add_bitsandbytes(name.removesuffix(".absmax"))
            elif ending == "_weight_qdata":
                raise self.refuse(name, tensors[name].dtype, "is packed by torchao, which is not read here", REMEDY)
            elif name.endswith("._data"):
                self._add_quanto(name.removesuffix("._data"))
        for layer, entry in listed.items():
            self._check_complete(layer, entry)
        for marker in [name for name in self.names if name == _MARKER or name.endswith("." + _MARKER)]:
            self._check_marker(marker)

    # Who says which format ----------------------------------------------------------------------------------------

    def _listed(self, metadata: Mapping[str, str]) -> dict[str, dict]:
        """Layer -> its entry in the list, from the header and from the tensors `comfy_quant`."""
        formats = {}
        text = metadata.get("_quantization_metadata")
        if text is not None:
            try:
                entries = list(json.loads(text)["layers"].items())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise self.refuse("_quantization_metadata", text[:80], "is not JSON with layers") from None
            for layer, entry in entries:
                for full in (prefix + layer for prefix in _PREFIXES if f"{prefix}{layer}.weight" in self._tensors):
                    formats[full] = self._entry(full, entry)
        for name in self._tensors:
            if name.endswith(_LISTED):
                formats[name.removesuffix(_LISTED)] = self._entry(name, self._note(name))  # newer: it has the last word
        return formats

    def _entry(self, name: str, entry: object) -> dict:
        kind = entry.get("format") if isinstance(entry, dict) else entry
        if kind not in (*_SCALED, "nvfp4", "mxfp8"):
            raise self.refuse(name, kind, "is a quantisation this pack does not read", REMEDY)
        return entry if isinstance(entry, dict) else {"format": kind}

    def _note(self, name: str) -> object:
        if self._tensors[name].bytes > _MAX_NOTE:
            raise self.refuse(name, f"{self._tensors[name].bytes} bytes", f"is longer than {_MAX_NOTE} bytes", REMEDY)
        try:
            return json.loads(self._read_bytes(name))
        except (ValueError, RecursionError):
            raise self.refuse(name, name.rpartition(".")[2], "is not JSON") from None

    def _check_complete(self, layer: str, entry: dict) -> None:
        """Refuse a listed layer whose scale is missing, or whose numbers are of another format."""
        weight = f"{layer}.weight"
        if weight not in self._tensors:
            return
        dtype = self._tensors[weight].dtype
        if weight not in self.packings and (dtype in FP8 or dtype in ("I8", "U8")):
            raise self.refuse(weight, "no scale", "is listed as scaled, but its weight_scale is not in the file")
        packing = self.packings.get(weight)
        if entry["format"] in ("nvfp4", "mxfp8") and (packing is None or packing.kind != entry["format"]):
            raise self.refuse(weight, dtype, f"is listed as {entry['format']}, which it is not")

    def _check_marker(self, marker: str) -> None:
        """Refuse fp8 weights that are marked as scaled where not one scale is in the file."""
        below = [name for name in self._tensors if name.startswith(marker.removesuffix(_MARKER))]
        if (not any(name in self.packings for name in below)
                and any(self._tensors[name].dtype in FP8 and len(self._tensors[name].shape) > 1 for name in below)):
            raise self.refuse(marker, "no scale", "marks the fp8 weights as scaled, but not one scale is in the file: "
                              "their numbers would be wrong", REMEDY)

    # The packings -------------------------------------------------------------------------------------------------

    def _add(self, weight: str, packing: Packing) -> None:
        self.packings[weight] = packing
        self.names |= {packing.values, *packing.others} - {weight}

    def _add_scaled(self, layer: str, name: str, entry: dict | None) -> None:
        """A weight with a scale, or with scales for blocks."""
        weight, tensors = f"{layer}.weight", self._tensors
        if weight not in tensors:
            raise self.refuse(name, list(tensors[name].shape), "is the scale of a weight that is not in the file")
        if weight in self.packings:
            raise self.refuse(name, self.packings[weight].others[0], "is a second scale of the same weight", REMEDY)
        stored, scale = tensors[weight], tensors[name]
        kind = entry["format"] if entry else None
        if kind == "nvfp4" or (kind is None and stored.dtype == "U8" and f"{layer}.weight_scale_2" in tensors):
            return self._add_nvfp4(layer, entry is not None)
        if kind == "mxfp8":
            return self._add_mxfp8(layer)
        if kind is None and stored.dtype == "U8" and scale.dtype in ("U8", "F8_E8M0"):
            return self._add_mxfp4(layer)
        rows = (stored.shape or (1,))[0]
        if stored.dtype not in (*FP8, *FLOATS, "I8"):
            raise self.refuse(weight, stored.dtype, "is no number format that one scale belongs to", REMEDY)
        if scale.dtype not in FLOATS:
            raise self.refuse(name, scale.dtype, "is no number format of a scale", REMEDY)
        if scale.shape not in ((), (1,), (1, 1), (rows,), (rows, 1)):
            raise self.refuse(name, list(scale.shape), f"is neither one scale nor one for each of {rows} rows", REMEDY)
        self._add(weight, Packing(
            stored.dtype, stored.shape, weight, (name,), entry is not None,
            scaled_by(weight, name, rotation=self._rotation(weight, entry) if entry else 0)))

    def _rotation(self, weight: str, entry: dict) -> int:
        """The groups in which a weight's columns were turned; 0 if they were not."""
        params = entry.get("params")
        params = params if isinstance(params, dict) else {}
        if not entry.get("convrot", params.get("convrot", False)):
            return 0
        size = entry.get("convrot_groupsize", params.get("convrot_groupsize", 256))
        columns = self._tensors[weight].shape[-1] if self._tensors[weight].shape else 0
        if type(size) is not int or size not in (4**n for n in range(1, 7)) or columns % size:
            raise self.refuse(weight, size, f"is no group in which {columns} columns can have been turned", REMEDY)
        return size

    def _add_nvfp4(self, layer: str, listed: bool) -> None:
        weight, scales, factor = f"{layer}.weight", f"{layer}.weight_scale", f"{layer}.weight_scale_2"
        shape = self._four_bits(weight, 16, "nvfp4")
        if self._by_modelopt and listed:
            raise self.refuse(weight, "nvfp4 (ModelOpt)", "is listed for ComfyUI but was written by ModelOpt, whose "
                              "scales and bits can be in either order: it cannot be told which", REMEDY)
        if not listed:
            self._check_order(weight, "nvfp4")
        self._check_scales(scales, shape, 16, ("F8_E4M3", "U8"), tiled=listed)
        if factor not in self._tensors or self._tensors[factor].dtype != "F32" or math.prod(
                self._tensors[factor].shape) != 1:
            raise self.refuse(factor, "missing" if factor not in self._tensors else self._tensors[factor].dtype,
                              "is not the one float32 factor of an nvfp4 weight")

        def read(tensor: Read, refuse: Refuse, rows: RowRanges | None) -> dict:
            factors = in_order(tensor(scales), shape, 16, rows) if listed else tensor(scales, rows)
            factors = factors.view(torch.uint8)
            if bool(((factors & 0x7F) == 0x7F).any()):
                raise refuse(scales, "NaN", "is among its numbers")
            return {"codes": tensor(weight, rows), "scales": factors, "table": torch.tensor(E2M1),
                    "scale_format": "e4m3", "scale": float(tensor(factor)), "high_first": listed}

        self._add(weight, Packing("nvfp4", shape, weight, (scales, factor), listed, read))

    def _add_mxfp8(self, layer: str) -> None:
        weight, scales = f"{layer}.weight", f"{layer}.weight_scale"
        stored = self._tensors[weight]
        if stored.dtype != "F8_E4M3" or len(stored.shape) != 2 or stored.shape[1] % 32:
            raise self.refuse(weight, stored.dtype, "is no matrix of mxfp8", REMEDY)
        self._check_scales(scales, stored.shape, 32, ("F8_E8M0", "U8"), tiled=True)

        def read(tensor: Read, refuse: Refuse, rows: RowRanges | None) -> dict:
            factors = powers(in_order(tensor(scales), stored.shape, 32, rows), scales, refuse)
            return {"codes": tensor(weight, rows).view(torch.uint8), "scales": factors,
                    "table": fp8_table(torch.float8_e4m3fn), "scale_format": "e8m0"}

        self._add(weight, Packing("mxfp8", stored.shape, weight, (scales,), True, read))

    def _add_mxfp4(self, layer: str) -> None:
        weight, scales = f"{layer}.weight", f"{layer}.weight_scale"
        shape = self._four_bits(weight, 32, "mxfp4")
        self._check_order(weight, "mxfp4")
        self._check_scales(scales, shape, 32, ("F8_E8M0", "U8"), tiled=False)

        def read(tensor: Read, refuse: Refuse, rows: RowRanges | None) -> dict:
            return {"codes": tensor(weight, rows), "scales": powers(tensor(scales, rows), scales, refuse),
                    "table": torch.tensor(E2M1), "scale_format": "e8m0", "high_first": False}

        self._add(weight, Packing("mxfp4", shape, weight, (scales,), False, read))

    def _four_bits(self, weight: str, block: int, kind: str) -> tuple[int, int]:
        """The shape of a weight with two numbers in a byte."""
        stored = self._tensors[weight]
        if stored.dtype != "U8" or len(stored.shape) != 2 or stored.shape[1] * 2 % block:
            raise self.refuse(weight, stored.dtype, f"is no matrix of {kind}", REMEDY)
        return stored.shape[0], stored.shape[1] * 2

    def _check_order(self, weight: str, kind: str) -> None:
        """Refuse BFL's names where no list says the order of scales and bits; ModelOpt writes the libraries' names."""
        if any(part in weight for part in _BFL):
            raise self.refuse(weight, kind, "is listed nowhere (comfy_quant, _quantization_metadata), so the order of "
                              "its scales and bits is not known", REMEDY)

    def _check_scales(self, name: str, shape: tuple[int, ...], block: int, dtypes: tuple[str, ...],
                      tiled: bool) -> None:
        wanted = (shape[0], shape[1] // block)
        if tiled:
            wanted = tuple(-(-length // tile) * tile for length, tile in zip(wanted, TILE, strict=True))
        if name not in self._tensors:
            raise self.refuse(name, "missing", f"are the scales of blocks of {block}, which are not in the file")
        scales = self._tensors[name]
        if scales.dtype not in dtypes or scales.shape not in (wanted, (math.prod(wanted),)):
            raise self.refuse(name, f"{scales.dtype} {list(scales.shape)}",
                              f"are no scales of a {list(shape)} in blocks of {block}, which would be {list(wanted)}",
                              REMEDY)

    def _add_llm_int8(self, layer: str, name: str) -> None:
        weight, order = f"{layer}.weight", f"{layer}.weight_format"
        stored = self._tensors.get(weight)
        if stored is None or stored.dtype != "I8" or len(stored.shape) != 2:
            raise self.refuse(name, stored.dtype if stored else "missing", "is the scale of no int8 weight")
        if self._tensors[name].dtype not in FLOATS or self._tensors[name].shape != stored.shape[:1]:
            raise self.refuse(name, list(self._tensors[name].shape), f"is not a scale for each of {stored.shape[0]} "
                              "rows", REMEDY)
        others = (name,)
        if order in self._tensors:
            if self._tensors[order].bytes > 8 or any(self._read_bytes(order)):
                raise self.refuse(order, "not 0", "is an order of int8 values other than row by row", REMEDY)
            others = (name, order)
        self._add(weight, Packing("I8", stored.shape, weight, others, False, scaled_by(weight, name, divisor=127)))

    def _add_bitsandbytes(self, weight: str) -> None:
        tensors = self._tensors
        notes = [f"{weight}.quant_state.bitsandbytes__{kind}" for kind in ("nf4", "fp4")]
        note = next((name for name in notes if name in tensors), None)
        if note is None or f"{weight}.quant_map" not in tensors or weight not in tensors:
            raise self.refuse(weight, "no quant_state", "is packed by bitsandbytes, but how is not in the file")
        state, stored = self._note(note), tensors[weight]
        state = state if isinstance(state, dict) else {}
        shape, block = state.get("shape"), state.get("blocksize")
        if (not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape)
                or type(block) is not int or block < 16 or block % 2 or stored.dtype not in ("U8", "I8")
                or stored.shape[:1] != (stored.bytes,) or math.prod(shape) != 2 * stored.bytes):
            raise self.refuse(note, f"{shape}, {block}", f"does not describe the {stored.bytes} bytes of its weight")
        if shape[1] % block:
            raise self.refuse(note, block, f"are blocks that run over the ends of rows of {shape[1]}", REMEDY)
        shape, count = (shape[0], shape[1]), math.prod(shape) // block
        names = [f"{weight}.absmax", f"{weight}.quant_map", note]
        expected = {names[0]: count, names[1]: 16}
        nested = tensors[names[0]].dtype == "U8"
        nested_block = state.get("nested_blocksize") if nested else None
        if nested:
            if type(nested_block) is not int or nested_block < 1:
                raise self.refuse(note, nested_block, "is no nested_blocksize")
            expected |= {f"{weight}.nested_absmax": -(-count // nested_block), f"{weight}.nested_quant_map": 256}
            names += list(expected)[2:]
        for name, length in expected.items():
            if name not in tensors or math.prod(tensors[name].shape) != length or not (
                    tensors[name].dtype == "F32" or (nested and name == names[0])):
                raise self.refuse(name, list(tensors[name].shape) if name in tensors else "missing",
                                  f"are not the {length} numbers that unpack {weight}")
        offset = state.get("nested_offset", 0.0)
        if nested and (type(offset) not in (int, float) or not math.isfinite(offset)):
            raise self.refuse(note, offset, "is no nested_offset")

        def read(tensor: Read, refuse: Refuse, rows: RowRanges | None) -> dict:
            peaks = tensor(names[0]).flatten()
            if nested_block is not None:
                coarse = tensor(f"{weight}.nested_absmax").flatten().repeat_interleave(nested_block)[:count]
                peaks = tensor(f"{weight}.nested_quant_map").flatten()[peaks.to(torch.int32)] * coarse + offset
            some = rows and tuple((begin * shape[1] // 2, end * shape[1] // 2) for begin, end in rows)
            return {"codes": tensor(weight, some).view(torch.uint8).view(-1, shape[1] // 2),
                    "scales": some_rows(peaks.view(shape[0], -1), rows), "table": tensor(names[1]).flatten()}

        self._add(weight, Packing("4 bit (bitsandbytes)", shape, weight, tuple(names), True, read))

    def _add_quanto(self, weight: str) -> None:
        data, scale = f"{weight}._data", f"{weight}._scale"
        stored, factor = self._tensors[data], self._tensors.get(scale)
        rows = (stored.shape or (1,))[0]
        if f"{weight}._shift" in self._tensors or stored.dtype not in ("I8", *FP8) or len(stored.shape) != 2:
            raise self.refuse(data, stored.dtype, "is a quantisation of quanto's other than qint8 and qfloat8", REMEDY)
        if factor is None or factor.dtype not in FLOATS or factor.shape not in ((), (1,), (1, 1), (rows,), (rows, 1)):
            raise self.refuse(scale, list(factor.shape) if factor else "missing",
                              f"is neither one scale nor one for each of {rows} rows", REMEDY)
        self._add(weight, Packing(stored.dtype, stored.shape, data, (scale,), True, scaled_by(data, scale)))

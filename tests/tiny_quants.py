"""Packings of a state dict in few bits, as the programs write them that people use: (tensors, metadata, numbers).

Written by the formats' own descriptions, one number at a time where the order matters, so that a reader that mixes up
nibbles, tiles or scales gives other numbers.
"""

import json
from collections.abc import Callable

import torch

State = dict[str, torch.Tensor]
Packed = tuple[State, dict[str, str], State]
E2M1 = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
NF4 = torch.tensor([  # of the QLoRA paper's normal float (bitsandbytes' functional.py)
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])


def each_matrix(pack: Callable[[str, torch.Tensor], tuple[State, torch.Tensor]], notes: dict | None = None,
                layout: str = "", only: str = "") -> Callable[[State], Packed]:
    """A packing of every matrix but embeddings; norms, biases and embeddings are bf16.

    pack: (layer, matrix) -> (its tensors, the numbers they mean).
    notes: what is listed of each layer; layout: "comfy_quant" or "metadata", where.
    only: what the names of packed layers hold.
    """
    def run(state: State) -> Packed:
        stored, exact, listed = {}, {}, {}
        for name, tensor in state.items():
            embedding = any(word in name for word in ("embed_tokens", "shared", "relative"))
            if tensor.dim() != 2 or only not in name or embedding:
                stored[name] = tensor.to(torch.bfloat16)
                exact[name] = stored[name].float()
                continue
            layer = name.removesuffix(".weight")
            tensors, exact[name] = pack(layer, tensor.float())
            stored |= tensors
            listed[layer] = notes
            if layout == "comfy_quant":
                stored[f"{layer}.comfy_quant"] = as_bytes(notes)
        note = json.dumps({"format_version": "1.0", "layers": listed})
        return stored, {"_quantization_metadata": note} if layout == "metadata" else {}, exact
    return run


def as_bytes(notes: object) -> torch.Tensor:
    return torch.tensor(list(json.dumps(notes).encode()), dtype=torch.uint8)


def nearest(numbers: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Each number's place in the table, uint8."""
    return torch.stack([(numbers - entry).abs() for entry in table]).argmin(0).to(torch.uint8)


def two_in_a_byte(codes: torch.Tensor, high_first: bool) -> torch.Tensor:
    even, odd = codes[:, 0::2], codes[:, 1::2]
    return even << 4 | odd if high_first else odd << 4 | even


def tiled(scales: torch.Tensor) -> torch.Tensor:
    """Bytes in the order of cuBLAS's 1D block scaling factors: tiles of 128 rows and 4 columns, padded with 0."""
    rows, columns = scales.shape
    down, across = -(-rows // 128), -(-columns // 4)
    found = torch.zeros(down * across * 512, dtype=torch.uint8)
    r, c = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    tile, row, column = r // 128 * across + c // 4, r % 128, c % 4
    found[tile * 512 + row % 32 * 16 + row // 32 * 4 + column] = scales
    return found.view(down * 128, across * 4)


def nvfp4(layout: str) -> Callable[[State], Packed]:
    """layout: "comfy_quant", "metadata", or "modelopt" (low nibble first, scales in order, nothing listed).

    ComfyUI's files leave the first and last layers in bf16: it tells a FLUX by their shapes.
    """
    comfy = layout != "modelopt"

    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        blocks = matrix.unflatten(1, (-1, 16))
        factor = matrix.abs().max() / (448 * 6)
        scales = (blocks.abs().amax(2) / 6 / factor).to(torch.float8_e4m3fn)
        wide = (factor * scales.float()).unsqueeze(2)
        codes = nearest(blocks / wide, E2M1)
        stored = scales.view(torch.uint8)
        return {
            f"{layer}.weight": two_in_a_byte(codes.flatten(1), comfy), f"{layer}.weight_scale_2": factor,
            f"{layer}.weight_scale": (tiled(stored) if comfy else stored).view(torch.float8_e4m3fn),
            f"{layer}.input_scale": torch.tensor(1.0),
        }, (E2M1[codes.int()] * wide).flatten(1)
    return each_matrix(pack, {"format": "nvfp4"}, layout, "_blocks." if comfy else "")


def _powers(blocks: torch.Tensor, largest: float) -> torch.Tensor:
    """A power of two for each block, as its exponent's byte."""
    return (torch.ceil(torch.log2(blocks.abs().amax(2) / largest)) + 127).to(torch.uint8)


def mxfp8() -> Callable[[State], Packed]:
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        blocks = matrix.unflatten(1, (-1, 32))
        powers = _powers(blocks, 448)
        wide = 2.0 ** (powers.float() - 127).unsqueeze(2)
        values = (blocks / wide).to(torch.float8_e4m3fn)
        return {f"{layer}.weight": values.flatten(1), f"{layer}.weight_scale": tiled(powers).view(torch.float8_e8m0fnu)
                }, (values.float() * wide).flatten(1)
    return each_matrix(pack, {"format": "mxfp8"}, "comfy_quant")


def mxfp4() -> Callable[[State], Packed]:
    """As ModelOpt writes it."""
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        blocks = matrix.unflatten(1, (-1, 32))
        powers = _powers(blocks, 6)
        wide = 2.0 ** (powers.float() - 127).unsqueeze(2)
        codes = nearest(blocks / wide, E2M1)
        return {f"{layer}.weight": two_in_a_byte(codes.flatten(1), False), f"{layer}.weight_scale": powers
                }, (E2M1[codes.int()] * wide).flatten(1)
    return each_matrix(pack)


def int8(rows: bool = False, turned: int = 0) -> Callable[[State], Packed]:
    """ComfyUI's int8_tensorwise; turned: in groups of so many columns (its `convrot`), where there are so many."""
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        turn = matrix.shape[1] % turned == 0 if turned else False
        if turn:
            matrix = (matrix.unflatten(1, (-1, turned)) @ hadamard(turned).T).flatten(1)
        scale = (matrix.abs().amax(1, keepdim=True) if rows else matrix.abs().max()) / 127
        values = (matrix / scale).round().to(torch.int8)
        exact = values.float() * scale
        if turn:
            exact = (exact.unflatten(1, (-1, turned)) @ hadamard(turned)).flatten(1)
        notes = {"format": "int8_tensorwise", **({"convrot": True, "convrot_groupsize": turned} if turn else {})}
        return {f"{layer}.weight": values, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": as_bytes(notes)
                }, exact
    return each_matrix(pack)


def hadamard(size: int) -> torch.Tensor:
    """The regular Hadamard matrix, row by row: -1 to the power of how many base-4 digits add up to 3."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    threes = sum(((i // 4**n % 4 + j // 4**n % 4) == 3).int() for n in range(size.bit_length() // 2))
    return (1 - 2 * (threes % 2)) / size**0.5


def llm_int8() -> Callable[[State], Packed]:
    """bitsandbytes' LLM.int8 as diffusers and transformers save it."""
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        peaks = matrix.abs().amax(1)
        values = (matrix / peaks.unsqueeze(1) * 127).round().to(torch.int8)
        return {f"{layer}.weight": values, f"{layer}.SCB": peaks, f"{layer}.weight_format": torch.tensor(0).byte()
                }, values.float() * peaks.unsqueeze(1) / 127
    return each_matrix(pack)


def quanto(dtype: torch.dtype) -> Callable[[State], Packed]:
    """optimum-quanto's qint8 (torch.int8) and qfloat8 (float8_e4m3fn)."""
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        limit = 127 if dtype == torch.int8 else 448
        scale = (matrix.abs().amax(1, keepdim=True) / limit).bfloat16()
        values = matrix / scale.float()
        values = (values.round().clip(-127, 127) if dtype == torch.int8 else values.clip(-448, 448)).to(dtype)
        ones = {f"{layer}.{name}": torch.tensor(1.0) for name in ("input_scale", "output_scale")}
        return {f"{layer}.weight._data": values, f"{layer}.weight._scale": scale, **ones
                }, values.float() * scale.float()
    return each_matrix(pack)


def bitsandbytes(nested: bool = False, table: torch.Tensor = NF4, kind: str = "nf4") -> Callable[[State], Packed]:
    """4 bits; nested: the peaks of blocks are packed to 8 bits themselves ("double quantisation")."""
    def pack(layer: str, matrix: torch.Tensor) -> tuple[State, torch.Tensor]:
        name, blocks = f"{layer}.weight", matrix.reshape(-1, 64)
        peaks = blocks.abs().amax(1)
        state = {"quant_type": kind, "blocksize": 64, "dtype": "bfloat16", "shape": list(matrix.shape)}
        tensors = {f"{name}.absmax": peaks}
        if nested:
            offset, fine = peaks.mean(), torch.linspace(-1, 1, 256)
            coarse = torch.stack([part.abs().max() for part in (peaks - offset).split(256)])
            wide = coarse.repeat_interleave(256)[: len(peaks)]
            places = nearest((peaks - offset) / wide, fine)
            tensors = {f"{name}.absmax": places, f"{name}.nested_absmax": coarse, f"{name}.nested_quant_map": fine}
            peaks = fine[places.int()] * wide + offset
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset.item()}
        codes = nearest(blocks / peaks.unsqueeze(1), table)
        tensors |= {name: two_in_a_byte(codes.reshape(1, -1), True).reshape(-1, 1), f"{name}.quant_map": table.clone(),
                    f"{name}.quant_state.bitsandbytes__{kind}": as_bytes(state)}
        return tensors, (table[codes.int()] * peaks.unsqueeze(1)).reshape(matrix.shape)
    return each_matrix(pack)

"""Linear layers whose weights stay in the form they were stored in; each forward pass makes its own layer's matrix.

They stand where diffusers' and transformers' models have an nn.Linear. LoRA and offloading work on the base class.
"""

from abc import abstractmethod
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from .dequantise import BLOCKS, dequantise, powers_of_two, rows_at_once

FP8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
_H4 = ((1, 1, 1, -1), (1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1))


class Origin(Protocol):
    """Where memory comes from that is not only this process's."""

    def check(self, tensor: torch.Tensor) -> None:
        """Raises: InputError if the tensor lies in a file that another program has changed."""


class QuantisedLinear(nn.Module):
    """x @ W.T + b with a W that is not kept as a matrix of the computation's number format.

    `weight` is None, as a sign that there is no plain matrix: T5's feed-forward casts its input to the dtype of
    `wo.weight` if that is a tensor. Moving the module (`.to(device)`, with or without a dtype) moves the stored
    tensors' bytes as they are; a dtype changes the bias only.

    Args:
        in_features, out_features: as in nn.Linear.
        bias: [out_features] or None.

    Attributes:
        origin: asked before the stored tensors are read; None if they are ordinary memory.
    """

    weight = None
    _stored: tuple[str, ...] = ()  # names of the buffers that no dtype may change

    def __init__(self, in_features: int, out_features: int, bias: torch.Tensor | None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.origin: Origin | None = None

    @abstractmethod
    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix [out_features, in_features] in this floating point dtype, on its device; not to be changed."""

    def unpacking_bytes(self, dtype: torch.dtype) -> int:
        """Memory that `weight_as` takes beside what is stored."""
        return 2 * dtype.itemsize * self.in_features * self.out_features

    def check_origin(self) -> None:
        """Raises: InputError if what is stored lies in a file that has changed."""
        if self.origin is not None:
            for name in self._stored:
                if (tensor := self._buffers[name]) is not None:
                    self.origin.check(tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in_features] -> [..., out_features], in x's dtype."""
        self.check_origin()
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight_as(x.dtype), bias)

    def _apply(self, fn, recurse=True):
        self.check_origin()
        kept = {name: tensor for name in self._stored if (tensor := self._buffers[name]) is not None}
        for name in kept:
            self._buffers[name] = None
        super()._apply(fn, recurse)
        for name, tensor in kept.items():  # as bytes: `fn` casts floating point tensors only
            self._buffers[name] = fn(tensor.view(torch.uint8)).view(tensor.dtype)
        return self

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class StoredLinear(QuantisedLinear):
    """W = numbers in the format of their file, times a scale if there is one.

    Args:
        values: [out_features, in_features] in fp8, int8, or any floating point format. fp8 is kept as bytes, because
            devices without fp8 (Apple's) hold no such tensors.
        scale: float32, one element, or [out_features] or [out_features, 1]; None is 1. Kept as [1, 1] or [out, 1].
        bias: [out_features] or None.
        rotation: the columns were turned in groups of so many by a Hadamard matrix (`hadamard`) before they were
            rounded; 0 if they were not.
    """

    _stored = ("values", "scale")
    values: torch.Tensor
    scale: torch.Tensor | None

    def __init__(self, values: torch.Tensor, scale: torch.Tensor | None = None, bias: torch.Tensor | None = None,
                 rotation: int = 0):
        super().__init__(values.shape[1], values.shape[0], bias)
        if not values.is_floating_point() and values.dtype != torch.int8:
            raise TypeError(f"values are {values.dtype}, neither floating point nor int8")
        if scale is not None:
            scale = scale.to(torch.float32).reshape(-1, 1).contiguous()
            if scale.shape[0] not in (1, values.shape[0]):
                raise ValueError(f"{scale.shape[0]} scales for {values.shape[0]} rows")
        if rotation and (scale is None or values.shape[1] % rotation):
            raise ValueError(f"{values.shape[1]} columns are not turned in groups of {rotation}")
        self.format, self.rotation = values.dtype, rotation
        values = values.contiguous()
        self.register_buffer("values", values.view(torch.uint8) if values.dtype in FP8_DTYPES else values)
        self.register_buffer("scale", scale)

    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        if self.rotation:
            return self._turned_back(dtype)
        weight = self._numbers(dtype)
        if self.scale is None:
            return weight
        # float32 inside, where a scale with two axes makes it so, and rounded once
        return (weight * self.scale).to(dtype) if dtype == self.format else weight.mul_(self.scale)

    def _numbers(self, dtype: torch.dtype) -> torch.Tensor:
        if self.format in FP8_DTYPES:
            return fp8_numbers(self.values, self.format, dtype)
        if self.values.device.type == "mps" and self.format == torch.bfloat16 != dtype:  # macOS 13 has no bfloat16
            return bfloat16_by_bits(self.values).to(dtype)
        return self.values.to(dtype)

    def unpacking_bytes(self, dtype: torch.dtype) -> int:
        return 0 if dtype == self.format and self.scale is None else super().unpacking_bytes(dtype)

    def _turned_back(self, dtype: torch.dtype) -> torch.Tensor:
        assert self.scale is not None  # seen to when the layer was made
        weight = torch.empty(self.values.shape, dtype=dtype, device=self.values.device)
        turn = hadamard(self.rotation).to(weight.device)
        for some in rows_at_once(*weight.shape):
            numbers = self.values[some].to(torch.float32) * self.scale[some if len(self.scale) > 1 else slice(None)]
            weight[some] = (numbers.unflatten(1, (-1, self.rotation)) @ turn).flatten(1)
        return weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, format={self.format}"


class BlockLinear(QuantisedLinear):
    """W = small codes, each the place of a number in a table, times a scale for each block of columns.

    Args:
        codes: uint8 [out_features, bytes of a row], of 4 bits, or of 8 bits if the table has 256 numbers.
        scales: [out_features, blocks of a row]: float32; or bytes, see `scale_format`.
        table: float32 [16] or [256].
        bias: [out_features] or None.
        scale_format: what bytes of `scales` are: "e4m3", or "e8m0" (powers of two); else None.
        scale: a factor for all of it.
        high_first: of a byte's two codes the higher one stands for the earlier column.
    """

    _stored = ("codes", "scales", "table")
    codes: torch.Tensor
    scales: torch.Tensor
    table: torch.Tensor

    def __init__(self, codes: torch.Tensor, scales: torch.Tensor, table: torch.Tensor,
                 bias: torch.Tensor | None = None, *, scale_format: str | None = None, scale: float = 1.0,
                 high_first: bool = True):
        self.codes_in_byte = 1 if len(table) == 256 else 2
        columns = codes.shape[1] * self.codes_in_byte
        if codes.dtype != torch.uint8 or len(codes) != len(scales) or columns % scales.shape[1] or len(table) not in (
                16, 256):
            raise ValueError(f"{codes.dtype} {tuple(codes.shape)} with scales {tuple(scales.shape)} and {len(table)} "
                             "numbers are no such matrix")
        super().__init__(columns, codes.shape[0], bias)
        self.scale_format, self.scale, self.high_first = scale_format, scale, high_first
        self.register_buffer("codes", codes.contiguous())
        self.register_buffer("scales", scales.contiguous())
        self.register_buffer("table", table.to(torch.float32))

    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        weight = torch.empty(self.out_features, self.in_features, dtype=dtype, device=self.codes.device)
        for some in rows_at_once(*weight.shape):
            numbers = self.table[self._unpacked(self.codes[some]).to(torch.int32)]
            scales = self._factors(self.scales[some])
            weight[some] = (numbers.unflatten(1, (scales.shape[1], -1)) * scales.unsqueeze(2)).flatten(1)
        return weight

    def _unpacked(self, codes: torch.Tensor) -> torch.Tensor:
        if self.codes_in_byte == 1:
            return codes
        both = (codes >> 4, codes & 0x0F) if self.high_first else (codes & 0x0F, codes >> 4)
        return torch.stack(both, dim=-1).flatten(1)

    def _factors(self, scales: torch.Tensor) -> torch.Tensor:
        if self.scale_format == "e8m0":
            scales = powers_of_two(scales)
        elif self.scale_format == "e4m3":
            scales = fp8_numbers(scales, torch.float8_e4m3fn, torch.float32)
        return scales * self.scale


class GgufLinear(QuantisedLinear):
    """W = the blocks of a GGUF tensor.

    Args:
        packed: uint8 [out_features, bytes of a row].
        kind: "Q8_0", "Q4_K", ...; one of `dequantise.BLOCKS`.
        bias: [out_features] or None.
    """

    _stored = ("packed",)
    packed: torch.Tensor

    def __init__(self, packed: torch.Tensor, kind: str, bias: torch.Tensor | None = None):
        weights, width = BLOCKS[kind]
        if packed.dtype != torch.uint8 or packed.dim() != 2 or packed.shape[1] % width:
            raise ValueError(f"{packed.dtype} {tuple(packed.shape)} are no rows of {kind} blocks")
        super().__init__(packed.shape[1] // width * weights, packed.shape[0], bias)
        self.kind = kind
        self.register_buffer("packed", packed.contiguous())

    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        return dequantise(self.packed, self.kind, dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kind={self.kind}"


def largest_unpacking(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes that the largest quantised layer takes for its matrix while it computes in this dtype."""
    return max((layer.unpacking_bytes(dtype) for layer in model.modules() if isinstance(layer, QuantisedLinear)),
               default=0)


def fp8_numbers(values: torch.Tensor, format: torch.dtype, dtype: torch.dtype) -> torch.Tensor:
    """Bytes of fp8 as numbers of a wider dtype, a fresh tensor; exact, for fp8 fits into each of them."""
    if values.device.type == "mps":  # it has no fp8
        return fp8_numbers_by_table(values, format, dtype)
    return values.view(format).to(dtype)


def fp8_numbers_by_table(values: torch.Tensor, format: torch.dtype, dtype: torch.dtype) -> torch.Tensor:
    """The same by looking each byte up, for devices without fp8."""
    return fp8_table(format).to(values.device, dtype)[values.to(torch.int32)]


def bfloat16_by_bits(values: torch.Tensor) -> torch.Tensor:
    """bfloat16 as float32 without its arithmetic: it is float32's upper half."""
    return (values.view(torch.int16).to(torch.int32) << 16).view(torch.float32)


def fp8_table(format: torch.dtype) -> torch.Tensor:
    """float32 [256]: the number each byte stands for."""
    return torch.arange(256, dtype=torch.uint8).view(format).to(torch.float32)


def hadamard(size: int) -> torch.Tensor:
    """A regular Hadamard matrix of a power of 4, with its rows of length 1: float32 [size, size], its own inverse.

    As comfy-kitchen's `int8_utils.py` (ConvRot) has it: the Kronecker powers of one of 4 x 4.
    """
    smallest = torch.tensor(_H4, dtype=torch.float32)
    matrix = smallest
    while len(matrix) < size:
        matrix = torch.kron(matrix, smallest)
    if len(matrix) != size:
        raise ValueError(f"{size} is no power of 4")
    return matrix / size**0.5

"""Linear layers whose weights stay in the few bits they were stored in; each forward pass unpacks its own layer.

They stand where diffusers' and transformers' models have an nn.Linear. LoRA and offloading work on the base class.
"""

from abc import abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from .dequantise import BLOCKS, dequantise

FP8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)


class QuantisedLinear(nn.Module):
    """x @ W.T + b with a W that is not kept as a floating point matrix.

    `weight` is None, as a sign that there is no plain matrix: T5's feed-forward casts its input to the dtype of
    `wo.weight` if that is a tensor. Moving the module (`.to(device)`, with or without a dtype) moves the quantised
    tensors' bytes as they are; a dtype changes the bias only.

    Args:
        in_features, out_features: as in nn.Linear.
        bias: [out_features] or None.
    """

    weight = None
    _quantised: tuple[str, ...] = ()  # names of the buffers that no dtype may change

    def __init__(self, in_features: int, out_features: int, bias: torch.Tensor | None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @abstractmethod
    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix as a fresh tensor [out_features, in_features] of this floating point dtype, on its device."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in_features] -> [..., out_features], in x's dtype."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight_as(x.dtype), bias)

    def _apply(self, fn, recurse=True):
        kept = {name: self._buffers[name] for name in self._quantised if self._buffers[name] is not None}
        for name in kept:
            self._buffers[name] = None
        super()._apply(fn, recurse)
        for name, tensor in kept.items():  # as bytes: `fn` casts floating point tensors only
            self._buffers[name] = fn(tensor.view(torch.uint8)).view(tensor.dtype)
        return self

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Fp8Linear(QuantisedLinear):
    """W = fp8 values, times a scale if there is one.

    Args:
        values: float8_e4m3fn or float8_e5m2 [out_features, in_features].
        scale: float32, one element, or [out_features] or [out_features, 1]; None is 1. Kept as [1, 1] or [out, 1].
        bias: [out_features] or None.
    """

    _quantised = ("values", "scale")

    def __init__(self, values: torch.Tensor, scale: torch.Tensor | None = None, bias: torch.Tensor | None = None):
        super().__init__(values.shape[1], values.shape[0], bias)
        if values.dtype not in FP8_DTYPES:
            raise TypeError(f"values are {values.dtype}, not fp8")
        if scale is not None:
            scale = scale.to(torch.float32).reshape(-1, 1).contiguous()
            if scale.shape[0] not in (1, values.shape[0]):
                raise ValueError(f"{scale.shape[0]} scales for {values.shape[0]} rows")
        self.register_buffer("values", values.contiguous())
        self.register_buffer("scale", scale)

    def weight_as(self, dtype: torch.dtype) -> torch.Tensor:
        weight = self.values.to(dtype)  # exact: fp8 fits into every wider format
        # a float32 scale with two axes makes the product float32 inside, rounded once
        return weight if self.scale is None else weight.mul_(self.scale)


class GgufLinear(QuantisedLinear):
    """W = the blocks of a GGUF tensor.

    Args:
        packed: uint8 [out_features, bytes of a row].
        kind: "Q8_0", "Q4_K", ...; one of `dequantise.BLOCKS`.
        bias: [out_features] or None.
    """

    _quantised = ("packed",)

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

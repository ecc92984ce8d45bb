"""One weight that is stored as several tensors, and how its numbers are read; `packings.py` finds what is together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ..layers.dequantise import powers_are_finite
from ..layers.quantised import BlockLinear, QuantisedLinear, StoredLinear
from .tensors import Tensor

RowRanges = tuple[tuple[int, int], ...]  # row ranges (from, up to), joined in this order
Read = Callable[..., torch.Tensor]  # (name, rows=None) -> the tensor; refuses NaN
Refuse = Callable[[str, object, str], Exception]  # (name, value, problem) -> what to raise
TILE = (128, 4)  # rows and columns of a tile of cuBLAS's scales


@dataclass(frozen=True)
class Packing:
    """How one weight is stored.

    Attributes:
        kind: the number format in a word, for `Tensor.dtype`.
        shape: of the weight.
        values: the tensor of its values or codes.
        others: the other tensors it takes.
        listed: a list in the file names its format.
        read: its numbers, as arguments of the layer.
    """

    kind: str
    shape: tuple[int, ...]
    values: str
    others: tuple[str, ...]
    listed: bool
    read: Callable[[Read, Refuse, RowRanges | None], dict] = field(repr=False)

    def layer(self, read: Read, refuse: Refuse, rows: RowRanges | None, bias: torch.Tensor | None) -> QuantisedLinear:
        """The layer of some rows of this weight, of all if `rows` is None."""
        arguments = self.read(read, refuse, rows)
        return (StoredLinear if "values" in arguments else BlockLinear)(**arguments, bias=bias)


def scaled_by(values: str, scale: str, *, divisor: float = 1.0, rotation: int = 0) -> Callable[..., dict]:
    def read(tensor: Read, refuse: Refuse, rows: RowRanges | None) -> dict:
        factor = tensor(scale).to(torch.float32).flatten()
        factor = factor if factor.numel() == 1 else some_rows(factor, rows)
        numbers = tensor(values, rows)
        return {"values": numbers.reshape(len(numbers), -1) if numbers.dim() > 1 else numbers.reshape(-1, 1),
                "scale": factor / divisor if divisor != 1.0 else factor, "rotation": rotation}
    return read


def in_order(scales: torch.Tensor, shape: tuple[int, ...], block: int, rows: RowRanges | None) -> torch.Tensor:
    """Scales in cuBLAS's order as bytes [rows, blocks of a row].

    Tiles of 128 rows and 4 blocks lie one after another, row of tiles by row; in a tile, row r and block b is at
    (r % 32) * 16 + (r // 32) * 4 + b.
    """
    count = shape[1] // block
    down, across = -(-shape[0] // TILE[0]), -(-count // TILE[1])
    tiles = scales.view(torch.uint8).reshape(down, across, 32, 4, 4).permute(0, 3, 2, 1, 4)
    return some_rows(tiles.reshape(down * TILE[0], across * TILE[1])[: shape[0], :count], rows).contiguous()


def powers(scales: torch.Tensor, name: str, refuse: Refuse) -> torch.Tensor:
    scales = scales.view(torch.uint8)
    if not powers_are_finite(scales):
        raise refuse(name, "NaN", "is among its numbers (or a scale beyond float32)")
    return scales


def some_rows(tensor: torch.Tensor, rows: RowRanges | None) -> torch.Tensor:
    if rows is None:
        return tensor
    return torch.cat([tensor[begin:end] for begin, end in rows])  # a copy, so that the rest can be forgotten


def logical(tensors: Mapping[str, Tensor], packings: Mapping[str, Packing], hidden: set[str]
            ) -> Iterator[tuple[str, Tensor]]:
    """The tensors as a model knows them: each packed weight as one, of its own shape, and none of what unpacks it."""
    for name, tensor in tensors.items():
        if name not in hidden and name not in packings:
            yield name, tensor
    for name, packing in packings.items():
        size = sum(tensors[part].bytes for part in {packing.values, *packing.others})
        yield name, Tensor(packing.kind, packing.shape, size, tensors[packing.values].start)

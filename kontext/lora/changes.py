"""The kinds of matrix that LoRA files add to a weight: as a matrix, row by row, and times an input without making it.

Low rank: Hu et al., arXiv:2106.09685. LoKr and LoHa: Yeh et al., arXiv:2309.14859, as LyCORIS writes them
(github.com/KohakuBlueleaf/LyCORIS, lycoris/modules). A change of every number (LyCORIS' "full", ComfyUI's `full_diff`)
is one more kind.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch.nn import functional as F

Kind = TypeVar("Kind", bound="Change")


@dataclass(frozen=True, eq=False)
class Change(ABC):
    """A matrix [outputs, inputs] (of a norm: a vector [n]), held in some smaller form. Its tensors never change."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of what it is added to."""

    @abstractmethod
    def matrix(self) -> torch.Tensor:
        """All of it, float32, on its tensors' device."""

    @abstractmethod
    def rows(self: Kind, start: int, stop: int) -> Kind:
        """Some of its outputs."""

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """The rows [*index.shape, inputs] of these numbers, float32."""
        return self.matrix()[index]

    def times(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., inputs] -> x @ matrix.T [..., outputs], in x's dtype; its own tensors are of that dtype already."""
        return F.linear(x, self.matrix().to(x.dtype))

    @property
    def made_on_the_way(self) -> int:
        """Numbers of the largest matrix that `times` makes."""
        return 0

    @property
    def held(self) -> int:
        """Numbers it holds."""
        return sum(value.held if isinstance(value, Change) else value.numel()
                   for value in (getattr(self, field.name) for field in fields(self))
                   if isinstance(value, (Change, torch.Tensor)))

    def to(self: Kind, device: torch.device, dtype: torch.dtype) -> Kind:
        """With tensors of this device and dtype."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (Change, torch.Tensor)):
                moved[field.name] = value.to(device, dtype)
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class LowRank(Change):
    """scale * up @ down."""

    down: torch.Tensor  # [rank, inputs]
    up: torch.Tensor  # [outputs, rank]
    scale: float = 1.0  # alpha / rank

    @property
    def shape(self) -> tuple[int, ...]:
        return self.up.shape[0], self.down.shape[1]

    def matrix(self) -> torch.Tensor:
        return self.scale * (self.up.float() @ self.down.float())

    def rows(self, start: int, stop: int) -> "LowRank":
        return replace(self, up=self.up[start:stop])

    def take(self, index: torch.Tensor) -> torch.Tensor:
        return self.scale * (self.up[index].float() @ self.down.float())

    def times(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(x, self.down), self.up) * self.scale


@dataclass(frozen=True, eq=False)
class Full(Change):
    """scale * values."""

    values: torch.Tensor  # [outputs, inputs] or [n]
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    def matrix(self) -> torch.Tensor:
        return self.scale * self.values.float()

    def rows(self, start: int, stop: int) -> "Full":
        return replace(self, values=self.values[start:stop])

    def take(self, index: torch.Tensor) -> torch.Tensor:
        return self.scale * self.values[index].float()

    def times(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.values) * self.scale


@dataclass(frozen=True, eq=False)
class Hadamard(Change):
    """LoHa: first * second, number by number."""

    first: LowRank
    second: LowRank

    @property
    def shape(self) -> tuple[int, ...]:
        return self.first.shape

    def matrix(self) -> torch.Tensor:
        return self.first.matrix() * self.second.matrix()

    def rows(self, start: int, stop: int) -> "Hadamard":
        return Hadamard(self.first.rows(start, stop), self.second.rows(start, stop))

    @property
    def made_on_the_way(self) -> int:
        return 2 * self.shape[0] * self.shape[1]


@dataclass(frozen=True, eq=False)
class Kronecker(Change):
    """LoKr: rows `first` to `first + count` of the Kronecker product of left and right."""

    left: Full | LowRank  # [a, b], the smaller part
    right: Full | LowRank  # [c, d]
    first: int
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.count, self.left.shape[1] * self.right.shape[1]

    def matrix(self) -> torch.Tensor:
        blocks, skipped = self._blocks()
        product = torch.kron(blocks.matrix(), self.right.matrix().contiguous())
        return product[skipped : skipped + self.count]

    def rows(self, start: int, stop: int) -> "Kronecker":
        return replace(self, first=self.first + start, count=stop - start)

    def times(self, x: torch.Tensor) -> torch.Tensor:
        """Two small products in the place of a large one: (A x B) vec(X) = vec(A X B^T), row by row."""
        blocks, skipped = self._blocks()
        parts = x.unflatten(-1, (self.left.shape[1], -1)).transpose(-1, -2)  # [..., d, b]
        product = self.right.times(blocks.times(parts).transpose(-1, -2))  # [..., blocks, c]
        return product.flatten(-2)[..., skipped : skipped + self.count]

    def _blocks(self) -> tuple[Full | LowRank, int]:
        """The rows of `left` that reach into its rows, and how many rows of the first block are before them."""
        height = self.right.shape[0]
        begin, end = self.first // height, -(-(self.first + self.count) // height)
        return self.left.rows(begin, end), self.first - begin * height

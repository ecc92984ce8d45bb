"""The motion between two pictures, and what finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..common import InputError
from .checks import WHERE, check_flow


class Estimator(Protocol):
    """What finds where things go. Its callers have checked the pictures (``checks.check_pair``)."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The flow from ``a`` to ``b``, ``[H, W, 2]`` pixels; both are pictures ``float32 [H, W, 3]`` of one size, both
        sides at least 16 pixels."""
        ...


@dataclass(frozen=True)
class Motion:
    """The motion of a pair of pictures.

    Attributes:
        forward, backward: from A to B and from B to A, ``[H, W, 2]`` pixels each.
        coverage: the share of both pictures, 0..1, where they agree (``occlusion.coverage``).
        figure: masks (``bool [H, W]``) of what moves in A and in B where all the rest stands still; None where that is
            not known.
    """

    forward: Tensor
    backward: Tensor
    coverage: float
    figure: tuple[Tensor, Tensor] | None = None

    def swapped(self) -> Motion:
        """The motion of the same pair the other way round."""
        figure = None if self.figure is None else (self.figure[1], self.figure[0])
        return Motion(self.backward, self.forward, self.coverage, figure)


def estimated(estimator: Estimator, a: Tensor, b: Tensor, where: str = WHERE) -> Tensor:
    """What an estimator returns, ``float32 [H, W, 2]``; ``InputError`` if that is no flow field for the pictures."""
    flow = estimator(a, b)
    check_flow(flow, where, "estimated flow", "use another quality or flow model")
    if flow.shape[:2] != a.shape[:2]:
        raise InputError(where, "estimated flow", list(flow.shape), f"does not fit pictures {list(a.shape)}",
                         "use another quality or flow model")
    return flow.float()

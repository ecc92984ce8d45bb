"""The best path through candidates, one from each layer (dynamic programming; Viterbi 1967)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Node = TypeVar("Node")


def best_path(layers: Sequence[Sequence[Node]], cost: Callable[[Node], float],
              step: Callable[[Node, Node], float]) -> list[Node]:
    """The nodes, one of each layer (none is empty), of the least sum of their `cost` and the `step`s between
    neighbours; of equals the first."""
    paths: list[tuple[float, list[Node]]] = [(0.0, [])]
    for layer in layers:
        paths = [min(((so_far + cost(node) + (step(path[-1], node) if path else 0.0), [*path, node])
                      for so_far, path in paths), key=lambda found: found[0]) for node in layer]
    return min(paths, key=lambda found: found[0])[1]

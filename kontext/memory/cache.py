"""What was computed once and may be wanted again, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch

Value = TypeVar("Value")


class Recent:
    """The last results that fit into a number of bytes, by key.

    Args:
        limit: bytes of all tensors in it together. A result that is larger alone is made, but not kept.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.bytes = 0
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value for a key; made and kept if it is not there, for which the longest unused ones go."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        size = tensor_bytes(value)
        if size <= self.limit:
            self._values[key] = value
            self.bytes += size
            while self.bytes > self.limit:
                self.bytes -= tensor_bytes(self._values.popitem(last=False)[1])
        return value


def tensor_bytes(value: object) -> int:
    """Bytes of the tensors in a value of nested tuples, lists and mappings."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(tensor_bytes, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(tensor_bytes, value))
    return 0

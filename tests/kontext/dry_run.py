"""What a computation holds at its worst moment, counted on the meta device: no memory, no numbers, true shapes."""

import weakref

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Count(TorchDispatchMode):
    def __init__(self, known):
        super().__init__()
        self.live = self.peak = 0
        self._storages = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._storages:
                storage = tensor.untyped_storage()
                size = -(-storage.nbytes() // 512) * 512  # as CUDA's allocator rounds
                self._storages.add(storage._cdata)
                self.live += size
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._gone, storage._cdata, size)
        return result

    def _gone(self, key, size):
        self.live -= size
        self._storages.discard(key)


class _FusedAttention(TorchFunctionMode):
    """As CUDA's kernels: no square of scores, the result laid out like the query."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.scaled_dot_product_attention:
            named = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            query = named["query"]
            batch, heads, tokens, width = query.shape
            sums = torch.empty(batch, heads, tokens, dtype=torch.float32, device=query.device)  # noqa: F841
            return query.new_empty(batch, tokens, heads, width).transpose(1, 2)
        return function(*args, **(kwargs or {}))


def peak_bytes(compute, modules) -> int:
    """The most bytes of tensors that `compute()` holds at once beside the modules' weights, its result included."""
    known = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    with torch.no_grad(), _Count(known) as count, _FusedAttention():
        compute()
    return count.peak

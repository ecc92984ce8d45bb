"""LoRAs as an accelerator is installed: they change results, but the transformer in the same way, and for one edit.

Their plain twin is `Branches.merged`, which adds the same to the weights: equal but for rounding.
"""

from contextlib import AbstractContextManager

from ..lora import Branches
from .accelerator import Edit


class Loras:
    """See `Accelerator`.

    Args:
        branches: the LoRAs the model runs with.
    """

    def __init__(self, branches: Branches):
        self._branches = branches

    def bytes(self, edit: Edit) -> int:
        return self._branches.bytes("transformer", edit.transformer.dtype)

    def installed(self, edit: Edit) -> AbstractContextManager[None]:
        return self._branches.on(edit.components, "transformer")

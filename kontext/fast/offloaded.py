"""Blocks whose weights stay in main memory and visit the device in every step. The same bits as with all there."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..memory.between_edits import blocks_away
from ..memory.offload import Prefetchers
from ..memory.plan import TransformerSizes
from .accelerator import Edit


class OffloadedBlocks:
    """See `Accelerator`. Applies to the blocks that the residency has away.

    Args:
        prefetchers: keep the weights, pinned, from one edit to the next.
    """

    def __init__(self, prefetchers: Prefetchers):
        self._prefetchers = prefetchers

    def bytes(self, edit: Edit) -> int:
        return TransformerSizes.of(edit.transformer).places_bytes(edit.residency) if edit.residency.away else 0

    @contextmanager
    def installed(self, edit: Edit) -> Iterator[None]:
        blocks = blocks_away(edit.transformer, edit.residency)
        if not blocks:
            yield
            return
        assert edit.device is not None, "only what was placed has blocks away"
        with self._prefetchers.get("blocks", blocks, edit.device) as prefetcher, prefetcher.attached():
            yield

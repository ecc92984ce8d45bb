"""What outlives an edit: where a transformer's weights were put, and the prefetchers with their pinned memory."""

import logging

import torch
from torch import nn

from ..flux import modulation_layers, transformer_blocks
from ..networks import FluxTransformer
from .offload import Prefetchers
from .placement import Placement
from .plan import GIB, Residency, TransformerSizes, choose_residency

log = logging.getLogger("kontinuity")


class BetweenEdits:
    """Kept from one edit to the next, once for a model's networks: copies of the model with other LoRAs share it.

    Attributes:
        residency: which of the transformer's weights stay on the device; assign another one at any time.
        prefetchers: of the weights that do not.
    """

    def __init__(self):
        self.residency = Residency()
        self.prefetchers = Prefetchers()

    def place(self, transformer: FluxTransformer, placement: Placement, steps: int, work: int) -> torch.device:
        """Bring the weights that stay on the device there; the others stay in main memory. Returns the device.

        What was chosen before is kept as long as it fits: to choose anew moves all weights.

        Args:
            transformer: a FluxTransformer.
            placement: of the component "transformer".
            steps: of the edit.
            work: bytes of one forward pass beside the weights.
        """
        sizes, room = TransformerSizes.of(transformer), placement.room()
        if room is None or sizes.need(self.residency, steps, work) > room:
            self._choose(choose_residency(sizes, room, steps, work), sizes)
        residency = self.residency
        away = {}
        if residency.table:
            away["away"] = [*modulation_layers(transformer).values(), *blocks_away(transformer, residency)]
        return placement.use("transformer", sizes.transient(residency, steps, work), **away)

    def _choose(self, residency: Residency, sizes: TransformerSizes) -> None:
        if residency != self.residency:
            log.info("transformer: %.1f of %.1f GiB stay on the card%s%s", sizes.resident(residency) / GIB,
                     sizes.total / GIB, ", modulation from a table" if residency.table else "",
                     f", {len(residency.away)} of {len(sizes.blocks)} blocks are brought in every step"
                     if residency.away else "")
            self.prefetchers.clear()
        self.residency = residency


def blocks_away(transformer: FluxTransformer, residency: Residency) -> list[nn.Module]:
    """The blocks whose weights visit the device in every step, in the order they run."""
    blocks = transformer_blocks(transformer)
    return [blocks[i] for i in residency.away]

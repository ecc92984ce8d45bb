"""A transformer with only as many weights on the device as there is room for: bit for bit the same results."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from ..fast.modulation import ModulationTable
from ..flux import modulation_layers, transformer_blocks
from ..memory.offload import Carousels
from ..memory.placement import Placement
from ..memory.plan import GIB, Residency, TransformerSizes, choose_residency
from ..sampling import timesteps_of
from . import Conditions

log = logging.getLogger("kontinuity")


class LeanTransformer:
    """Chooses what stays on the device, and brings the rest when its turn comes.

    Args:
        transformer: a FluxTransformer.
    """

    def __init__(self, transformer: nn.Module):
        self.transformer = transformer
        self.residency = Residency()
        self.carousels = Carousels()

    @contextmanager
    def placed(self, placement: Placement, conditions: Conditions, activation_bytes: int) -> Iterator[torch.device]:
        """Inside, the transformer runs on the device it yields. Afterwards nothing but resident weights is there.

        What was chosen before is kept as long as it fits: to choose anew moves all weights.

        Args:
            placement: of the component "transformer".
            conditions: of the edit.
            activation_bytes: of one forward pass.
        """
        steps = len(conditions.sigmas) - 1
        sizes, room = TransformerSizes.of(self.transformer), placement.room()
        if room is None or sizes.need(self.residency, steps, activation_bytes) > room:
            self._choose(choose_residency(sizes, room, steps, activation_bytes), sizes)
        residency = self.residency
        layers = modulation_layers(self.transformer).values() if residency.table else ()
        blocks = [transformer_blocks(self.transformer)[i] for i in residency.away]
        away = {"away": [*layers, *blocks]} if residency.table else {}
        device = placement.use("transformer", sizes.transient(residency, steps, activation_bytes), **away)
        with ExitStack() as stack:
            if residency.table:
                _, pooled = conditions.prompt
                table = ModulationTable(self.transformer, conditions.guidance, pooled, dtype=self.transformer.dtype,
                                        device=device, carousel=self.carousels.get("modulation", list(layers), device))
                table.compute(timesteps_of(conditions.sigmas)[:-1].tolist())
                stack.enter_context(table.installed())
            if blocks:  # after the table took their modulation layers out of them
                carousel = stack.enter_context(self.carousels.get("blocks", blocks, device))
                stack.enter_context(carousel.attached())
            yield device

    def _choose(self, residency: Residency, sizes: TransformerSizes) -> None:
        if residency != self.residency:
            log.info("transformer: %.1f of %.1f GiB stay on the card%s%s", sizes.resident(residency) / GIB,
                     sizes.total / GIB, ", modulation from a table" if residency.table else "",
                     f", {len(residency.away)} of {len(sizes.blocks)} blocks are brought in every step"
                     if residency.away else "")
            self.carousels.clear()
        self.residency = residency

"""What every accelerator is to the stack (`stack.py`)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import nn

from ..memory.plan import Residency
from ..networks import FluxTransformer
from ..sampling import Conditions


@dataclass(frozen=True)
class Edit:
    """The denoise loop of one edit, as far as accelerators look at it.

    Attributes:
        components: of the model; "transformer" is the one that is changed.
        conditions: of the edit.
        residency: which of the transformer's weights stay on the device.
        device: where it runs; None before it was placed.
    """

    components: Mapping[str, nn.Module]
    conditions: Conditions
    residency: Residency = Residency()
    device: torch.device | None = None

    @property
    def transformer(self) -> FluxTransformer:
        """Shared with other edits: after this one it must be as it was."""
        return cast(FluxTransformer, self.components["transformer"])

    @property
    def steps(self) -> int:
        """How many passes there will be."""
        return len(self.conditions.sigmas) - 1


class Accelerator(Protocol):
    """A change of the transformer for the time of one edit. Where it does not apply to an edit, it changes nothing.

    Its plain twin is the transformer without it; its file says how closely the two agree, and a test holds it to that.
    """

    def bytes(self, edit: Edit) -> int:
        """Device memory it holds during the loop, beside the weights that stay there. Nothing is installed for this.

        Asked with everything resident, before the edit is placed; what depends on the residency is 0 then, and counted
        by `memory/plan.py`, which chooses one.
        """
        ...

    def installed(self, edit: Edit) -> AbstractContextManager[None]:
        """Inside, the transformer runs with it; afterwards, whatever happened inside, it is as it was before."""
        ...

"""The one place where the shared transformer is changed for an edit: everything that does, in one declared order.

A new accelerator is a file beside this one, its twin in a test, and a line in `accelerators`.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ..lora import Branches
from ..memory.between_edits import BetweenEdits
from .accelerator import Accelerator, Edit
from .loras import Loras
from .modulation import ModulationAhead
from .offloaded import OffloadedBlocks


def accelerators(branches: Branches, between_edits: BetweenEdits) -> tuple[Accelerator, ...]:
    """All there are, in the order in which they are installed; they are undone in reverse."""
    return (
        Loras(branches),  # they hang on the layers themselves, whoever calls these then
        ModulationAhead(between_edits.prefetchers),  # calls its layers with the LoRAs on, and takes them out
        OffloadedBlocks(between_edits.prefetchers),  # moves what is left in the blocks
    )


@contextmanager
def installed(stack: Sequence[Accelerator], edit: Edit) -> Iterator[None]:
    """Inside, the transformer runs with all of them. Afterwards, and if one cannot be installed, it is as it was."""
    with ExitStack() as undo:
        for accelerator in stack:
            undo.enter_context(accelerator.installed(edit))
        yield

"""Who watches a run that samples."""

from typing import Protocol

import numpy as np


class Observer(Protocol):
    """Who watches a run. An exception that one of its methods raises cancels the run and propagates unchanged."""

    def begin(self, steps: int) -> None:
        """Everything is checked and sampling begins: at most so many steps."""
        ...

    def step(self, preview: np.ndarray | None) -> None:
        """One step is done; the picture now looks like this (uint8 [h, w, 3], small; None if the model cannot tell)."""
        ...

    def end(self) -> None:
        """Everything is made; steps that are left were not needed."""
        ...

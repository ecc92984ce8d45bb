"""Progress, previews and Cancel of the running node."""

from __future__ import annotations

import comfy.model_management as memory
import comfy.utils
import numpy as np
from PIL import Image

PREVIEW_PIXELS = 512  # the longer side of a live preview, as ComfyUI's own samplers send it


def stop_if_cancelled() -> None:
    """Raise ComfyUI's interrupt exception if the user pressed Cancel."""
    memory.throw_exception_if_processing_interrupted()


class Progress:
    """The running node's progress bar with a live preview. Create it inside `execute`: it binds to the node then."""

    def __init__(self, total: int):
        self.total = total
        self.done = 0
        self._bar = comfy.utils.ProgressBar(total)

    def advance(self, preview: np.ndarray | None = None) -> None:
        """One step more is done; show it, with a small uint8 picture if there is one. Raises on Cancel."""
        stop_if_cancelled()
        self.done += 1
        picture = None if preview is None else ("JPEG", Image.fromarray(preview), PREVIEW_PIXELS)
        self._bar.update_absolute(self.done, self.total, picture)

    def reach(self, done: int) -> None:
        """Work up to `done` is done, or was not needed. Raises on Cancel."""
        self.done = max(self.done, done - 1)
        if self.done < done:
            self.advance()


class RunProgress:
    """A storyboard's `Observer`: the node's progress bar, live previews and Cancel."""

    def begin(self, steps: int) -> None:
        """See Observer."""
        self._progress = Progress(steps)

    def step(self, preview: np.ndarray | None) -> None:
        """See Observer."""
        self._progress.advance(preview)

    def end(self) -> None:
        """See Observer."""
        self._progress.reach(self._progress.total)

"""An output that nothing may use."""

from __future__ import annotations

from typing import Any

from comfy_execution.graph_utils import ExecutionBlocker


def blocked(reason: str) -> Any:
    """A value for an output: ComfyUI does not run what is connected to it, and shows the reason."""
    return ExecutionBlocker(reason)

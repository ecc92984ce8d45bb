"""Workflows queued through ComfyUI's HTTP API: from Python, and as `python -m kontinuity.batch`. Needs aiohttp."""

from .answers import Event, RunResult, Workflow
from .client import QueueClient

__all__ = ["Event", "QueueClient", "RunResult", "Workflow"]

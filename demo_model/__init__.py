"""The demo model: a small Kontext in the true architecture, trained on a drawn world, and that world itself."""

from pathlib import Path


def weights_folder() -> Path:
    """The diffusers folder of the shipped demo model."""
    return Path(__file__).parent / "weights"


__all__ = ["weights_folder"]

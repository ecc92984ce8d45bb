"""The demo model: a small Kontext in the true architecture, trained on a drawn world, and that world itself."""

from pathlib import Path

from .finder import FigureFinder

NAME = "Kontinuity demo"  # in its kontinuity.json


def weights_folder() -> Path:
    """The diffusers folder of the shipped demo model."""
    return Path(__file__).parent / "weights"


def in_between_lora() -> Path:
    """The LoRA with which the demo model makes pictures between two (docs/start_end_frames.md)."""
    return Path(__file__).parent / "in_between.safetensors"


def identity_folder() -> Path:
    """The transformers folder of the drawn world's identity encoder."""
    return Path(__file__).parent / "identity"


def figure_finder() -> FigureFinder:
    """What finds the figures of the drawn world."""
    return FigureFinder(identity_folder() / "finder.safetensors")


__all__ = ["NAME", "FigureFinder", "figure_finder", "identity_folder", "in_between_lora", "weights_folder"]

"""LoRA: small low-rank changes of a model's layers. Reading the files, and adding them while an edit runs."""

from .branches import Branches
from .file import Lora, read_lora
from .patches import lora_component, weight_patches

__all__ = ["Branches", "Lora", "lora_component", "read_lora", "weight_patches"]

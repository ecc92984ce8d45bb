"""LoRA: small low-rank changes of a model's layers. Reading the files, and adding them while an edit runs."""

from .branches import Branches, with_branches
from .file import Lora, read_lora
from .patches import weight_patches

__all__ = ["Branches", "Lora", "read_lora", "weight_patches", "with_branches"]

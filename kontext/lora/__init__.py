"""LoRA: small low-rank changes of a model's layers. Reading the files, and adding them while an edit runs."""

from .branches import Branches, with_branches
from .file import Lora, read_lora

__all__ = ["Branches", "Lora", "read_lora", "with_branches"]

"""FLUX.1 Kontext: load a model folder, check a request, make the edit. Knows no ComfyUI and no story."""

from .checkpoints.check import check_folder
from .checkpoints.folder import load_folder
from .checkpoints.identify import Identity, identify
from .checkpoints.parts import load_parts
from .errors import InputError
from .model import KontextModel
from .placement import Placement, Resident
from .request import EditRequest, StepInfo
from .settings import ModelSettings
from .sizes import check_size

__all__ = [
    "EditRequest",
    "Identity",
    "InputError",
    "KontextModel",
    "ModelSettings",
    "Placement",
    "Resident",
    "StepInfo",
    "check_folder",
    "check_size",
    "identify",
    "load_folder",
    "load_parts",
]

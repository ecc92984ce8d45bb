"""FLUX.1 Kontext: load a model folder, check a request, make the edit. Knows no ComfyUI and no story."""

from .backends import Backend, Conditions
from .checkpoints.advice import identify
from .checkpoints.check import check_folder
from .checkpoints.folder import load_folder
from .checkpoints.identify import Identity
from .checkpoints.parts import load_parts
from .identity import Encoder, FaceEncoder, FaceFinder, Finder, PictureScore, Scorer, load_encoder
from .lora import Lora, lora_component, read_lora, weight_patches
from .memory import PRESETS, Plan, plan, plan_flux
from .model import KontextModel
from .offload import into_memory
from .placement import Limited, Placement, Resident, resident_parts
from .prompts import text_token_ids
from .request import EditRequest, StepInfo
from .sampling import Schedule, Velocity
from .settings import ModelSettings
from .sizes import MIN_SIDE, check_size, whole_size

__all__ = [
    "Backend",
    "Conditions",
    "EditRequest",
    "Encoder",
    "FaceEncoder",
    "FaceFinder",
    "Finder",
    "Identity",
    "KontextModel",
    "Limited",
    "Lora",
    "MIN_SIDE",
    "ModelSettings",
    "PRESETS",
    "PictureScore",
    "Placement",
    "Plan",
    "Resident",
    "Schedule",
    "Scorer",
    "StepInfo",
    "Velocity",
    "check_folder",
    "check_size",
    "identify",
    "into_memory",
    "load_encoder",
    "load_folder",
    "load_parts",
    "lora_component",
    "plan",
    "plan_flux",
    "read_lora",
    "resident_parts",
    "text_token_ids",
    "weight_patches",
    "whole_size",
]

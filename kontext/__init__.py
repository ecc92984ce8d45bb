"""FLUX.1 Kontext: load a model folder, check a request, make the edit. Knows no ComfyUI and no story.

Each name imports from the lines above it and from the left of its own only:

    sizes attention request sampling    who looks at what; what is asked, the schedule and the denoise loop
    references                          which pictures, how large, and where their tokens sit
    layers                              linear layers whose weights stay packed
    networks text settings files        transformer and VAE; prompts; kontinuity.json; bytes of a file as named tensors
    flux names                          the architecture's map; what files call its tensors
    recognise memory                    which model a file is; what is on the card, planned and kept
    lora identity                       changes of layers; whose face is in a picture
    fast                                what changes the transformer for an edit, and the stack that installs it
    backends                            runs the networks
    model                               KontextModel
    load                                from files to a KontextModel
"""

from .attention.plan import AttentionPlan
from .attention.regions import Region, Regions, tokens_inside
from .attention.strength import MAX_STRENGTH, ReferenceStrength, check_strengths
from .backends import Backend
from .identity import Encoder, FaceEncoder, FaceFinder, Finder, PictureScore, Scorer, load_encoder
from .load.advice import identify
from .load.folder import load_folder
from .load.parts import load_parts
from .lora import Lora, lora_component, read_lora, weight_patches
from .memory.offload import into_memory
from .memory.placement import Limited, Placement, Resident, resident_parts
from .memory.plan import PRESETS, Plan, plan, plan_flux
from .model import KontextModel
from .networks import Attend
from .recognise.check import check_folder
from .recognise.identify import Identity
from .request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, EditRequest, Guide, StepInfo
from .sampling import FLUX_SCHEDULE, Conditions, Schedule, Velocity
from .settings import ModelSettings
from .sizes import MAX_SIDE, MIN_SIDE, MULTIPLE, check_size, nearest_side, whole_size
from .text import MAX_CLIP_TOKENS, MAX_T5_TOKENS, text_token_ids

__all__ = [
    "Attend",
    "AttentionPlan",
    "Backend",
    "Conditions",
    "EditRequest",
    "Encoder",
    "FLUX_SCHEDULE",
    "FaceEncoder",
    "FaceFinder",
    "Guide",
    "Finder",
    "Identity",
    "KontextModel",
    "Limited",
    "Lora",
    "MAX_CLIP_TOKENS",
    "MAX_GUIDANCE",
    "MAX_SEED",
    "MAX_SIDE",
    "MAX_STEPS",
    "MAX_STRENGTH",
    "MAX_T5_TOKENS",
    "MIN_SIDE",
    "MULTIPLE",
    "ModelSettings",
    "PRESETS",
    "PictureScore",
    "Placement",
    "Plan",
    "ReferenceStrength",
    "Region",
    "Regions",
    "Resident",
    "Schedule",
    "Scorer",
    "StepInfo",
    "Velocity",
    "check_folder",
    "check_size",
    "check_strengths",
    "identify",
    "into_memory",
    "load_encoder",
    "load_folder",
    "load_parts",
    "lora_component",
    "nearest_side",
    "plan",
    "plan_flux",
    "read_lora",
    "resident_parts",
    "text_token_ids",
    "tokens_inside",
    "weight_patches",
    "whole_size",
]

"""The drawn world the demo model knows: characters with independent attributes, scenes, actions, framings, edits with
known answers, and the truth about each picture. numpy and OpenCV only; the same parameters always give the same
pixels."""

from .colours import PALETTE, distance, nearest_name
from .draw import backdrop, draw
from .edits import EDIT_KINDS, Edit, View, random_edit, random_shot
from .instructions import PHRASINGS, instruction, is_instruction
from .meter import Reading, kept_attributes, read_identity, read_layout, read_shot, visible_attributes
from .styles import STYLES
from .world import (
    ACTIONS,
    ATTRIBUTES,
    COLOURED,
    FACINGS,
    FRAMINGS,
    KINDS,
    PLACES,
    PROPS,
    REFERENCE_SHOT,
    SCENES,
    STUDIO,
    VARIATIONS,
    Character,
    Prop,
    Shot,
    Stance,
)

__all__ = [
    "ACTIONS",
    "ATTRIBUTES",
    "COLOURED",
    "EDIT_KINDS",
    "FACINGS",
    "FRAMINGS",
    "KINDS",
    "PALETTE",
    "PHRASINGS",
    "PLACES",
    "PROPS",
    "REFERENCE_SHOT",
    "SCENES",
    "STUDIO",
    "STYLES",
    "VARIATIONS",
    "Character",
    "Edit",
    "Prop",
    "Reading",
    "Shot",
    "Stance",
    "View",
    "backdrop",
    "distance",
    "draw",
    "instruction",
    "is_instruction",
    "kept_attributes",
    "nearest_name",
    "random_edit",
    "random_shot",
    "read_identity",
    "read_layout",
    "read_shot",
    "visible_attributes",
]

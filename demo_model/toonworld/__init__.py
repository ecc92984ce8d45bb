"""The drawn world the demo model knows: characters with independent attributes, scenes, actions, framings, and the
truth about each picture. numpy and OpenCV only; the same parameters always give the same pixels."""

from .draw import backdrop, draw
from .instructions import PHRASINGS, instruction
from .meter import Reading, kept_attributes, read_identity, read_shot, visible_attributes
from .world import ACTIONS, ATTRIBUTES, FRAMINGS, REFERENCE_SHOT, SCENES, STUDIO, Character, Shot

__all__ = [
    "ACTIONS",
    "ATTRIBUTES",
    "FRAMINGS",
    "PHRASINGS",
    "REFERENCE_SHOT",
    "SCENES",
    "STUDIO",
    "Character",
    "Reading",
    "Shot",
    "backdrop",
    "draw",
    "instruction",
    "kept_attributes",
    "read_identity",
    "read_shot",
    "visible_attributes",
]

"""Instructions for a shot, in the words the demo model was trained on."""

from __future__ import annotations

from .world import Shot

_PLACE = {
    "beach": "a beach",
    "forest": "a forest",
    "city": "a city street",
    "kitchen": "a kitchen",
    "snow": "snowy mountains",
    "desert": "a desert",
    "night": "a hill at night",
    "underwater": "the sea floor",
    "space": "the moon in space",
    "classroom": "a classroom",
    "studio": "a plain studio",
}
_DOING = {
    "standing": "standing",
    "waving": "waving",
    "cheering": "cheering with both arms up",
    "pointing": "pointing",
    "hands on hips": "standing with hands on hips",
    "walking": "walking",
    "sitting": "sitting",
    "jumping": "jumping",
    "dancing": "dancing",
    "shrugging": "shrugging",
}

_TEMPLATES = (
    "Change the background to {place}, the character is {doing}, {framing}. Keep the same face, hair and clothes.",
    "Place the same character in {place}, {doing}, {framing} shot.",
    "The character is {doing} in {place}, {framing}, while maintaining the same face, hairstyle and clothes.",
    "{framing} of the character {doing} in {place}.",
)
PHRASINGS = len(_TEMPLATES)


def instruction(shot: Shot, phrasing: int = 0) -> str:
    """One English instruction that asks for ``shot``; ``phrasing`` counts from 0 and wraps around ``PHRASINGS``."""
    text = _TEMPLATES[phrasing % PHRASINGS].format(
        place=_PLACE[shot.scene], doing=_DOING[shot.action], framing=shot.framing
    )
    return text[0].upper() + text[1:]


def every_instruction_word() -> set[str]:
    """All words, lower case, that instructions can hold."""
    text = " ".join([*_TEMPLATES, *_PLACE.values(), *_DOING.values(), "full body half body close-up"])
    for mark in ("{place}", "{doing}", "{framing}", ".", ","):
        text = text.replace(mark, " ")
    return set(text.lower().replace("-", " - ").split())

"""Instructions in the words the demo model was trained on: several phrasings of each, most with a sentence that says
what to keep, as people write them for Kontext."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import cache
from string import Formatter

from .colours import PALETTE
from .world import Shot

PLACES = {
    "beach": ("a beach", "the beach", "a sandy beach"),
    "forest": ("a forest", "the forest", "the woods"),
    "city": ("a city street", "the city", "a street in the city"),
    "kitchen": ("a kitchen", "the kitchen"),
    "snow": ("snowy mountains", "the snow", "the snowy mountains"),
    "desert": ("a desert", "the desert"),
    "night": ("a hill at night", "the hills at night"),
    "underwater": ("the sea floor", "an underwater world"),
    "space": ("the moon in space", "the moon", "outer space"),
    "classroom": ("a classroom", "the classroom", "a school room"),
    "studio": ("a plain studio", "a plain grey background"),
}
DOING = {
    "standing": ("standing", "standing still"),
    "waving": ("waving", "waving with one hand"),
    "cheering": ("cheering with both arms up", "cheering"),
    "pointing": ("pointing", "pointing to the side"),
    "hands on hips": ("standing with hands on hips",),
    "walking": ("walking",),
    "sitting": ("sitting", "sitting down"),
    "jumping": ("jumping", "jumping in the air"),
    "dancing": ("dancing",),
    "shrugging": ("shrugging",),
}
FACING = {
    "front": ("facing the camera", "seen from the front"),
    "left": ("facing left", "turned to the left", "seen from the side, facing left"),
    "right": ("facing right", "turned to the right", "seen from the side, facing right"),
    "back": ("seen from behind", "turned away from the camera", "seen from the back"),
}
WHERE = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
STYLE = {
    "cartoon": ("a cartoon", "a flat cartoon"),
    "comic": ("a comic book", "a comic with bold black outlines"),
    "pastel": ("a pastel painting", "a soft pastel drawing"),
    "pencil": ("a pencil drawing", "a black and white pencil drawing"),
}
GARMENT = {  # attribute to the words for it
    "hair_colour": ("hair",),
    "top_colour": ("shirt", "sweater", "top"),
    "trousers_colour": ("trousers", "pants"),
    "hat_colour": ("hat",),
    "scarf_colour": ("scarf",),
}
HATS = {"cap": "cap", "beanie": "beanie", "cone": "party hat"}
GLASSES = {"round": ("round glasses", "glasses"), "shades": ("sunglasses", "dark sunglasses")}

_WHO = ("the character", "the same character", "the person")
_KEEP_WHO = (
    "Keep the same face, hair and clothes.",
    "Keep the character's appearance exactly the same.",
    "Maintain the same facial features, hairstyle and clothes.",
    "",
)
_KEEP_REST = ("Keep everything else unchanged.", "Keep everything else the same.", "Do not change anything else.", "")

# v1's four phrasings of a whole shot come first: saved workflows use them
_SHOT = (
    "Change the background to {place}, the character is {doing}, {framing}. Keep the same face, hair and clothes.",
    "Place the same character in {place}, {doing}, {framing} shot.",
    "The character is {doing} in {place}, {framing}, while maintaining the same face, hairstyle and clothes.",
    "{framing} of the character {doing} in {place}.",
    "Show {who} {doing} in {place}, {framing}. {keep_who}",
    "{who} in {place}, {doing}, {framing} shot. {keep_who}",
)
PHRASINGS = 4  # of `instruction`
_TEMPLATES = {
    "shot": _SHOT,
    "shot_more": (  # with {more}: where it stands, which way it looks
        "Change the background to {place}, the character is {doing}, {more}, {framing}. {keep_who}",
        "Place {who} in {place}, {doing}, {more}, {framing} shot. {keep_who}",
        "{who} is {doing} in {place}, {more}, {framing}. {keep_who}",
    ),
    "scene": (
        "Change the background to {place}. {keep_pose}",
        "Replace the background with {place}. {keep_pose}",
        "Change the scene to {place}, keep {who} in the same position and pose.",
    ),
    "action": (
        "{who} is now {doing}. {keep_place}",
        "Change the pose: {who} is {doing}. {keep_place}",
        "Make {who} {doing}, keep the background and the framing.",
    ),
    "framing": (
        "Change the framing to {framing}. {keep_rest}",
        "Show {who} in a {framing} shot, same background.",
        "Move the camera closer, {framing} shot. {keep_rest}",
    ),
    "turn": (
        "Turn {who}, now {facing}. {keep_rest}",
        "Show {who} {facing}. {keep_rest}",
        "The same picture with {who} {facing}.",
    ),
    "recolour": (
        "Change the colour of the {garment} to {colour}. {keep_rest}",
        "Change the {garment} to {colour}. {keep_rest}",
        "Make the {garment} {colour}. {keep_rest}",
        "Replace the {garment} with a {colour} one. {keep_rest}",
    ),
    "add": (
        "Add {thing}. {keep_rest}",
        "Give {who} {thing}. {keep_rest}",
        "{who} is now wearing {thing}. {keep_rest}",
    ),
    "take off": (
        "Remove the {garment}. {keep_rest}",
        "Take off the {garment}. {keep_rest}",
        "{who} without the {garment}. {keep_rest}",
    ),
    "remove": (
        "Remove the {prop}. {keep_rest}",
        "Remove the {prop} from the picture. {keep_rest}",
        "Delete the {prop} and fill in the background. {keep_rest}",
    ),
    "remove marked": (
        "Remove the object in the ellipse. {keep_rest}",
        "Remove the marked object and the ellipse. {keep_rest}",
    ),
    "style": (
        "Change the style to {style}. {keep_rest}",
        "Redraw this picture as {style}. {keep_rest}",
        "Turn this into {style}, keep the character and the composition.",
    ),
    "same": ("Keep everything unchanged.", "Change nothing.", "Keep the picture exactly the same."),
    "two": (
        "Both characters in {place}, the left one is {doing}, the right one is {other}, {framing}. {keep_two}",
        "Change the background to {place}, both characters are {doing}, {framing}. {keep_two}",
        "The two characters {doing} together in {place}, {framing} shot. {keep_two}",
    ),
}
_SLOTS = {
    "who": _WHO,
    "keep_who": _KEEP_WHO,
    "keep_rest": _KEEP_REST,
    "keep_pose": ("Keep the character in the same position and pose.", "Keep the character exactly the same.", ""),
    "keep_place": ("Keep the background unchanged.", "Keep the same background and clothes.", ""),
    "keep_two": ("Keep both faces, hair and clothes.", "Keep the characters' appearance.", ""),
}


def instruction(shot: Shot, phrasing: int = 0) -> str:
    """One English instruction that asks for ``shot`` whole (scene, action, framing); ``phrasing`` counts from 0 and
    wraps around ``PHRASINGS``."""
    words = {"place": PLACES[shot.scene][0], "doing": DOING[shot.action][0], "framing": shot.framing}
    return _sentence(_SHOT[phrasing % PHRASINGS].format(**words))


def phrase(kind: str, rng: random.Random, **words: str) -> str:
    """An instruction of a kind (a key of the templates) in a random phrasing that uses just ``words`` and free slots.

    Raises:
        ValueError: no template of the kind can take these words.
    """
    fitting = [t for t in _TEMPLATES[kind] if set(words) == _slots(t) - set(_SLOTS)]
    if not fitting:
        raise ValueError(f"{kind}: no template with {', '.join(words)}")
    template = rng.choice(fitting)
    free = {slot: rng.choice(_SLOTS[slot]) for slot in sorted(_slots(template) & set(_SLOTS))}
    return _sentence(template.format(**words, **free))


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    def one_of(texts: Iterable[str]) -> str:
        return "(?:" + "|".join(re.escape(text) for text in texts) + ")"

    def of(*tables: dict[str, tuple[str, ...]]) -> str:
        return one_of(text for table in tables for texts in table.values() for text in texts)

    fillings = {
        "place": of(PLACES), "doing": of(DOING), "other": of(DOING), "facing": of(FACING), "style": of(STYLE),
        "framing": one_of(("full body", "half body", "close-up")),
        "garment": one_of((*(text for texts in GARMENT.values() for text in texts), "glasses", "sunglasses",
                           *HATS.values())),
        "colour": one_of(PALETTE), "thing": "[a-z ]+", "prop": "[a-z ]+", "more": "[a-z ,]+",
    } | {slot: one_of(texts) for slot, texts in _SLOTS.items()}  # fmt: skip
    found = []
    for template in (text for texts in _TEMPLATES.values() for text in texts):
        parts = (re.escape(text) + (fillings[name] if name else "") for text, name, _, _ in Formatter().parse(template))
        found.append(re.compile("".join(parts).replace(r"\ (?:", r"\ ?(?:"), re.IGNORECASE))
    return tuple(found)


def is_instruction(text: str) -> bool:
    """Whether a text is an instruction in words and phrasings that the demo model was trained on."""
    return any(pattern.fullmatch(text) for pattern in _patterns())


def _slots(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _sentence(text: str) -> str:
    text = text.strip()
    return text[0].upper() + text[1:]


def every_instruction_word() -> set[str]:
    """All words, lower case, that instructions can hold; a hyphen is a word of its own."""
    texts = [text for templates in _TEMPLATES.values() for text in templates]
    texts += [
        text
        for table in (PLACES, DOING, FACING, STYLE, GARMENT, GLASSES, _SLOTS)
        for words in table.values()
        for text in words
    ]
    texts += [
        *WHERE.values(),
        *HATS.values(),
        *PALETTE,
        "full body half body close-up a an ball balloon cat plant suitcase",
    ]
    words: set[str] = set()
    for text in texts:
        for name in _slots(text):
            text = text.replace("{" + name + "}", " ")
        for mark in ".,:":
            text = text.replace(mark, " ")
        words |= set(text.lower().replace("-", " - ").replace("'", " ' ").split())
    return words

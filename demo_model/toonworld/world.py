"""Who can be drawn, where, and doing what: the whole parameter space of the drawn world."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields, replace

SKIN = {
    "porcelain": (255, 226, 204),
    "peach": (240, 190, 150),
    "tan": (205, 148, 102),
    "brown": (141, 90, 58),
    "green": (140, 200, 120),
}
HAIR = {
    "black": (40, 38, 46),
    "brown": (112, 66, 36),
    "blond": (246, 214, 104),
    "red": (206, 66, 34),
    "grey": (168, 172, 182),
    "blue": (52, 98, 220),
    "pink": (250, 128, 186),
    "mint": (90, 214, 176),
}
TOP = {
    "red": (222, 48, 48),
    "orange": (248, 146, 32),
    "yellow": (250, 222, 66),
    "green": (52, 164, 76),
    "cyan": (60, 196, 222),
    "blue": (46, 76, 206),
    "purple": (146, 62, 190),
    "white": (244, 244, 240),
}
TROUSERS = {
    "navy": (36, 44, 104),
    "brown": (118, 78, 44),
    "grey": (132, 136, 144),
    "olive": (110, 126, 48),
    "pink": (240, 136, 170),
    "black": (38, 36, 40),
}
HAT = {
    "red": (206, 40, 60),
    "yellow": (252, 208, 40),
    "green": (40, 140, 84),
    "blue": (40, 96, 200),
    "purple": (120, 60, 160),
    "white": (240, 240, 240),
}
SCARF = {
    "red": (214, 38, 38),
    "yellow": (250, 214, 40),
    "green": (44, 150, 74),
    "blue": (40, 80, 210),
    "white": (246, 246, 246),
}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKIN),
    "hair_style": ("short", "long", "bun", "spiky", "curly"),
    "hair_colour": tuple(HAIR),
    "top_colour": tuple(TOP),
    "top_pattern": ("plain", "stripes", "dots", "sash"),
    "trousers_colour": tuple(TROUSERS),
    "hat": ("none", "cap", "beanie", "cone"),
    "hat_colour": tuple(HAT),
    "glasses": ("none", "round", "shades"),
    "scarf": ("none", *SCARF),
}

SCENES = ("beach", "forest", "city", "kitchen", "snow", "desert", "night", "underwater", "space", "classroom")
ACTIONS = (
    "standing",
    "waving",
    "cheering",
    "pointing",
    "hands on hips",
    "walking",
    "sitting",
    "jumping",
    "dancing",
    "shrugging",
)
FRAMINGS = ("full body", "half body", "close-up")
STUDIO = "studio"  # the plain backdrop of reference pictures; not one of the scenes an instruction asks for


@dataclass(frozen=True)
class Character:
    """One figure: a value for each of ``ATTRIBUTES``. Without a hat the hat's colour is not drawn.

    Raises:
        ValueError: an attribute has a value that does not exist.
    """

    skin: str = "peach"
    hair_style: str = "short"
    hair_colour: str = "brown"
    top_colour: str = "red"
    top_pattern: str = "plain"
    trousers_colour: str = "navy"
    hat: str = "none"
    hat_colour: str = "red"
    glasses: str = "none"
    scarf: str = "none"

    def __post_init__(self):
        for name, value in self.attributes.items():
            if value not in ATTRIBUTES[name]:
                raise ValueError(f"{name} {value!r}: one of {', '.join(ATTRIBUTES[name])}")

    @property
    def attributes(self) -> dict[str, str]:
        """Attribute name to value, in the order of ``ATTRIBUTES``."""
        return asdict(self)

    def with_(self, **changes: str) -> Character:
        """The same figure with some attributes changed."""
        return replace(self, **changes)

    @classmethod
    def from_seed(cls, seed: int) -> Character:
        """Every attribute drawn evenly and independently."""
        rng = random.Random(seed)
        return cls(**{field.name: rng.choice(ATTRIBUTES[field.name]) for field in fields(cls)})


@dataclass(frozen=True)
class Shot:
    """One picture's circumstances.

    Raises:
        ValueError: a value that does not exist.
    """

    scene: str
    action: str
    framing: str = "full body"

    def __post_init__(self):
        for name, value, known in (
            ("scene", self.scene, (*SCENES, STUDIO)),
            ("action", self.action, ACTIONS),
            ("framing", self.framing, FRAMINGS),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r}: one of {', '.join(known)}")


REFERENCE_SHOT = Shot(STUDIO, "standing", "full body")

"""Who can be drawn, where, and doing what: the whole parameter space of the drawn world."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field, replace

from .colours import PALETTE, Colour, random_colour, random_skin
from .styles import STYLES

KINDS: dict[str, tuple[str, ...]] = {
    "hair_style": ("short", "long", "bun", "spiky", "curly"),
    "top_pattern": ("plain", "stripes", "dots", "sash"),
    "hat": ("none", "cap", "beanie", "cone"),
    "glasses": ("none", "round", "shades"),
    "scarf": ("none", "long"),
}
COLOURED = ("skin", "hair_colour", "top_colour", "trousers_colour", "hat_colour", "scarf_colour")
ATTRIBUTES = (*KINDS, *COLOURED)

SCENES = ("beach", "forest", "city", "kitchen", "snow", "desert", "night", "underwater", "space", "classroom")
STUDIO = "studio"  # the plain backdrop of reference pictures; not one of the scenes an instruction asks for
VARIATIONS = 6  # layouts of each scene; a picture's seed decides
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
FACINGS = ("front", "left", "right", "back")
PROPS = ("ball", "balloon", "cat", "plant", "suitcase")
PLACES = {"left": 0.3, "middle": 0.5, "right": 0.7}  # where along the width an instruction can put a figure


@dataclass(frozen=True)
class Character:
    """One figure: a value for each of ``KINDS``, a colour 0..255 for each of ``COLOURED``. Without a hat the hat's
    colour is not drawn.

    Raises:
        ValueError: an attribute has a value that does not exist.
    """

    hair_style: str = "short"
    top_pattern: str = "plain"
    hat: str = "none"
    glasses: str = "none"
    scarf: str = "none"
    skin: Colour = (240, 190, 150)
    hair_colour: Colour = (112, 66, 36)
    top_colour: Colour = PALETTE["red"]
    trousers_colour: Colour = (36, 44, 104)
    hat_colour: Colour = PALETTE["blue"]
    scarf_colour: Colour = PALETTE["yellow"]

    def __post_init__(self):
        for name, known in KINDS.items():
            _check(name, getattr(self, name), known)
        for name in COLOURED:
            value = getattr(self, name)
            if len(value) != 3 or not all(0 <= channel <= 255 for channel in value):
                raise ValueError(f"{name} {value!r}: three numbers from 0 to 255")

    @property
    def attributes(self) -> dict[str, str | Colour]:
        """Attribute name to value, in the order of ``ATTRIBUTES``."""
        return asdict(self)

    def with_(self, **changes: str | Colour) -> Character:
        """The same figure with some attributes changed."""
        return replace(self, **changes)

    @classmethod
    def from_seed(cls, seed: int) -> Character:
        """Every attribute drawn independently."""
        rng = random.Random(seed)
        kinds = {name: rng.choice(values) for name, values in KINDS.items()}
        colours = {name: random_colour(rng) for name in COLOURED[1:]}
        return cls().with_(**kinds, skin=random_skin(rng), **colours)


@dataclass(frozen=True)
class Stance:
    """How and where one figure stands.

    ``x`` 0..1 along the picture's width, ``size`` 1 = usual, ``towards``/``part``: the pose on the way from ``action``
    (0) to another action (1).

    Raises:
        ValueError: a value that does not exist.
    """

    action: str = "standing"
    facing: str = "front"
    x: float = 0.5
    size: float = 1.0
    towards: str | None = None
    part: float = 0.0

    def __post_init__(self):
        _check("action", self.action, ACTIONS)
        _check("facing", self.facing, FACINGS)
        _check("towards", self.towards, (None, *ACTIONS))
        for name, value, low, high in (("x", self.x, 0, 1), ("size", self.size, 0.3, 2), ("part", self.part, 0, 1)):
            if not low <= value <= high:
                raise ValueError(f"{name} {value!r}: {low} to {high}")


@dataclass(frozen=True)
class Prop:
    """A thing on the ground (a balloon: in the air) at ``x`` 0..1 along the width."""

    kind: str
    x: float
    colour: Colour

    def __post_init__(self):
        _check("prop", self.kind, PROPS)


@dataclass(frozen=True)
class Shot:
    """One picture's circumstances: everything but who is in it.

    ``stances``: one for each figure. ``variation`` 0 .. ``VARIATIONS`` - 1. ``mark``: an ellipse drawn over the picture
    as people mark what to edit: centre x, y and radii, fractions of width and height.

    Raises:
        ValueError: a value that does not exist.
    """

    scene: str
    action: str = "standing"  # of a single figure, for short
    framing: str = "full body"
    stances: tuple[Stance, ...] = ()
    style: str = "cartoon"
    variation: int = 0
    props: tuple[Prop, ...] = ()
    mark: tuple[float, float, float, float] | None = field(default=None)

    def __post_init__(self):
        _check("scene", self.scene, (*SCENES, STUDIO))
        _check("framing", self.framing, FRAMINGS)
        _check("style", self.style, tuple(STYLES))
        _check("variation", self.variation, range(VARIATIONS))
        if not self.stances:
            object.__setattr__(self, "stances", (Stance(self.action),))
        object.__setattr__(self, "action", self.stances[0].action)

    def with_(self, **changes) -> Shot:
        """The same circumstances with some changed."""
        if "action" in changes:
            action = changes.pop("action")
            changes["stances"] = tuple(replace(s, action=action, towards=None, part=0.0) for s in self.stances)
        return replace(self, **changes)

    def turned(self, facing: str) -> Shot:
        """All figures facing another way."""
        return replace(self, stances=tuple(replace(stance, facing=facing) for stance in self.stances))


def _check(name: str, value, known) -> None:
    if value not in known:
        raise ValueError(f"{name} {value!r}: one of {', '.join(map(str, known))}")


REFERENCE_SHOT = Shot(STUDIO, "standing", "full body")

"""Edits with a known answer: what the reference shows, what is asked, what the picture must look like afterwards.

What an instruction does not name stays as it was: that is how Kontext is asked to behave.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from . import instructions as words
from .colours import PALETTE, distance, random_colour
from .instructions import phrase
from .props import extent
from .world import (
    ACTIONS,
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


@dataclass(frozen=True)
class View:
    """Who is in a picture, and its circumstances."""

    cast: tuple[Character, ...]
    shot: Shot


@dataclass(frozen=True)
class Edit:
    """``before``: what the reference shows; two of them are laid side by side. ``after``: the answer. With
    ``new_scene`` the layout (``Shot.variation``) of the answer is one of several that are right. ``attribute``: the one
    attribute that is to change."""

    kind: str
    before: tuple[View, ...]
    text: str
    after: View
    new_scene: bool = False
    attribute: str | None = None


def random_shot(rng: random.Random, framing: str | None = None, props: int = 0, studio: float = 0.1) -> Shot:
    """Any shot of one figure. ``studio``: part of them on the plain background."""
    stance = Stance(rng.choice(ACTIONS), x=rng.choice((0.5, 0.5, rng.uniform(0.25, 0.75))))
    if rng.random() < 0.2:
        stance = replace(stance, facing=rng.choice(FACINGS))
    if rng.random() < 0.2:
        stance = replace(stance, towards=rng.choice(ACTIONS), part=rng.random())
    if rng.random() < 0.2:
        stance = replace(stance, size=rng.uniform(0.8, 1.1))
    framing = framing or rng.choice(("full body", *FRAMINGS))
    return Shot(
        STUDIO if rng.random() < studio else rng.choice(SCENES),
        framing=framing,
        stances=(stance,),
        style="cartoon" if rng.random() < 0.85 else rng.choice(tuple(words.STYLE)),
        variation=rng.randrange(VARIATIONS),
        props=_props(rng, stance.x, props) if framing == "full body" else (),
    )


def _props(rng: random.Random, x: float, count: int) -> tuple[Prop, ...]:
    """Different things, beside the figure."""
    free = [rng.uniform(low, high) for low, high in ((0.1, 0.2), (0.8, 0.9)) if abs((low + high) / 2 - x) > 0.24]
    kinds = rng.sample(PROPS, min(count, len(free)))
    return tuple(Prop(kind, place, random_colour(rng)) for kind, place in zip(kinds, free, strict=False))


def random_two(rng: random.Random) -> Shot:
    """Any shot of two figures, the first on the left."""
    pair = tuple(Stance(rng.choice(ACTIONS), x=x, size=0.85) for x in (PLACES["left"], PLACES["right"]))
    return Shot(rng.choice(SCENES), stances=pair, variation=rng.randrange(VARIATIONS))


def _usual(rng: random.Random) -> Shot:
    """What a reference usually is: the plain standing picture, else any picture with the whole figure seen from the
    front."""
    if rng.random() < 0.6:
        return REFERENCE_SHOT
    shot = random_shot(rng, "full body", props=rng.randrange(2))
    return replace(shot.turned("front"), style="cartoon")


def _board(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """A storyboard's usual panel: from the plain reference, the whole shot named in one of the main phrasings."""
    after = Shot(rng.choice(SCENES), rng.choice(ACTIONS), rng.choice(FRAMINGS), variation=rng.randrange(VARIATIONS))
    text = words.instruction(after, rng.randrange(words.PHRASINGS))
    return Edit("board", (View(cast, REFERENCE_SHOT),), text, View(cast, after), new_scene=True)


def _shot(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """A new shot: scene, action, framing; sometimes where the figure stands and which way it looks."""
    before = _usual(rng)
    after = Shot(rng.choice(SCENES), rng.choice(ACTIONS), rng.choice(FRAMINGS), variation=rng.randrange(VARIATIONS))
    more: list[str] = []
    if rng.random() < 0.2:
        place = rng.choice(tuple(PLACES))
        after = replace(after, stances=tuple(replace(s, x=PLACES[place]) for s in after.stances))
        more.append(words.WHERE[place])
    if rng.random() < 0.2:
        facing = rng.choice(FACINGS)
        after = after.turned(facing)
        more.append(rng.choice(words.FACING[facing]))
    said = {
        "place": rng.choice(words.PLACES[after.scene]),
        "doing": rng.choice(words.DOING[after.action]),
        "framing": after.framing,
    }
    text = phrase("shot_more", rng, **said, more=", ".join(more)) if more else phrase("shot", rng, **said)
    return Edit("shot", (View(cast, before),), text, View(cast, after), new_scene=True)


def _scene(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before = replace(random_shot(rng, studio=0.3), style="cartoon")
    after = replace(
        before, scene=rng.choice([s for s in SCENES if s != before.scene]), variation=rng.randrange(VARIATIONS)
    )
    text = phrase("scene", rng, place=rng.choice(words.PLACES[after.scene]))
    return Edit("scene", (View(cast, before),), text, View(cast, after), new_scene=True)


def _action(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before = random_shot(rng, rng.choice(("full body", "full body", "half body")))
    action = rng.choice([a for a in ACTIONS if a != before.action])
    text = phrase("action", rng, doing=rng.choice(words.DOING[action]))
    return Edit("action", (View(cast, before),), text, View(cast, before.with_(action=action)))


def _framing(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before = random_shot(rng, rng.choice(("full body", "half body")))
    framing = rng.choice(FRAMINGS[FRAMINGS.index(before.framing) + 1 :])  # nearer: what was not seen cannot be known
    return Edit(
        "framing",
        (View(cast, before),),
        phrase("framing", rng, framing=framing),
        View(cast, replace(before, framing=framing)),
    )


def _turn(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before = random_shot(rng)
    if rng.random() < 0.75:
        before = before.turned("front")
    elif before.stances[0].facing == "back":
        before = before.turned("left")  # from behind, the face is not known
    facing = rng.choice([f for f in FACINGS if f != before.stances[0].facing])
    text = phrase("turn", rng, facing=rng.choice(words.FACING[facing]))
    return Edit("turn", (View(cast, before),), text, View(cast, before.turned(facing)))


def _front(rng: random.Random) -> Shot:
    return random_shot(rng, rng.choice(("full body", "full body", "half body")), props=rng.randrange(2)).turned("front")


def _recolour(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before, who = replace(_front(rng), framing="full body"), cast[0]
    worn = [
        a
        for a in words.GARMENT
        if not (a == "hat_colour" and who.hat == "none" or a == "scarf_colour" and who.scarf == "none")
    ]
    attribute = rng.choice(worn)
    colour = rng.choice([name for name, rgb in PALETTE.items() if distance(rgb, getattr(who, attribute)) > 40])
    text = phrase("recolour", rng, garment=rng.choice(words.GARMENT[attribute]), colour=colour)
    if before.style == "pencil":
        before = replace(before, style="cartoon")
    after = (who.with_(**{attribute: PALETTE[colour]}),)
    return Edit("recolour", (View(cast, before),), text, View(after, before), attribute=attribute)


def _accessory(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """A hat, glasses or a scarf put on or taken off."""
    before, who, attribute = _front(rng), cast[0], rng.choice(("hat", "glasses", "scarf"))
    if getattr(who, attribute) != "none":
        names = {"hat": ("hat", words.HATS.get(who.hat, "hat")), "glasses": ("glasses",), "scarf": ("scarf",)}
        text = phrase("take off", rng, garment=rng.choice(names[attribute]))
        after = who.with_(**{attribute: "none"})
        return Edit("accessory", (View(cast, before),), text, View((after,), before), attribute=attribute)
    kind, colour = rng.choice(KINDS[attribute][1:]), rng.choice(tuple(PALETTE))
    if before.style == "pencil":
        before = replace(before, style="cartoon")
    if attribute == "glasses":
        thing = rng.choice(words.GLASSES[kind])
        after = who.with_(glasses=kind)
    else:
        name = words.HATS[kind] if attribute == "hat" else "scarf"
        thing = f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {name}"
        after = who.with_(**{attribute: kind, f"{attribute}_colour": PALETTE[colour]})
    return Edit(
        "accessory", (View(cast, before),), phrase("add", rng, thing=thing), View((after,), before), attribute=attribute
    )


def _remove(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """A thing taken away, named or marked with an ellipse."""
    before = random_shot(rng, "full body", props=2)
    while not before.props:
        before = random_shot(rng, "full body", props=2)
    prop = rng.choice(before.props)
    after = replace(before, props=tuple(p for p in before.props if p is not prop))
    if rng.random() < 0.3:
        before = replace(before, mark=extent(prop))
        text = phrase("remove marked", rng)
    else:
        text = phrase("remove", rng, prop=prop.kind)
    return Edit("remove", (View(cast, before),), text, View(cast, after))


def _style(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    before = replace(random_shot(rng, props=rng.randrange(2)), style="cartoon")
    style = rng.choice([name for name in words.STYLE if name != "cartoon"])
    text = phrase("style", rng, style=rng.choice(words.STYLE[style]))
    return Edit("style", (View(cast, before),), text, View(cast, replace(before, style=style)))


def _same(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    view = View(cast, random_shot(rng, props=rng.randrange(3)))
    return Edit("same", (view,), phrase("same", rng), view)


def _two(rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """Two characters from their pictures laid side by side; the left one stays left."""
    after = random_two(rng)
    said = {
        "place": rng.choice(words.PLACES[after.scene]),
        "doing": rng.choice(words.DOING[after.action]),
        "framing": after.framing,
    }
    other = after.stances[1].action
    if rng.random() < 0.5:
        after = after.with_(action=after.action)
        text = phrase("two", rng, **said)
    else:
        text = phrase("two", rng, **said, other=rng.choice(words.DOING[other]))
    before = tuple(View((one,), REFERENCE_SHOT) for one in cast)
    return Edit("two", before, text, View(cast, after), new_scene=True)


_MAKERS: dict[str, Callable[[random.Random, tuple[Character, ...]], Edit]] = {
    "board": _board,
    "shot": _shot,
    "scene": _scene,
    "action": _action,
    "framing": _framing,
    "turn": _turn,
    "recolour": _recolour,
    "accessory": _accessory,
    "remove": _remove,
    "style": _style,
    "same": _same,
    "two": _two,
}
EDIT_KINDS = tuple(_MAKERS)


def random_edit(kind: str, rng: random.Random, cast: tuple[Character, ...]) -> Edit:
    """An edit of a kind of ``EDIT_KINDS``; ``cast``: two characters for "two", one for the others."""
    return _MAKERS[kind](rng, cast)

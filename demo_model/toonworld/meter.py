"""Reading a picture of the drawn world: analysis by synthesis. Draw every candidate, take the nearest.

Which hat, which hair, which glasses is found by trying all; a colour is solved for: with everything else held, a
drawing's pixels are linear in it (``draw`` paints flat colours, their outlines and their blends), so least squares
gives it at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .colours import Colour, brightness, distance
from .draw import backdrop, draw
from .world import ACTIONS, COLOURED, FACINGS, FRAMINGS, KINDS, SCENES, STUDIO, VARIATIONS, Character, Shot

COLOUR_TOLERANCE = 24.0  # root mean square of the channels, of 255; the codec alone stays within it (see the benchmark)
_PASSES = 3
_GROUPS = (  # kinds that are tried one after another, each with the colours that hang on them
    ((), ("top_colour",)),
    ((), ("skin",)),
    ("hat", ("hat_colour",)),
    ("hair_style", ("hair_colour",)),
    ("top_pattern", ("top_colour",)),
    ("scarf", ("scarf_colour",)),
    ("glasses", ()),
    ((), ("trousers_colour",)),
)
_VISIBLE_PIXELS = 12  # of a 128x128 picture: an attribute counts as visible when another value changes at least as many
_VISIBLE_STEP = 24  # ... by more than this much of 255


@dataclass(frozen=True)
class Reading:
    """What the meter read. ``confidence`` 0..1. Of a kind: how much nearer the best value is than the runner-up, 0 = a
    tie. Of a
    colour: the part of the picture's variance where it is painted that the colour explains."""

    value: str | Colour
    confidence: float

    def agrees(self, truth: str | Colour) -> bool:
        """The same kind, or a colour within ``COLOUR_TOLERANCE``."""
        if isinstance(truth, str):
            return self.value == truth
        return distance(self.value, truth) <= COLOUR_TOLERANCE


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def _error(a: np.ndarray, b: np.ndarray) -> float:
    difference = a.astype(np.float32) - b
    return float((difference * difference).sum())


def _cast(who: Character | Sequence[Character]) -> tuple[Character, ...]:
    return (who,) if isinstance(who, Character) else tuple(who)


class _Reader:
    """Draws the cast of one picture with changes to one of its figures, each drawing once."""

    def __init__(self, picture: np.ndarray, shot: Shot, cast: tuple[Character, ...], number: int):
        self.picture, self.shot = picture.astype(np.float32), shot
        self._cast, self._number, self._size = list(cast), number, _size(picture)

    def draw(self, who: Character) -> np.ndarray:
        self._cast[self._number] = who
        return draw(self._cast, self.shot, self._size)

    def error(self, who: Character) -> float:
        return _error(self.picture, self.draw(who))

    def solve(self, who: Character, name: str) -> tuple[Character, float]:
        """``who`` with the colour that fits the picture best; and the confidence."""
        low, high = (
            (210, 240) if name == "top_colour" and brightness(who.top_colour) >= 200 else (40, 160)
        )  # the same ink
        dark = self.draw(who.with_(**{name: (low, low, low)})).astype(np.float32)
        cover = (self.draw(who.with_(**{name: (high, high, high)})) - dark) / (high - low)
        weight = float((cover**2).sum(axis=(0, 1)).min())
        if weight < 4:
            return who, 0.0
        wanted = self.picture - dark
        step = (cover * wanted).sum(axis=(0, 1)) / (cover**2).sum(axis=(0, 1))
        painted = cover > 0.5
        unexplained = float(((wanted - cover * step)[painted] ** 2).sum())
        variance = float((wanted[painted] ** 2).sum()) + 1e-6
        red, green, blue = (int(channel) for channel in np.clip(np.rint(low + step), 0, 255))
        return who.with_(**{name: (red, green, blue)}), max(0.0, 1 - unexplained / variance)


def visible_attributes(who: Character | Sequence[Character], shot: Shot, size: int | tuple[int, int] = 128,
                       number: int = 0) -> tuple[str, ...]:
    """The attributes of figure ``number`` whose other values would change this picture noticeably (a close-up shows no
    trousers; a bare head no hat colour; a pencil drawing shows no colours)."""
    cast = list(_cast(who))
    mine = cast[number]
    own = draw(cast, shot, size).astype(np.int16)

    def changed(name: str, value) -> int:
        cast[number] = mine.with_(**{name: value})
        return int((np.abs(draw(cast, shot, size) - own).max(2) > _VISIBLE_STEP).sum())

    enough = _VISIBLE_PIXELS * own.shape[0] * own.shape[1] / 128**2
    seen = []
    for name in (*KINDS, *COLOURED):
        if name in KINDS:
            others = [value for value in KINDS[name] if value != getattr(mine, name)]
        elif shot.style == "pencil":
            continue
        else:
            others = [tuple((channel + 128) % 256 for channel in getattr(mine, name))]
        if min(changed(name, value) for value in others) >= enough:
            seen.append(name)
    return tuple(seen)


def read_identity(
    picture: np.ndarray, shot: Shot, cast: Sequence[Character] = (), number: int = 0
) -> dict[str, Reading]:
    """The attributes of one figure as they are in the picture, not knowing who it should be.

    Coordinate descent: each kind is set to the value whose drawing, with its colours solved for, is nearest, the others
    held, until nothing changes (at most three rounds).

    Args:
        picture: ``uint8 [H, W, 3]`` RGB, as ``draw`` makes them.
        shot: the circumstances of the picture (``read_shot`` finds them).
        cast: with several figures: who the others are (the place of the one read is not looked at).
        number: which of ``shot.stances`` is read.
    Returns:
        one reading for each attribute that is visible in the character found.
    """
    cast = tuple(cast) or (Character(),) * len(shot.stances)
    reader = _Reader(picture, shot, cast, number)
    best = Character()
    readings: dict[str, Reading] = {}
    for _ in range(_PASSES):
        before = best
        for kind, colours in _GROUPS:
            tried = {}  # candidate to (error, how sure its colours are)
            for value in KINDS[kind] if kind else (None,):
                candidate = best.with_(**{kind: value}) if kind and value else best
                sure = {}
                for name in colours:
                    candidate, sure[name] = reader.solve(candidate, name)
                tried[candidate] = reader.error(candidate), sure
            best = min(tried, key=lambda candidate: tried[candidate][0])
            for name, certainty in tried[best][1].items():
                readings[name] = Reading(getattr(best, name), certainty)
            if kind:
                readings[kind] = _reading(kind, best, {who: error for who, (error, _) in tried.items()})
        if best == before:
            break
    others = list(cast)
    others[number] = best
    seen = visible_attributes(others, shot, _size(picture), number)
    return {name: readings[name] for name in seen}


def _reading(name: str, best: Character, errors: dict[Character, float]) -> Reading:
    """Confidence from the nearest candidate with another value of this attribute."""
    value = getattr(best, name)
    second = min((error for who, error in errors.items() if getattr(who, name) != value), default=0.0)
    return Reading(value, 1.0 - errors[best] / second if second > 0 else 0.0)


def kept_attributes(
    picture: np.ndarray, who: Character | Sequence[Character], shot: Shot, number: int = 0
) -> dict[str, bool]:
    """For each attribute of figure ``number`` that the true picture shows: does the meter read the character's own
    value?"""
    cast = _cast(who)
    readings = read_identity(picture, shot, cast if len(cast) > 1 else (), number)
    return {
        name: name in readings and readings[name].agrees(getattr(cast[number], name))
        for name in visible_attributes(cast, shot, _size(picture), number)
    }


def read_layout(picture: np.ndarray, shot: Shot, who: Character | Sequence[Character]) -> Shot:
    """``shot`` with the layout (``variation``) of its scene that is nearest to the picture."""
    size = _size(picture)
    shots = [replace(shot, variation=variation) for variation in range(VARIATIONS)]
    return min(shots, key=lambda candidate: _error(picture, draw(_cast(who), candidate, size)))


def read_shot(picture: np.ndarray, who: Character | Sequence[Character], like: Shot | None = None) -> Shot:
    """The scene, layout, action, framing and facing whose drawing with ``who`` is nearest.

    Scene and layout first, by the pixels that agree with the backdrop; then framing, facing and action, one figure
    after the other. Style, props, sizes and places along the width are taken from ``like``, which is a single standing
    figure if left out.
    """
    cast, size = _cast(who), _size(picture)
    like = like or Shot(SCENES[0])
    scene, variation = min(
        itertools.product((*SCENES, STUDIO), range(VARIATIONS)),
        key=lambda place: _far_pixels(picture, backdrop(place[0], size, place[1], like.style)),
    )
    best = replace(like, scene=scene, variation=variation, mark=None)
    for number in range(len(best.stances)):
        candidates = []
        for action, facing in itertools.product(ACTIONS, FACINGS):
            stances = list(best.stances)
            stances[number] = replace(stances[number], action=action, facing=facing, towards=None, part=0.0)
            for framing in FRAMINGS if number == 0 else (best.framing,):
                candidates.append(replace(best, stances=tuple(stances), framing=framing))
        best = min(candidates, key=lambda shot: _error(picture, draw(cast, shot, size)))
    return best


def _far_pixels(picture: np.ndarray, scene: np.ndarray) -> float:
    """Mean difference, of which each pixel counts at most 48 of 255: what a figure covers counts the same for all
    scenes."""
    difference = np.abs(picture.astype(np.int16) - scene).max(2)
    return float(np.minimum(difference, 48).mean())

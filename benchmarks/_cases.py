"""Edits of characters the demo model never saw, and whether an answer is right. The drawn world knows the truth of
each."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..demo_model.toonworld import (
    COLOURED,
    STYLES,
    Character,
    Edit,
    Shot,
    draw,
    kept_attributes,
    nearest_name,
    random_edit,
    read_identity,
    read_layout,
    read_shot,
)
from ..demo_model.training.examples import draw_reference, random_character
from ..kontext import EditRequest, KontextModel, ReferenceStrength

_NEAR = 32  # of 255: a pixel this close to what it was counts as untouched


@dataclass(frozen=True)
class Case:
    """One edit to be made: the reference as it is handed over, ``uint8 [H, W, 3]``, and its seed."""

    edit: Edit
    reference: np.ndarray
    seed: int
    size: tuple[int, int] = (128, 128)

    def truth(self, made: np.ndarray) -> Shot:
        """The circumstances of the right answer; a new scene has several layouts, the one nearest to ``made`` is
        taken."""
        after = self.edit.after
        return read_layout(made, after.shot, after.cast) if self.edit.new_scene else after.shot


def unseen_case(kind: str, seed: int, size: tuple[int, int] = (128, 128)) -> Case:
    """The same case for the same arguments, of characters from the held-out part of the world."""
    rng = random.Random(f"case/{kind}/{seed}")
    cast = tuple(random_character(rng, held_out=True) for _ in range(2 if kind == "two" else 1))
    edit = random_edit(kind, rng, cast)
    return Case(edit, draw_reference(edit.before), seed, size)


def as_picture(drawing: np.ndarray) -> torch.Tensor:
    """``uint8`` drawing to the engine's picture."""
    return torch.from_numpy(drawing.astype(np.float32) / 255)


def as_drawing(picture: torch.Tensor) -> np.ndarray:
    """The engine's picture to a ``uint8`` drawing."""
    return (picture * 255).round().to(torch.uint8).numpy()


def edit(
    model: KontextModel, reference: np.ndarray, prompt: str, seed: int, steps: int, size: tuple[int, int] = (128, 128),
    strengths: tuple[ReferenceStrength, ...] = (),
) -> np.ndarray:
    """The model's answer; drawings in, a drawing out. A reference of two squares is handed over as two."""
    references = tuple(map(as_picture, np.split(reference, max(1, reference.shape[0] // reference.shape[1]))))
    request = EditRequest(prompt, references, width=size[0], height=size[1], seed=seed, steps=steps,
                          strengths=strengths)
    return as_drawing(model.edit(request))


def answer(model: KontextModel, case: Case, steps: int, reference: np.ndarray | None = None,
           strengths: tuple[ReferenceStrength, ...] = ()) -> np.ndarray:
    """The model's answer to a case, or to its instruction with another reference."""
    given = case.reference if reference is None else reference
    return edit(model, given, case.edit.text, case.seed, steps, case.size, strengths)


@torch.no_grad()
def through_codec(model: KontextModel, drawing: np.ndarray) -> np.ndarray:
    """Encoded and decoded again, nothing else."""
    vae = model.components["vae"]
    pixels = (as_picture(drawing) * 2 - 1).permute(2, 0, 1)[None].to(vae.dtype)
    made = vae.decode(vae.encode(pixels)).float()[0]
    return as_drawing((made.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1))


def squared_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over pixels, of 0..255 values."""
    return float(((a.astype(np.float32) - b) ** 2).mean())


class Tally:
    """Hits by name."""

    def __init__(self):
        self.hits: dict[str, float] = {}
        self.tries: dict[str, int] = {}

    def add(self, name: str, hit: float) -> None:
        """One try more; ``hit`` 0..1."""
        self.hits[name] = self.hits.get(name, 0) + hit
        self.tries[name] = self.tries.get(name, 0) + 1

    def share(self, *names: str) -> float | None:
        """Hits over tries of the names together, 0..1; None if there was no try."""
        tries = sum(self.tries.get(n, 0) for n in names)
        return round(sum(self.hits.get(n, 0) for n in names) / tries, 4) if tries else None


def judge(case: Case, made: np.ndarray) -> tuple[dict[str, float], dict[str, bool]]:
    """What is right about an answer.

    Returns:
        (parts, attributes). Parts, each 0 or 1 but "untouched": "scene", "action", "facing", "framing" as in the right
        answer; "done": the edit itself (see `_done`); "untouched": of the pixels that were to stay, the part that did,
        0..1. Attributes: which ones of the right answer the meter reads back; the one that was to change is not among
        them.
    """
    edit, shot = case.edit, case.truth(made)
    seen = read_shot(made, edit.after.cast, shot)
    attributes: dict[str, bool] = {}
    for number in range(len(edit.after.cast)):
        for name, hit in kept_attributes(made, edit.after.cast, shot, number).items():
            if name != edit.attribute:
                attributes[f"{name}/{number}"] = hit
    parts: dict[str, float] = {"scene": seen.scene == shot.scene, "framing": seen.framing == shot.framing}
    if not any(stance.towards for stance in shot.stances):  # a pose between two actions has no name
        parts["action"] = all(a.action == b.action for a, b in zip(seen.stances, shot.stances, strict=True))
    parts["facing"] = all(a.facing == b.facing for a, b in zip(seen.stances, shot.stances, strict=True))
    done = _done(case, made, shot, seen, all(attributes.values()))
    if done is not None:
        parts["done"] = done
    after = draw(edit.after.cast, shot, case.size)
    if not edit.new_scene and after.shape == case.reference.shape:
        still = np.abs(after.astype(np.int16) - case.reference).max(2) <= 2
        near = np.abs(made.astype(np.int16) - case.reference).max(2) <= _NEAR
        if still.any():
            parts["untouched"] = float(near[still].mean())
    return {name: float(value) for name, value in parts.items()}, attributes


def _done(case: Case, made: np.ndarray, shot: Shot, seen: Shot, others_kept: bool) -> bool | None:
    """Recolour, accessory: the named attribute has its new value and all others the old one. Remove, style: the right
    drawing is nearer than the one with the thing still there, or in another style. Turn, action, framing, scene, shot:
    as asked. Two: each figure agrees with its own character more than with the other. Same: None (see the PSNR)."""
    edit, kind = case.edit, case.edit.kind
    if kind in ("recolour", "accessory"):
        wanted = getattr(edit.after.cast[0], edit.attribute)
        reading = read_identity(made, shot).get(edit.attribute)
        if reading is None:
            return False
        right = (
            nearest_name(reading.value) == nearest_name(wanted)
            if edit.attribute in COLOURED
            else reading.agrees(wanted)
        )
        return right and others_kept
    if kind == "remove":
        return _nearest(made, case, [shot, edit.before[0].shot, replace(edit.before[0].shot, mark=None)]) == 0
    if kind == "style":
        return _nearest(made, case, [replace(shot, style=style) for style in STYLES]) == list(STYLES).index(shot.style)
    if kind == "two":
        return both_apart(made, edit.after.cast, shot)
    if kind == "same":
        return None
    asked = {
        "scene": ("scene",),
        "framing": ("framing",),
        "shot": ("scene", "framing"),
        "board": ("scene", "framing"),
    }.get(kind, ())
    figures = {"turn": ("facing",), "action": ("action",), "shot": ("action", "facing"), "board": ("action",)}.get(
        kind, ()
    )
    return all(getattr(seen, name) == getattr(shot, name) for name in asked) and all(
        getattr(a, name) == getattr(b, name)
        for name in figures
        for a, b in zip(seen.stances, shot.stances, strict=True)
    )


def _nearest(made: np.ndarray, case: Case, shots: list[Shot]) -> int:
    errors = [squared_error(made, draw(case.edit.after.cast, shot, case.size)) for shot in shots]
    return errors.index(min(errors))


def both_apart(made: np.ndarray, cast: tuple[Character, ...], shot: Shot) -> bool:
    """Whether each of two figures agrees with its own character in more attributes than with the other character."""
    for number in (0, 1):
        readings = read_identity(made, shot, cast, number)
        own, other = (
            sum(r.agrees(getattr(who, name)) for name, r in readings.items())
            for who in (cast[number], cast[1 - number])
        )
        if own <= other:
            return False
    return True

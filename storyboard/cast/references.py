"""Reference pictures of characters: opened, cropped, chosen for a panel, put side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ...common import InputError, Picture, open_beside, scaled
from ...kontext import ReferenceStrength
from ..story.appearance import ROLES
from ..story.models import Panel, Story
from ..story.resolved import ResolvedPanel
from .crop import crop_picture


def story_pictures(story: Story, folder: str | Path, where: str,
                   given: Mapping[str, Picture] | None = None) -> dict[str, Picture]:
    """Open and crop the reference pictures of each character that has some, from the story's folder.

    Returns pictures by character name, and further ones by "name/role", such as "mia/face"; of several of one role the
    first counts. `given` are pictures brought otherwise (Character nodes), by the same names: they come first, and the
    files of a character whose main picture is given are not opened.

    Raises InputError (where = `where:line`) for a missing, unreadable or outside picture.
    """
    pictures = dict(given or {})
    home = Path(folder).resolve()
    for name, character in story.characters.items():
        for index, reference in enumerate(() if name in (given or {}) else character.pictures):
            key = f"{name}/{reference.role}"
            if key in pictures:
                continue
            entry = ("reference",) if character.reference else ("references", index)
            line = story.line("characters", name, *entry)
            place = f"{where}:{line}" if line else where
            picture = open_beside(home, reference.picture, place, f"character '{name}' reference")
            picture = crop_picture(picture, reference.crop, place, f"character '{name}' crop")
            pictures.setdefault(name, picture)
            if character.references:
                pictures[key] = picture
    return pictures


def own_references(name: str, pictures: Mapping[str, Picture]) -> list[Picture]:
    """All pictures of a character, of `name` and `name/role`, each once."""
    return list({id(picture): picture for key, picture in pictures.items() if key.split("/")[0] == name}.values())


def panel_references(resolved: ResolvedPanel, pictures: Mapping[str, Picture]) -> tuple[Picture, ...]:
    """A picture for each newcomer of a panel. Raises InputError for one without a picture, or without the one whose
    role the panel asks for."""
    references = []
    for name in resolved.newcomers:
        key, role = choose_reference(pictures, resolved.panel, name), resolved.panel.appearance(name).reference
        if key is None:
            raise InputError(resolved.where, "characters", name, "has no reference picture",
                             f"write `{name}: {{reference: FILE}}` in the story, or connect a Character node '{name}'")
        if role not in (None, ROLES[0]) and f"{name}/{role}" not in pictures:
            raise InputError(resolved.where, f"characters {name} reference", role,
                             "is no picture this character has", "bring one with this role, or ask for another")
        references.append(pictures[key])
    return tuple(references)


def panel_strengths(resolved: ResolvedPanel, pictures: Mapping[str, Picture],
                    brought: Mapping[str, ReferenceStrength]) -> tuple[ReferenceStrength, ...]:
    """How strongly the picture of each newcomer is looked at: what the panel or the story says, else what is `brought`
    with it (by the same names as the pictures), else 1. Empty: all as the model was trained."""
    plain, strengths = ReferenceStrength(), []
    for name, said in resolved.strengths.items():
        key = choose_reference(pictures, resolved.panel, name)
        strengths.append(ReferenceStrength(said.value, said.start, said.end) if said else brought.get(key or "", plain))
    return () if all(strength.is_plain for strength in strengths) else tuple(strengths)


def choose_reference(pictures: Mapping[str, Picture], panel: Panel, name: str) -> str | None:
    """The picture of a character for a panel, by its name among `pictures`: of the role the panel asks for, else the
    face in a close-up, else the body, else the first there is. None if there is none."""
    close = "close" in (panel.shot + (panel.change.shot if panel.change else "")).casefold()
    role = panel.appearance(name).reference or ("face" if close else "body")
    for key in (f"{name}/{role}", name):
        if key in pictures:
            return key
    return next((key for key in pictures if key.startswith(f"{name}/")), None)


def stitch(pictures: Sequence[Picture]) -> Picture:
    """Put pictures side by side, the first on the left, each scaled (bicubic) to the height of the tallest.

    Kontext was trained with one reference; people and maintainers find that several figures work best as one picture.
    """
    height = max(picture.shape[0] for picture in pictures)
    beside = []
    for picture in pictures:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        beside.append(scaled(picture, width, height))
    return torch.cat(beside, dim=1).contiguous()

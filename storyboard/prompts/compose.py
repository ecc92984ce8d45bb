"""A change in parts and the visible traits of the people in the picture become one instruction."""

import re
from collections.abc import Mapping, Sequence

from ..story.change import Change
from .who import with_article

KEEP_SOMEBODY = "the same face, hair and clothes"
KEEP_SOMETHING = "the same composition"


def compose(change: Change, traits: Mapping[str, str] | None = None) -> str:
    """One English instruction on one line, or "" for an empty change.

    The rules are those of `rules.py`: people by visible traits, change/replace/add/remove, said what stays. A thing
    that is recoloured is not asked to stay the same.

    Args:
        change: what shall change.
        traits: the characters in the picture, in order: name -> visible traits ("a woman with short black hair"), ""
            if unknown. Nobody: nobody is spoken of.
    """
    traits = traits or {}
    subject = _subject(list(traits.values()))
    sentences = [_scene(change, subject, len(traits))]
    sentences += [f"change the colour of {thing} to {colour}" for thing, colour in change.recolour.items()]
    sentences += [f"add {_listed(change.add)}"] if any(change.add) else []
    sentences += [f"remove {_listed(change.remove)}"] if any(change.remove) else []
    sentences += [_lettering(old, new) for old, new in change.text.items()]
    sentences += [f"change the style to {change.style}"] if change.style else []
    if not any(sentences) and not any(change.keep):
        return ""
    sentences.append(f"keep {_kept(change, bool(traits))}")
    return " ".join(part[0].upper() + part[1:] + "." for part in sentences if part)


def _subject(traits: Sequence[str]) -> str:
    """Who is in the picture, from left to right."""
    named = [with_article(trait) if trait else "the character" for trait in traits]
    if len(named) > 1 and len(set(named)) < len(named):
        return "the characters"
    return _listed(named)


def _scene(change: Change, subject: str, people: int) -> str:
    parts = [f"change the background to {change.scene}"] if change.scene else []
    if change.action:
        parts.append(_act(subject, change.action, people) if subject else change.action)
    parts += [part for part in (change.shot, change.angle) if part]
    return ", ".join(parts)


def _act(subject: str, action: str, people: int) -> str:
    """ "waving", "is waving" and "waves" all become a sentence with the subject."""
    first, _, rest = action.partition(" ")
    if first.lower() in ("is", "are"):
        action = rest
    elif re.fullmatch(r"[a-z]+[^s]s", first):
        return f"{subject} {action}"
    return f"{subject} {'is' if people == 1 else 'are'} {action}"


def _lettering(old: str, new: str) -> str:
    if not old:
        return f"add the text '{new}'"
    if not new:
        return f"remove the text '{old}'"
    return f"replace '{old}' with '{new}', in the same lettering"


def _kept(change: Change, somebody: bool) -> str:
    if any(change.keep):
        return _listed(change.keep)
    if not somebody:
        return KEEP_SOMETHING
    changed = " ".join([*change.recolour, *change.remove, change.action]).lower()
    kept = [part for part in ("face", "hair", "clothes") if part not in changed]
    if not kept:
        return KEEP_SOMETHING
    return KEEP_SOMEBODY if len(kept) == 3 else f"the same {_listed(kept)}"


def _listed(items: Sequence[str]) -> str:
    items = [item for item in items if item]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""

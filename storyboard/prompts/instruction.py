"""What the model is told: for a whole panel, and for each pass of a panel that is made in passes."""

from collections.abc import Iterable

from ...common import Box, InputError
from ..story.change import Change
from ..story.fields import MAX_LINE
from ..story.models import Panel, Story
from .compose import KEEP_SOMEBODY, compose
from .who import with_article


def panel_prompt(story: Story, panel: Panel) -> str:
    """The prompt of a panel: its `prompt` word for word, or its `change` as a sentence; with the board's style.

    Raises InputError if what its characters do fills more than 500 characters.
    """
    style = story.style.text
    if panel.change is None:
        return f"{panel.prompt} Change the style to {style}." if style else panel.prompt
    change, traits = panel.change, visible_traits(story, story.cast(panel))
    keep = change.keep
    action = change.action or _actions(story, panel)
    if not change.action and action and len(traits) > 1:  # says itself who does what
        traits, keep = {}, keep or (KEEP_SOMEBODY,)
    if len(action) > MAX_LINE:
        raise InputError(f"panel '{panel.id}'", "characters", f"{len(action)} characters",
                         f"of traits and actions are more than the {MAX_LINE} that fit into an instruction",
                         "shorten the traits, or write a prompt instead of a change")
    return compose(Change(
        scene=change.scene or story.location(panel).description,
        action=action,
        shot=change.shot or panel.shot,
        angle=change.angle or panel.angle,
        keep=keep,
        recolour=change.recolour,
        add=change.add,
        remove=change.remove,
        style=change.style or style,
        text=change.text,
    ), traits)


def visible_traits(story: Story, names: Iterable[str]) -> dict[str, str]:
    """Visible traits of characters of a story by name, "" where the story says none."""
    return {name: story.characters[name].traits for name in names}


def place_prompt(story: Story, panel: Panel) -> str:
    """The prompt of the first of several passes: the place without anybody; the panel's prompt if no place is said."""
    scene = (panel.change.scene if panel.change else "") or story.location(panel).description
    if not scene:
        return panel_prompt(story, panel)
    style = (panel.change.style if panel.change else "") or story.style.text
    return f"{scene[0].upper()}{scene[1:].rstrip('.')}, with nobody in the picture{f', {style}' if style else ''}."


def _actions(story: Story, panel: Panel) -> str:
    """What the characters do: of one the action alone, of several each with who it is and where."""
    cast = story.cast(panel)
    if len(cast) < 2:
        return "".join(panel.appearance(name).action for name in cast)
    parts = []
    for name in cast:
        seen = panel.appearance(name)
        place, doing = _place(seen.region) if seen.region else "", f"is {seen.action}" if seen.action else ""
        if place or doing:
            parts.append(" ".join(filter(None, [_who(story, name), place, doing])))
    return ", ".join(parts)


def _who(story: Story, name: str) -> str:
    traits = story.characters[name].traits
    return with_article(traits) if traits else "the character"


def _place(region: Box) -> str:
    middle = region.centre[0]
    return "on the left" if middle < 0.4 else "on the right" if middle > 0.6 else "in the middle"


def figure_prompt(story: Story, panel: Panel, name: str, region: Box) -> str:
    """The prompt of the pass that adds one character."""
    action = panel.appearance(name).action
    who = story.characters[name].traits or "the character"
    style = (panel.change.style if panel.change else "") or story.style.text
    return (f"Add {who} {_place(region)}{f', {action}' if action else ''}{f', {style}' if style else ''}. "
            "Keep the rest of the picture the same.")

"""What the model is told: for a whole panel, and for each pass of a panel that is made in passes."""

from ...common import Box, InputError
from ..story.change import Change
from ..story.fields import MAX_LINE
from ..story.models import Panel, Story
from ..story.resolved import ResolvedPanel, resolve
from .compose import KEEP_SOMEBODY, compose
from .who import with_article


def panel_prompt(story: Story, panel: Panel) -> str:
    """The prompt of a panel of this story, see `whole_prompt`."""
    return whole_prompt(resolve(story, panel))


def series_prompts(panel: Panel) -> tuple[str, ...]:
    """What happens on the way from a panel's start frame to its end frame, one after the other: its `transition`,
    parted by semicolons, or its prompt."""
    phases = tuple(phase.strip() for phase in panel.transition.split(";") if phase.strip())
    return phases or ((panel.prompt,) if panel.prompt else ())


def whole_prompt(resolved: ResolvedPanel) -> str:
    """The prompt of a panel: its `prompt` word for word, or its `change` as a sentence; with the board's style. Of a
    series all that happens on the way, "" if nothing is said.

    Raises InputError if what its characters do fills more than 500 characters.
    """
    panel, style, traits = resolved.panel, resolved.style, resolved.traits
    if panel.is_series:
        return "; ".join(series_prompts(panel))
    if panel.change is None:
        return f"{panel.prompt} Change the style to {style}." if style else panel.prompt
    change = panel.change
    keep = change.keep
    action = change.action or _actions(resolved)
    if not change.action and action and len(traits) > 1:  # says itself who does what
        traits, keep = {}, keep or (KEEP_SOMEBODY,)
    if len(action) > MAX_LINE:
        raise InputError(resolved.where, "characters", f"{len(action)} characters",
                         f"of traits and actions are more than the {MAX_LINE} that fit into an instruction",
                         "shorten the traits, or write a prompt instead of a change")
    return compose(Change(
        scene=change.scene or resolved.place,
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


def place_prompt(resolved: ResolvedPanel) -> str:
    """The prompt of the first of several passes: the place without anybody; the panel's prompt if no place is said."""
    change = resolved.panel.change
    place = (change.scene if change else "") or resolved.place
    if not place:
        return whole_prompt(resolved)
    style = _style(resolved)
    return f"{place[0].upper()}{place[1:].rstrip('.')}, with nobody in the picture{f', {style}' if style else ''}."


def figure_prompt(resolved: ResolvedPanel, name: str, region: Box) -> str:
    """The prompt of the pass that adds one character into a region (in parts of the picture)."""
    who, style = resolved.traits[name] or "the character", _style(resolved)
    action = resolved.panel.appearance(name).action
    return (f"Add {who} {_where(region)}{f', {action}' if action else ''}{f', {style}' if style else ''}. "
            "Keep the rest of the picture the same.")


def region_phrase(resolved: ResolvedPanel, name: str) -> str:
    """What is said of a character's region alone, beside the panel's whole prompt: "The girl in red is waving." Where
    that is, the region says itself."""
    said = _doing(resolved, name, None)
    return f"{said[0].upper()}{said[1:]}."


def _style(resolved: ResolvedPanel) -> str:
    return (resolved.panel.change.style if resolved.panel.change else "") or resolved.style


def _actions(resolved: ResolvedPanel) -> str:
    """What the characters do: of one the action alone, of several each with who it is and where."""
    panel, traits = resolved.panel, resolved.traits
    if len(traits) < 2:
        return "".join(panel.appearance(name).action for name in traits)
    regions = {name: panel.appearance(name).region for name in traits}
    boxes = {name: region if isinstance(region, Box) else None for name, region in regions.items()}  # or a mask's file
    return ", ".join(_doing(resolved, name, boxes[name]) for name in traits
                     if boxes[name] or panel.appearance(name).action)


def _doing(resolved: ResolvedPanel, name: str, region: Box | None) -> str:
    """Who it is, where, and what they do, each if it is known."""
    who = with_article(resolved.traits[name]) if resolved.traits[name] else "the character"
    action = resolved.panel.appearance(name).action
    return " ".join(filter(None, [who, _where(region) if region else "", f"is {action}" if action else ""]))


def _where(region: Box) -> str:
    middle = region.centre[0]
    return "on the left" if middle < 0.4 else "on the right" if middle > 0.6 else "in the middle"

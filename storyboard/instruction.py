"""What the model is told: for a whole panel, and for each pass of a panel that is made in passes."""

from .change import Change
from .fields import Region
from .prompts import compose
from .story import Panel, Story


def panel_prompt(story: Story, panel: Panel) -> str:
    """The prompt of a panel: its `prompt` word for word, or its `change` as a sentence; with the board's style."""
    style = story.style.text
    if panel.change is None:
        return f"{panel.prompt} Change the style to {style}." if style else panel.prompt
    change = panel.change
    said = Change(
        scene=change.scene or story.location(panel).description,
        action=change.action or ", ".join(filter(None, (panel.appearance(name).action for name in story.cast(panel)))),
        shot=change.shot or panel.shot,
        angle=change.angle or panel.angle,
        keep=change.keep, recolour=change.recolour, add=change.add, remove=change.remove,
        style=change.style or style,
        text=change.text,
    )
    return compose(said, {name: story.characters[name].traits for name in story.cast(panel)})


def place_prompt(story: Story, panel: Panel) -> str:
    """The prompt of the first of several passes: the place without anybody; the panel's prompt if no place is said."""
    scene = (panel.change.scene if panel.change else "") or story.location(panel).description
    if not scene:
        return panel_prompt(story, panel)
    style = (panel.change.style if panel.change else "") or story.style.text
    return f"{scene[0].upper()}{scene[1:].rstrip('.')}, with nobody in the picture{f', {style}' if style else ''}."


def figure_prompt(story: Story, panel: Panel, name: str, region: Region) -> str:
    """The prompt of the pass that adds one character."""
    character, action = story.characters[name], panel.appearance(name).action
    who = character.traits or "the character"
    middle = region[0] + region[2] / 2
    place = "on the left" if middle < 0.4 else "on the right" if middle > 0.6 else "in the middle"
    style = (panel.change.style if panel.change else "") or story.style.text
    return (f"Add {who} {place}{f', {action}' if action else ''}{f', {style}' if style else ''}. "
            "Keep the rest of the picture the same.")

"""What stands under a panel: its id, and what is said, thought, told and heard in it."""

from ...storyboard import Caption, Panel, Story

_SHOWN = {"speech": "{}", "narration": "{}", "thought": "({})", "sound": "[{}]"}


def panel_caption(story: Story, panel: Panel, name: str = "") -> str:
    """The panel's id, or the `name` of one of its pictures, then each of its captions on a line of its own: `Mia: Oh
    no!`, `Mia: (Where is he?)` for a thought, `[drip]` for a sound. A speaker who is a character of the story is called
    by that character's name."""
    return "\n".join([name or panel.id, *(_line(story, caption) for caption in panel.captions if caption.text.strip())])


def _line(story: Story, caption: Caption) -> str:
    character = story.characters.get(caption.speaker)
    speaker = character.name if character and character.name else caption.speaker
    text = _SHOWN[caption.kind].format(" ".join(caption.text.split()))
    return f"{speaker}: {text}" if speaker else text

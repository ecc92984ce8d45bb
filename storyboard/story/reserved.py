"""What a story says and nothing makes use of yet: it is kept, and said."""

from collections import Counter

from .models import Story

# Fields whose use is still to come. Whoever brings the use takes the field out of here.
_STORY = ("language",)
_PANEL = ("voice",)
_OF_A_SERIES = ("start_frame", "end_frame", "transition")  # used in a panel that has both frames


def reserved_fields(story: Story) -> tuple[str, ...]:
    """The fields of a story that are kept but not used, in words, with how often each occurs: "panel captions (12)"."""
    counts: Counter[str] = Counter()
    for field in _STORY:
        counts[field] += bool(getattr(story, field))
    counts["style picture"] += story.style.picture is not None
    for character in story.characters.values():
        counts["character voice"] += bool(character.voice)
        roles = [reference.role for reference in character.pictures]
        counts["second reference of a role"] += len(roles) - len(set(roles))
    for location in story.locations.values():
        counts["location picture"] += location.picture is not None
    for panel in story.panels:
        for field in _PANEL if panel.is_series else (*_PANEL, *_OF_A_SERIES):
            counts[f"panel {field}"] += field in panel.model_fields_set and getattr(panel, field) not in (None, "", ())
        counts["panel captions position"] += sum(bool(caption.position) for caption in panel.captions)
        for source in list(story.sources(panel))[:1]:  # who is in it already brings no picture
            for name in set(story.cast(source)).intersection(panel.characters or ()):
                for field in ("strength", "reference"):
                    counts[f"panel characters {field}"] += getattr(panel.appearance(name), field) is not None
        # A prompt is given to the model as it is; the rest is for a `change`, for passes and for regions.
        if panel.change is None:
            counts["panel angle"] += bool(panel.angle)
            if (panel.together or story.together) not in ("passes", "regions"):
                for appearance in panel.characters.values() if isinstance(panel.characters, dict) else ():
                    counts["panel characters region"] += appearance.region is not None
                    counts["panel characters action"] += bool(appearance.action)
    return tuple(f"{name} ({count})" if " " in name else name for name, count in counts.items() if count)

"""What shall change in a picture, in structured fields, as a panel's `change:` says it."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from .fields import OR_NOTHING, SCALAR, Line, Written

MAX_ITEMS = 50

Lines = Annotated[tuple[Line, ...], Field(max_length=MAX_ITEMS), Written(SCALAR, or_else=True), OR_NOTHING]
Pairs = Annotated[dict[Line, Line], Field(max_length=MAX_ITEMS), OR_NOTHING]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Change:
    """An edit instruction in parts; every part is optional, and an empty one says nothing.

    Attributes:
        scene: where it is now: "a beach at sunset".
        action: what is being done: "waving".
        shot: how much is seen: "full body", "close-up".
        angle: from where: "low angle".
        keep: what stays as it is: ("the same face", "the red scarf").
        recolour: thing -> its new colour: {"the jacket": "green"}.
        add: things that are new: ("a yellow umbrella",).
        remove: things that go: ("the car",).
        style: how it is drawn: "pencil sketch with cross-hatching".
        text: lettering in the picture -> what it reads now: {"OPEN": "CLOSED"}.

    All text is one line of at most 500 characters, lists and mappings have at most 50 entries. Making one with other
    values raises pydantic's ValidationError (a ValueError).
    """

    scene: Line = ""
    action: Line = ""
    shot: Line = ""
    angle: Line = ""
    keep: Lines = ()
    recolour: Pairs = Field(default_factory=dict)
    add: Lines = ()
    remove: Lines = ()
    style: Line = ""
    text: Pairs = Field(default_factory=dict)

    @field_validator("keep", "add", "remove", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """`keep: the face` is `keep: [the face]`."""
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("recolour", "text", mode="before")
    @classmethod
    def _may_be_left_open(cls, value: Any) -> Any:
        return {} if value is None else value

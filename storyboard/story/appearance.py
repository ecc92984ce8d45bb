"""Who is in a panel, and how; with what all of the story's models share."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ...kontext import MAX_STRENGTH
from .fields import NAME_SCHEMA, OR_NOTHING, Line, Name, Region, Shorthand, fault

Role = Literal["body", "face", "outfit", "side", "back"]
ROLES: tuple[str, ...] = get_args(Role)


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strength(Entry):
    """How strongly a reference is looked at: `value` 0..2, in the steps from `start` to `end`, 0..1 of all steps."""

    value: Annotated[float, Field(ge=0, le=MAX_STRENGTH, allow_inf_nan=False)]
    start: Share = 0.0
    end: Share = 1.0

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Strength":
        if self.start >= self.end:
            raise fault(f"{self.start:g}", f"is not before the end {self.end:g}", "0 and 1 are all steps", "start")
        return self


WrittenStrength = Annotated[Strength, Shorthand("value", {"type": "number", "minimum": 0, "maximum": MAX_STRENGTH})]


class Appearance(Entry):
    """How a character is in one panel. `region` is a box in parts of the picture, 0..1, or the file of a mask. What
    `strength` None means, Character says."""

    region: Region | None = None
    action: Line = ""
    reference: Role | None = None
    strength: WrittenStrength | None = None


class NamedAppearance(Appearance):
    """The same in a list, where it says itself whose it is."""

    name: Name


TWICE = "is named twice", "name each character once"


def _by_name(entries: tuple[NamedAppearance, ...]) -> dict[str, Appearance]:
    """A list of appearances as the mapping it stands for."""
    appearances: dict[str, Appearance] = {}
    for place, entry in enumerate(entries):
        if entry.name in appearances:
            raise fault(entry.name, *TWICE, place)
        appearances[entry.name] = Appearance(**{field: getattr(entry, field) for field in Appearance.model_fields
                                                if field in entry.model_fields_set})
    return appearances


def _form_of_cast(value: Any) -> str:
    if isinstance(value, dict):
        return "[appearances]"
    return "[list]" if isinstance(value, (list, tuple)) and any(isinstance(who, dict) for who in value) else "[names]"


_Names = Annotated[tuple[Name, ...], Tag("[names]")]
_List = Annotated[tuple[Annotated[NamedAppearance, Shorthand("name", NAME_SCHEMA)], ...], AfterValidator(_by_name),
                  Tag("[list]")]
_Appearances = Annotated[dict[Name, Annotated[
    Appearance, BeforeValidator(lambda value: {} if value is None else value), OR_NOTHING]], Tag("[appearances]")]
if TYPE_CHECKING:  # what they become; a list of appearances is a mapping then
    Cast = tuple[str, ...] | dict[str, Appearance]
else:
    Cast = Annotated[_Names | _List | _Appearances, Discriminator(_form_of_cast)]

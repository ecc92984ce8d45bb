"""The story: characters with reference pictures, panels with stable ids. The file format, version 1, and its checks."""

import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..kontext import InputError, check_size
from .pictures import Picture, open_picture
from .reading import MAX_BYTES, EntryPath, check_size_of_text, did_you_mean, read_yaml

MAX_PANELS = 1000
MAX_CHARACTERS = 100
MAX_SEED = 2**64 - 1
MAX_TITLE = 200  # characters

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME_REMEDY = "use 1 to 64 letters, digits, - and _, beginning with a letter or digit (names become file names)"


def _fault(value: Any, problem: str, remedy: str, path: EntryPath | None = None) -> PydanticCustomError:
    """An error a validator raises; `path` names the entry at fault where it is not the one being validated."""
    context = {"value": value, "problem": problem, "remedy": remedy, "path": path}
    return PydanticCustomError("story", "{problem}; {remedy}", context)


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _fault(value, "is not a name", _NAME_REMEDY)
    return value


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _prompt(value: Any) -> Any:
    value = _one_line(value)
    if value is None or value == "":
        raise _fault("", "is empty", "say what the panel shows")
    return value


def _size(value: Any) -> Any:
    if value is None:
        return None
    numbers = [str(number).strip() for number in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or not all(re.fullmatch(r"[+-]?[0-9]{1,9}", number) for number in numbers):
        raise _fault(value, "is not a size", "write [width, height] in pixels, such as [1024, 768]")
    width, height = (int(number) for number in numbers)
    try:
        check_size(width, height, "story")
    except InputError as error:
        raise _fault(f"{width}x{height}", f"{error.field} {error.problem}", error.remedy) from None
    return width, height


Name = Annotated[str, BeforeValidator(_name)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Size = Annotated[tuple[int, int], BeforeValidator(_size)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Character(_Entry):
    """Somebody who appears in panels.

    `reference` is the path of a picture, relative to the story's folder, with `/` between folders; None when the
    picture is brought by a Character node.
    """

    reference: str | None = None

    @field_validator("reference")
    @classmethod
    def _stays_in_the_folder(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.strip() or not value.isprintable() or len(value) > 1000:
            raise _fault(value, "is not a file name", "write the name of a picture beside the story, or leave it out")
        if "\\" in value or ":" in value:
            raise _fault(value, "contains a backslash or colon", "write a relative path with / between folders")
        if value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute():
            raise _fault(value, "is an absolute path", "put the picture beside the story and write its name only")
        if ".." in value.split("/"):
            raise _fault(value, "leaves the story's folder", "put the picture beside the story and write its name only")
        return value


class Panel(_Entry):
    """One picture of the story.

    `prompt` is one line (white space is normalised). `characters` None means the story's only character; an empty list
    means nobody. `seed` (0 .. 2**64-1) None means `panel_seed(story.seed, id)`. `size` is (width, height) in pixels,
    multiples of 16; None means the story's size.
    """

    id: Name
    prompt: Annotated[str, BeforeValidator(_prompt)]
    characters: tuple[str, ...] | None = None
    seed: Seed | None = None
    size: Size | None = None


class Story(_Entry):
    """A whole storyboard; what is wrong with it is known when it has been made.

    `seed` is the board seed (0 .. 2**64-1); `size` is (width, height) in pixels, multiples of 16, None for the model's
    native size.
    """

    version: int
    title: Annotated[str, Field(max_length=MAX_TITLE), BeforeValidator(_one_line)] = ""
    seed: Seed = 0
    size: Size | None = None
    characters: dict[Name, Character] = Field(default_factory=dict, max_length=MAX_CHARACTERS)
    panels: tuple[Panel, ...] = Field(min_length=1, max_length=MAX_PANELS)
    _lines: dict[EntryPath, int] = PrivateAttr(default_factory=dict)

    @field_validator("version")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value != 1:
            raise _fault(value, "is not a version this Kontinuity reads", "write version: 1, or update Kontinuity")
        return value

    @field_validator("title", mode="before")
    @classmethod
    def _may_be_empty(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("characters", mode="before")
    @classmethod
    def _a_name_alone_is_a_character(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, dict):
            return {name: {} if entry is None else entry for name, entry in value.items()}
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Story":
        seen: dict[str, int] = {}
        for index, panel in enumerate(self.panels):
            first = seen.setdefault(panel.id.casefold(), index)
            if first != index:
                raise _fault(panel.id, f"is also the id of panel {first + 1} (capitals make no difference: ids become "
                             "file names)", "give each panel an id of its own", ("panels", index, "id"))
            self._check_characters(index, panel)
        return self

    def _check_characters(self, index: int, panel: Panel) -> None:
        path: EntryPath = ("panels", index, "characters")
        if panel.characters is None and len(self.characters) > 1:
            raise _fault("", f"is missing, and the story has {len(self.characters)} characters",
                         f"name those in the panel, such as [{next(iter(self.characters))}], or [] for nobody", path)
        for place, name in enumerate(panel.characters or ()):
            if name not in self.characters:
                raise _fault(name, "is not a character of this story", did_you_mean(name, self.characters),
                             (*path, place))
            if name in panel.characters[:place]:
                raise _fault(name, "is named twice", "name each character once", (*path, place))

    def cast(self, panel: Panel) -> tuple[str, ...]:
        """The names of the characters in a panel of this story."""
        return tuple(self.characters) if panel.characters is None else panel.characters

    def line(self, *path: str | int) -> int | None:
        """The line of an entry in the text this story was read from, such as line("panels", 0, "prompt")."""
        return self._lines.get(path)


def parse_story(text: str, source: str = "story text") -> Story:
    """Read a story from YAML text. Raises InputError (where = `source:line`) for the first thing wrong in the text."""
    data, lines = read_yaml(text, source)
    if data is None:
        raise InputError(f"{source}:1", "text", "", "is empty", "write version, characters, panels, as in the README")
    if not isinstance(data, dict):
        raise InputError(f"{source}:1", "text", _shown(data), "is not a story",
                         "begin with `version: 1`, then characters and panels, as in the README")
    try:
        story = Story.model_validate(data)
    except ValidationError as error:
        raise _first_error(error, data, lines, source) from None
    story._lines = lines
    return story


def read_story(path: str | Path) -> Story:
    """Read a story file: YAML in UTF-8, at most 1 MiB. Raises InputError, also for a missing or unreadable file."""
    path = Path(path)
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise InputError("story", "file", str(path), problem, "check the name; a story is a .yaml file")
    try:
        check_size_of_text(path.stat().st_size, path.name)
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("story", "file", str(path), f"cannot be read ({error.strerror})",
                         "check its permissions") from None
    try:
        return parse_story(raw.decode("utf-8"), path.name)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path.name}:{line}", "text", f"byte 0x{raw[error.start]:02X}", "is not UTF-8 text",
                         "save the file with the encoding UTF-8") from None


def story_pictures(story: Story, folder: str | Path, where: str,
                   given: Mapping[str, Picture] | None = None) -> dict[str, Picture]:
    """Open the reference picture of each character that has one, from the story's folder.

    `given` are pictures brought otherwise (Character nodes): they come first, and the files of their characters are not
    opened. Returns pictures by character name. Raises InputError (where = `where:line`) for a missing, unreadable or
    outside picture.
    """
    pictures = dict(given or {})
    home = Path(folder).resolve()
    for name, character in story.characters.items():
        if character.reference is None or name in pictures:
            continue
        line = story.line("characters", name, "reference")
        place, field = (f"{where}:{line}" if line else where), f"character '{name}' reference"
        try:
            path = (home / character.reference).resolve()
        except (OSError, RuntimeError):  # a loop of links
            raise InputError(place, field, character.reference, "cannot be followed", "use a plain file") from None
        if not path.is_relative_to(home):
            raise InputError(place, field, character.reference, "is a link that leaves the story's folder",
                             "copy the picture itself into the folder")
        pictures[name] = open_picture(path, place, field)
    return pictures


# Pydantic's error types -> (problem, remedy)
_PROBLEMS = {
    "string_type": ("is not text", "write it as text on this line"),
    "int_type": ("is not a whole number", "write digits only"),
    "int_parsing": ("is not a whole number", "write digits only"),
    "int_parsing_size": ("is too large", f"use 0 to {MAX_SEED}"),
    "greater_than_equal": ("is too small", f"use 0 to {MAX_SEED}"),
    "less_than_equal": ("is too large", f"use 0 to {MAX_SEED}"),
    "dict_type": ("is not a mapping of names", "write one `name: ...` per line below it, indented"),
    "model_type": ("is not a mapping", "write its fields as `name: value`, such as {reference: mia.png}"),
    "tuple_type": ("is not a list", "write [one, two], or one `- ...` per line"),
    "string_too_long": ("is too long", f"use at most {MAX_TITLE} characters"),
}
_FIELDS = {"characters": Character, "panels": Panel}


def _first_error(error: ValidationError, data: dict, lines: dict[EntryPath, int], source: str) -> InputError:
    """Translate what pydantic found: the entry that comes first in the text, as one InputError."""
    found = []
    for entry in error.errors(include_url=False):
        if entry["type"] == "too_short" and entry["input"]:
            continue  # only because its faulty entries, which have errors of their own, do not count
        context = entry.get("ctx", {})
        path = context.get("path") or tuple(part for part in entry["loc"] if part != "[key]")
        known = next(path[:n] for n in range(len(path), -1, -1) if path[:n] in lines)
        found.append((lines[known], path, entry, context))
    # A misspelt field is also a missing one; the misspelling is what helps.
    line, path, entry, context = min(found, key=lambda item: (item[2]["type"] == "missing", item[0]))
    kind, value = entry["type"], entry["input"]
    if kind == "story":
        value, problem, remedy = context["value"], context["problem"], context["remedy"]
    elif kind == "extra_forbidden":
        model = _FIELDS.get(path[0], Story) if len(path) > 1 else Story
        value, problem, remedy = path[-1], "is not a field here", did_you_mean(path[-1], model.model_fields)
        path = path[:-1]
    elif kind in ("too_long", "too_short"):
        value, problem = f"{len(value)} entries", "are too many" if kind == "too_long" else "are too few"
        remedy = f"use 1 to {MAX_PANELS}" if path[0] == "panels" else f"use at most {MAX_CHARACTERS}"
    elif kind == "missing":
        value, problem, remedy = "", "is missing", f"add `{path[-1]}: ...`"
    else:
        problem, remedy = _PROBLEMS.get(kind, (entry["msg"], "compare it with the example in the README"))
    return InputError(f"{source}:{line}", _field(path, data), _shown(value), problem, remedy)


def _shown(value: Any) -> Any:
    """A value as it may have been written."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(str(_shown(item)) for item in value[:20])}]"
    return "" if value is None else value


def _field(path: EntryPath, data: dict) -> str:
    """An entry's path in words: ("panels", 1, "size") is "panel 'beach' size", or "panel 2 size" without an id."""
    words = [str(part) for part in path]
    if path[:1] == ("panels",) and len(path) > 1:
        entry = data["panels"][path[1]]
        name = entry.get("id") if isinstance(entry, dict) else None
        label = f"'{name}'" if isinstance(name, str) and _NAME.fullmatch(name) and path[2:3] != ("id",) else path[1] + 1
        words = [f"panel {label}", *words[2:3]]
    elif path[:1] == ("characters",) and len(path) > 1:
        words = [f"character '{path[1]}'"[:80], *words[2:]]
    return " ".join(words) or "story"

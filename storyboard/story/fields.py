"""The kinds of values a story file has: names, texts, sizes, file names, regions. Each checks what it is given.

A value is text when it comes from a file (see reading.py), so every kind takes text. The JSON Schema of a kind says
what people may write, not what it becomes.
"""

import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer
from pydantic_core import PydanticCustomError, core_schema

from ...common import Box, InputError
from ...kontext import MAX_SEED, MAX_SIDE, MIN_SIDE, MULTIPLE, check_size

MAX_LINE = 500  # characters of a text on one line
MAX_TEXT = 10_000  # characters of a note, a caption, a spoken text
MAX_ASPECT = 4.0

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME_REMEDY = "use 1 to 64 letters, digits, - and _, beginning with a letter or digit (names become file names)"
_NUMBER = re.compile(r"[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})")
_SIDES = {"left": Box(0.0, 0.0, 0.5, 1.0), "right": Box(0.5, 0.0, 1.0, 1.0), "centre": Box(0.25, 0.0, 0.75, 1.0),
          "center": Box(0.25, 0.0, 0.75, 1.0)}


def fault(value: Any, problem: str, remedy: str, *inside: str | int) -> PydanticCustomError:
    """An error for a validator to raise; `inside` leads from what is being validated to the entry at fault."""
    context = {"value": value, "problem": problem, "remedy": remedy, "inside": inside}
    return PydanticCustomError("story", "{problem}; {remedy}", context)


class Written:
    """An annotation: how the value may be written, as JSON Schema.

    With `or_else` what the value becomes is allowed too: `Written({"type": "string"}, or_else=True)`.
    """

    def __init__(self, schema: dict[str, Any], or_else: bool = False):
        self.schema, self.or_else = schema, or_else

    def __get_pydantic_json_schema__(self, core, handler) -> dict[str, Any]:
        inner = handler(core)  # also where it is not used: it enters the definitions
        return {"anyOf": [self.schema, inner]} if self.or_else else dict(self.schema)


SCALAR = {"type": ["string", "number", "boolean"]}  # YAML's `no` and `7` are text to a story


def one_line(value: Any) -> Any:
    """Text on one line, white space normalised; other values as they are."""
    return " ".join(value.split()) if isinstance(value, str) else value


def nothing_is_empty(value: Any) -> Any:
    """`title:` with nothing behind it is an empty text."""
    return "" if value is None else value


OR_NOTHING = Written({"type": "null"}, or_else=True)


class Shorthand(Written):
    """An annotation: the entry may be written as one value alone, of this schema, which then is its `field`."""

    def __init__(self, field: str, schema: Mapping[str, Any] = SCALAR):
        super().__init__(dict(schema), or_else=True)
        self.field = field

    def __get_pydantic_core_schema__(self, source, handler) -> core_schema.CoreSchema:
        def spelled_out(value: Any) -> Any:
            return {self.field: value} if isinstance(value, str) else value
        return core_schema.no_info_before_validator_function(spelled_out, handler(source))


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise fault(value, "is not a name", _NAME_REMEDY)
    return value


def _prompt(value: Any) -> Any:
    value = one_line(value)
    if value is None or value == "":
        raise fault("", "is empty", "say what the panel shows")
    return value


def _whole_numbers(value: Any, count: int) -> list[int] | None:
    numbers = [str(number).strip() for number in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) != count or not all(re.fullmatch(r"[+-]?[0-9]{1,9}", number) for number in numbers):
        return None
    return [int(number) for number in numbers]


def _size(value: Any) -> Any:
    if value is None:
        return None
    numbers = _whole_numbers(value, 2)
    if numbers is None:
        raise fault(value, "is not a size", "write [width, height] in pixels, such as [1024, 768]")
    width, height = numbers
    try:
        check_size(width, height, "story")
    except InputError as error:
        raise fault(f"{width}x{height}", f"{error.field} {error.problem}", error.remedy) from None
    return width, height


def _aspect(value: Any) -> Any:
    if value is None:
        return None
    parts = [part.strip() for part in re.split("[:/x]", str(value), maxsplit=1)]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise fault(value, "is not a shape", "write width:height, such as 16:9")
    width, height = float(parts[0]), float(parts[1]) if len(parts) == 2 else 1.0
    if min(width, height) <= 0 or not 1 / MAX_ASPECT <= width / height <= MAX_ASPECT:
        raise fault(value, f"is not between 1:{MAX_ASPECT:g} and {MAX_ASPECT:g}:1", "write width:height, such as 16:9")
    return width / height


def _crop(value: Any) -> Any:
    if value is None or value == "none":
        return None
    if value == "auto" or isinstance(value, Box):
        return value
    numbers = _whole_numbers(value, 4)
    if numbers is None or min(numbers) < 0 or min(numbers[2:]) < 1:
        raise fault(value, "is not a part of a picture",
                    "write auto, none, or [left, top, width, height] in the picture's pixels")
    return Box.of_size(*numbers)


def _region(value: Any) -> Any:
    if value is None or isinstance(value, Box):
        return value
    if isinstance(value, str) and value.strip().lower() in _SIDES:
        return _SIDES[value.strip().lower()]
    numbers = [str(number).strip() for number in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) == 4 and all(_NUMBER.fullmatch(number) for number in numbers):
        x, y, width, height = (float(number) for number in numbers)
        if min(x, y) >= 0 and min(width, height) > 0 and max(x + width, y + height) <= 1 + 1e-9:
            return Box.of_size(x, y, min(width, 1 - x), min(height, 1 - y))
    if isinstance(value, str) and "." in value and not _NUMBER.fullmatch(value.strip()):
        return _file_name(value)
    raise fault(value, "is not a region", "write left, centre, right, [left, top, width, height] as parts of the "
                "picture from 0 to 1, such as [0, 0.2, 0.5, 0.8], or the file of a mask")


def _file_name(value: Any) -> Any:
    """A path relative to the story's folder, with / between folders."""
    if value is None or not isinstance(value, str):
        return value
    if not value.strip() or not value.isprintable() or len(value) > 1000:
        raise fault(value, "is not a file name", "write the name of a picture beside the story, or leave it out")
    if "\\" in value or ":" in value:
        raise fault(value, "contains a backslash or colon", "write a relative path with / between folders")
    if value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute():
        raise fault(value, "is an absolute path", "put the picture beside the story and write its name only")
    if ".." in value.split("/"):
        raise fault(value, "leaves the story's folder", "put the picture beside the story and write its name only")
    return value


def _frame(value: Any) -> Any:
    return value if isinstance(value, str) and NAME.fullmatch(value) else _file_name(value)


NAME_SCHEMA = {"type": ["string", "integer"], "pattern": f"^{NAME.pattern}$", "minimum": 0}
_BOX = {"type": "array", "minItems": 4, "maxItems": 4}
_OR_NOTHING = {"type": ["string", "number", "boolean", "null"]}

Name = Annotated[str, BeforeValidator(_name), Written(NAME_SCHEMA)]
Line = Annotated[str, Field(max_length=MAX_LINE), BeforeValidator(one_line), BeforeValidator(nothing_is_empty),
                 Written({**_OR_NOTHING, "maxLength": MAX_LINE})]
Text = Annotated[str, Field(max_length=MAX_TEXT), BeforeValidator(nothing_is_empty),
                 Written({**_OR_NOTHING, "maxLength": MAX_TEXT})]
Prompt = Annotated[str, BeforeValidator(_prompt), Written({**SCALAR, "minLength": 1})]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Size = Annotated[tuple[int, int], BeforeValidator(_size), Written({
    "type": "array", "minItems": 2, "maxItems": 2,
    "items": {"type": "integer", "minimum": MIN_SIDE, "maximum": MAX_SIDE, "multipleOf": MULTIPLE}})]
Aspect = Annotated[float, BeforeValidator(_aspect), Written({"type": ["string", "number"]})]
Crop = Annotated[
    InstanceOf[Box] | str | None, BeforeValidator(_crop), PlainSerializer(lambda crop: crop), Written({"anyOf": [
        {"enum": ["auto", "none", None]}, {**_BOX, "items": {"type": "integer", "minimum": 0}}]})]
Region = Annotated[InstanceOf[Box] | str, BeforeValidator(_region), Written({"anyOf": [
    {"enum": [*_SIDES]}, {**_BOX, "items": {"type": "number", "minimum": 0, "maximum": 1}},
    {"type": "string", "pattern": "\\."}]})]  # the last is a file
FileName = Annotated[str, BeforeValidator(_file_name), Written({"type": "string", "minLength": 1, "maxLength": 1000})]
Frame = Annotated[str, BeforeValidator(_frame), Written(NAME_SCHEMA | {"pattern": "."})]  # a panel's id or a file

"""What pydantic finds wrong with a story, as one InputError with line, field, value and remedy."""

from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from ...common import InputError, did_you_mean
from ...kontext import MAX_SEED, MAX_STRENGTH
from .appearance import Appearance, NamedAppearance, Strength
from .change import MAX_ITEMS, Change
from .fields import MAX_LINE, MAX_TEXT, NAME
from .models import (
    MAX_CANDIDATES,
    MAX_CAPTIONS,
    MAX_CHARACTERS,
    MAX_FRAMES,
    MAX_PANELS,
    MAX_PLACES,
    MAX_REFERENCES,
    MAX_SECONDS,
    MAX_TITLE,
    MIN_FRAMES,
    Caption,
    Character,
    Location,
    Masks,
    Panel,
    Reference,
    Scene,
    Story,
    Style,
    Voice,
)
from .reading import EntryPath

# Pydantic's error types -> (problem, remedy)
_PROBLEMS = {
    "string_type": ("is not text", "write it as text on this line"),
    "int_type": ("is not a whole number", "write digits only"),
    "int_parsing": ("is not a whole number", "write digits only"),
    "int_from_float": ("is not a whole number", "write digits only"),
    "float_type": ("is not a number", "write digits, such as 2.5"),
    "float_parsing": ("is not a number", "write digits, such as 2.5"),
    "finite_number": ("is not a number", "write digits, such as 2.5"),
    "dict_type": ("is not a mapping of names", "write one `name: ...` per line below it, indented"),
    "model_type": ("is not a mapping", "write its fields as `name: value`, such as {reference: mia.png}"),
    "dataclass_type": ("is not a mapping", "write its fields as `name: value`, such as {scene: a beach}"),
    "tuple_type": ("is not a list", "write [one, two], or one `- ...` per line"),
}
_OUT_OF_RANGE = {"int_parsing_size": "is too large", "less_than_equal": "is too large", "greater_than": "is too small",
                 "greater_than_equal": "is too small"}
_RANGES = {"candidates": f"1 to {MAX_CANDIDATES}", "min_score": "0 to 1", "stop_score": "0 to 1",
           "frames": f"{MIN_FRAMES} to {MAX_FRAMES}",
           "value": f"0 to {MAX_STRENGTH:g}: 1 is as it is, 0 leaves the reference out", "start": "0 to 1",
           "end": "0 to 1",
           "duration": f"more than 0, at most {MAX_SECONDS:g} seconds", "fps": "more than 0, at most 240"}
_LENGTHS = {"title": MAX_TITLE, "notes": MAX_TEXT, "captions": MAX_TEXT, "voice": MAX_TEXT}  # of texts
_COUNTS = {"panels": MAX_PANELS, "characters": MAX_CHARACTERS, "locations": MAX_PLACES, "scenes": MAX_PLACES,
           "references": MAX_REFERENCES, "captions": MAX_CAPTIONS}
_MODELS = {  # by path; * is a name or a number, # a number
    "": Story, "style": Style, "characters *": Character, "characters * references *": Reference,
    "characters * strength": Strength, "locations *": Location, "scenes *": Scene, "panels *": Panel,
    "panels * change": Change, "panels * characters #": NamedAppearance, "panels * characters *": Appearance,
    "panels * characters * strength": Strength, "panels * masks": Masks, "panels * captions *": Caption,
    "panels * voice": Voice,
}

_UNKNOWN_FIELD = ("extra_forbidden", "unexpected_keyword_argument")


def first_error(error: ValidationError, data: dict, lines: dict[EntryPath, int], source: str) -> InputError:
    """Translate what pydantic found: the entry that comes first in the text, as one InputError.

    `data` is what was validated, `lines` where its entries are (see read_yaml), `source` the file's name.
    """
    faults = []
    for entry in error.errors(include_url=False):
        if entry["type"] == "too_short" and entry["input"]:
            continue  # only because its faulty entries, which have errors of their own, do not count
        context = entry.get("ctx", {})
        # Parts in brackets are pydantic's: "[key]", and the kinds of Panel.characters; an unknown one is the writer's.
        *above, last = entry["loc"] or ("[",)
        theirs = entry["type"] in _UNKNOWN_FIELD or not str(last).startswith("[")
        path = tuple(part for part in above if not str(part).startswith("[")) + ((last,) if theirs else ())
        path += tuple(context.get("inside", ()))
        known = next(path[:n] for n in range(len(path), -1, -1) if path[:n] in lines)
        missing = entry["type"] == "missing" or context.get("problem") == "is missing"
        faults.append(((missing, lines[known]), path, entry, context))
    # A misspelt field is also a missing one; the misspelling is what helps.
    (_, line), path, entry, context = min(faults, key=lambda fault: fault[0])
    kind, value = entry["type"], entry["input"]
    if kind == "story":
        value, problem, remedy = context["value"], context["problem"], context["remedy"]
    elif kind in _UNKNOWN_FIELD:
        value, problem, remedy = path[-1], "is not a field here", did_you_mean(path[-1], _fields_at(path[:-1]))
        path = path[:-1]
    elif kind in ("too_long", "too_short"):
        most = _COUNTS.get(path[-1], MAX_ITEMS)
        value, problem = f"{len(value)} entries", "are too many" if kind == "too_long" else "are too few"
        remedy = f"use {'1 to' if path[-1] == 'panels' else 'at most'} {most}"
    elif kind == "missing":
        value, problem, remedy = "", "is missing", f"add `{path[-1]}: ...`"
    elif kind in _OUT_OF_RANGE:
        problem, remedy = _OUT_OF_RANGE[kind], f"use {_RANGES.get(path[-1], f'0 to {MAX_SEED}')}"
    elif kind == "string_too_long":
        longest = next((_LENGTHS[part] for part in reversed(path) if part in _LENGTHS), MAX_LINE)
        value, problem, remedy = value[:40] + "...", "is too long", f"use at most {longest:,} characters"
    elif kind == "literal_error":
        problem, remedy = "is not one of the words known here", did_you_mean(str(value), _words_at(path))
    else:
        problem, remedy = _PROBLEMS.get(kind, (entry["msg"], "compare it with docs/story_file.md"))
    return InputError(f"{source}:{line}", _field(path, data), shown(value), problem, remedy)


def shown(value: Any) -> Any:
    """A value as it may have been written."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(str(shown(item)) for item in value[:20])}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {shown(item)}' for name, item in list(value.items())[:20])}}}"
    return "" if value is None else value


def _model_at(path: EntryPath) -> type | None:
    """What an entry is made into, if it has fields."""
    for pattern, model in _MODELS.items():
        parts = pattern.split()
        if len(parts) == len(path) and all(
                part in ("*", word) or part == "#" and isinstance(word, int)
                for part, word in zip(parts, path, strict=True)):
            return model
    return None


def _fields_at(path: EntryPath) -> list[str]:
    """The names of the fields an entry may have."""
    model = _model_at(path)
    if model is Change:
        return [*Change.__dataclass_fields__]
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _words_at(path: EntryPath) -> list[str]:
    """The words a field may be."""
    field = getattr(_model_at(path[:-1]), "model_fields", {}).get(path[-1])
    parts = [field.annotation, *get_args(field.annotation)] if field else []
    return [word for part in parts if get_origin(part) is Literal for word in get_args(part)]


def _field(path: EntryPath, data: dict) -> str:
    """An entry's path in words: ("panels", 1, "size") is "panel 'beach' size", or "panel 2 size" without an id."""
    words = [str(part) for part in path]
    if path[:1] == ("panels",) and len(path) > 1:
        entry = data["panels"][path[1]]
        name = entry.get("id") if isinstance(entry, dict) else None
        label = f"'{name}'" if isinstance(name, str) and NAME.fullmatch(name) and path[2:3] != ("id",) \
            else int(path[1]) + 1
        inner = [str(part) for part in path[3:] if not isinstance(part, int)]
        words = [f"panel {label}", *words[2:3], *(part[:64] for part in inner)]
    elif path[:1] in (("characters",), ("locations",), ("scenes",)) and len(path) > 1:
        words = [f"{words[0][:-1]} '{words[1]}'"[:80], *words[2:3], *(part for part in words[3:] if not part.isdigit())]
    return " ".join(words) or "story"

"""Story files: YAML and JSON read and written, and the formats of others imported."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ...common import InputError
from .faults import first_error, shown
from .importers import Imported, import_csv, import_fountain, import_vistory, is_heading, is_vistory
from .models import Story
from .reading import MAX_BYTES, Cut, EntryPath, check_size_of_text, json_as_yaml, read_yaml

# What is not written in words: behind these a #word is a comment, but mia #2.png may be a file.
_FILES = {"picture", "reference", "references", "edit", "keep", "file", "start_frame", "end_frame", "region"}
_NO_WORDS = {"$schema", "version", "seed", "size", "aspect", "fps", "together", "id", "from", "characters", "scene",
             "location", "role", "crop", "candidates", "min_score", "stop_score", "duration", "kind", "strength",
             "value", "start", "end", "frames"}
STORY_SUFFIXES = (".yaml", ".yml", ".json", ".fountain", ".csv")


@dataclass(frozen=True)
class StoryText:
    """A story and the YAML it reads from: a YAML file's own text, or what an import made of another format.

    `left_out` has a line for everything a file says that the story does not, or that was read in doubt.
    """

    story: Story
    yaml: str
    left_out: tuple[str, ...] = ()


def parse_story(text: str, source: str = "story text") -> Story:
    """Read a story from YAML or JSON text. Raises InputError (where = `source:line`) for the first thing wrong."""
    return story_text(text, source).story


def story_text(text: str, source: str = "story text") -> StoryText:
    """Read a story from YAML or JSON text, and what of it YAML may have taken for a comment; see parse_story."""
    check_size_of_text(len(text), source)
    cuts: list[Cut] = []
    try:
        data, lines = read_yaml(json_as_yaml(text), source, cuts)
    except InputError as error:
        raise (_screenplay(text, error.where) or error) from None
    if data is None:
        raise InputError(f"{source}:1", "text", "", "is empty", "write version, characters, panels, as in the README")
    if not isinstance(data, dict):
        raise _screenplay(text, f"{source}:1") or InputError(
            f"{source}:1", "text", shown(data), "is not a story",
            "begin with `version: 1`, then characters and panels, as in the README")
    # Editors' note in JSON files which schema they follow; it says nothing of the story.
    data.pop("$schema", None)
    cut_at = {cut.line: cut for cut in cuts if _is_text(cut)}
    _find_by_name(data, lines)
    try:
        story = Story.model_validate(data)
    except ValidationError as error:
        fault = first_error(error, data, lines, source)
        line = fault.where.rpartition(":")[2]
        if line.isdigit() and int(line) in cut_at:  # prompt: #ff0000 is the colour
            fault = InputError(fault.where, fault.field, fault.value, fault.problem,
                               f'put the text in "quotes": to YAML {cut_at[int(line)].rest[:40]} is a comment')
        raise fault from None
    story._lines = lines
    return StoryText(story, text, tuple(
        f"line {line}: {cut.rest[:80]} behind {_field(cut)}, which YAML takes for a comment; if it belongs to the "
        'text, put the text in "quotes"' for line, cut in sorted(cut_at.items())))


def _find_by_name(data: dict, lines: dict[EntryPath, int]) -> None:
    """Add to the lines of a panel's characters in a list those by name, as they stand in a mapping."""
    for path, line in list(lines.items()):
        if len(path) > 3 and (path[0], path[2]) == ("panels", "characters") and isinstance(path[3], int):
            entry = data["panels"][path[1]]["characters"][path[3]]
            name = entry.get("name") if isinstance(entry, dict) else entry
            if isinstance(name, str):
                lines.setdefault((*path[:3], name, *path[4:]), line)


def _screenplay(text: str, where: str) -> InputError | None:
    """What to say of a text that is no YAML, if it looks like a screenplay."""
    heading = next((row.strip() for row in text.splitlines() if is_heading(row.strip())), None)
    if heading is None or re.search(r"^panels\s*:", text, re.MULTILINE):
        return None
    return InputError(where, "text", heading[:40], "looks like a screenplay, and a story is written as YAML",
                      "save it as NAME.fountain in the input folder, and choose it as the file")


def _is_text(cut: Cut) -> bool:
    field = _field(cut)
    if "change" in cut.path:
        return True
    if field == "name" and cut.path[0] == "panels":  # of somebody in a list of characters
        return False
    return cut.rest.endswith((".png", ".jpg", ".jpeg", ".webp")) if field in _FILES else field not in _NO_WORDS


def _field(cut: Cut) -> str:
    return next((part for part in reversed(cut.path) if isinstance(part, str)), "")


def read_story(path: str | Path) -> Story:
    """Read a story file of any known suffix; see load_story."""
    return load_story(path).story


def load_story(path: str | Path) -> StoryText:
    """Read a story file, at most 1 MiB: YAML or JSON in UTF-8, a Fountain screenplay, a CSV shot list, or
    ViStoryBench's story.json. Raises InputError, also for a missing or unreadable file."""
    path = Path(path)
    raw = _read(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _imported(import_csv(raw, path.name))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path.name}:{line}", "text", f"byte 0x{raw[error.start]:02X}", "is not UTF-8 text",
                         "save the file with the encoding UTF-8") from None
    if suffix == ".fountain":
        return _imported(import_fountain(text, path.name))
    if suffix == ".json":
        data, lines = read_yaml(json_as_yaml(text), path.name)
        if is_vistory(data):
            return _imported(import_vistory(data, lines, path.name, path.parent))
        return StoryText(parse_story(text, path.name), _yaml(data))
    return story_text(text, path.name)


def _imported(imported: Imported) -> StoryText:
    text = "".join(f"# not imported: {line}\n" for line in imported.left_out) + _yaml(imported.data)
    # The story is read from the very text that is handed out for editing.
    return StoryText(parse_story(text, f"{imported.source} as YAML"), text, imported.left_out)


def _read(path: Path) -> bytes:
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise InputError("story", "file", str(path), problem, "check the name; a story is a .yaml file")
    try:
        check_size_of_text(path.stat().st_size, path.name)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("story", "file", str(path), f"cannot be read ({error.strerror})",
                         "check its permissions") from None


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _yaml(data: Mapping[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)

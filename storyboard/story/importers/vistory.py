"""ViStoryBench's story.json (arXiv 2505.24862): a story of the public benchmark, with the pictures in its folder.

    {"Story_type": {"en": ..., "ch": ...},
     "Characters": {NAME: {"name_en", "name_ch", "prompt_en", "prompt_ch", "tag", "num_of_appearances"}},
     "Shots": [{"index", "Setting Description": {"en", "ch"}, "Plot Correspondence": {...},
                "Static Shot Description": {...}, "Shot Perspective Design": {...},
                "Characters Appearing": {"en": [NAME, ...], "ch": [...]}}]}

A character's pictures lie in the folder image/NAME beside it. Who appears may also be a list without languages, or a
text. Every text is used or reported.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....common import InputError
from ..fields import MAX_LINE
from ..models import MAX_REFERENCES
from ..reading import EntryPath
from .imported import Draft, Imported, line, spells
from .shot_columns import is_nothing

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_SHOT = ("index", "Setting Description", "Plot Correspondence", "Characters Appearing", "Static Shot Description",
         "Shot Perspective Design")
_CHARACTER = ("name_en", "name_ch", "prompt_en", "prompt_ch", "tag", "num_of_appearances")
_KNOWN = {"Story_type", "Characters", "Shots", "en", "ch", *_SHOT, *_CHARACTER}
_BETWEEN_NAMES = re.compile(r"[,;/&+\n、，；]|\band\b|和|与")
_IN_NO_NAME = re.compile(r'[<>:"/\\|?*]')  # of a folder, on Windows; and a story's paths have no : and no \


def is_vistory(data: Any) -> bool:
    """Whether JSON data is one of ViStoryBench's stories."""
    return isinstance(data, dict) and "Shots" in data and "panels" not in data


def import_vistory(data: dict[str, Any], lines: dict[EntryPath, int], source: str, folder: Path) -> Imported:
    """Make a story from story.json, English where it has English, else Chinese.

    `lines` are where the entries are (see read_yaml); `folder` is searched for the characters' pictures. Raises
    InputError for another structure than the one above.
    """
    shots, characters = data["Shots"], data.get("Characters") or {}
    _check(isinstance(shots, list), shots, "Shots", "is not a list", source, lines)
    _check(isinstance(characters, dict), characters, "Characters", "is not a mapping", source, lines)
    for name, about in characters.items():
        _check(isinstance(about, dict), about, "Characters", "is not a mapping", source, lines, name)
    for index, shot in enumerate(shots):
        _check(isinstance(shot, dict), shot, "Shots", "is not a mapping", source, lines, index)
    languages = {key for shot in shots for value in shot.values() if isinstance(value, dict) for key in value}
    english = "en" in languages or "ch" not in languages
    return _VistoryImport(Draft(source, language="en" if english else "zh"), data, lines, folder).imported()


def _check(right: bool, value: Any, key: str, problem: str, source: str, lines: dict[EntryPath, int],
           *inside: str | int) -> None:
    if not right:
        written = "" if value is None else str(value)[:80]
        raise InputError(f"{source}:{lines.get((key, *inside), 1)}", key, written, problem,
                         "compare it with ViStoryBench's story.json, or save the story as YAML")


class _VistoryImport:
    """Goes through the data and keeps which of its texts are in the story or reported."""

    def __init__(self, draft: Draft, data: dict[str, Any], lines: dict[EntryPath, int], folder: Path):
        self.draft, self.data, self.lines = draft, data, lines
        self.language, self.other = ("en", "ch") if draft.language == "en" else ("ch", "en")
        self.names: dict[str, str | None] = {}  # without capitals -> the character's id
        self.used: set[EntryPath] = set()
        images = folder / "image"
        self.folders = {home.name: home for home in images.iterdir() if home.is_dir()} if images.is_dir() else {}

    def imported(self) -> Imported:
        """The story."""
        for name, about in (self.data.get("Characters") or {}).items():
            self._at(("Characters", name), about)
            self._character(name, about)
        for index, shot in enumerate(self.data["Shots"]):
            self._at(("Shots", index), shot)
            self._shot(index, shot)
        self._at(("Story_type",), self.data.get("Story_type"))
        if kind := self._words((), self.data, "Story_type"):
            self.draft.leave_out(f"Story_type: {kind}")
        self._leave_out_unknown("", (), self.data, ("Story_type", "Characters", "Shots"))
        self._leave_out_rest()
        return self.draft.finished()

    def _at(self, path: EntryPath, entry: Any) -> None:
        lines = [self.lines.get(inner, 1) for inner, _ in [(path, ""), *_leaves(path, entry)]]
        self.draft.at = lines[0], max(lines)

    def _character(self, name: str, about: dict[str, Any]) -> None:
        path = ("Characters", name)
        in_english = self._text(path, about, "name_en")
        shown = self._text(path, about, f"name_{self.language}") or name
        traits = next(filter(None, (self._text(path, about, f"prompt_{language}")
                                    for language in (self.language, self.other))), "")
        entry = self.draft.character(in_english or name, traits="", references=self._pictures(name))
        for alias in (name, in_english, _line(about.get("name_ch"))):
            self.names.setdefault(_folded(alias), entry)
        if _folded(name) not in map(_folded, (in_english, shown)):
            self.draft.leave_out(f"the name {name}, which is {shown} below it")
        if entry is None:
            return
        self.draft.characters[entry]["name"] = self.draft.at_most(MAX_LINE, shown, f"the name {shown[:40]}")
        if traits:
            self.draft.characters[entry]["traits"] = self.draft.at_most(MAX_LINE, traits, f"the description of {name}")
        if tag := self._text(path, about, "tag"):
            self.draft.leave_out(f"tag of {name}: {tag}")
        self._leave_out_unknown(f" of {name}", path, about, _CHARACTER)

    def _shot(self, index: int, shot: dict[str, Any]) -> None:
        draft, path = self.draft, ("Shots", index)
        number = self._text(path, shot, "index") or str(index + 1)
        static, setting, plot, camera = (self._words(path, shot, key) for key in (
            "Static Shot Description", "Setting Description", "Plot Correspondence", "Shot Perspective Design"))
        parts = [part if part[-1] in ".!?。！？" else f"{part}." for part in (static or plot, setting, camera) if part]
        if not parts:
            draft.leave_out(f"shot {number}, which describes nothing")
        else:
            panel = draft.panel(f"shot-{number.zfill(2)}", " ".join(parts))
            draft.set_line(panel, "shot", camera)
            if plot and static:
                draft.add_note(panel, plot)
            if not spells(panel["id"].removeprefix("shot-"), number.zfill(2)):
                draft.add_note(panel, f"index: {number}")
            for name in self._appearing((*path, "Characters Appearing"), shot.get("Characters Appearing")):
                character = self.names.get(_folded(name))
                if character is None:
                    draft.leave_out(f"shot {number}: {name}, who is not among the characters")
                elif character not in panel["characters"]:
                    panel["characters"].append(character)
        self._leave_out_unknown(f"shot {number}: ", path, shot, _SHOT)

    def _appearing(self, path: EntryPath, entry: Any) -> Iterator[str]:
        """The names in an entry: a list or a text, in English, Chinese or no language, or the names of a mapping."""
        if isinstance(entry, dict):
            languages = [key for key in ("en", "ch") if key in entry]
            for key in languages:
                if entry[key]:
                    yield from self._appearing((*path, key), entry[key])
                    return
            yield from () if languages else map(line, entry)
        elif isinstance(entry, list):
            for index, name in enumerate(entry):
                if isinstance(name, dict):
                    key = next((key for key in ("name", "name_en", "name_ch", "en", "ch") if key in name), "")
                    yield from self._appearing((*path, index, key), name.get(key))
                else:
                    yield from self._appearing((*path, index), name)
        elif isinstance(entry, str):
            self.used.add(path)
            whole = _folded(entry) in self.names or is_nothing(line(entry), "characters")
            parts = [entry] if whole else _BETWEEN_NAMES.split(entry)
            yield from (name for name in map(line, parts) if name and not is_nothing(name, "characters"))

    def _words(self, path: EntryPath, entry: dict[str, Any], key: str) -> str:
        """The text of an entry with languages: in this one, else in the other; it may also be plain text."""
        value = entry.get(key)
        if isinstance(value, dict):
            return next(filter(None, (self._text((*path, key), value, name) for name in (self.language, self.other))),
                        "")
        return self._text(path, entry, key)

    def _text(self, path: EntryPath, entry: dict[str, Any], key: str) -> str:
        text = _line(entry.get(key))
        if text:
            self.used.add((*path, key))
        return text

    def _leave_out_unknown(self, where: str, path: EntryPath, entry: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in sorted(set(entry) - set(known)):
            value = entry[key] if isinstance(entry[key], str) else json.dumps(entry[key], ensure_ascii=False)
            name = f"{where}{key}" if where.endswith(" ") else f"{key}{where}"
            self._at((*path, key), entry[key])
            self.draft.leave_out(f"{name}, which is no part of the format: {value}")
            self.used.update(inner for inner, _ in _leaves((*path, key), entry[key]))

    def _leave_out_rest(self) -> None:
        """Report the texts that nothing has been made of: those in the other language together."""
        counts = Counter()
        for path, text in _leaves((), self.data):
            without_name = path[:1] + path[2:] if path[0] == "Characters" else path
            keys = [part for part in without_name if isinstance(part, str)]
            known = _KNOWN.issuperset(keys)
            if path in self.used or not text and known:
                continue
            if known and keys[-1] in (self.other, f"name_{self.other}", f"prompt_{self.other}", "num_of_appearances"):
                counts[keys[-1]] += 1
            else:
                at = self.lines.get(path, 1)
                self.draft.at = (at, at)
                self.draft.leave_out(f"line {at}: {' '.join(map(str, path))}: {text}")
        self.draft.at = None
        if counts:
            self.draft.leave_out("the texts in the other language, and counts: " +
                                 ", ".join(f"{key} ({count})" for key, count in counts.items()))

    def _pictures(self, name: str) -> list[dict[str, str]]:
        """References to the pictures in image/NAME, in order of their names. Where a system allows no : and the like
        in names, the folder has _ or nothing in their place."""
        written = _IN_NO_NAME.sub("_", name)
        home = next((self.folders[folder] for folder in (name, written, _IN_NO_NAME.sub("", name).strip(" ."))
                     if folder in self.folders), None)
        if home is None:
            if written != name:
                self.draft.leave_out(f"pictures of {name}: there is no folder image/{written}")
            return []
        files = sorted(path.name for path in home.iterdir() if path.suffix.lower() in _PICTURES)
        paths = [path for file in files if _can_be_named(path := f"image/{home.name}/{file}")]
        if len(paths) < len(files):
            self.draft.leave_out(f"{len(files) - len(paths)} of the pictures of {name}: a story cannot name a path "
                                 f"with : or \\ in it; call the folder image/{written}")
        if len(paths) > MAX_REFERENCES:
            self.draft.leave_out(f"{len(paths) - MAX_REFERENCES} of the pictures of {name}")
        return [{"picture": path} for path in paths[:MAX_REFERENCES]]


def _can_be_named(path: str) -> bool:
    return path.isprintable() and not set(path) & set("\\:") and len(path) <= 1000


def _leaves(path: EntryPath, entry: Any) -> Iterator[tuple[EntryPath, str]]:
    """Every text in an entry, with its path. An entry is nested 20 levels deep at most."""
    if isinstance(entry, (dict, list)) and entry:
        for key, inner in entry.items() if isinstance(entry, dict) else enumerate(entry):
            yield from _leaves((*path, key), inner)
    elif path:
        yield path, _line(entry)


def _line(value: Any) -> str:
    return line(value) if isinstance(value, str) else ""


def _folded(name: str) -> str:
    return line(name).casefold()

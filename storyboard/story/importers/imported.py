"""What importers share: the story being collected, and names made from other people's words."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ....common import InputError
from ..fields import MAX_LINE, MAX_TEXT
from ..models import MAX_CAPTIONS, MAX_CHARACTERS, MAX_PANELS, MAX_PLACES, MAX_TITLE
from ..reading import NOT_YAML

_MAX_REPORTS = 100
_MAX_REPORT = 300  # characters

LineRange = tuple[int, int]  # the first and the last, from 1


@dataclass(frozen=True)
class Imported:
    """`data` is what a story file would hold; `left_out` says what of the source it does not, or what was read in
    doubt, one line each."""

    source: str
    data: dict[str, Any]
    left_out: tuple[str, ...] = ()


@dataclass
class Draft:
    """A story being collected from `source`. What does not fit a field's limits goes to `left_out`.

    `at` is where in the source the importer is: a report that is cut, or that is one too many, names these lines.
    """

    source: str
    title: str = ""
    language: str = ""
    characters: dict[str, dict[str, Any]] = field(default_factory=dict)
    locations: dict[str, dict[str, Any]] = field(default_factory=dict)
    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)
    panels: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    at: LineRange | None = None
    _reported: list[LineRange | None] = field(default_factory=list)  # where each of left_out is
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)  # the last that was tried

    def leave_out(self, what: str) -> None:
        """Report something that is not imported, or not as it is written."""
        what = line(what)
        if len(what) > _MAX_REPORT:
            what = f"{what[:_MAX_REPORT]}..." + (f" ({in_words([self.at])})" if self.at else "")
        self.left_out.append(what)
        self._reported.append(self.at)

    def character(self, name: str, **about: Any) -> str | None:
        """The id of a character, who is entered on first mention; None if there are too many."""
        return self._entry(self.characters, "character", name, MAX_CHARACTERS, {"name": name, **about})

    def location(self, name: str, **about: Any) -> str | None:
        """The id of a location, which is entered on first mention; None if there are too many."""
        return self._entry(self.locations, "location", name, MAX_PLACES, about)

    def scene(self, name: str, key: str, **about: Any) -> str | None:
        """The id of a scene, which is entered on first mention of `key`; None if there are too many."""
        return self._entry(self.scenes, "scene", name, MAX_PLACES, about, key)

    def panel(self, name: str, prompt: str, **fields: Any) -> dict[str, Any]:
        """Add a panel with an id made from `name`; empty fields are left away."""
        if len(self.panels) == MAX_PANELS:
            raise InputError(self.source, "panels", f"more than {MAX_PANELS}", "are too many panels for one story",
                             "split the file, for instance into acts, and import the parts")
        panel = {"id": self.name("panel", name, object()), "prompt": "", "characters": [], **fields}
        panel["prompt"] = self.at_most(MAX_TEXT, line(prompt), f"the prompt of panel {panel['id']}")
        self.panels.append(panel)
        return panel

    def add_note(self, entry: dict[str, Any], note: str) -> None:
        """Append a line to the notes of a panel or scene."""
        note = "\n".join([*filter(None, [entry.get("notes")]), paragraphs(note)])
        entry["notes"] = self.at_most(MAX_TEXT, note, "the notes")

    def at_most(self, most: int, text: str, what: str) -> str:
        """The first `most` characters of a text; the rest is reported."""
        if len(text) > most:
            self.leave_out(f"the end of {what}: ...{text[most:]}")
        return text[:most]

    def set_line(self, entry: dict[str, Any], name: str, text: str) -> None:
        """Set a field of one line; what is too long goes to the notes."""
        text = line(text)
        if len(text) > MAX_LINE:
            self.add_note(entry, f"{name}: {text}")
        elif text:
            entry[name] = text

    def add_caption(self, panel: dict[str, Any], text: str, speaker: str = "", kind: str = "speech") -> None:
        """Append a caption; what a panel cannot hold goes to the notes."""
        captions = panel.setdefault("captions", [])
        text, speaker = paragraphs(text), line(speaker)[:MAX_LINE]
        if len(captions) == MAX_CAPTIONS or len(text) > MAX_TEXT:
            self.add_note(panel, f"{speaker}: {text}")
        elif text:
            captions.append({"text": text, **({"speaker": speaker} if speaker else {}),
                             **({} if kind == "speech" else {"kind": kind})})

    def name(self, kind: str, text: str, key: Any = None) -> str:
        """A valid name for `text`: the same for the same key (the text without capitals, if none is given), unlike all
        others of its kind."""
        key = (kind, line(text).casefold() if key is None else key)
        if key not in self._names:
            plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
            stem = re.sub("[^A-Za-z0-9]+", "-", plain).strip("-")[:50].strip("-") or kind
            number, name = self._numbers.get((kind, stem), 1), stem
            while (kind, name.casefold()) in self._taken:
                number += 1
                name = f"{stem}-{number}"
            self._numbers[kind, stem] = number
            self._taken.add((kind, name.casefold()))
            self._names[key] = name
        return self._names[key]

    def finished(self) -> Imported:
        """The collected story. Raises InputError if it has no panels."""
        if not self.panels:
            raise InputError(self.source, "panels", "none", "nothing was found that could be a panel",
                             "check that this is the right kind of file; see docs/story_file.md")
        self.at = None
        title = self.at_most(MAX_TITLE, self.title, "the title")
        data = {"version": 1, "title": title, "language": self.language, "characters": self.characters,
                "locations": self.locations, "scenes": self.scenes,
                "panels": [{name: value for name, value in panel.items() if value or name == "characters"}
                           for panel in self.panels]}
        left_out = self.left_out[:_MAX_REPORTS]
        if len(self.left_out) > _MAX_REPORTS:
            where = in_words(filter(None, self._reported[_MAX_REPORTS:]))
            left_out.append(f"and {len(self.left_out) - _MAX_REPORTS} more{f', on {where}' if where else ''}")
        return Imported(self.source, {name: value for name, value in data.items() if value}, tuple(left_out))

    def _entry(self, entries: dict[str, dict], kind: str, name: str, most: int, about: dict[str, Any],
               key: str | None = None) -> str | None:
        if (kind, line(name).casefold() if key is None else key) not in self._names:
            if len(entries) == most:
                self.leave_out(f"{kind} '{name}', the {most} before are all a story may have")
                return None
            entries[self.name(kind, name, key)] = {
                field: self.at_most(MAX_LINE, line(value), f"the {field} of {kind} {line(name)[:40]}")
                if isinstance(value, str) else value for field, value in about.items() if value}
        return self.name(kind, name, key)


def in_words(places: Iterable[LineRange]) -> str:
    """Where something is: "line 7", "lines 3-5, 9"."""
    joined: list[list[int]] = []
    for first, last in sorted(places):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    numbers = [f"{first}-{last}" if first < last else str(first) for first, last in joined]
    return f"line{'s' if len(joined) > 1 or '-' in numbers[0] else ''} {', '.join(numbers)}" if numbers else ""


def spells(name: str, text: str) -> bool:
    """Whether a name that was made from a text has all of its letters and digits."""
    return re.sub(r"[\W_]", "", name.casefold()).startswith(re.sub(r"[\W_]", "", text.casefold()))


def line(text: str) -> str:
    """Text on one line, without characters a story cannot hold."""
    return " ".join(NOT_YAML.sub("", text).split())


def paragraphs(text: str) -> str:
    """Text on several lines, each without white space around it, without characters a story cannot hold."""
    lines = [" ".join(row.split()) for row in NOT_YAML.sub("", text).splitlines()]
    return "\n".join(row for row in lines if row)

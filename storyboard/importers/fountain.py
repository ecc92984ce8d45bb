"""Fountain, the plain-text screenplay format (fountain.io/syntax, version 1.1).

A scene heading becomes a scene and a location, an action paragraph a panel, dialogue captions of the panel before it.

The text is read in one go, in time linear in its size: the boneyard is taken out, then the notes, then each row is
looked at once. A note or boneyard that is never closed is text like any other, and is said.
"""

import re
from dataclasses import dataclass
from typing import Any

from ..fields import MAX_LINE
from ..reading import NOT_YAML
from .imported import Draft, Imported, line

_HEADING = re.compile(r"(?:INT|EXT|EST|INT\.?/EXT|EXT\.?/INT|I/E|E/I)[. ]", re.I)
_SCENE_NUMBER = re.compile(r"\s*#([\w.\-]{1,20})#\s*$")
_PLACE = re.compile(r"^(?P<kind>[A-Z./]+?)\.?\s+(?P<place>.*?)(?:\s+[-–—]+\s+(?P<time>[^-–—]*))?$", re.I)
_TITLE_KEY = re.compile(r"([A-Za-z][A-Za-z ]{0,30}):\s*(.*)")
_EXTENSION = re.compile(r"\s*\(([^()]*)\)\s*$")
_TITLE_KEYS = {"title", "credit", "author", "authors", "source", "notes", "draft date", "date", "contact", "copyright",
               "revision"}
_FADE = re.compile(r"FADE (IN|OUT|TO [A-Z]+)[:.]?")
# A mark's text ends where the next mark begins, so that no text makes matching slow.
_EMPHASIS = re.compile(r"(?<!\\)(?:\*([^*\s](?:[^*]*[^*\s\\])?)\*|_([^_\s](?:[^_]*[^_\s\\])?)_)")
# What opens ends at the next mark of its kind, so that one left open takes nothing with it. A note goes on over several
# rows, not over an empty one, unless two spaces on it say so.
_BONEYARD = re.compile(r"/\*(?:(?!/\*|\*/).)*\*/", re.DOTALL)
_NOTE = re.compile(r"\[\[((?:(?!\[\[|\]\]|\n(?!  )[^\S\n]*\n).)*)\]\]", re.DOTALL)
_NOTE_WAS_HERE = "\x01"  # not in the text: no story can hold it
_PARTNERS = {"[[": "]]", "]]": "[[", "/*": "*/", "*/": "/*"}
_MAX_CUE = 100
_HIDDEN = re.compile(r"^(v\.?\s?o|o\.?\s?s|o\.?\s?c)\b", re.I)  # heard, not seen


@dataclass(frozen=True)
class _Row:
    number: int  # its line in the file, from 1
    text: str  # without notes
    notes: tuple[str, ...] = ()  # those that begin in it

    @property
    def blank(self) -> bool:
        return not self.notes and not self.text.strip()


@dataclass(frozen=True)
class _Element:
    kind: str  # heading, action, character, parenthetical, dialogue, transition, section, synopsis, note
    text: str
    line: int


def import_fountain(text: str, source: str) -> Imported:
    """Make a story from a screenplay. Raises InputError for one without any panel, or with more than 1000."""
    draft = Draft(source)
    rows = _rows(text, draft)
    first = _title_page(rows, draft)
    elements = _elements(rows, first)
    for element in elements:
        if element.kind == "character":  # all of them before the first panel: action names who speaks later
            draft.character(_speaker(element.text)[0])
    names = {about["name"]: name for name, about in draft.characters.items()}
    _Telling(draft, names).tell(elements)
    return draft.finished()


class _Telling:
    """Goes through the elements and keeps where it is."""

    def __init__(self, draft: Draft, names: dict[str, str]):
        self.draft = draft
        self.names = {name.casefold(): character for name, character in names.items()}
        words = sorted(map(re.escape, self.names), key=len, reverse=True)
        self.mentions = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.I) if words else None
        self.scene: str | None = None
        self.setting = ""
        self.count = 0  # panels of the scene
        self.panel: dict[str, Any] | None = None
        self.speaker, self.unseen = "", False
        self.pending: list[str] = []  # notes before the first panel of a scene

    def tell(self, elements: list[_Element]) -> None:
        """Make scenes, panels and captions of the elements, in order."""
        for element in elements:
            getattr(self, f"_{element.kind}")(element)
        for note in self.pending:
            self.draft.leave_out(f"note '{note}' after the last panel")

    def _heading(self, element: _Element) -> None:
        heading, number = self.draft.at_most(MAX_LINE, element.text, f"the heading on line {element.line}"), ""
        if found := _SCENE_NUMBER.search(heading):
            heading, number = heading[: found.start()], found.group(1)
        parts = _PLACE.match(heading) if _HEADING.match(heading) else None
        place = line(parts["place"]) if parts else line(heading)
        inside = {"INT": "interior", "EXT": "exterior", "EST": "exterior"}.get(
            re.split(r"[./ ]", parts["kind"].upper())[0], "") if parts and "/" not in parts["kind"] else ""
        time = line(parts["time"] or "") if parts else ""
        described = ", ".join(filter(None, [place, inside]))
        location = self.draft.location(place, description=described) if place else None
        self.scene = self.draft.scene(number or f"s{len(self.draft.scenes) + 1}", f"{element.line}",
                                      heading=heading, location=location)
        self.setting = ", ".join(filter(None, [place, time.lower(), inside]))
        self.count, self.panel = 0, None

    def _action(self, element: _Element) -> None:
        self.panel = self._new_panel(element.text)
        for found in self.mentions.finditer(element.text) if self.mentions else ():
            if not found.group()[0].islower():  # WILL speaks; "he will" is not he
                self._show(self.names.get(found.group().casefold()))

    def _character(self, element: _Element) -> None:
        self.speaker, extension, dual = _speaker(element.text)
        self.unseen = _HIDDEN.match(extension) is not None
        if dual:
            self.draft.leave_out(f"line {element.line}: that {self.speaker} speaks at the same time as the one before")
        if self.panel is None:
            self.panel = self._new_panel("The place, with nobody in it." if self.unseen else f"{self.speaker} speaks.")
        if not self.unseen:
            self._show(self.names.get(line(self.speaker).casefold()))
        if extension and not extension.upper().startswith("CONT"):
            self.draft.add_note(self.panel, f"{self.speaker} ({extension})")

    def _dialogue(self, element: _Element) -> None:
        self.draft.add_caption(self.panel, element.text, self.speaker, "narration" if self.unseen else "speech")

    def _parenthetical(self, element: _Element) -> None:
        self.draft.add_note(self.panel, f"{self.speaker} {element.text}")

    def _transition(self, element: _Element) -> None:
        transition = element.text.rstrip(":. ").lower()
        if self.draft.panels:  # which may have one already: FADE OUT. after it, FADE IN: before the next
            panel = self.draft.panels[-1]
            transition = ", ".join(filter(None, [panel.get("transition"), transition]))
            self.draft.set_line(panel, "transition", transition)
        else:
            self.draft.leave_out(f"line {element.line}: transition '{transition}' before the first panel")

    def _section(self, element: _Element) -> None:
        self.draft.leave_out(f"line {element.line}: section '{element.text}'")

    def _synopsis(self, element: _Element) -> None:
        if self.scene:
            self.draft.add_note(self.draft.scenes[self.scene], element.text)
        else:
            self.draft.leave_out(f"line {element.line}: synopsis '{element.text}' outside a scene")

    def _note(self, element: _Element) -> None:
        if self.panel is None:
            self.pending.append(line(element.text))
        else:
            self.draft.add_note(self.panel, element.text)

    def _new_panel(self, prompt: str) -> dict[str, Any]:
        self.count += 1
        prompt = line(prompt)
        if self.setting:
            prompt += f"{'' if prompt[-1:] in '.!?' else '.'} Setting: {self.setting}."
        panel = self.draft.panel(f"{self.scene or 's0'}-{self.count}", prompt, scene=self.scene)
        for note in self.pending:
            self.draft.add_note(panel, note)
        self.pending = []
        return panel

    def _show(self, character: str | None) -> None:
        if character and character not in self.panel["characters"]:
            self.panel["characters"].append(character)


def _rows(text: str, draft: Draft) -> list[_Row]:
    """The rows without boneyard and notes; those that a note goes on over are one. Reports marks without a partner."""
    text = NOT_YAML.sub("", "\n".join(text.splitlines()))
    text = _BONEYARD.sub(lambda found: "\n" * found[0].count("\n"), text)
    notes: list[str] = []

    def take(found: re.Match) -> str:
        notes.append(found[1])
        return _NOTE_WAS_HERE

    rows, number, taken = [], 1, 0
    for row in _NOTE.sub(take, text).split("\n"):
        own = notes[taken:taken + row.count(_NOTE_WAS_HERE)]
        for mark, partner in _PARTNERS.items():
            before, found, after = row.partition(mark)
            if found:
                at = number + sum(note.count("\n") for note in own[:before.count(_NOTE_WAS_HERE)])
                draft.leave_out(f"line {at}: the mark {mark} without its {partner}, read as text: "
                                f"{before[-40:]}{mark}{after}".replace(_NOTE_WAS_HERE, ""))
        rows.append(_Row(number, row.replace(_NOTE_WAS_HERE, ""), tuple(own)))
        taken += len(own)
        number += 1 + sum(note.count("\n") for note in own)
    return rows


def _title_page(rows: list[_Row], draft: Draft) -> int:
    """Read the title page, if there is one; return the index of the row after it."""
    key, values, end = "", {}, 0
    for row in [*(row.text for row in rows), ""]:
        found = _TITLE_KEY.match(row)
        if found:
            key = found[1].lower()
            values.setdefault(key, []).append(found[2])
        elif key and row.strip() and row[0] in " \t":
            values[key].append(row.strip())
        else:
            break
        end += 1
    if not _TITLE_KEYS & set(values) or (end < len(rows) and rows[end].text.strip()):
        return 0  # a first line such as "FADE IN:" is no title page
    for key, lines in values.items():
        text = line(_plain(" ".join(lines)))
        if key == "title":
            draft.title = text
        elif text:
            draft.leave_out(f"title page, {key}: {text}")
    for note in _notes(rows[:end]):
        draft.leave_out(f"line {note.line}: note '{note.text}' on the title page")
    return end


def _notes(rows: list[_Row]) -> list[_Element]:
    return [_Element("note", line(note), row.number) for row in rows for note in row.notes if line(note)]


def _elements(rows: list[_Row], first: int) -> list[_Element]:
    found: list[_Element] = []
    index = first
    while index < len(rows):
        row = rows[index]
        blank_before = index == first or rows[index - 1].blank
        blank_after = index + 1 >= len(rows) or rows[index + 1].blank
        index += 1
        text = row.text.strip()
        if text and not re.fullmatch("={3,}", text):
            index = _add_element(found, rows, index, text, row.number, blank_before, blank_after)
        found += _notes([row])
    return found


def _add_element(found: list[_Element], rows: list[_Row], index: int, row: str, number: int, blank_before: bool,
                 blank_after: bool) -> int:
    """Add what a row begins; return the index of the row after it."""
    def add(kind: str, text: str) -> None:
        if _plain(text):
            found.append(_Element(kind, _plain(text), number))

    if row.startswith("#"):
        add("section", row.lstrip("#"))
    elif row.startswith("="):
        add("synopsis", row[1:])
    elif row.startswith(">") and row.endswith("<") and len(row) > 1:
        add("action", row[1:-1])
    elif row.startswith(">"):
        add("transition", row[1:])
    elif row.startswith(".") and not row.startswith(".."):
        add("heading", row[1:])
    elif _HEADING.match(row) and blank_before:
        add("heading", row)
    elif blank_before and blank_after and row.isupper() and (row.endswith("TO:") or _FADE.fullmatch(row)):
        add("transition", row)
    elif not blank_after and blank_before and not row.startswith("!") and _is_cue(row):
        add("character", row.removeprefix("@"))
        return _add_dialogue(found, rows, index)
    else:
        paragraph = [row.removeprefix("!").removeprefix("~")]
        begin = index
        while index < len(rows) and not rows[index].blank:
            paragraph.append(rows[index].text.strip().removeprefix("~"))
            index += 1
        add("action", " ".join(paragraph))
        found += _notes(rows[begin:index])
    return index


def _add_dialogue(found: list[_Element], rows: list[_Row], index: int) -> int:
    said: list[str] = []
    first = rows[index].number

    def say() -> None:
        if any(map(_plain, said)):
            found.append(_Element("dialogue", "\n".join(filter(None, map(_plain, said))), first))
        said.clear()

    while index < len(rows) and (not rows[index].blank or rows[index].text.startswith("  ")):
        row = rows[index].text.strip()
        if row.startswith("(") and row.endswith(")"):
            say()
            found.append(_Element("parenthetical", _plain(row), rows[index].number))
        else:
            said.append(row.removeprefix("~"))
        found += _notes([rows[index]])
        index += 1
    say()
    return index


def _is_cue(row: str) -> bool:
    """A character's name before dialogue: capitals, or forced by @."""
    if len(row) > _MAX_CUE:
        return False
    if row.startswith("@"):
        return bool(_speaker(row[1:])[0])
    name = _EXTENSION.sub("", row.rstrip("^ "))
    return name.isupper() and any(letter.isalpha() for letter in name)


def _speaker(cue: str) -> tuple[str, str, bool]:
    """Name, extension such as V.O., and whether it is dual dialogue."""
    dual = cue.rstrip().endswith("^")
    cue = cue.strip().rstrip("^ ")
    extension = ""
    while found := _EXTENSION.search(cue):
        extension = extension or found[1]
        cue = cue[: found.start()]
    return line(cue), line(extension), dual


def _plain(text: str) -> str:
    """Without the marks of emphasis and their escapes."""
    for _ in range(4):  # **bold** is marked twice, and may be _underlined_ too
        text = _EMPHASIS.sub(r"\1\2", text)
    return line(re.sub(r"\\([*_\\])", r"\1", text))

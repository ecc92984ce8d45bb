"""The rows of a screenplay, without notes and boneyard.

All is read in one go, in time linear in its size: the boneyard is taken out, then the notes, then each row is looked at
once. A note or boneyard that is never closed is text like any other, and is said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..reading import NOT_YAML
from .imported import Draft, LineRange, line

# A mark's text ends where the next mark begins, so that no text makes matching slow.
_EMPHASIS = re.compile(r"(?<!\\)(?:\*([^*\s](?:[^*]*[^*\s\\])?)\*|_([^_\s](?:[^_]*[^_\s\\])?)_)")
# What opens ends at the next mark of its kind, so that one left open takes nothing with it. A note goes on over several
# rows, not over an empty one, unless two spaces on it say so.
_BONEYARD = re.compile(r"/\*((?:(?!/\*|\*/).)*)\*/", re.DOTALL)
_NOTE = re.compile(r"\[\[((?:(?!\[\[|\]\](?!\])|\n(?!  )[^\S\n]*\n).)*)\]\]", re.DOTALL)
_WAS_NOTE, _WAS_BONEYARD = "\x01", "\x02"  # not in the text: no story can hold them
_WERE = re.compile(f"[{_WAS_NOTE}{_WAS_BONEYARD}]")
_ESCAPED = {"*": "\x03", "_": "\x04", "\\": "\x05"}
_PARTNERS = {"[[": "]]", "]]": "[[", "/*": "*/", "*/": "/*"}


@dataclass(frozen=True)
class Element:
    """A part of a screenplay, on the lines `at`. The kind is heading, action, character, parenthetical, dialogue,
    lyrics, transition, section, synopsis, note or (only among a row's asides) boneyard; the text is without marks, but
    a character's cue is whole."""

    kind: str
    text: str
    at: LineRange

    @property
    def line(self) -> int:
        return self.at[0]


@dataclass(frozen=True)
class ScriptRow:
    """A line, or several where a note or boneyard goes on over them."""

    number: int  # its line in the file, from 1
    text: str  # without notes and boneyard
    asides: tuple[Element, ...] = ()  # the notes and boneyards that begin in it

    @property
    def bare(self) -> bool:
        """Whether nothing is in it but notes and boneyard."""
        return not self.text.strip()

    @property
    def blank(self) -> bool:
        """A boneyard alone on its rows parts what is around it if it holds an empty line itself."""
        return self.bare and all(aside.kind == "boneyard" and re.search(r"\n[^\S\n]*\n", aside.text)
                                 for aside in self.asides)


def read_rows(text: str, draft: Draft) -> list[ScriptRow]:
    """The rows without boneyard and notes; those that one of these goes on over are one. Reports marks without a
    partner."""
    text = NOT_YAML.sub("", "\n".join(text.splitlines()))
    notes: list[str] = []
    boneyards: list[str] = []

    def take(match: re.Match) -> str:
        kept, mark = (notes, _WAS_NOTE) if match[0].startswith("[[") else (boneyards, _WAS_BONEYARD)
        kept.append(match[1])
        return mark

    text = _NOTE.sub(take, _BONEYARD.sub(take, text))
    next_note, next_boneyard = iter(notes), iter(boneyards)
    rows, number = [], 1
    for row in text.split("\n"):
        asides: list[Element] = []
        begins = [number]  # the lines of what stands before, between and after the row's asides
        for mark in _WERE.findall(row):
            if mark == _WAS_NOTE:
                aside = next(next_note)
                inside = [next(next_boneyard) for _ in range(aside.count(_WAS_BONEYARD))]
            else:
                aside, inside = next(next_boneyard), []
            at = begins[-1], begins[-1] + "".join([aside, *inside]).count("\n")
            asides.append(Element("note" if mark == _WAS_NOTE else "boneyard", aside.replace(_WAS_BONEYARD, ""), at))
            asides += [Element("boneyard", put_away, at) for put_away in inside]
            begins.append(at[1])
        for mark, partner in _PARTNERS.items():
            before, present, after = row.partition(mark)
            if present:
                at = begins[len(_WERE.findall(before))]
                draft.at = (at, at)
                draft.leave_out(f"line {at}: the mark {mark} without its {partner}, read as text: "
                                f"{_WERE.sub('', f'{before[-40:]}{mark}{after}')}")
        rows.append(ScriptRow(number, _WERE.sub("", row), tuple(asides)))
        number = begins[-1] + 1
    return rows


def notes_of(*rows: ScriptRow) -> Iterator[Element]:
    """The notes that begin in these rows."""
    for row in rows:
        for aside in row.asides:
            if aside.kind == "note" and line(aside.text):
                yield Element("note", line(aside.text), aside.at)


def plain(text: str, keep_rows: bool = False) -> str:
    """On one line, without the marks of emphasis and their escapes."""
    text = re.sub(r"\\([*_\\])", lambda match: _ESCAPED[match[1]], text)  # so that **\*1\*** is bold *1*
    for _ in range(4):  # **bold** is marked twice, and may be _underlined_ too
        text = _EMPHASIS.sub(r"\1\2", text)
    for mark, escaped in _ESCAPED.items():
        text = text.replace(escaped, mark)
    return "\n".join(filter(None, map(line, text.split("\n")))) if keep_rows else line(text)


def is_page_break(row: str) -> bool:
    """Whether a row is ===."""
    return re.fullmatch(r"\s*={3,}\s*", row) is not None

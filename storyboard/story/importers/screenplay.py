"""A Fountain screenplay's text as elements: headings, action, dialogue."""

import re
from collections.abc import Iterator

from .headings import is_heading
from .imported import Draft, in_words, line
from .screenplay_rows import Element, ScriptRow, is_page_break, notes_of, plain, read_rows
from .speakers import is_heard_only, read_cue
from .title_page import read_title_page

_FADE = re.compile(r"(FADE (IN|OUT|TO [A-Z]+)|([A-Z]+ )?CUT TO [A-Z]+)[:.]?")
_OWN_ROW = re.compile(r"#+\s|=\s|={3,}$|>")  # begins something else in the middle of action or dialogue
_MAX_CUE = 100
_MAX_PARENTHETICAL = 5  # rows


def read_screenplay(text: str, draft: Draft) -> list[Element]:
    """The elements in order. Title, title page, boneyard and marks without a partner go to the draft."""
    rows = read_rows(text, draft)
    first = read_title_page(rows, draft)
    put_away = [aside.at for row in rows for aside in row.asides if aside.kind == "boneyard" and line(aside.text)]
    if put_away:
        draft.at = put_away[0]
        draft.leave_out(f"{in_words(put_away)}: what is put away in /* */")
    return [*_elements(rows, first)]


def _elements(rows: list[ScriptRow], index: int) -> Iterator[Element]:
    free = True  # after an empty row, or after one that stands for itself
    while index < len(rows):
        row = rows[index]
        end = index + 1
        if not row.bare:
            followed = end < len(rows) and not rows[end].blank
            kind, text = _kind(row.text.strip(), free, followed)
            if kind == "character" and not _speech_follows(rows, end):
                kind = "action"
            if kind == "character":
                cue, end = _whole_cue(rows, index, text)
                yield cue
                yield from notes_of(*rows[index:end])
                begin, end = end, _end_of(rows, end, lyrics=True)
                yield from _dialogue(rows[begin:end])
                free, index = False, end
                continue
            if kind in ("action", "lyrics"):
                end = _end_of(rows, end, lyrics=kind == "lyrics")
                texts = [text, *(part.text.strip().removeprefix("!").removeprefix("~") for part in rows[index + 1:end])]
                yield from _element(kind, (" " if kind == "action" else "\n").join(texts), row.number,
                                    rows[end - 1].number)
            else:
                yield from _element(kind, text, row.number, row.number)
            free = kind not in ("action", "lyrics")
        free = free or row.blank
        yield from notes_of(*rows[index:end])
        index = end


def _kind(row: str, free: bool, followed: bool) -> tuple[str, str]:
    """What a row is, and its text without the mark that forces it. `followed` is whether a row follows directly."""
    words = plain(row)
    if is_heading(words) and (free or words.isupper()):
        return "heading", row
    if is_page_break(row):
        return "page break", ""
    if row.startswith("#"):
        return "section", row.lstrip("#")
    if row.startswith("="):
        return "synopsis", row[1:]
    if row.startswith(">") and row.endswith("<") and len(row) > 1:
        return "centered", row[1:-1]
    if row.startswith(">"):
        return "transition", row[1:]
    if row.startswith("~"):
        return "lyrics", row[1:]
    if row.startswith("!"):
        return "action", row[1:]
    if re.match(r"\.\w", row):
        return "heading", row[1:]
    if free and not followed and words.isupper() and (words.endswith("TO:") or _FADE.fullmatch(words)):
        return "transition", row
    if free and followed and _is_cue(words):
        return "character", words.removeprefix("@")
    return "action", row


def _is_cue(row: str) -> bool:
    """A character's name before dialogue: capitals, or forced by @."""
    name = read_cue(row.removeprefix("@")).name if len(row) <= _MAX_CUE else ""
    return any(letter.isalpha() for letter in name) and (name.isupper() or row.startswith("@"))


def _speech_follows(rows: list[ScriptRow], index: int) -> bool:
    """Whether there is something that can be said, not only notes."""
    while index < len(rows) and rows[index].bare and not rows[index].blank:
        index += 1
    return index < len(rows) and not _ends(rows[index], lyrics=True)


def _whole_cue(rows: list[ScriptRow], index: int, text: str) -> tuple[Element, int]:
    """The cue with the extension that some write in a row of its own, and the index of the row after it."""
    end = index + 1
    if end < len(rows):
        below = plain(rows[end].text)
        if re.fullmatch(r"\([^()]*\)", below) and is_heard_only(below[1:-1]):
            text, end = f"{text} {below}", end + 1
    return Element("character", text, (rows[index].number, rows[end - 1].number)), end


def _end_of(rows: list[ScriptRow], index: int, lyrics: bool) -> int:
    """The index after the rows that go on from before `index`; without `lyrics` a sung row ends them too."""
    while index < len(rows) and not _ends(rows[index], lyrics):
        index += 1
    return index


def _ends(row: ScriptRow, lyrics: bool) -> bool:
    text = row.text.strip()
    if not text:  # two spaces go on in dialogue
        return row.blank and not (lyrics and row.text.startswith("  "))
    words = plain(text)
    return (_OWN_ROW.match(text) is not None or text.startswith("~") and not lyrics
            or is_heading(words) and words.isupper())


def _dialogue(rows: list[ScriptRow]) -> Iterator[Element]:
    """Speeches and parentheticals; a parenthetical may go on over some rows."""
    spoken: list[str] = []
    notes: list[Element] = []
    index = first = 0

    def say() -> Iterator[Element]:
        text = "\n".join(filter(None, map(plain, spoken)))
        if text:
            yield Element("dialogue", text, (rows[first].number, rows[max(index - 1, first)].number))
        yield from notes
        spoken.clear()
        notes.clear()

    while index < len(rows):
        end = _end_of_parenthetical(rows, index)
        if end > index:
            yield from say()
            yield from _element("parenthetical", " ".join(row.text.strip() for row in rows[index:end]),
                                rows[index].number, rows[end - 1].number)
            first = end
        else:
            spoken.append(rows[index].text.strip().removeprefix("~"))
            end = index + 1
        for row in rows[index:end]:
            notes += notes_of(row)
        index = end
    yield from say()


def _end_of_parenthetical(rows: list[ScriptRow], index: int) -> int:
    """The index after the parenthetical that begins in a row; that row's index if there is none."""
    if not plain(rows[index].text).startswith("("):
        return index
    for end in range(index, min(index + _MAX_PARENTHETICAL, len(rows))):
        text = plain(rows[end].text)
        if ")" in text:
            return end + 1 if text.endswith(")") else index
    return index


def _element(kind: str, text: str, first: int, last: int) -> Iterator[Element]:
    if text := plain(text, keep_rows=kind == "lyrics"):
        yield Element("action" if kind == "centered" else kind, text, (first, last))

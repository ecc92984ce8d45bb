"""CSV shot lists as spreadsheets write them: one row a shot, one panel a row.

A cell in quotation marks may go on over several lines. One whose closing mark is missing would take the rows after it
along, up to the next mark or the end. So where the marks do not fit, the line is read by itself, without the mark that
is left open. If that gives as many cells as the header has, it is what was meant, and it is reported; else it is
refused, since nobody knows where the cell should end.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...kontext import InputError
from ..reading import NOT_YAML
from ..story import MAX_SECONDS
from .imported import Draft, Imported, line, paragraphs

# What a column is called, without capitals and punctuation -> the field it fills
_COLUMNS = {
    "id": "id", "panel": "id", "panelid": "id", "board": "id",
    "shot": "shot number", "shotno": "shot number", "shotnumber": "shot number", "shotid": "shot number",
    "setup": "shot number", "no": "shot number", "nr": "shot number", "number": "shot number",
    "scene": "scene", "sceneno": "scene", "scenenumber": "scene", "sc": "scene", "szene": "scene",
    "description": "prompt", "shotdescription": "prompt", "prompt": "prompt", "visual": "prompt", "visuals": "prompt",
    "picture": "prompt", "content": "prompt", "beschreibung": "prompt", "bild": "prompt",
    "action": "action", "actions": "action", "handlung": "action",
    "subject": "characters", "character": "characters", "characters": "characters", "cast": "characters",
    "talent": "characters", "actors": "characters", "who": "characters", "figuren": "characters",
    "dialogue": "dialogue", "dialog": "dialogue", "lines": "dialogue", "audio": "dialogue",
    "vo": "voice", "voiceover": "voice", "narration": "voice",
    "size": "shot", "shotsize": "shot", "shottype": "shot", "framing": "shot", "frame": "shot", "type": "shot",
    "einstellung": "shot", "einstellungsgroesse": "shot",
    "angle": "angle", "cameraangle": "angle", "camera": "angle", "perspektive": "angle",
    "location": "location", "set": "location", "setting": "location", "place": "location", "ort": "location",
    "duration": "duration", "length": "duration", "time": "duration", "seconds": "duration", "secs": "duration",
    "dauer": "duration",
    "transition": "transition", "cut": "transition",
    "notes": "notes", "note": "notes", "comment": "notes", "comments": "notes", "remarks": "notes", "notizen": "notes",
    "seed": "seed",
}
_HEADER_ROWS = 20  # a title and dates may stand above the header
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class _Row:
    number: int  # its first line in the file, from 1
    cells: list[str]
    lines: list[str]  # as they are in the file; more than one if a cell goes on
    fault: str = ""  # one of those below: the line was read by itself


_OPEN = "has a quotation mark that is never closed"
_AFTER = "has text after a closing quotation mark"
_LONG = f"has a cell of more than {csv.field_size_limit():,} characters"


def import_csv(raw: bytes, source: str) -> Imported:
    """Make a story from a shot list. Raises InputError for one without a header, without shots or with too many, and
    for a row whose cell in quotation marks has no end."""
    draft = Draft(source)
    delimiter, rows = _rows(_text(raw, draft))
    at, columns = _header(rows, source)
    titles = rows[at].cells
    for row in rows:
        _check_marks(draft, row, len(titles), delimiter)
    for row in rows[:at]:
        draft.leave_out(f"line {row.number}, above the header: {' '.join(filter(None, row.cells))}")
    filled = {index for row in rows[at + 1:] for index, cell in enumerate(row.cells) if cell}
    for index, title in enumerate(titles):
        if index in filled and index not in columns:
            draft.leave_out(f"column '{title or index + 1}': its values are in the panels' notes")
    for row in rows[at + 1:]:
        _add_shot(draft, row, titles, columns)
    return draft.finished()


def _check_marks(draft: Draft, row: _Row, width: int, delimiter: str) -> None:
    """Refuse or report a row whose quotation marks do not fit; `width` is how many cells the header has."""
    fits = len(row.cells) == width
    if row.fault == _LONG or row.fault == _OPEN and not fits:
        remedy = 'put the closing " at the end of that cell, and write "" for a mark inside it'
        raise InputError(f"{draft.source}:{row.number}", "row", row.lines[0], row.fault,
                         remedy if row.fault == _OPEN else "shorten it")
    if row.fault == _OPEN or row.fault == _AFTER and not fits:
        draft.leave_out(f"line {row.number} {row.fault}; it was read as {' | '.join(row.cells)}")
    # A mark that happens to stand at the end of a later cell, such as 5", closes one that was left open.
    like_rows = all(text.count(delimiter) == width - 1 for text in row.lines if text.strip())
    if len(row.lines) > 1 and width > 2 and like_rows:
        draft.leave_out(f"lines {row.number} to {row.number + len(row.lines) - 1} as rows of their own, which they may "
                        f"be: a quotation mark on line {row.number} makes one of them")


def _text(raw: bytes, draft: Draft) -> str:
    """The text, in the encodings spreadsheets write: UTF-8, UTF-16 with its mark, else Windows' western one."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", "replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            draft.leave_out("the file is not UTF-8: accents were read as Windows-1252")
            text = raw.decode("cp1252", "replace")
    return NOT_YAML.sub("", text)


def _rows(text: str) -> tuple[str, list[_Row]]:
    """The delimiter, and the rows that are not empty. A first row `sep=;` (Excel's) names the delimiter."""
    lines = io.StringIO(text, newline="").readlines()  # ending with LF, CR LF or CR
    if found := re.match(r"sep=([^\w\r\n\"])[\r\n]", lines[0], re.I) if lines else None:
        delimiter, first = found[1], 1
    else:
        delimiter, first = _delimiter(lines), 0
    return delimiter, [row for row in _read(lines, first, delimiter) if row.fault or any(row.cells)]


def _read(lines: list[str], first: int, delimiter: str) -> Iterator[_Row]:
    """The rows from the line of index `first` on.

    After a row that does not fit, the lines after its first are read again. If that comes to eight times the text, as
    when each of many rows goes on to the end, the row is the last and stays without cells: reading is linear.
    """
    most, handed = 8 * sum(map(len, lines)), 0

    def rest() -> Iterator[str]:
        nonlocal handed
        for at in range(first, len(lines)):
            handed += len(lines[at])
            yield lines[at]

    while first < len(lines):
        reader = csv.reader(rest(), delimiter=delimiter, strict=True)
        begin = first
        try:
            for cells in reader:
                end = first + reader.line_num
                yield _Row(begin + 1, [*map(_cell, cells)], lines[begin:end])
                begin = end
            return
        except csv.Error:
            if handed > most:
                yield _Row(begin + 1, [], [lines[begin]], _OPEN)
                return
            yield _read_alone(lines[begin], begin + 1, delimiter)
            first = begin + 1


def _read_alone(text: str, number: int, delimiter: str) -> _Row:
    """A line whose quotation marks do not fit, as a row."""
    try:
        cells, *more = csv.reader([text, ""], delimiter=delimiter)
    except csv.Error:
        return _Row(number, [], [text], _LONG)
    if more:  # the line after it is a row of its own
        return _Row(number, [*map(_cell, cells)], [text], _AFTER)
    return _Row(number, [*map(_cell, [*cells[:-1], *cells[-1].split(delimiter)])], [text], _OPEN)


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits the first rows most evenly into most columns."""
    def quality(delimiter: str) -> tuple[int, int]:
        widths = [len(row.cells) for row in itertools.islice(_read(lines, 0, delimiter), _HEADER_ROWS)]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual), usual) if usual > 1 else (0, 0)
    return max(_DELIMITERS, key=quality)


def _cell(cell: str) -> str:
    """A cell's text. Excel writes ="007" to keep a number from being one, and '007 for the same."""
    cell = cell.replace("\xa0", " ").strip()
    if found := re.fullmatch(r'="(.*)"', cell, re.DOTALL):
        cell = found[1]
    return paragraphs(cell.removeprefix("'") if re.match("'[0-9=+-]", cell) else cell)


def _header(rows: list[_Row], source: str) -> tuple[int, dict[int, str]]:
    """Where the header is, and which field each known column fills; the first of two columns for one field wins."""
    for at, row in enumerate(rows[:_HEADER_ROWS]):
        columns: dict[int, str] = {}
        for index, title in enumerate(row.cells):
            title = "number" if title == "#" else title
            name = _COLUMNS.get(re.sub("[^a-zäöüß]", "", title.casefold()).replace("ö", "oe"))
            if name and name not in columns.values():
                columns[index] = name
        if len(columns) >= 2 and {"prompt", "action"} & set(columns.values()):
            return at, columns
    first = rows[0] if rows else _Row(1, [], [])
    raise InputError(f"{source}:{first.number}", "header", " ".join(first.cells)[:80], "has no columns a story knows",
                     "name the columns in the first row, such as: scene, shot, description, characters, shot size, "
                     "dialogue, duration, notes")


def _add_shot(draft: Draft, row: _Row, titles: list[str], columns: dict[int, str]) -> None:
    cells = {columns[index]: cell for index, cell in enumerate(row.cells) if cell and index in columns}
    prompt = line(" ".join(f"{cells[name].rstrip('. ')}." for name in ("prompt", "action") if cells.get(name)))
    if prompt in ("", "."):
        draft.leave_out(f"line {row.number}, without a description: {' '.join(filter(None, row.cells))}")
        return
    scene = cells.get("scene")
    number = cells.get("shot number")
    name = cells.get("id") or "-".join(filter(None, [scene, number])) or f"shot-{len(draft.panels) + 1:03}"
    panel = draft.panel(name, prompt)
    if scene:
        panel["scene"] = draft.scene(scene, line(scene).casefold(), heading=line(scene)[:500])
    if cells.get("location"):
        panel["location"] = draft.location(cells["location"], description=line(cells["location"])[:500])
    people = [line(who) for who in re.split(r"[,;/&+\n]|\band\b|\bund\b", cells.get("characters", ""))]
    cast = [draft.character(who) for who in people if who and who.casefold() not in ("-", "–", "none", "n/a")]
    panel["characters"] = list(dict.fromkeys(who for who in cast if who))
    for name in ("shot", "angle", "transition"):
        draft.set_line(panel, name, cells.get(name, ""))
    for row_of_dialogue in cells.get("dialogue", "").splitlines():
        speaker, colon, said = row_of_dialogue.partition(":")
        draft.add_caption(panel, said or speaker, speaker if colon and said and len(speaker) <= 40 else "")
    if cells.get("voice"):
        draft.add_caption(panel, cells["voice"], kind="narration")
    if cells.get("notes"):
        draft.add_note(panel, cells["notes"])
    _add_numbers(draft, panel, cells)
    for index, cell in enumerate(row.cells):
        if cell and index not in columns:
            title = titles[index] if index < len(titles) and titles[index] else f"column {index + 1}"
            draft.add_note(panel, f"{line(title)}: {cell}")


def _add_numbers(draft: Draft, panel: dict, cells: dict[str, str]) -> None:
    if cells.get("duration"):
        seconds = _seconds(cells["duration"])
        if seconds is not None and 0 < seconds <= MAX_SECONDS:
            panel["duration"] = seconds
        else:
            draft.add_note(panel, f"duration: {cells['duration']}")
    if cells.get("seed"):
        if re.fullmatch("[0-9]{1,19}", cells["seed"]):
            panel["seed"] = int(cells["seed"])
        else:
            draft.add_note(panel, f"seed: {cells['seed']}")


def _seconds(text: str) -> float | None:
    """"2.5", "2,5 s", "3 sec", "0:05", "00:01:05" as seconds; None for what is neither."""
    text = line(text).casefold()
    if found := re.fullmatch(r"([0-9]{1,6}(?:[.,][0-9]{1,6})?)\s*(s|sec|secs|seconds?|sek|sekunden)?\.?", text):
        return float(found[1].replace(",", "."))
    if found := re.fullmatch(r"(?:([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2}(?:[.,][0-9]{1,6})?)", text):
        return int(found[1] or 0) * 3600.0 + int(found[2]) * 60 + float(found[3].replace(",", "."))
    return None

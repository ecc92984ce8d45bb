"""The rows of a CSV file as spreadsheets write it.

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

from ....common import InputError
from ..reading import NOT_YAML
from .imported import Draft, LineRange, paragraphs
from .shot_columns import is_prompt

HEADER_ROWS = 20  # a title and dates may stand above the header
_DELIMITERS = ",;\t|"
_NO_DELIMITER = "\x01"  # of a list of one column; no text has it


@dataclass(frozen=True)
class ShotRow:
    """A row with at least one cell, none of them with white space around it."""

    number: int  # its first line in the file, from 1
    cells: list[str]
    lines: list[str]  # as they are in the file; more than one if a cell goes on
    fault: str = ""  # one of those below: the line was read by itself

    @property
    def at(self) -> LineRange:
        return self.number, self.number + len(self.lines) - 1

    @property
    def text(self) -> str:
        """Its cells, for a report."""
        return " ".join(filter(None, self.cells))


_OPEN = "has a quotation mark that is never closed"
_AFTER = "has text after a closing quotation mark"
_LONG = f"has a cell of more than {csv.field_size_limit():,} characters"


def check_marks(draft: Draft, row: ShotRow, width: int, delimiter: str) -> None:
    """Refuse or report a row whose quotation marks do not fit; `width` is how many cells the header has."""
    draft.at = row.at
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


def read_text(raw: bytes, draft: Draft) -> str:
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


def read_rows(text: str) -> tuple[str, list[ShotRow]]:
    """The delimiter, and the rows that are not empty. A first row `sep=;` (Excel's) names the delimiter."""
    lines = io.StringIO(text, newline="").readlines()  # ending with LF, CR LF or CR
    if match := re.match(r"sep=([^\w\r\n\"])[\r\n]", lines[0], re.I) if lines else None:
        delimiter, first = match[1], 1
    else:
        delimiter, first = _delimiter(lines), 0
    return delimiter, [row for row in _read(lines, first, delimiter) if row.fault or any(row.cells)]


def _read(lines: list[str], first: int, delimiter: str) -> Iterator[ShotRow]:
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
        reader = csv.reader(rest(), delimiter=delimiter, skipinitialspace=True, strict=True)
        begin = first
        try:
            for cells in reader:
                end = first + reader.line_num
                yield ShotRow(begin + 1, [*map(_cell, cells)], lines[begin:end])
                begin = end
            return
        except csv.Error:
            if handed > most:
                yield ShotRow(begin + 1, [], [lines[begin]], _OPEN)
                return
            yield _read_alone(lines[begin], begin + 1, delimiter)
            first = begin + 1


def _read_alone(text: str, number: int, delimiter: str) -> ShotRow:
    """A line whose quotation marks do not fit, as a row."""
    try:
        cells, *more = csv.reader([text, ""], delimiter=delimiter)
    except csv.Error:
        return ShotRow(number, [], [text], _LONG)
    if more:  # the line after it is a row of its own
        return ShotRow(number, [*map(_cell, cells)], [text], _AFTER)
    return ShotRow(number, [*map(_cell, [*cells[:-1], *cells[-1].split(delimiter)])], [text], _OPEN)


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits the first rows most evenly into most columns; none for a list whose first line is the
    title of descriptions alone, where it would split sentences."""
    first = next(filter(str.strip, lines), "")
    if is_prompt(first) and not set(first.strip()) & set(_DELIMITERS):
        return _NO_DELIMITER

    def quality(delimiter: str) -> tuple[int, int]:
        widths = [len(row.cells) for row in itertools.islice(_read(lines, 0, delimiter), HEADER_ROWS)]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual), usual) if usual > 1 else (0, 0)
    return max(_DELIMITERS, key=quality)


def _cell(cell: str) -> str:
    """A cell's text. Excel writes ="007" to keep a number from being one, and '007 for the same."""
    cell = cell.replace("\xa0", " ").strip()
    if match := re.fullmatch(r'="(.*)"', cell, re.DOTALL):
        cell = match[1]
    return paragraphs(cell.removeprefix("'") if re.match("'[0-9=+-]", cell) else cell)

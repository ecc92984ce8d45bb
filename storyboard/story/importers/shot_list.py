"""CSV shot lists as spreadsheets write them: one row a shot, one panel a row."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ....common import InputError
from ..models import MAX_SECONDS
from .durations import counts_frames, is_time_of_day, position, rate_of, seconds
from .imported import Draft, Imported, LineRange, in_words, line, spells
from .shot_columns import Column, columns, is_nothing, is_open, is_prompt
from .shot_rows import HEADER_ROWS, ShotRow, check_marks, read_rows, read_text
from .speakers import is_somebody, read_cue, read_speech

_BANNER = re.compile(r"(?:scene|szene|sc\.|escena|scène|scena)\s*\S", re.I)  # over the shots of a scene
_BETWEEN_PEOPLE = re.compile(r"[,;/&+\n、，；]|\||\b(?:and|und|et|y|w/)(?!\w)|(?<=\s)[eiи](?=\s)|和|与")
_NOT_APPLICABLE = re.compile(r"(?<!\w)#?n\s?[/\\]\s?a\.?(?!\w)", re.I)
_GO_ON = {"dialogue", "voice", "notes"}  # all that is in a row under one whose other cells are merged
_LONGEST_NAME = 100  # characters
_BULLET = re.compile(r"\A\s*(?:[-–—•*·]\s*|[0-9]{1,2}[.)]\s+)")
_AROUND = " []\"“”'‘’@?"  # ["Mia", "Tom"] and @mia, where lists come from programs
_LINK = re.compile(r"\s*\(https?://[^()\s]*\)")  # Notion's behind each entry


def import_csv(raw: bytes, source: str) -> Imported:
    """Make a story from a shot list. Raises InputError for one without a header, without shots or with too many, and
    for a row whose cell in quotation marks has no end."""
    draft = Draft(source)
    delimiter, rows = read_rows(read_text(raw, draft))
    at, known = _header(rows, source)
    titles = rows[at].cells
    for row in rows:
        check_marks(draft, row, len(titles), delimiter)
    for row in rows[:at]:
        draft.at = row.at
        draft.leave_out(f"line {row.number}, above the header: {row.text}")
    shots = [*_without_headers(draft, rows[at], rows[at + 1:])]
    draft.at = None
    known = _without_points_in_time(draft, shots, known)
    filled = {index for row in shots for index, cell in enumerate(row.cells) if cell}
    for index, title in enumerate(titles):
        if index in filled and index not in known:
            draft.leave_out(f"column '{title or index + 1}': its values are in the panels' notes")
    if empty := [title for index, title in enumerate(titles) if title and index not in known and index not in filled]:
        draft.at = rows[at].at
        draft.leave_out(f"columns without values: {', '.join(empty)}")
    _Shots(draft, titles, known, shots).add()
    return draft.finished()


def _header(rows: list[ShotRow], source: str) -> tuple[int, dict[int, Column]]:
    """Where the header is, and its known columns: the first row with a description and another column, else the first
    whose description stands alone."""
    alone = None
    for at, row in enumerate(rows[:HEADER_ROWS]):
        known = columns(row.cells)
        if {"prompt", "action"} & {column.field for column in known.values()}:
            if len(known) >= 2:
                return at, known
            if alone is None and any(is_prompt(title) for title in row.cells):
                alone = at, known
    if alone:
        return alone
    first = rows[0] if rows else ShotRow(1, [], [])
    raise InputError(f"{source}:{first.number}", "header", " ".join(first.cells)[:80], "has no columns a story knows",
                     "name the columns in the first row, such as: scene, shot, description, characters, shot size, "
                     "dialogue, duration, notes")


def _without_headers(draft: Draft, header: ShotRow, rows: list[ShotRow]) -> Iterator[ShotRow]:
    """The rows that do not say the header again, as at the top of every page."""
    titles = [title.casefold() for title in header.cells if title]
    again = []
    for row in rows:
        if [cell.casefold() for cell in row.cells if cell] == titles:
            again.append(row.at)
        else:
            yield row
    if again:
        draft.at = again[0]
        draft.leave_out(f"{in_words(again)}: the header again")


def _without_points_in_time(draft: Draft, rows: list[ShotRow], known: dict[int, Column]) -> dict[int, Column]:
    """The columns without a Time whose values are no lengths: hours of a clock, or where in the film a shot begins."""
    for index, column in known.items():
        cells = [row.cells[index] for row in rows if index < len(row.cells) and row.cells[index]]
        points = [point for point in map(position, cells) if point is not None]
        rising = len(points) > 1 and (points[0] == 0 or len(points) > 2) and all(
            earlier < later for earlier, later in zip(points, points[1:], strict=False))
        no_length = all(seconds(cell) is None for cell in cells)  # day, night
        if column.points and cells and (rising or no_length or any(map(is_time_of_day, cells))):
            draft.leave_out(f"column '{column.title}' as durations: these are points in time")
            return {other: column for other, column in known.items() if other != index}
    return known


class _Shots:
    """Makes panels of the rows, and keeps what empty cells of merged ones stand for."""

    def __init__(self, draft: Draft, titles: list[str], known: dict[int, Column], rows: list[ShotRow]):
        self.draft, self.titles, self.known, self.rows = draft, titles, known, rows
        self.columns = {column.field: column for column in known.values()}
        people_cells = (row.cells[index] for index, column in known.items() if column.field == "characters"
                        for row in rows if index < len(row.cells))
        self.names = {name.casefold() for cell in people_cells for name, _ in _people(cell) if name}
        lengths = [row.cells[index] for index, column in known.items() if column.field == "duration"
                   for row in rows if index < len(row.cells)]
        duration = self.columns.get("duration")
        self.rate = duration and duration.rate or rate_of(lengths)
        self.panel: dict[str, Any] | None = None  # of the row above
        self.above: dict[str, str] = {}  # scene and location, as last written
        self.filled: dict[str, list[LineRange]] = {"scene": [], "location": []}
        self.no_lengths: list[tuple[str, LineRange]] = []
        self.in_frames = False

    def add(self) -> None:
        """Make the panels, and report what was read otherwise than it is written."""
        for row in self.rows:
            self.draft.at = row.at
            self._add(row)
        self.draft.at = None
        for field, places in self.filled.items():
            if places:
                self.draft.leave_out(f"the empty cells of '{self.columns[field].title}' on {in_words(places)}: they "
                                     f"were read as the {field} above them, as in merged cells")
        if self.no_lengths:
            shown = ", ".join([*dict.fromkeys(text for text, _ in self.no_lengths)][:5])
            self.draft.leave_out(f"{in_words(at for _, at in self.no_lengths)}: durations that are no length of time "
                                 f"({shown}); they are in the panels' notes")
        if self.in_frames:
            self.draft.leave_out(f"durations as frames: they were read at {self.rate:g} frames a second")

    def _add(self, row: ShotRow) -> None:
        draft = self.draft
        cells, to_note = self._cells(row)
        prompt = line(" ".join(f"{cells[name].rstrip('. ')}." for name in ("prompt", "action") if cells.get(name)))
        if prompt in ("", ".") and self.panel and cells.keys() <= _GO_ON and not to_note:
            self._add_captions(self.panel, cells)
            if cells.get("notes"):
                draft.add_note(self.panel, cells["notes"])
            return
        if prompt in ("", "."):
            self.panel = None
            draft.leave_out(f"line {row.number}, without a description: {row.text}")
            banner, *others = filter(None, row.cells)
            if not others and _BANNER.match(banner):
                cells = {"scene": banner}
            if "scene" in cells and ("scene" in self.columns or not others):
                self.above = {"scene": cells["scene"]}
            return
        self._fill(cells, row)
        scene, number = cells.get("scene"), cells.get("shot number")
        name = cells.get("id") or "-".join(filter(None, [scene, number])) or f"shot-{len(draft.panels) + 1:03}"
        panel = self.panel = draft.panel(name, prompt)
        for field in ("id", "shot number"):
            if cells.get(field) and (field == "shot number" and cells.get("id") or not spells(panel["id"], name)):
                to_note.append((self.columns[field].title, cells[field]))
        if scene:
            panel["scene"] = draft.scene(scene, line(scene).casefold(), heading=line(scene))
        if cells.get("location"):
            panel["location"] = draft.location(cells["location"], description=line(cells["location"]))
        for who, aside in _people(cells.get("characters", "")):
            character = draft.character(who) if who else None
            if aside:
                draft.add_note(panel, aside if who else f"{line(self.columns['characters'].title)}: {aside}")
            elif character and character not in panel["characters"]:
                panel["characters"].append(character)
        for field in ("shot", "angle", "transition"):
            draft.set_line(panel, field, cells.get(field, ""))
        self._add_captions(panel, cells)
        if cells.get("notes"):
            draft.add_note(panel, cells["notes"])
        self._add_numbers(panel, cells, row)
        for title, cell in to_note:
            draft.add_note(panel, f"{line(title)}: {cell}")

    def _cells(self, row: ShotRow) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """The cells of known columns by field, empty if they only say so, and all others with their titles."""
        cells: dict[str, str] = {}
        others: list[tuple[str, str]] = []
        for index, cell in enumerate(row.cells):
            column = self.known.get(index)
            if not cell:
                continue
            if column:
                cells[column.field] = "" if is_open(cell) or is_nothing(cell, column.field) else cell
            links = _LINK.findall(cell) if column and column.field == "characters" else []
            if not column or is_open(cell) or links:
                title = self.titles[index] if index < len(self.titles) else ""
                others.append((title or f"column {index + 1}", line(" ".join(links)) or cell))
        if any(row.cells[len(self.titles):]):
            self.draft.leave_out(f"line {row.number}: {len(row.cells)} cells under {len(self.titles)} titles (put text "
                                 "that holds the delimiter in quotes); the last are in the panel's notes")
        return cells, others

    def _fill(self, cells: dict[str, str], row: ShotRow) -> None:
        """Where cells are merged, all but the first come as empty ones. A scene, and a location within it, goes on;
        other cells do not: nobody in the cast is usual, and what would be drawn must not be guessed."""
        if cells.get("scene", self.above.get("scene")) != self.above.get("scene"):
            self.above = {}
        for field in ("scene", "location"):
            if field in cells:
                self.above[field] = cells[field]
            elif self.above.get(field):
                cells[field] = self.above[field]
                if field in self.columns:
                    self.filled[field].append(row.at)

    def _add_captions(self, panel: dict, cells: dict[str, str]) -> None:
        for text in cells.get("dialogue", "").splitlines():
            speech = read_speech(text, self.names)
            cue = speech.cue
            self.draft.add_caption(panel, speech.text, cue.name if cue else "", speech.kind)
            if cue:
                for extension in cue.extensions:
                    self.draft.add_note(panel, f"{cue.name} ({extension})")
        if cells.get("voice"):
            self.draft.add_caption(panel, cells["voice"], kind="narration")

    def _add_numbers(self, panel: dict, cells: dict[str, str], row: ShotRow) -> None:
        if text := cells.get("duration"):
            length = seconds(text, self.columns["duration"].unit, self.rate, self.columns["duration"].clock)
            if length is not None and 0 < length <= MAX_SECONDS:
                panel["duration"] = round(length, 6)
                self.in_frames |= counts_frames(text) or self.columns["duration"].unit is None
                if re.search(r"[0-9]\s*(?:-|–|—|to|bis|>|→)\s*[0-9]", text):  # which also says where it begins
                    self.draft.add_note(panel, f"{self.columns['duration'].title}: {text}")
            else:
                self.draft.add_note(panel, f"duration: {text}")
                self.no_lengths.append((line(text)[:40], row.at))
        if cells.get("seed"):
            if re.fullmatch("[0-9]{1,19}", cells["seed"]):
                panel["seed"] = int(cells["seed"])
            else:
                self.draft.add_note(panel, f"seed: {cells['seed']}")


def _people(cell: str) -> Iterable[tuple[str, str]]:
    """The names in a cell, each with a note if it is not to be drawn, such as Mia (V.O.); without a name if it is
    nobody's: NARRATOR, ALL, none (landscape)."""
    bracketed: list[str] = []

    def hide(match: re.Match) -> str:
        bracketed.append(match[0])
        return "\x01"  # in no text

    cell = _NOT_APPLICABLE.sub("none", _LINK.sub("", cell))
    parts = _BETWEEN_PEOPLE.split(re.sub(r"\([^()]*\)", hide, cell))
    shown = iter(bracketed)
    for part in parts:
        name = line(_BULLET.sub("", re.sub("\x01", lambda _: next(shown), part), count=1)).strip(_AROUND)
        if match := re.fullmatch(r"\(([^()]*)\)", name):
            name = match[1].strip(_AROUND)
        cue = read_cue(name[:_LONGEST_NAME])
        first = re.split(r"\s[-–—]\s", cue.name)[0]
        if not name or _says_nobody(name):
            continue
        if len(name) > _LONGEST_NAME or not cue.name:
            yield name, ""
        elif _says_nobody(cue.name) or _says_nobody(first) or not is_somebody(cue.name):
            yield "", name
        elif cue.unseen:
            yield cue.name, f"{cue.name} ({', '.join(cue.extensions)})"
        else:
            yield (cue.name if cue.extensions and all(map(_says_nobody, cue.extensions)) else name), ""


def _says_nobody(name: str) -> bool:
    return is_nothing(name, "characters") or is_open(name)

"""The title page of a screenplay: `Key: value` rows at its beginning, in any language."""

import re
import unicodedata

from ..models import MAX_TITLE
from .headings import is_heading
from .imported import Draft, LineRange, line
from .screenplay_rows import ScriptRow, is_page_break, notes_of, plain

_Entry = tuple[str, list[str], LineRange]  # key, values, where

_TITLE_KEY = re.compile(r"([^\W\d_](?:(?![:：!?,;]).){0,40}?)\s*[:：]\s*(.*)")
# Without accents and capitals
_TITLES = {"title", "titel", "titulo", "titre", "titolo", "titol", "tytul", "titlu", "titul", "nazev", "naslov", "cim",
           "otsikko", "baslik", "tittel", "judul", "название", "назва", "τιτλος", "标题", "標題", "题目", "剧名",
           "タイトル", "제목"}
_TITLE_KEYS = _TITLES | {
    "credit", "author", "authors", "source", "notes", "draft date", "date", "contact", "contact info", "copyright",
    "revision", "watermark", "header", "footer", "format", "episode", "written by",
    "autor", "autora", "autoren", "drehbuch", "buch", "fassung", "datum", "kontakt", "auteur", "auteurs", "scenario",
    "guion", "fecha", "contacto", "autore", "autori", "sceneggiatura", "data", "contatto", "автор", "дата", "作者"}


def read_title_page(rows: list[ScriptRow], draft: Draft) -> int:
    """Read the title page, if there is one; return the index of the row after it. Empty rows, notes and boneyard may
    stand before it, and empty rows in it."""
    pages: list[_Entry] = []
    end = 0
    while True:
        begin = end
        while begin < len(rows) and rows[begin].bare:
            begin += 1
        entries, after = _title_block(rows, begin)
        known = [_folded(key) for key, _, _ in entries if _folded(key) in _TITLE_KEYS]
        whole = after == len(rows) or rows[after].blank or is_page_break(rows[after].text)
        # Keys nobody knows make a title page if there are several and they are neither FADE IN: nor what somebody says.
        likely = whole and len(entries) > 1 and any(any(texts) for _, texts, _ in entries) and not any(
            key.isupper() or texts[-1].endswith((".", "!", "?", "…", '"', "'", "”")) for key, texts, _ in entries)
        sure = len(known) == len(entries) if end else known and (whole or len(known) > 1 or _TITLES & set(known))
        if not entries or not sure and (end or not likely):
            break
        pages += entries
        end = after
    values: dict[str, tuple[list[str], LineRange]] = {}
    for key, texts, at in pages:
        gathered, where = values.get(key.lower(), ([], at))
        gathered += texts
        values[key.lower()] = gathered, (where[0], at[1])
    titles = []
    for key, (texts, draft.at) in values.items():
        text = line(plain(" ".join(texts)))
        if _folded(key) in _TITLES:
            titles.append(text)
            draft.title = draft.at_most(MAX_TITLE, " ".join(titles), "the title")
        elif text or _folded(key) not in _TITLE_KEYS:
            draft.leave_out(f"title page, {key}: {text}")
    for row in rows[:end]:
        for note in notes_of(row):
            draft.at = note.at
            draft.leave_out(f"line {note.line}: note '{note.text}' on the title page")
    return end


def _title_block(rows: list[ScriptRow], begin: int) -> tuple[list[_Entry], int]:
    """Keys with values from a row on, and the index of the first row that is neither."""
    entries: list[_Entry] = []
    for index in range(begin, len(rows)):
        row = rows[index]
        text = row.text
        if row.blank or is_page_break(row.text):
            return entries, index
        if row.bare:
            continue
        match = _TITLE_KEY.match(text)
        if match and not is_heading(plain(text)):
            entries.append((match[1], [match[2]], (row.number, row.number)))
        elif entries and (text[0] in " \t" or not any(entries[-1][1]) and not is_heading(plain(text))):
            key, texts, at = entries[-1]
            texts.append(text.strip())
            entries[-1] = key, texts, (at[0], row.number)
        else:
            return entries, index
    return entries, len(rows)


def _folded(key: str) -> str:
    """A key without capitals and accents."""
    letters = unicodedata.normalize("NFKD", key.casefold())
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if not unicodedata.combining(letter)))

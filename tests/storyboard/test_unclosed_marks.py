"""A mark without its partner takes nothing with it: a note or boneyard of a screenplay, a quotation mark of a CSV file.

What was read in doubt is said with its line; nothing is lost in silence.
"""

import codecs
import csv
import io
import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.storyboard.story.importers import import_csv, import_fountain

FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLAY = """\
EXT. PIER - DAY

A red boat leaves.

{}

MIRA
See you soon.

INT. CABIN - NIGHT

Mira lights a candle. [[close]]
"""


def said(imported, *words):
    """The reports that hold all these words."""
    return [report for report in imported.left_out if all(word in report for word in words)]


@pytest.mark.parametrize(("text", "mark", "line"), [
    ("[[Hm, ask the producer", "[[", 5), ("Gulls. [[Hm, ask", "[[", 5), ("Gulls. [[Hm,\nask the producer", "[[", 5),
    ("Gulls\n[[Hm, ask", "[[", 6), ("[[a note\nover two]] and [[Hm,", "[[", 6), ("[[one [[two]]", "[[", 5),
    ("[[Hm,\n\nask]]", "[[", 5), ("[[Hm,\n \nask]]", "[[", 5), ("[[Hm,\n\nask]]", "]]", 7),
    ("MIRA\n[[softly\nYes.", "[[", 6),
    ("/* cut this", "/*", 5), ("Gulls /* cut", "/*", 5), ("/* one /* two */", "/*", 5), ("one */", "*/", 5),
    ("/* put\n\naway */ Gulls /* cut", "/*", 7)])
def test_an_open_mark_is_text_and_is_said(text, mark, line):
    found = import_fountain(PLAY.format(text), "f")
    prompts = " ".join(panel["prompt"] for panel in found.data["panels"])
    assert said(found, f"line {line}: the mark {mark} "), found.left_out
    assert [scene["heading"] for scene in found.data["scenes"].values()] == ["EXT. PIER - DAY", "INT. CABIN - NIGHT"]
    assert "Mira lights a candle." in prompts and found.data["panels"][-1]["notes"] == "close"
    captions = [caption for panel in found.data["panels"] for caption in panel.get("captions", ())]
    assert {"text": "See you soon.", "speaker": "MIRA"} in captions


@pytest.mark.parametrize(("text", "notes", "prompt"), [
    ("[[one\ntwo]]", "one two", None), ("[[one\n  \ntwo]]", "one two", None), ("[[one\n   \n\t\n]]", None, None),
    ("Gulls [[one\ntwo\nthree]] cry.", "one two three", "Gulls cry. Setting: PIER, day, exterior."),
    ("Gulls\ncry. [[one]] [[two]]", "one\ntwo", "Gulls cry. Setting: PIER, day, exterior."),
    ("MIRA\nI [[one\ntwo]] go.", "one two", "MIRA speaks. Setting: PIER, day, exterior.")])
def test_a_note_over_several_lines(text, notes, prompt):
    """Of the panel it stands in, not over an empty line unless that holds two spaces, and nothing else is in it."""
    play = PLAY.replace("A red boat leaves.\n\n", "") if prompt else PLAY
    found = import_fountain(play.format(text), "f")
    panels = found.data["panels"]
    if notes is None:  # the row with a tab is empty, so the note has no end
        assert said(found, "[[")
        return
    assert found.left_out == () and panels[0]["notes"] == notes
    assert panels[0]["prompt"] == (prompt or "A red boat leaves. Setting: PIER, day, exterior.")


def test_a_title_page_keeps_its_notes_and_all_of_its_lines():
    found = import_fountain("Title: The Pier [[second draft]]\nAuthor: Ann\nAuthor: Bo\n\nA boat.", "f")
    assert found.data["title"] == "The Pier"
    assert found.left_out == ("title page, author: Ann Bo", "line 1: note 'second draft' on the title page")


def test_what_is_too_long_for_a_story_is_said():
    found = import_fountain(f".{'h' * 600}\n\n{'p' * 11_000} end\n\n.next\n\nA boat.", "f")
    assert said(found, "the end of the heading on line 1", "h" * 100)
    assert said(found, "the end of the prompt of panel s1-1", "p" * 100)
    assert len(found.data["panels"]) == 2


ROWS = st.sampled_from(["", "", "INT. PLACE - DAY", ".", "MIRA", "MIRA (V.O.)", "@mira", "(", "CUT TO:", "> ", "= ",
                        "# ", "~", "!", "Title: ", "[[", "[[", "/*", "]]", "*/", "  ", "*", "_"])


@FUZZ
@given(st.lists(st.tuples(ROWS, st.sampled_from(["", "", "[[", "]]", "/*", "*/", ")", "<"])), max_size=20),
       st.integers(0, 20))
@example([("", ""), ("[[", "")], 0)
@example([("[[", ""), ("", ""), ("", "]]")], 0)
@example([("", ""), ("> ", ""), ("> ", "")], 0)
def test_every_line_of_a_screenplay_is_somewhere(rows, at):
    """Each line has a word of its own: it is in the story or in the reports, unless it was put away /* like this */."""
    words = [f"w{number}w" for number in range(len(rows) + 1)]
    texts = [f"{before} {word}{after}".strip() if before else f"{word}{after}" if after else ""
             for (before, after), word in zip(rows, words, strict=False)]
    texts.insert(min(at, len(texts)), f"[[{words[-1]}")
    text = "\n".join(texts)
    try:
        found = import_fountain(text, "f")
    except InputError as error:
        assert error.field == "panels"
        return
    kept = re.sub(r"/\*(?:(?!/\*|\*/).)*\*/", "", text, flags=re.DOTALL)
    everything = f"{found.data} {found.left_out}".casefold()
    assert [word for word in words if word in kept and word not in everything] == []


HEADER = "Scene,Shot,Description,Cast\n"
ENCODINGS = [str.encode, lambda text: codecs.BOM_UTF8 + text.encode(), lambda text: text.encode("utf-16"),
             lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"), lambda text: text.encode("cp1252")]
ENDS = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])


@pytest.mark.parametrize("encode", ENCODINGS, ids=["UTF-8", "with BOM", "UTF-16", "big-endian", "Windows-1252"])
@ENDS
@pytest.mark.parametrize("first", ["", "sep=,\n"], ids=["", "sep="])
def test_an_open_quotation_mark_takes_no_rows(end, encode, first):
    """In every dialect: the line is read without it and named; so is one at the end of the file, and after it."""
    for delimiter in ",;\t|":
        text = (f'{first}{HEADER}1,1,A boat,\n1,2,"Mirä waves,Mirä\n2,1,"A ""big"" candle,\n'
                '2,2,"Mirä sits\nand waits",Mirä\n2,3,Mirä sings,"Mirä')
        found = import_csv(encode(text.replace(",", delimiter).replace("\n", end)), "s.csv")
        assert [(panel["id"], panel["prompt"], len(panel["characters"])) for panel in found.data["panels"]] == [
            ("1-1", "A boat.", 0), ("1-2", "Mirä waves.", 1), ("2-1", 'A "big" candle.', 0),
            ("2-2", "Mirä sits and waits.", 1), ("2-3", "Mirä sings.", 1)]
        lines = [line + len(first.splitlines()) for line in (3, 4, 7)]
        assert [report.split(" has a quotation mark that is never closed")[0] for report in said(found, "mark")] == [
            f"line {line}" for line in lines]


@pytest.mark.parametrize(("rows", "line"), [
    ('1,1,A boat,\n1,2,"Mira waves, laughing,Mira\n2,1,A candle,\n', 3),  # too many cells, if read alone
    ('1,1,A boat,\n1,2,"Mira waves\n2,1,A candle,\n', 3),  # too few
    ('1,1,A boat,\n1,2,"Mira waves\nand laughs,Mira\n2,1,"A candle, lit",\n', 3),
    ('1,1,"A boat\nwith "two" sails",\n1,2,Mira,\n', 2),
    ('1,1,A boat,\n1,2,Mira waves,Mira\n2,1,"A ""big"" candle, lit,\n', 4),
    ('1,1,A boat,\n1,2,"' + "x" * 200_000, 3),
    ('1,1,A boat,\n"\n1,2,Mira,\n', 3)])
@ENDS
def test_a_quotation_mark_whose_end_nobody_knows_is_refused(rows, line, end):
    with pytest.raises(InputError) as caught:
        import_csv((HEADER + rows).replace("\n", end).encode(), "s.csv")
    assert (caught.value.where, caught.value.field) == (f"s.csv:{line}", "row")


def test_a_mark_that_closes_another_by_chance_is_said():
    """5" at the end of a cell closes the mark left open two lines above."""
    rows = '1,2,"Mira waves,Mira\n2,1,A candle,\n2,2,A lens of 5",Mira\n3,1,A boat,\n'
    found = import_csv((HEADER + rows).encode(), "s.csv")
    assert said(found, "lines 2 to 4 as rows of their own") and "A boat." in found.data["panels"][-1]["prompt"]
    found = import_csv(b'Scene,Shot,Description,Cast\n"1","2","Mira waves,"Mira"\n"2","1","A boat",""\n', "s.csv")
    assert said(found, "line 2 has text after a closing quotation mark") and len(found.data["panels"]) == 2


@pytest.mark.parametrize(("cell", "prompt"), [
    ('"Mira waves,\nand laughs, loudly, long\nand goes"', "Mira waves, and laughs, loudly, long and goes."),
    ('"Mira says ""hi"",\n""ho"" and goes"', 'Mira says "hi", "ho" and goes.'), ('"""hi"""', '"hi".'),
    ('A 5" lens', 'A 5" lens.'), ('They say "hi"', 'They say "hi".'), ('A lens of 5"', 'A lens of 5".'),
    ('"Hi" she says', "Hi she says."), ('"' + "Rain, wind\n" * 800 + '"', " ".join(["Rain, wind"] * 800) + "."),
    ('"\n\nMira\n\n"', "Mira."), ('"Mira, in the sun"', "Mira, in the sun.")], ids=range(10))
@ENDS
def test_marks_that_fit_and_marks_that_are_text(cell, prompt, end):
    rows = f"{HEADER}1,1,{cell},Mira\n1,2,A boat,\n".replace("\n", end)
    found = import_csv(rows.encode(), "s.csv")
    assert [(panel["prompt"], panel["characters"]) for panel in found.data["panels"]] == [
        (prompt, ["Mira"]), ("A boat.", [])]
    assert found.left_out == ()


CELLS = st.sampled_from(["", "x", 'a "b" c', '5"', "a, b", "line\nline", '"', "; |\t"]) | st.text(
    st.characters(exclude_categories=["C", "Z"]), max_size=8)


@FUZZ
@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_what_a_spreadsheet_writes_is_never_refused(rows, delimiter):
    """And each of its cells is in the story or in the reports."""
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(
        [["Scene", "Shot", "Description", "Lens"], *([number, 1, f"p{number}p {row[0]}", f"n{number}n {row[1]}"]
                                                     for number, row in enumerate(rows))])
    found = import_csv(written.getvalue().encode(), "s.csv")
    assert len(found.data["panels"]) == len(rows)
    for number, panel in enumerate(found.data["panels"]):
        assert panel["prompt"].startswith(f"p{number}p") and panel["notes"].startswith(f"Lens: n{number}n")


@FUZZ
@given(st.integers(0, 7), st.integers(2, 3),
       st.lists(st.sampled_from(["x", '"a, b"', '"a\nb"', '5" x', '""']), min_size=8, max_size=8))
def test_no_row_is_lost_to_a_mark_left_open(at, column, cells):
    """A mark is left open in one row of eight: that row is named, or refused, and the rows after it are panels."""
    assume(any(cell != '""' for number, cell in enumerate(cells) if number != at))  # else there is no panel at all
    rows = [["1", str(number), cell, ""] for number, cell in enumerate(cells)]
    rows[at][column] = '"open'
    text = HEADER + "".join(",".join(row) + "\n" for row in rows)
    line = 2 + text.count("\n", len(HEADER), text.index('"open'))
    try:
        found = import_csv(text.encode(), "s.csv")
    except InputError as error:
        row = line - rows[at][2].count("\n")  # the first line of that row
        assert error.where == f"s.csv:{row}"
        return
    assert said(found, f"line {line} has a quotation mark"), found.left_out
    ids = [panel["id"] for panel in found.data["panels"]]
    assert [f"1-{number}" for number in range(at + 1, 8) if f"1-{number}" not in ids and cells[number] != '""'] == []

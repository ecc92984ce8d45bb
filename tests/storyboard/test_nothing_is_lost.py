"""Whatever the source: each of its lines is in the story, or in the reports with its words or its number."""

import csv
import io
import json
import re
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.storyboard.story.importers import import_csv, import_fountain, import_vistory
from kontinuity.storyboard.story.reading import read_yaml

FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORD = re.compile(r"w\d+w")


def lost(imported, text):
    """The words of `text` (each w<number>w, once) that are neither in the story nor reported."""
    told = set(WORD.findall(f"{imported.data} {imported.left_out}".casefold()))
    named = set()
    for report in imported.left_out:
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", " ".join(re.findall(r"lines? (\d[\d, -]*)", report))):
            named.update(range(int(first), int(last or first) + 1))
    rows = re.split("\r\n|\r|\n", text)
    return [word for number, row in enumerate(rows, 1) for word in WORD.findall(row)
            if word not in told and number not in named]


def with_words(template, words):
    """A template with a new word in place of each %."""
    return re.sub("%", lambda _: f"w{next(words)}w", template)


def counter():
    return iter(range(10**6))


ROWS = st.sampled_from([
    "", "", "", "  ", "%", "% %.", "INT. % - %", "1. INT. %", "12A EXT. % - DAY #%#", "I./E. %", "INT - %", "EXT.",
    ".%", ". %",
    "#1# INT. %", "2 EXT. % - DAWN 2", "INT. %\n%", "W %", "MIRA\n%", "MIRA (O.S.) (CONT'D)\n%", "MIRA (%)\n(%)\n%",
    "@% (%) ^\n%",
    "NORA %\n~%", "(%)", "(%\n%)", "*(%)*", "*%*", "_% **%**_", "~%", "~%\n~%\n%", "# %", "#%", "= %", "===",
    "=== %", "==", "> %", "> % <",
    "CUT TO:", "% TO:", "!%", "!INT. %", "[[%]]", "% [[%\n%]] %", "[[%\n\n%]]", "[[%", "%]]", "[[%]]]", "/* % */",
    "/* %\n\n%\n*/", "% /* % */ %",
    "/* %", "% */", "[[% /* % */ %]]", "Title: %", "Título: %", "Author:\n    %", "%: %", "Key %:\n\t%", "FADE IN:",
    "SCENE 5 - INT. %",
    "MIRA\n[[%]]", "MIRA\n/* % */\n%", "MIRA\n%\n  \n%", "INT. " + "x" * 600 + " %", "x" * 300 + " %"])


@FUZZ
@given(st.lists(ROWS, max_size=25))
@example(["Title: " + "x" * 300 + " %"])
@example(["INT. A", "", "x" * 11_000 + " %", "", "x" * 9_900 + " % [[" + "x " * 5000 + "%]]"])
@example(["A"] + ["# %"] * 150)
@example(["MIRA"] + ["(%)", "%"] * 60)
def test_screenplays(rows):
    words = counter()
    text = "\n".join(with_words(row, words) for row in rows)
    try:
        found = import_fountain(text, "f")
    except InputError as error:
        assert error.field == "panels"
        return
    assert lost(found, text) == []


TITLES = st.lists(st.sampled_from([
    "Scene", "Shot", "Shot #", "ID", "Action", "Characters", "Cast Members", "Location", "Duration (s)", "Time",
    "Dialogue", "VO",
    "Shot Size", "Camera Angle", "Camera Movement", "Transition", "Notes", "Seed", "Lens", "", "Beschreibung",
    "Frames"]), max_size=7)
CELLS = st.sampled_from([
    "", "", "%", "% %", "N/A", "-", "—", "TBD", "%/N/A", "%, % and %", "MIRA (V.O.), %", "% (V.O.)", "(%", "08:30",
    "2 min", "48 frames", "1:30 %",
    "0:05", "MIRA: %", "MIRA (%): %", "%: %", "SFX: %", "Note: %", "https://%", "We leave % at 10:30 %", "%\n%",
    "MIRA: %\n%: %", '"%"', '% 5"',
    "Scene %", "Scene", "Description", "7", "海%", "海", "x" * 600 + " %", "x " * 300 + "%"])


@FUZZ
@given(TITLES, st.lists(st.tuples(CELLS, st.lists(CELLS, max_size=9)), max_size=12), st.sampled_from(",;\t"),
       st.booleans())
@example(["Scene"], [("%", ["x" * 600 + " %"])], ",", True)
@example(["Dialogue"], [("%", ["%\n" * 60])], ",", True)
@example(["Cast"], [("%", ["%, " * 120])], ",", True)
@example(["Notes"], [("x" * 11_000 + " %", ["y" * 11_000 + " %"])], ",", True)
def test_shot_lists(titles, shots, delimiter, well_formed):
    words = counter()
    rows = [["Description", *titles], *([with_words(cell, words) for cell in (first, *rest)] for first, rest in shots)]
    written = io.StringIO()
    if well_formed:
        csv.writer(written, delimiter=delimiter).writerows(rows)
    else:
        written.write("\n".join(map(delimiter.join, rows)))
    try:
        found = import_csv(written.getvalue().encode(), "s.csv")
    except InputError as error:
        assert error.field in ("panels", "row", "header")
        return
    assert lost(found, written.getvalue()) == []


def words_under(keys, entry, under=False):
    """The words below any of the keys: of two languages one is only counted."""
    if isinstance(entry, dict):
        return [word for key, inner in entry.items() for word in words_under(keys, inner, under or key in keys)]
    if isinstance(entry, list):
        return [word for inner in entry for word in words_under(keys, inner, under)]
    return WORD.findall(entry or "") if under else []


WORDS = st.sampled_from(["%", "% %", "%: %", "", "none", "Mia", "Mia, %", "x" * 600 + " %", 7, None])
LANGUAGES = WORDS | st.dictionaries(st.sampled_from(["en", "ch",
"fr"]), WORDS | st.lists(WORDS, max_size=3), max_size=3)
ENTRIES = st.recursive(LANGUAGES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["name", "en", "%"]), inner, max_size=3), max_leaves=5)
SHOT = st.fixed_dictionaries({}, optional={name: LANGUAGES | ENTRIES for name in (
    "Setting Description", "Plot Correspondence", "Static Shot Description", "Shot Perspective Design",
    "Characters Appearing",
    "index", "Mood", "%")})
CHARACTER = st.fixed_dictionaries({}, optional={name: ENTRIES for name in (
    "name_en", "name_ch", "prompt_en", "prompt_ch", "tag", "num_of_appearances", "age")})


@FUZZ
@given(st.lists(SHOT, max_size=4), st.dictionaries(st.sampled_from(["Mia", "%", "%: %", "a/%"]), CHARACTER, max_size=3),
       st.dictionaries(st.sampled_from(["Story_type", "Author", "%"]), ENTRIES, max_size=3))
def test_stories_of_vistorybench(shots, characters, more):
    words = counter()
    story = {"Characters": characters, "Shots": [{"Static Shot Description": "%"}, *shots], **more}
    text = with_words(json.dumps(story, ensure_ascii=False, indent=0), words)
    data, lines = read_yaml(text, "story.json")
    try:
        found = import_vistory(data, lines, "story.json", Path("nowhere"))
    except InputError:
        return
    counted = words_under({"ch", "en", "name_ch", "name_en", "prompt_ch", "prompt_en", "num_of_appearances"}, data)
    assert [word for word in lost(found, text) if word not in counted] == []

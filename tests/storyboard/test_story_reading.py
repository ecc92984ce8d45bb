"""YAML without trust: bombs, tags, depth, and anything a random text can do."""

import json
import time

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError, did_you_mean
from kontinuity.storyboard import Change, Panel, Story, parse_story
from kontinuity.storyboard.story import reading

LOADERS = sorted({yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)}, key=lambda loader: loader.__name__)

BILLION_LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request, monkeypatch):
    """With libyaml and without: the same limits."""
    monkeypatch.setattr(reading, "_LOADER", request.param)


@pytest.mark.parametrize(("text", "line", "words"), [
    (BILLION_LAUGHS, 1, "'&a': is a YAML anchor"),
    ("a: 1\nb: *a\n", 2, "'*a': is a YAML alias"),
    ("a: 1\nb: *stars shine*\n", 2, "put it in quotes"),
    ("base: &b {x: 1}\nc: {<<: *b}\n", 1, "anchor"),
    ("a: !!python/object/apply:os.system [echo]\n", 1, "is a YAML tag"),
    ("\n\na: !!python/name:os.system\n", 3, "is a YAML tag"),
    ("a: !!int 3\n", 1, "is a YAML tag"),
    ("a: ! 3\n", 1, "is a YAML tag"),
    ("%TAG ! tag:evil,2000:\n---\na: !x 3\n", 3, "is a YAML tag"),
    ("a: 1\nb: 2\na: 3\n", 3, "'a': is written twice, first on line 1"),
    ("p:\n- {id: a,\n   id: b}\n", 3, "'id': is written twice, first on line 2"),
    ("? [1, 2]\n: 3\n", 1, "is a list or mapping where a name is expected"),
    ("[" * 100_000, 1, "nested deeper than 20"),
    ("{a: " * 5_000, 1, "nested deeper than 20"),
    ("\n".join(" " * i + "- " for i in range(900)) + "x", 21, "nested deeper than 20"),
    ("a: 1\n---\nb: 2\n", 2, "second YAML document"),
    ("a: b: c\n", 1, 'put text that contains a colon in "quotes"'),
    ("a: the girl\n  says: hi\n", 2, 'put text that contains a colon in "quotes"'),
    ("ä: 海: c\n", 1, 'put text that contains a colon in "quotes"'),
    ("a:\n\tb: 1\n", 2, "spaces, not with tabs"),
    ("a: [1, 2\nb: 3\n", 2, "is not valid YAML"),
    ("a: 'x\n", None, "is not valid YAML"),
    ("a: 1\nb: \x07\n", 2, "'U+0007': is a character"),
    ("a: \ud800\n", 1, "'U+D800'"),
    ('a: "x\\0y"\n', 1, "'U+0000'"),
])
def test_refuses(loader, text, line, words):
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        reading.read_yaml(text, "s.yaml")
    assert time.process_time() - start < 2
    assert words in str(caught.value) and "\n" not in str(caught.value)
    if line is not None:
        assert caught.value.where == f"s.yaml:{line}"


def test_half_an_emoji_in_an_escape(loader):
    with pytest.raises(InputError, match="s.yaml:1"):
        reading.read_yaml('a: "\\ud83d"', "s.yaml")


def test_ten_megabytes_are_refused_at_once():
    start = time.process_time()
    with pytest.raises(InputError, match="is more than the 1,048,576 bytes"):
        parse_story("version: 1\n" + "# filling\n" * 1_000_000)
    with pytest.raises(InputError, match="is more than the 1,048,576 bytes"):
        parse_story("ü" * 600_000)
    assert time.process_time() - start < 1


def test_a_megabyte_of_entries_is_bounded():
    with pytest.raises(InputError, match="is more than a story may have"):
        parse_story("a: [x" + ",x" * 500_000 + "]")


def test_scalars_stay_text_and_lines_are_kept(loader):
    text = "a: no\nb:\n  - 1e3\n  - ~\n  - '~'\n  - |\n    x\n    y\nc: {d: 12:30}\n"
    data, lines = reading.read_yaml(text, "s.yaml")
    assert data == {"a": "no", "b": ["1e3", None, "~", "x\ny\n"], "c": {"d": "12:30"}}
    assert lines == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 2): 5, ("b", 3): 6, ("c",): 9,
                     ("c", "d"): 9}


def test_did_you_mean():
    assert did_you_mean("promt", ["id", "prompt"]) == "did you mean 'prompt'?"
    assert did_you_mean("zzz", ["id", "prompt"]) == "known: id, prompt"
    assert did_you_mean("x", [f"panel{i}" for i in range(20)]).endswith("and 8 more")
    assert did_you_mean("x", []) == "there are none"


PIECES = st.sampled_from([
    "version: 1", "panels:",
    "- ", "id: a", "prompt: x", "characters:", "mia:", "{", "}", "[", "]", ":", ",", "\n", "  ",
    "&a", "*a", "!!python/name:os", "|", ">", '"', "'", "#", "?", "---", "...", "%", "<<: ", "null", "size: [6, 6]",
    "seed: 1", "\t", "\\u", "é", "😀", "\x85", "\u2028", "9" * 30])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(["version", "title", "seed", "size", "characters", "panels", "id", "prompt", "reference", "mia"])
    | st.text(max_size=5), inner, max_size=6), max_leaves=20)


def only_input_errors(text):
    try:
        parse_story(text, "s.yaml")
    except InputError as error:
        assert "\n" not in str(error) and error.where.startswith("s.yaml")


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(st.lists(PIECES, max_size=30).map("".join))
def test_fuzz_pieces_of_stories(text):
    only_input_errors(text)


@FUZZ
@given(st.text(alphabet=st.characters(), max_size=80))
def test_fuzz_text(text):
    only_input_errors(text)


@FUZZ
@given(DATA)
@example({"[": None})
def test_fuzz_well_formed_yaml(data):
    only_input_errors(yaml.safe_dump(data, allow_unicode=True))


@FUZZ
@given(st.fixed_dictionaries(
    {"version": st.just(1), "panels": st.lists(st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", "c"]), "prompt": st.text(max_size=9)},
        optional={"characters": DATA, "size": DATA, "seed": DATA}), max_size=3)},
    optional={"characters": st.dictionaries(st.sampled_from(["mia", "tom", "a/b"]), DATA, max_size=3), "size": DATA,
              "seed": DATA, "title": DATA}))
def test_fuzz_nearly_right_stories(data):
    only_input_errors(yaml.safe_dump(data, allow_unicode=True))


BOARD_FIELDS = sorted({*Story.model_fields, "$schema"} - {"version", "characters", "panels"})
PANEL_FIELDS = sorted({*Panel.model_fields, "from"} - {"id", "from_"})
INNER_FIELDS = [*Change.__dataclass_fields__, "picture", "references", "role", "crop", "region", "kind", "edit", "mia"]
VALUES = st.sampled_from(["left", "auto", "passes", "face", "a", "mia", "16:9", 0, 1, 2.5, -1, [0, 0, 1, 1]])
ENTRY = st.recursive(SCALARS | VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(INNER_FIELDS), inner, max_size=4), max_leaves=8)


@FUZZ
@given(st.fixed_dictionaries(
    {"version": st.just(1), "characters": st.fixed_dictionaries({"mia": ENTRY}) | st.just({"mia": None, "tom": None}),
     "panels": st.lists(st.fixed_dictionaries(
         {"id": st.sampled_from(["a", "b", "c"])}, optional={name: ENTRY for name in PANEL_FIELDS}), max_size=3)},
    optional={name: ENTRY for name in BOARD_FIELDS}))
@pytest.mark.parametrize("write", [lambda data: yaml.safe_dump(data, allow_unicode=True), json.dumps])
def test_fuzz_every_field(write, data):
    only_input_errors(write(data))


@pytest.mark.parametrize("text", [
    "Title: Pier\n\nEXT. PIER - DAY\n\nA red boat leaves.\n", "INT. CABIN - NIGHT\n\nMira lights a candle.\n"])
def test_a_pasted_screenplay_is_told_as_one(text):
    with pytest.raises(InputError, match="looks like a screenplay, and .* save it as NAME.fountain"):
        parse_story(text)


def test_a_story_with_headings_is_told_as_a_story():
    with pytest.raises(InputError, match="is not valid YAML"):
        parse_story("version: 1\npanels:\n- id: a\n  notes: |\n    INT. CABIN - NIGHT\n  prompt: [x\n")

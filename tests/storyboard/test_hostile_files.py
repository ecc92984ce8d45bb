"""Files made to take long or to nest deep: every importer is linear in the size of what it reads."""

import gc
import json
import time

import pytest
import yaml
from kontinuity.common import InputError
from kontinuity.storyboard import load_story
from kontinuity.storyboard.story import reading

PLAY = "EXT. PIER - DAY\n\nMIRA\nHello.\n\n"
LIST = "Scene,Shot,Description,Cast,Lens\n1,1,A boat,Mia,35\n"
STORY = "version: 1\npanels:\n- id: a\n  prompt: "
SMALL, TIMES = 4_000, 8  # bytes of the smaller file, how many times that the larger one has
MOST = 2.5 ** 3  # so much longer may eight times the size take; if the time grew with the square, it would be 64

REPEATED = {
    "fountain": (PLAY, [
        "[[", "[[\n", "[[ a ", "[[ a\n  \n", "]]", "x [[a]]\n", "[[a\nb]]", "/*", "/*\n", "/* a */", "(", " (a\n",
        "*", "**", "*a ", "_", "_a ", "*_a", "\\*", ">", "> a <\n", "<", "=", "= a\n", "#", "# a\n", "#a", ".",
        ".a\n\n", "~a\n", "@A\n", "MIRA ", "MIRA\n(a)\nb\n\n", "INT. ", "INT. A - B\n\n", " - ", '"', ",", "\n",
        "  \n", " ", "x\n", "x "]),
    "csv": (LIST, [
        '"', '""', '"\n', '"a', '"a\n', ',"a', ',"a\n', '1,"a\n', '5","a\n', '"a",', '"",""\n', '"a"b,',
        '1,1,"a\nb",c\n', ",", ",\n", ";", "a,a\n", "\n", "\r", " ", "x", "x\n", "'", '="', "a & ",
        "1,1,a,b,c,d,e\n"]),
    "yaml": (STORY, [
        "[", "{", "[\n", "{a: ", '{"a":', "[a, ", "- ", "? ", "]", ",", ": ", "\n  a: ", "a: b\n", "- a\n", "&a ",
        "*a ", "\n- &a [*a, *a]", "!a ", "'", "'a' ", '"', '"a" ', "\\", " #", "#a\n", "|\n", ">\n", "---\n", "x",
        "x ", "\n"]),
    "json": ("", [
        "[", '{"a":', '{"Shots":[']),
}


@pytest.mark.parametrize(("kind", "before", "text"), [
    *[(kind, before, text) for kind, (before, texts) in REPEATED.items() for text in texts],
    *[("csv", "Scene,Description", text) for text in (",", ",\n", ",x\n")],  # a wide header, or many rows
    *[("csv", LIST + '1,2,"', text) for text in ("a\n", '""', "a,")],
    *[("csv", "Scene,Description,Cast,Dialogue,Duration\n1,x,", text) for text in (
        "a/", "n/a ", "(a ", "(a)", "- ", "and ", "1,a: b\n1,x,", "a,a:b:\n,x,", "b,c,1 h 2 min \n,x,", "b,c,1:")],
    ("csv", "Scene,Description\nScene,Description\n", "Scene,Description\n"), ("csv", "Prompt\n", "a, b\n"),
    ("csv", "Description\n", "(a"), ("csv", "", "Shot Duration (s),"),
    *[("fountain", PLAY + "[[", text) for text in ("a\n", "\n", "[ ")],
    *[("fountain", "Title: x\n", text) for text in ("Author: a\n", " a\n", "k: ", "é: a\n")],
    *[("fountain", PLAY, text) for text in ("INT. a -" + " -" * 99 + "\n\n", "1 - ", "A\n/*\n\n*/\n", "]]]", "A (V.O.",
                                            "A\n(a\n(a\n\n", "A\n[[a]]\n")],
    ("yaml", 'a: "', "\\"), ("yaml", "a: '", "''"), ("yaml", "a: {", "b: c, "), ("yaml", "a: [", "x, ")])
def test_time_is_linear_in_size(tmp_path, kind, before, text):
    path = tmp_path / ("story.json" if kind == "json" else f"a.{kind}")
    count = SMALL // len(text) // 2 * 2  # marks in pairs in both files, so that both are read in the same way
    assert_linear(path, before + text * count, before + text * (count * TIMES))


def test_a_wide_header_over_many_rows(tmp_path):
    files = ["Scene,Description" + "," * (size // 2) + "\n" + "1,\n" * (size // 6) for size in (SMALL, SMALL * TIMES)]
    assert_linear(tmp_path / "a.csv", *files)


def test_many_entries_of_vistorybench(tmp_path):
    def story(count):
        shots = [{"Static Shot Description": {"en": "x"}, "index": "1", f"k{number}": 1,
                  "Characters Appearing": {"en": [f"n{number}"] * 9}} for number in range(count)]
        return json.dumps({"Characters": {f"n{number}": {"prompt_en": "y"} for number in range(count)}, "Shots": shots})

    assert_linear(tmp_path / "story.json", story(50), story(50 * TIMES))


def assert_linear(path, small, large):
    """Reading the larger file takes no longer than its size explains. The best of up to four tries counts, since
    others use the processor too; what takes less than 0.02 s is no trouble."""
    def seconds(text):
        path.write_bytes(text.encode())
        gc.disable()
        start = time.process_time()
        try:
            load_story(path)
        except InputError:
            pass
        finally:
            gc.enable()
        return time.process_time() - start

    shortest, longest = float("inf"), float("inf")
    for _ in range(4):
        shortest, longest = min(shortest, seconds(small)), min(longest, seconds(large))
        if longest < max(0.02, MOST * shortest):
            return
    raise AssertionError(f"{len(large) / len(small):.1f} times the size takes {longest / shortest:.1f} times as long")


@pytest.mark.parametrize("levels", [21, 64, 1000, 1001, 1024, 5000, 100_000])
@pytest.mark.parametrize("text", ["[", "[ ", "[\n", "{a: ", '{"a":', "- [", "- ", "[{a: "])
def test_depth_is_refused_at_any_depth(text, levels):
    with pytest.raises(InputError, match="is nested deeper than 20 levels"):
        reading.read_yaml("a:\n  " + text * levels, "s.yaml")


@pytest.mark.parametrize("error", [yaml.MarkedYAMLError(problem="far"), yaml.YAMLError("far"), RecursionError("far")],
                         ids=["with a line", "without", "recursion"])
def test_depth_is_refused_whatever_pyyaml_says(monkeypatch, error):
    """Also where PyYAML refuses before it hands out anything, and only there."""
    def refuse(text, Loader):
        raise error
        yield

    monkeypatch.setattr(reading.yaml, "parse", refuse)
    for text, line in (("[" * 21, 1), ("a:\n  b: [" + "\n {c: [" * 10, 12), ('{"a":' * 30, 1), ("- " + "[ " * 25, 1),
                       ("# [[\na: ']' \nb: [" + "{x: '}', y: [" * 10, 3)):
        with pytest.raises(InputError) as caught:
            reading.read_yaml(text, "s.yaml")
        assert (caught.value.where, caught.value.problem) == (f"s.yaml:{line}", "is nested deeper than 20 levels")
    for text in ("[" * 20, "[" * 20 + "]" * 20 + " [", "a: '" + "[" * 30, "[" + "[], " * 30, 'a: "' + "[" * 30,
                 "# " + "[" * 30, "a: see " + "[" * 30):
        with pytest.raises(InputError) as caught:
            reading.read_yaml(text, "s.yaml")
        assert "nested" not in str(caught.value), text

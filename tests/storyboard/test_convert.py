"""The command that checks a story and writes it as YAML."""

from pathlib import Path

from kontinuity.storyboard import load_story
from kontinuity.storyboard.convert import main

FERRY = Path(__file__).with_name("imports") / "ferry.fountain"


def test_a_screenplay_becomes_a_file_to_edit(tmp_path, capsys):
    out = tmp_path / "stories" / "ferry.yaml"
    assert main([str(FERRY), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and said.err.endswith("5 panels\n")
    assert "not imported: title page, author: A. Tester\n" in said.err and "panel transition (2)" in said.err
    assert load_story(out).story.model_dump() == load_story(FERRY).story.model_dump()
    assert main([str(FERRY), "--out", str(out)]) == 2 and "exists already" in capsys.readouterr().err
    assert main([str(out)]) == 0 and capsys.readouterr().out == out.read_text("utf-8")


def test_what_is_wrong_is_said_in_one_line(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("version: 1\npanels: [{id: a, promt: x}]")
    assert main([str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("s.yaml:2: panel 'a' 'promt': is not a field here") and \
        said.err.count("\n") == 1
    assert main([str(tmp_path / "none.csv")]) == 2
    (tmp_path / "wall").write_text("")
    assert main([str(FERRY), "--out", str(tmp_path / "wall" / "x.yaml")]) == 2

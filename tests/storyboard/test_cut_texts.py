"""A # behind a blank begins a comment in YAML, also in a sentence about a colour: what may be cut is said."""

import re

import pytest
import yaml
from kontinuity.common import InputError
from kontinuity.storyboard import load_story, parse_story, story_text
from kontinuity.storyboard.convert import main
from kontinuity.storyboard.story import reading

LOADERS = sorted({yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)}, key=lambda loader: loader.__name__)


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request, monkeypatch):
    """With libyaml and without: the same lines."""
    monkeypatch.setattr(reading, "_LOADER", request.param)


def said(text):
    return [(int(re.match("line ([0-9]+): ", report)[1]), report.split(" behind ")[0].split(": ", 1)[1])
            for report in story_text(text).left_out]


STORY = "version: 1\nlanguage: en\npanels:\n- id: a\n  {}\n"


@pytest.mark.parametrize(("written", "cut"), [
    ("prompt: Change the shirt to #ff0000, keep the face.", "#ff0000, keep the face."),
    ("prompt: Ihr Häschen 🐇 trägt die #7, full body.", "#7, full body."), ("prompt: She waves #beach #sun",
    "#beach #sun"),
    ("prompt: A boat\n    at the pier #9", "#9"),
    ("prompt: x\n  captions:\n  - Meet at #9", "#9"),
    ("prompt: x\n  captions: [{text: x}]\n  notes: see #12", "#12"), ("prompt: x\n  voice: at gate #4", "#4"),
    ("change: {scene: x}\n  shot: wide #1", "#1"), ("change:\n    scene: gate #4", "#4"),
    ("prompt: x\n  masks:\n    edit: hat #2.png", "#2.png")])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_text_that_may_be_cut_is_said_with_its_line(loader, written, cut, end):
    text = STORY.format(written)
    line = 1 + text[: text.index(cut)].count("\n")
    assert said(text.replace("\n", end)) == [(line, cut)]


@pytest.mark.parametrize("written", [
    "prompt: She waves # a comment", "prompt: She waves #", "prompt: She waves ## mine", "prompt: She waves #--- mine",
    "prompt: 'to #ff0000'", 'prompt: "to #ff0000"  #red', "prompt: >-\n    to #ff0000, keep",
    "prompt: |\n    to #ff0000",
    "prompt: to#ff0000", "prompt: x\n  #prompt: y", "prompt: x\n  # y\n  #z", "prompt: x\n  seed: 7 #lucky",
    "prompt: x\n  size: [512, 512] #small", "prompt: x\n  characters: [] #nobody",
    "prompt: x\n  duration: 3 #short", "prompt: x #",
    "prompt: x\n  together: auto #both", "start_frame: a.png\n  end_frame: b.png\n  frames: 7 #few",
    "prompt: x\n#end"])
def test_comments_are_not_said(loader, written):
    assert said(STORY.format(written)) == []


def test_a_name_in_a_list_of_characters_is_no_text(loader):
    cast = "prompt: x\n  characters:\n  - name: mia #her\n    strength: 1.2 #more\n    action: at gate #4\n"
    assert said(STORY.format(cast) + "characters: {mia: }") == [(9, "#4")]
    assert said(STORY.format("prompt: x") + "characters:\n  mia:\n    name: Mia #2\n") == [(8, "#2")]


def test_where_nothing_is_left_the_remedy_says_why(loader):
    with pytest.raises(InputError, match=r"story text:5: panel 'a' prompt.*to YAML #ff0000 is the shirt is a comment"):
        parse_story(STORY.format("prompt: #ff0000 is the shirt"))
    for written in ("prompt: to #ff0000, keep\n    the face", "captions: [at #9, now]\n  prompt: x",
                    "change: {scene: at #9, objects: [x]}"):
        with pytest.raises(InputError, match=r"story text:[0-9]+: .*put the text on line 5 in \"quotes\": a # behind"):
            parse_story(STORY.format(written))


def test_convert_and_files_say_it(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text(STORY.format("prompt: to #ff0000"))
    loaded = load_story(path)
    assert loaded.yaml == path.read_text() and loaded.story.panels[0].prompt == "to"
    report = 'line 5: #ff0000 behind prompt, which YAML takes for a comment; if it belongs to the text, put the text ' \
        'in "quotes"'
    assert loaded.left_out == (report,)
    assert main([str(path)]) == 0 and f"not imported: {report}\n" in capsys.readouterr().err

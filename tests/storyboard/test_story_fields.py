"""The longer story file: every field, its mistakes, and what is promised to files of today."""

import json
from pathlib import Path

import pytest
from kontinuity.common import Box, InputError
from kontinuity.storyboard import Change, panel_seed, parse_story, read_story, reserved_fields
from kontinuity.storyboard.story.appearance import Appearance

FULL = Path(__file__).with_name("every_field.yaml").read_text("utf-8")


def error_of(text):
    with pytest.raises(InputError) as caught:
        parse_story(text, "s.yaml")
    assert "\n" not in str(caught.value)
    return caught.value


def test_reads_every_field():
    story = parse_story(FULL)
    assert (story.language, story.aspect, story.fps, story.together) == ("en", 16 / 9, 24.0, "stitch")
    assert (story.style.text, story.style.picture) == ("watercolour, soft edges", "style.png")
    mia, tom = story.characters.values()
    assert [(r.picture, r.role, r.crop) for r in mia.pictures] == [
        ("mia.png", "body", None), ("mia_face.png", "face", (10, 20, 310, 320)), ("mia_back.png", "back", "auto")]
    assert mia.traits.startswith("a girl") and [r.picture for r in tom.pictures] == ["tom.png"]
    rain, aid, later = story.panels
    assert (later.start_frame, later.end_frame, later.frames, later.is_series) == ("before.png", "help", 5, True)
    assert story.location(rain).description == "a park in autumn" and story.location(aid).picture == "cafe.png"
    assert [caption.kind for caption in rain.captions] == ["speech", "sound", "speech"]
    assert (rain.min_score, rain.stop_score, rain.candidates, rain.duration) == (0.6, 0.9, 4, 2.5)
    assert rain.notes == "First line.\nSecond line.\n" and rain.voice.file == "voices/rain.wav"
    assert aid.change == Change(action="holding an umbrella over her", add=("a yellow umbrella",),
                                keep=("the same faces",), recolour={"the coat": "blue"}, text={"OPEN": "CLOSED"})
    assert (aid.from_, aid.prompt, story.cast(aid)) == ("rain", "", ("mia", "tom"))
    assert aid.appearance("mia") == Appearance(region=Box(0, 0, 0.5, 1), action="smiling")
    assert aid.appearance("tom").region == Box(0.5, 0, 1, 1) and rain.appearance("mia") == Appearance()


def test_json_says_the_same():
    import yaml

    data = yaml.safe_load(FULL.replace("16:9", "'16:9'"))
    for text in (json.dumps(data), json.dumps(data, indent="\t", ensure_ascii=False)):
        assert parse_story(text).model_dump() == parse_story(FULL).model_dump()
    assert parse_story('{"$schema": "x", "version":1,"panels":[{"id":"a","prompt":"\\ud83d\\ude00 a\\/b \\n c"}]}'
                       ).panels[0].prompt == "😀 a/b c"
    flow = "{version: 1, panels: [{id: a, prompt: at 12:30, notes: 'it''s'}]}"  # YAML, and no JSON
    assert parse_story(flow).panels[0].prompt == "at 12:30"
    wrong = '{\n "version": 1,\n "panels": [\n\t{"id": "a", "promt": "x"}]}'
    assert str(error_of(wrong)).startswith("s.yaml:4: panel 'a' 'promt': is not a field here; did you mean 'prompt'?")
    assert error_of('{"version": 1, "panels": [{"id": "a", "prompt": "\\ud83d"}]}').where == "s.yaml:1"


@pytest.mark.parametrize(("old", "new", "field", "words"), [
    ("from: rain", "from: rian", "panel 'help' from", "'rian': is not a panel of this story; did you mean 'rain'?"),
    ("from: rain", "from: help", "panel 'help' from", "goes round in a circle: help from help"),
    ("    characters: [mia]\n", "    from: help\n    characters: [mia]\n", "panel 'rain' from",
     "goes round in a circle: rain from help from rain"),
    ("scene: one", "scene: on", "panel 'rain' scene", "did you mean 'one'?"),
    ("location: cafe", "location: bar", "panel 'help' location", "is not a location of this story"),
    ("location: park,", "location: bark,", "scene 'one' location", "did you mean 'park'?"),
    ("end_frame: help", "end_frame: hlp", "panel 'later' end_frame", "did you mean 'help'?"),
    ("end_frame: help", "end_frame: ../a.png", "panel 'later' end_frame", "leaves the story's folder"),
    ("aspect: 16:9", "aspect: wide", "aspect", "is not a shape; write width:height"),
    ("aspect: 16:9", "aspect: 9:1", "aspect", "is not between 1:4 and 4:1"),
    ("aspect: 16:9", "aspect: 0:0", "aspect", "is not between"),
    ("seed: 11", "seed: 11\nsize: [64, 64]", "aspect", "is written beside size"),
    ("fps: 24", "fps: nan", "fps", "is not a number"),
    ("fps: 24", "fps: 0", "fps", "is too small; use more than 0, at most 240"),
    ("candidates: 4", "candidates: 17", "panel 'rain' candidates", "'17': is too large; use 1 to 16"),
    ("candidates: 4", "candidates: 1.5", "panel 'rain' candidates", "is not a whole number"),
    ("min_score: 0.6", "min_score: 60", "panel 'rain' min_score", "is too large; use 0 to 1"),
    ("duration: 2.5", "duration: long", "panel 'rain' duration", "is not a number"),
    ("kind: sound", "kind: sond", "panel 'rain' captions kind", "did you mean 'sound'?"),
    ("together: passes", "together: stich", "panel 'help' together", "did you mean 'stitch'?"),
    ("region: left", "region: top", "panel 'help' characters mia region", "'top': is not a region; write left"),
    ("[0.5, 0, 0.5, 1]", "[0.6, 0, 0.5, 1]", "panel 'help' characters tom region", "is not a region"),
    ("action: smiling", "acton: smiling", "panel 'help' characters mia", "did you mean 'action'?"),
    ("tom: {region", "tim: {region", "panel 'help' characters tim", "is not a character of this story"),
    ("action: holding", "acton: holding", "panel 'help' change", "is not a field here; did you mean 'action'?"),
    ("change:\n", "prompt: x\n    change:\n", "panel 'help' prompt", "is written beside change"),
    ("recolour: {the coat: blue}", "recolour: blue", "panel 'help' change recolour", "is not a mapping"),
    ("[10, 20, 300, 300]", "[10, 20, 0, 300]", "character 'mia' references crop", "is not a part of a picture"),
    ("role: back", "role: none", "character 'mia' references role",
     "'none': is not one of the words known here; known: body, face, outfit, side, back"),
    ("picture: mia_face.png", "pictur: mia_face.png", "character 'mia' references", "did you mean 'picture'?"),
    ("voice: bright, quick", "reference: mia.png", "character 'mia' reference", "is written beside references"),
    ("{edit: help_mask.png}", "{edit: /mask.png}", "panel 'help' masks edit", "is an absolute path"),
    ("language: en", "language: " + "e" * 501, "language", "is too long; use at most 500 characters"),
])
def test_mistakes(old, new, field, words):
    assert FULL.count(old) == 1
    error = error_of(FULL.replace(old, new))
    assert (error.field, words in str(error)) == (field, True), str(error)
    assert int(error.where.removeprefix("s.yaml:")) > 0


def test_a_panel_from_another_has_its_cast():
    story = parse_story("""\
version: 1
characters: {mia: , tom: }
panels:
  - {id: c, from: b, prompt: x}
  - {id: b, from: a, prompt: x}
  - {id: a, characters: [tom], prompt: x}
""")
    assert [story.cast(panel) for panel in story.panels] == [("tom",)] * 3
    assert [panel.id for panel in story.sources(story.panels[0])] == ["b", "a"]


def test_what_is_not_used_yet_is_said():
    unused = reserved_fields(parse_story(FULL))
    assert {"language", "style picture (1)", "character voice (1)", "location picture (1)",
            "panel captions position (1)", "panel angle (1)"} <= set(unused)
    assert not any(name.startswith(("panel masks", "panel captions (")) for name in unused)
    assert not any("region" in name for name in unused)  # it is made in passes
    assert reserved_fields(parse_story("version: 1\npanels: [{id: a, prompt: x}]")) == ()


def test_every_field_is_used_or_listed():
    """A new field must be put to use or into reserved.py; this is the list of those in use."""
    used = {"id", "prompt", "change", "from_", "characters", "together", "scene", "location", "shot", "seed", "size",
            "notes", "angle", "candidates", "min_score", "stop_score", "masks", "captions", "duration", "frames"}
    from kontinuity.storyboard import Panel
    from kontinuity.storyboard.story import reserved as unused
    assert used | {*unused._PANEL, *unused._OF_A_SERIES} == set(Panel.model_fields)


def test_the_file_of_version_1_reads_as_ever():
    """The promise to people's files: this one is never changed, and neither is what it means."""
    story = read_story(Path(__file__).with_name("version_1.yaml"))
    assert (story.version, story.title, story.seed, story.size) == (1, "A day out", 7, (128, 96))
    assert {name: character.reference for name, character in story.characters.items()} == {
        "mia": "cast/mia.png", "tom": None}
    found = [(panel.id, panel.prompt, panel.characters, panel.seed, panel.size, story.cast(panel),
              panel_seed(story.seed, panel.id)) for panel in story.panels]
    assert found == [
        ("beach", "Change the background to a beach, she waves. Keep the same face, hair and clothes.", ("mia",), None,
         None, ("mia",), 4189972329295167),
        ("007", "no", ("mia", "tom"), 3, (192, 128), ("mia", "tom"), 3572175300381809),
        ("Empty_street-2", "An empty street: nobody there.", (), 18446744073709551615, None, (), 2241924644350869),
    ]


def test_work_grows_with_the_number_of_panels(monkeypatch):
    """500 panels take twice the work of 250, counted in Python calls, not in time."""
    import sys

    def calls(count):
        panels = "".join(f"- {{id: p{i}, prompt: x, from: {'reference' if i % 5 == 0 else f'p{i - 1}'}, "
                         f"characters: [c{i % 9}], captions: [a, b], scene: s}}\n" for i in range(count))
        people = "".join(f"  c{i}: {{traits: somebody}}\n" for i in range(9))
        text = f"version: 1\ncharacters:\n{people}scenes: {{s: here}}\npanels:\n{panels}"
        counted = 0

        def count_call(frame, event, arg):
            nonlocal counted
            counted += 1
        sys.setprofile(count_call)
        try:
            parse_story(text)
        finally:
            sys.setprofile(None)
        return counted

    calls(10)  # imports and caches
    assert calls(500) < 2.2 * calls(250)


def test_a_chain_of_a_thousand_panels():
    text = "version: 1\npanels:\n" + "".join(
        f"- {{id: p{i}, prompt: x, from: {'reference' if i == 999 else f'p{i + 1}'}}}\n" for i in range(1000))
    story = parse_story(text)
    assert len(list(story.sources(story.panels[0]))) == 999
    assert "goes round in a circle" in str(error_of(text.replace("from: reference", "from: p0")))

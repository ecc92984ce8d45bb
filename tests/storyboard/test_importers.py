"""Screenplays, shot lists and ViStoryBench stories become stories; what does not fit is said."""

import codecs
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.storyboard import load_story, parse_story
from kontinuity.storyboard.story import importers
from kontinuity.storyboard.story.importers.imported import Draft
from PIL import Image

FILES = Path(__file__).with_name("imports")


def load(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_story(path)


def text_of(story):
    """The YAML of an imported story reads as that story."""
    assert parse_story(story.yaml).model_dump() == story.story.model_dump()
    return yaml.safe_load(story.yaml)


def test_a_screenplay():
    loaded = load_story(FILES / "ferry.fountain")
    data = text_of(loaded)
    assert data["title"] == "The Last Ferry"
    assert data["characters"] == {"MARTA": {"name": "MARTA"}, "JOSEF": {"name": "JÓSEF"},
                                  "McBride": {"name": "McBride"}}
    assert data["locations"] == {"HARBOUR": {"description": "HARBOUR, exterior"},
                                 "WAITING-ROOM": {"description": "WAITING ROOM, interior"},
                                 "MONTAGE": {"description": "MONTAGE"}}
    assert data["scenes"] == {
        "1A": {"heading": "EXT. HARBOUR - NIGHT", "location": "HARBOUR", "notes": "The ferry is seen leaving."},
        "s2": {"heading": "INT. WAITING ROOM - LATER", "location": "WAITING-ROOM"},
        "s3": {"heading": "MONTAGE", "location": "MONTAGE"}}
    quay, arrival, room, shouted, end = data["panels"]
    assert quay == {
        "id": "1A-1", "scene": "1A", "characters": [], "notes": "Wide, from the crane",
        "prompt": "Rain on an empty quay. A rope slides into the water. Setting: HARBOUR, night, exterior."}
    assert arrival["characters"] == ["MARTA", "JOSEF", "McBride"] and arrival["transition"] == "cut to"
    assert "Old JÓSEF follows slowly." in arrival["prompt"]
    assert arrival["captions"] == [
        {"text": "Wait! Wait for us!\nLa la la", "speaker": "MARTA"},
        {"text": "It is gone.", "speaker": "JÓSEF", "kind": "narration"}, {"text": "Too late.", "speaker": "McBride"}]
    assert arrival["notes"] == "MARTA (out of breath)\nJÓSEF (O.S.)"
    assert room["prompt"] == "MARTA speaks. Setting: WAITING ROOM, later, interior."
    assert room["captions"] == [{"text": "And now?\nNow we wait.", "speaker": "MARTA"}]
    assert room["characters"] == ["MARTA"]
    assert shouted["prompt"].startswith("INT. IS NOT A HEADING HERE. Setting: WAITING ROOM")
    assert (end["prompt"], end["transition"], end["notes"]) == (
        "THE END. Setting: MONTAGE.", "fade out", "a note over two lines")
    assert "NOWHERE" not in loaded.yaml
    assert loaded.left_out == (
        "title page, credit: Written by", "title page, author: A. Tester", "title page, draft date: 1/2/2026",
        "title page, contact: Somewhere 1 Some Town", "lines 23, 46-50: what is put away in /* */",
        "line 10: transition 'fade in' before the first panel", "line 12: section 'Act One'",
        "line 14: synopsis 'Two people miss a boat.' outside a scene",
        "line 33: that McBride speaks at the same time as the one before")
    assert all(f"# not imported: {line}\n" in loaded.yaml for line in loaded.left_out)


def test_a_name_is_told_from_a_word(tmp_path):
    text = "INT. BAR - DAY\n\nHe will go, a rose in hand.\n\nWill goes to ROSE.\n\nWILL\nBye.\n\nROSE\nBye."
    assert [panel.characters for panel in load(tmp_path, "a.fountain", text).story.panels] == [(), ("WILL", "ROSE")]


def test_a_screenplay_of_one_line_and_one_of_none(tmp_path):
    panel, = load(tmp_path, "a.fountain", "A door opens").story.panels
    assert (panel.id, panel.prompt, panel.scene) == ("s0-1", "A door opens", None)
    for text in ("", "Title: Nothing\n\n", "# only\n\n= this", "INT. ROOM - DAY\n\n[[nobody]]"):
        with pytest.raises(InputError, match=r"a\.fountain: panels 'none': nothing was found"):
            load(tmp_path, "a.fountain", text)
    many = "INT. ROOM - DAY\n\n" + "Something happens.\n\n" * 1001
    with pytest.raises(InputError, match=r"a\.fountain: panels 'more than 1000': are too many.*split the file"):
        load(tmp_path, "a.fountain", many)


def test_a_long_screenplay_keeps_its_ids_when_a_scene_grows(tmp_path):
    scene = "INT. ROOM {} - DAY #{}#\n\nHe comes.\n\nHe goes.\n\n"
    before = load(tmp_path, "a.fountain", "".join(scene.format(i, i) for i in range(9))).story
    after = load(tmp_path, "a.fountain", "".join(scene.format(i, i) + ("He is back.\n\n" if i == 3 else "")
                                                 for i in range(9))).story
    assert [panel.id for panel in after.panels if panel.id != "3-3"] == [panel.id for panel in before.panels]


EXCEL = """\
The Last Ferry;;;;;;;
;;;;;;;
Scene;Shot #;Description;Cast;Shot Size;Dur.;Dialogue;Lens
1;1;"Rain on the quay; nobody, yet";;Wide;2,5;;35mm
1;="01A";Marta runs in.;Marta, Jósef;Medium Close-Up;0:04;"Marta: Wait!
Jósef: It is gone.";
;;;;;;;
2;1;They sit;Marta & Jósef;;4 sec;And now?;
2;1;The same again;-;;soon;;50mm
2;2;;Marta;;;No picture;
"""
SHOTS = [("1-1", "Rain on the quay; nobody, yet.", [], "Wide", 2.5),
         ("1-01A", "Marta runs in.", ["Marta", "Josef"], "Medium Close-Up", 4.0),
         ("2-1", "They sit.", ["Marta", "Josef"], "", 4.0), ("2-1-2", "The same again.", [], "", None)]


@pytest.mark.parametrize("encode", [
    lambda text: text.encode(), lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    lambda text: ("sep=;\n" + text).encode(), lambda text: text.encode("utf-16"),
    lambda text: text.encode("cp1252"), lambda text: retabled(text, ",").encode(),
    lambda text: retabled(text, "\t").encode("utf-16-le").join([codecs.BOM_UTF16_LE, b""])],
    ids=["utf-8", "bom and crlf", "sep=", "utf-16", "cp1252", "commas", "Excel's Unicode text"])
def test_a_shot_list_of_excel(tmp_path, encode):
    loaded = load(tmp_path, "shots.csv", encode(EXCEL.replace("Dur.", "Duration")))
    panels = text_of(loaded)["panels"]
    assert [(p["id"], p["prompt"], p["characters"], p.get("shot", ""), p.get("duration")) for p in panels] == SHOTS
    assert panels[1]["captions"] == [{"text": "Wait!", "speaker": "Marta"}, {"text": "It is gone.", "speaker": "Jósef"}]
    assert panels[0]["notes"] == "Lens: 35mm" and panels[3]["notes"] == "duration: soon\nLens: 50mm"
    assert "column 'Lens': its values are in the panels' notes" in loaded.left_out
    assert any("above the header: The Last Ferry" in line for line in loaded.left_out)
    assert any("without a description: 2 2 Marta No picture" in line for line in loaded.left_out)


def retabled(text, delimiter):
    import csv
    import io

    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(csv.reader(io.StringIO(text), delimiter=";"))
    return written.getvalue()


def test_shot_lists_of_others(tmp_path):
    loaded = load(tmp_path, "s.csv", "ID,Prompt,Action,Characters,Location,Camera Angle,Seed,Notes,Transition,VO\n"
                  "beach,Wide beach,Mia waves,mia,the beach,low,7,sunny,cut,Long ago\nsea,The sea,,,The Beach,,x,,,\n")
    beach, sea = loaded.story.panels
    assert (beach.id, beach.prompt, beach.seed, beach.angle) == ("beach", "Wide beach. Mia waves.", 7, "low")
    assert (beach.notes, beach.transition, beach.captions[0].kind) == ("sunny", "cut", "narration")
    assert beach.location == sea.location == "the-beach" and sea.notes == "seed: x" and sea.seed is None
    german = load(tmp_path, "s.csv", "Szene;Nr.;Beschreibung;Einstellungsgröße;Dauer;Ort\n"
                  "1;2;Ein Hund;Totale;3,5;Hof\n")
    assert german.story.panels[0].model_dump(include={"id", "prompt", "shot", "duration", "location"}) == {
        "id": "1-2", "prompt": "Ein Hund.", "shot": "Totale", "duration": 3.5, "location": "Hof"}
    numbered = load(tmp_path, "s.csv", "#,Description\n7,x\n8,y\n").story
    assert [panel.id for panel in numbered.panels] == ["7", "8"]
    with pytest.raises(InputError, match=r"s\.csv:1: header 'a b': has no columns a story knows; name the columns"):
        load(tmp_path, "s.csv", "a,b\n1,2\n")
    with pytest.raises(InputError, match="nothing was found that could be a panel"):
        load(tmp_path, "s.csv", "Scene,Description\n")
    with pytest.raises(InputError, match=r"s\.csv:2: row '1,xxx.*': has a cell of more than 131,072 characters"):
        load(tmp_path, "s.csv", "Scene,Description\n1," + "x" * 140_000)


def test_a_story_of_vistorybench(tmp_path):
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "image" / "Fox").mkdir(parents=True)
    for name in ("01.jpg", "00.jpg", "readme.txt"):
        image.save(tmp_path / "image" / "Fox" / name, "JPEG")
    loaded = load(tmp_path, "story.json", codecs.BOM_UTF8 + (FILES / "vistory" / "story.json").read_bytes())
    data = text_of(loaded)
    assert data["language"] == "en"
    assert data["characters"] == {
        "The-Lantern-Maker": {"name": "The Lantern Maker", "traits": "an old man with a white beard and a blue apron"},
        "Fox": {"name": "Fox", "traits": "a red fox with a torn ear",
                "references": [{"picture": "image/Fox/00.jpg"}, {"picture": "image/Fox/01.jpg"}]}}
    assert data["panels"] == [
        {"id": "shot-01", "characters": ["The-Lantern-Maker"], "shot": "Medium shot, eye level",
         "prompt": "The old man bends over a table and glues red paper. A workshop full of paper lanterns, evening. "
         "Medium shot, eye level.", "notes": "He finishes the last lantern."},
        {"id": "shot-02", "prompt": "A fox stands in the door, the old man turns to it. The workshop's open door. "
         "Long shot.", "characters": ["The-Lantern-Maker", "Fox"], "shot": "Long shot", "notes": "A fox looks in."}]
    assert set(loaded.left_out) == {
        "Story_type: Fairy tale", "tag of The Lantern Maker: unrealistic_human", "tag of Fox: non_human",
        "shot 2: Bird, who is not among the characters", "shot 2: Mood, which is no part of the format: curious",
        "the texts in the other language, and counts: ch (13), name_ch (2), prompt_ch (2), num_of_appearances (2)"}


def test_a_chinese_vistory(tmp_path):
    text = (FILES / "vistory" / "story.json").read_text("utf-8")
    data = json.loads(text, object_pairs_hook=lambda pairs: {key: value for key, value in pairs
                                                            if key not in ("en", "name_en", "prompt_en")})
    loaded = load(tmp_path, "story.json", json.dumps(data))
    assert loaded.story.language == "zh" and loaded.story.panels[0].prompt == "老人. 作坊. 中景."
    assert [len(panel.characters) for panel in loaded.story.panels] == [1, 2]
    with pytest.raises(InputError, match=r'story\.json:3: Shots .*is not a mapping'):
        load(tmp_path, "story.json", '{"Characters": {},\n"Shots": [\n3]}')
    with pytest.raises(InputError, match=r"story\.json:1: Shots '3': is not a list"):
        load(tmp_path, "story.json", '{"Shots": 3}')


def test_a_plain_story_in_json_is_handed_out_as_yaml(tmp_path):
    loaded = load(tmp_path, "s.json", '{"version": 1, "panels": [{"id": "a", "prompt": "x: y", "notes": "1\\n2\\n"}]}')
    assert text_of(loaded)["panels"] == [{"id": "a", "prompt": "x: y", "notes": "1\n2\n"}]
    mine = "version: 1 # mine\npanels: [{id: a, prompt: x}]"
    assert load(tmp_path, "s.yaml", mine).yaml == mine


def test_limits_of_a_story_are_kept():
    draft = Draft("s")
    for number in range(150):
        name = draft.character(f"Person {number}")
    assert name is None and len(draft.characters) == 100 and "character 'Person 149'" in draft.left_out[-1]
    panel = draft.panel("a", "x")
    for _ in range(60):
        draft.add_caption(panel, "word", "somebody")
    draft.set_line(panel, "shot", "y" * 501)
    draft.add_note(panel, "z" * 20_000)
    draft.title = "t" * 300
    data = draft.finished().data
    parse_story(yaml.safe_dump(data))
    assert len(panel["captions"]) == 50 and panel["notes"].count("somebody: word") == 10 and "shot" not in panel
    assert [draft.name("panel", text) for text in ("Übung 1", "übung 1", "ubung-1", "学", "../x", "")] == [
        "Ubung-1", "Ubung-1", "ubung-1-2", "panel", "x", "panel-2"]
    assert len(draft.finished().left_out) <= 101


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FOUNTAIN = st.lists(st.sampled_from([
    "INT. HOUSE - DAY", "EXT. - ", "INT./EXT. CAR #1#", ".", ".X", "..", "MIA", "MIA (V.O.)", "@", "@x", "^", "MIA ^",
    "(softly)", "Hello.", "CUT TO:", "> ", "> x <", "><", "#", "# A", "=", "= s", "===", "/*", "*/", "[[", "]]",
    "[[n]]", "*a*", "**", "_b_", "~la", "!", "!x", "Title: T", "Author:", "   ", "\t", "\x00", "\ufffe", "😀", "İ", "ß",
    "\x85", "\u2028"]) | st.text(max_size=12), max_size=25).map("\n".join)


@FUZZ
@given(FOUNTAIN)
def test_fuzz_fountain(text):
    only_input_errors(importers.import_fountain, text)


@FUZZ
@given(st.binary(max_size=80) | st.lists(st.lists(st.sampled_from(
    ["Scene", "Shot", "Description", "Cast", "Dialogue", "Duration", "Seed", "1", "a,b", 'x"', '"', '="7"', "=1",
     "9" * 30, "1:2", "Mia: hi", "", " ", "\x00", "😀", "\n", "é"]), max_size=6).map(",".join), max_size=8).map(
         lambda rows: "\n".join(["Scene,Description,Cast,Dialogue,Duration,Seed", *rows]).encode()))
def test_fuzz_csv(raw):
    only_input_errors(importers.import_csv, raw)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.sampled_from([
        "Shots", "Characters", "index", "en", "ch", "name_en", "prompt_en", "tag", "Static Shot Description",
        "Characters Appearing", "Setting Description", "Story_type", "../x", "", "a\0b"]), inner, max_size=5),
    max_leaves=15)


@FUZZ
@given(st.fixed_dictionaries({"Shots": JSON | st.lists(st.fixed_dictionaries(
    {"Static Shot Description": JSON, "Characters Appearing": JSON}), max_size=3)}, optional={
        "Characters": JSON, "Story_type": JSON}))
def test_fuzz_vistory(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(data), "utf-8")
    try:
        load_story(path)
    except InputError as error:
        assert "\n" not in str(error)


def only_input_errors(read, content):
    """And what is imported is a story without fault whose YAML says the same."""
    from kontinuity.storyboard.story.file import _imported

    try:
        imported = read(content, "f")
    except InputError as error:
        assert "\n" not in str(error)
        return
    text_of(_imported(imported))

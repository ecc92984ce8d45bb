"""Stories in a real server: imported files, panels from panels, several characters, a character sheet."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

IMPORTS = Path(__file__).resolve().parent.parent / "storyboard" / "imports"
STORY = """\
version: 1
characters: {mia: {traits: a girl}, tom: {}}
locations: {sea: a beach}
panels:
  - {id: later, prompt: red hat, from: first}
  - {id: first, prompt: Change the background to a beach, characters: [mia]}
  - {id: both, prompt: Change the background to a forest, characters: [tom, mia]}
  - id: apart
    change: {action: waving}
    location: sea
    together: passes
    characters: {mia: {region: left}, tom: {region: right, reference: face}}
"""


def saved(server, graph: dict) -> dict[str, dict]:
    """Panel id -> record of every picture a board saved."""
    folder = server.base / "output" / Path(graph["6"]["inputs"]["filename_prefix"]).parent
    found = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            entry = json.loads(image.info["kontinuity"])
            found[entry["panel"]] = entry
    return found


def two_characters(graph: dict) -> dict:
    """Add tom, once his body and once his face, to the shipped board."""
    graph["20"] = {"class_type": "Kontinuity_DemoCharacter", "inputs": {"seed": 5}}
    graph["21"] = {"class_type": "Kontinuity_Character",
                   "inputs": {"name": "tom", "picture": ["20", 0], "characters": ["4", 0], "role": "body"}}
    graph["22"] = {"class_type": "Kontinuity_Character",
                   "inputs": {"name": "tom", "picture": ["3", 0], "characters": ["21", 0], "role": "face"}}
    graph["5"]["inputs"]["characters"] = ["22", 0]
    return graph


def test_panels_from_panels_and_two_characters(server, run, board):
    graph = two_characters(board(text=STORY))
    result, events = run(graph)
    assert result.status == "success", result.error
    names = [image["filename"].split("_", 2)[2] for image in result.outputs["6"]["images"]]
    assert names == ["later.png", "first.png", "both.png", "apart.png"]  # the story's order
    records = saved(server, graph)
    assert records["later"]["from"] == "first" and len(records["later"]["references"]) == 1
    assert records["both"]["together"] == "stitch" and len(records["both"]["references"]) == 1
    assert [one["character"] for one in records["apart"]["passes"]] == ["", "mia", "tom"]
    mia = records["first"]["references"]
    assert records["apart"]["passes"][2]["references"][1:] == mia  # tom's face is the same picture as mia
    progress = [event for event in events if event.kind == "progress" and event.node == "6"]
    assert (progress[-1].value, progress[-1].max) == (12, 12)  # six samplings of two steps


def test_one_panel_alone_is_the_same_and_its_source_is_not_saved(server, run, board, request):
    whole = two_characters(board(text=STORY, filename_prefix=f"{request.node.name}/whole/board"))
    alone = two_characters(board(text=STORY, panels="later", filename_prefix=f"{request.node.name}/alone/board"))
    for graph in (whole, alone):
        assert run(graph)[0].status == "success"
    assert set(saved(server, alone)) == {"later"}
    assert saved(server, alone)["later"] == saved(server, whole)["later"]


@pytest.mark.parametrize(("file", "panels", "first_line"), [
    ("ferry.fountain", 5, "# not imported: title page, credit: Written by"),
    ("shots.csv", 2, "# not imported: column 'Lens': its values are in the panels' notes"),
    ("vistory/story.json", 2, "# not imported: tag of The Lantern Maker: unrealistic_human"),
    ("own.json", 1, "version: '1'")])
def test_other_formats_are_read_and_handed_out_as_yaml(server, run, file, panels, first_line):
    from kontinuity.storyboard import parse_story

    folder = server.base / "input"
    shutil.copytree(IMPORTS, folder, dirs_exist_ok=True)
    (folder / "shots.csv").write_text("Scene;Shot;Description;Lens\n1;1;Rain;35mm\n1;2;Sun;\n", "utf-8-sig")
    (folder / "own.json").write_text('{"version": 1, "panels": [{"id": "a", "prompt": "x"}]}')
    graph = {"1": {"class_type": "Kontinuity_LoadStoryboard", "inputs": {"text": "", "file": file}},
             "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}}
    result, _ = run(graph)
    assert result.status == "success", result.error
    text, = result.outputs["2"]["text"]
    assert text.splitlines()[0] == first_line and len(parse_story(text).panels) == panels


def test_a_screenplay_says_whose_picture_is_missing(run, board):
    result, _ = run({**board(file="ferry.fountain"), "5": {
        "class_type": "Kontinuity_LoadStoryboard", "inputs": {"text": "", "file": "ferry.fountain"}}})
    assert result.status == "error"
    assert "panel '1A-2': characters 'MARTA': has no reference picture" in result.error


def test_a_character_sheet(server, run):
    graph = {"1": {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "tiny"}},
             "2": {"class_type": "Kontinuity_DemoCharacter", "inputs": {"seed": 3}},
             "3": {"class_type": "Kontinuity_CharacterSheet", "inputs": {
                 "model": ["1", 0], "picture": ["2", 0], "traits": "a girl", "seed": 1, "steps": 2, "guidance": 2.5}},
             "4": {"class_type": "Kontinuity_Character", "inputs": {"name": "mia", "picture": ["2", 0]}},
             "5": {"class_type": "Kontinuity_Character", "inputs": {
                 "name": "mia", "picture": ["3", 2], "role": "back", "characters": ["4", 0]}},
             "6": {"class_type": "Kontinuity_LoadStoryboard", "inputs": {
                 "characters": ["5", 0], "file": "use the text",
                 "text": "version: 1\ncharacters: {mia: }\n"
                         "panels: [{id: a, prompt: red hat, characters: {mia: {reference: back}}}]"}},
             "7": {"class_type": "Kontinuity_RenderStoryboard", "inputs": {
                 "model": ["1", 0], "story": ["6", 0], "panels": "", "steps": 2, "guidance": 2.5,
                 "filename_prefix": "sheet/board"}},
             "8": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
             "9": {"class_type": "PreviewImage", "inputs": {"images": ["3", 1]}}}
    result, events = run(graph)
    assert result.status == "success", result.error
    assert [event.max for event in events if event.kind == "progress" and event.node == "3"][-1] == 6
    front, side = ((server.base / "temp" / result.outputs[node]["images"][0]["filename"]).read_bytes() for node in "89")
    assert front != side


def test_the_same_character_twice_with_one_role_is_refused(run, board):
    graph = two_characters(board(text=STORY))
    graph["22"]["inputs"]["role"] = "body"
    result, _ = run(graph)
    assert "Character: name 'tom': is already taken" in result.error and "another role" in result.error

"""Stories in a real server: imported files, panels from panels, several characters, a character sheet."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
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
    left_out = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# not imported: ")]
    shown = result.outputs.get("1", {}).get("text", [""])
    assert shown[0].splitlines() == left_out  # the node shows them too


def test_a_text_that_yaml_cuts_is_shown_on_the_node(run):
    story = "version: 1\npanels:\n- id: a\n  prompt: Change the shirt to #ff0000, keep the face\n  characters: []\n"
    load = {"class_type": "Kontinuity_LoadStoryboard", "inputs": {"text": story, "file": "use the text"}}
    result, _ = run({"1": load, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}})
    assert result.status == "success", result.error
    assert result.outputs["1"]["text"][0].startswith("not imported: line 4: #ff0000, keep the face behind prompt")
    assert result.outputs["2"]["text"] == [story]


def test_a_screenplay_says_whose_picture_is_missing(run, board):
    result, _ = run({**board(file="ferry.fountain"), "5": {
        "class_type": "Kontinuity_LoadStoryboard", "inputs": {"text": "", "file": "ferry.fountain"}}})
    assert result.status == "error"
    assert "panel '1A-2': characters 'MARTA': has no reference picture" in result.error


MASKED = """\
version: 1
fps: 10
characters: {mia: {name: Mia Lind}}
panels:
  - {id: masked, prompt: red hat, from: first, masks: {edit: masks/edit.png}, duration: 0.7,
     captions: [{text: Look!, speaker: mia}, Later.]}
  - {id: first, prompt: Change the background to a beach, duration: 0.4}
  - {id: after, prompt: blue hat, from: masked}
"""


def pixels(server, graph: dict) -> dict[str, np.ndarray]:
    """Panel id -> the pixels of the newest picture of it a board saved."""
    folder = server.base / "output" / Path(graph["6"]["inputs"]["filename_prefix"]).parent
    return {path.stem.split("_", 2)[2]: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def test_masks_keep_every_pixel_outside_and_another_mask_file_is_seen(server, run, board):
    (server.base / "input" / "masks").mkdir(exist_ok=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[8:40, 16:48] = 255
    Image.fromarray(mask).save(server.base / "input" / "masks" / "edit.png")
    graph = board(text=MASKED)
    assert run(graph)[0].status == "success"
    before, records = pixels(server, graph), saved(server, graph)
    assert (before["masked"] == before["first"]).all(axis=2)[mask == 0].all()
    assert (before["masked"] != before["first"]).any(axis=2)[mask == 255].mean() > 0.9
    assert set(records["masked"]["masks"]) == {"edit"} and "masks" not in records["after"]

    mask[8:40, 48:] = 255
    Image.fromarray(mask).save(server.base / "input" / "masks" / "edit.png")
    assert run(graph)[0].status == "success"
    after = pixels(server, graph)
    assert (after["first"] == before["first"]).all()
    assert (after["masked"] == after["first"]).all(axis=2)[mask == 0].all()
    assert all((after[name] != before[name]).any() for name in ("masked", "after"))

    Image.fromarray(mask[:32]).save(server.base / "input" / "masks" / "edit.png")
    result, events = run(graph)
    assert "panel 'masked': masks edit 'masks/edit.png': is 64x32, and the panel is 64x64; make" in result.error
    assert not [event for event in events if event.kind == "progress" and event.node == "6"]
    (server.base / "input" / "masks" / "edit.png").unlink()
    assert "panel 'masked' masks edit '" in run(graph)[0].error


def test_captions_durations_and_fps_are_handed_on(server, run, board):
    (server.base / "input" / "masks").mkdir(exist_ok=True)
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(server.base / "input" / "masks" / "edit.png")
    graph = board(text=MASKED)
    graph["20"] = {"class_type": "PreviewAny", "inputs": {"source": ["6", 4]}}
    graph["21"] = {"class_type": "Kontinuity_SaveClip", "inputs": {
        "frames": ["6", 0], "fps": ["6", 6], "durations": ["6", 5], "container": "MP4", "quality": "small",
        "filename_prefix": "held/clip"}}
    graph["22"] = {"class_type": "Kontinuity_ContactSheet", "inputs": {
        "pictures": ["6", 0], "captions": ["6", 1], "columns": 0, "title": "A day out"}}  # as in older workflows
    graph["23"] = {"class_type": "PreviewImage", "inputs": {"images": ["22", 0]}}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert result.outputs["20"]["text"] == ["masked\nMia Lind: Look!\nLater.", "first", "after"]
    with av.open(str(server.base / "output" / "held" / "clip_00001_.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 7 + 4 + 20  # 2 seconds where the story says nothing
    cuts = [place for place in range(1, 31) if np.abs(frames[place] - frames[place - 1]).mean() > 2]
    assert cuts == [7, 11]
    captioned, = result.outputs["8"]["images"]
    plain, = result.outputs["23"]["images"]
    sizes = [Image.open(server.base / image["type"] / image["subfolder"] / image["filename"]).size
             for image in (captioned, plain)]
    assert sizes[0] == (sizes[1][0], sizes[1][1] + 2 * 26)
    graph["21"]["inputs"]["target_fps"] = 20.0
    assert "Save Clip: target_fps '20': asks for pictures in between" in run(graph)[0].error


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

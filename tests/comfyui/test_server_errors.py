"""What users get wrong, through the API: one line naming where, the field, the value and the remedy; no sampling."""

import re

import pytest

LINE = re.compile(r"node \d+ \(Kontinuity_\w+\): [^\n]+: [^\n]*'[^\n]*': [^\n]+; [^\n]+")


def story(*panels: str, head: str = "characters: {mia: {}}") -> str:
    return f"version: 1\n{head}\npanels:\n" + "".join(f"  - {{{panel}}}\n" for panel in panels)


PANEL = "id: one, prompt: a red hat"
ANCHORS = "version: 1\na: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"
REPEAT = {"class_type": "RepeatImageBatch", "inputs": {"image": ["3", 0], "amount": 3}}
SECOND_MIA = {"class_type": "Kontinuity_Character",
              "inputs": {"name": "mia", "picture": ["3", 0], "characters": ["4", 0]}}

# name: (text of the story or other inputs of the storyboard, what the message must say)
BOARD = {
    "missing reference picture": (
        {"text": story(PANEL, head="characters: {tom: {reference: nobody.png}}"), "name": "tom", "unlinked": True},
        ["story text:2", "character 'tom' reference", "nobody.png", "does not exist"]),
    "unreadable picture": (
        {"text": story(PANEL, head="characters: {tom: {reference: broken.png}}"), "unlinked": True},
        ["story text:2", "broken.png", "is not a picture"]),
    "reference outside": (
        {"text": story(PANEL, head="characters: {tom: {reference: ../secret.png}}"), "unlinked": True},
        ["story text:2", "../secret.png", "leaves the story's folder"]),
    "no picture at all": (
        {"text": story(PANEL), "unlinked": True},
        ["panel 'one'", "'mia'", "has no reference picture", "Character node"]),
    "unknown character": (
        {"text": story(PANEL + ", characters: [mio]")}, ["story text:4", "'mio'", "did you mean 'mia'?"]),
    "a picture of somebody else": ({"name": "mio"}, ["Render Storyboard", "'mio'", "is not a character of this story"]),
    "two characters of one name": ({"second": SECOND_MIA}, ["Character: name 'mia'", "already taken"]),
    "two panels with one id": ({"text": story(PANEL, PANEL)}, ["story text:5", "'one'", "is also the id of panel 1"]),
    "empty prompt": ({"text": story("id: one, prompt: ''")}, ["story text:4", "panel 'one' prompt", "is empty"]),
    "prompt over 512 tokens": (
        {"text": story("id: one, prompt: " + "a red hat " * 300)}, ["panel 'one'", "prompt", "512"]),
    "size not a multiple of 16": (
        {"text": story(PANEL + ", size: [100, 128]")}, ["story text:4", "size", "100", "96 or 112"]),
    "absurd size": ({"text": story(PANEL + ", size: [90000, 128]")}, ["story text:4", "size", "90000"]),
    "not YAML": ({"text": story(PANEL) + "  - id: [two\n"}, ["story text:", "is not valid YAML"]),
    "anchors bomb": ({"text": ANCHORS + story(PANEL)[11:]}, ["story text:2", "&a", "YAML anchor"]),
    "Python tags": (
        {"text": story(PANEL) + "title: !!python/object/apply:os.system [ls]\n"}, ["story text:5", "YAML tag"]),
    "empty text": ({"text": ""}, ["story text:1", "is empty"]),
    "story file of 10 MB": ({"file": "huge.yaml"}, ["huge.yaml", "size", "is more than the"]),
    "story file that is gone": (
        {"file": "gone.yaml"}, ["Load Storyboard", "file 'gone.yaml'", "is no story file", "use the text"]),
    "story file elsewhere": ({"file": "../../secret.yaml"}, ["Load Storyboard", "file '../../secret.yaml'"]),
    "unknown panel": ({"panels": "kitchen, beech"}, ["Render Storyboard", "panels 'beech'", "did you mean 'beach'?"]),
    "prefix outside": (
        {"filename_prefix": "../../away/board"}, ["Render Storyboard", "filename_prefix '../../away/board'"]),
    "no prefix": (
        {"filename_prefix": "boards/"}, ["Render Storyboard", "filename_prefix 'boards/'", "is no file name"]),
    "a batch of pictures": ({"second": REPEAT}, ["Character 'mia'", "picture '3 pictures'", "Image From Batch"]),
    "a model of another kind": ({"model": "other"}, ["other"]),
    "a model that is gone": ({"model": "gone"}, ["Load Kontext Model", "model 'gone'", "models/diffusers"]),
}
EDIT = {
    "empty instruction": ({"instruction": " "}, ["Kontext Edit", "prompt"]),
    "width not a multiple of 16": ({"width": 100}, ["Kontext Edit", "width '100'", "96 or 112"]),
    "too many pixels": ({"width": 4096, "height": 4096}, ["Kontext Edit", "4096x4096", "4 MP"]),
    "a batch of pictures": ({"second": REPEAT}, ["Kontext Edit", "picture '3 pictures'", "Image From Batch"]),
}


@pytest.fixture(scope="module", autouse=True)
def input_files(server):
    folder = server.base / "input"
    (folder / "broken.png").write_bytes(b"this is no picture")
    (folder / "huge.yaml").write_bytes(b"# " + b"x" * (10 << 20))
    (server.base / "secret.yaml").write_text(story(PANEL))


def check(server, run, graph: dict, words: list[str]) -> None:
    files = set((server.base / "output").rglob("*.png"))
    result, events = run(graph)
    assert result.status == "error" and len(result.errors) == 1
    assert LINE.fullmatch(result.error), result.error
    for word in words:
        assert word in result.error, result.error
    assert not [event for event in events if event.kind == "progress"], "sampling began"
    assert set((server.base / "output").rglob("*.png")) == files


@pytest.mark.parametrize("case", BOARD)
def test_a_faulty_storyboard_is_refused_in_one_line(case, server, run, board):
    inputs, words = BOARD[case]
    inputs = {"filename_prefix": "faulty/board", **inputs}
    second, unlinked = inputs.pop("second", None), inputs.pop("unlinked", False)
    graph = board(**inputs)
    if unlinked:
        del graph["5"]["inputs"]["characters"]
    if second is SECOND_MIA:
        graph["9"] = second
        graph["5"]["inputs"]["characters"] = ["9", 0]
    elif second:
        graph["9"] = second
        graph["4"]["inputs"]["picture"] = ["9", 0]
    check(server, run, graph, words)


@pytest.mark.parametrize("case", EDIT)
def test_a_faulty_edit_is_refused_in_one_line(case, server, run, edit):
    inputs, words = EDIT[case]
    inputs = dict(inputs)
    second = inputs.pop("second", None)
    graph = edit(**inputs)
    if second:
        graph["9"] = second
        graph["4"]["inputs"]["picture"] = ["9", 0]
    check(server, run, graph, words)


@pytest.mark.parametrize("inputs", [{"steps": 0}, {"steps": 201}, {"guidance": 31.0}], ids=str)
def test_numbers_out_of_range_are_refused_before_anything_runs(inputs, run, board):
    result, _ = run(board(**inputs))
    assert result.status == "refused" and next(iter(inputs)) in result.error

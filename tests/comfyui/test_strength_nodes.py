"""Strengths of references and regions of characters, in a real server."""

import numpy as np
import pytest
from PIL import Image
from test_story_nodes import saved, two_characters

STORY = """\
version: 1
characters: {mia: {traits: a girl}, tom: {strength: 1.2}}
panels:
  - {id: one, prompt: red hat, characters: [mia]}
  - {id: told, prompt: red hat, characters: [{name: mia, strength: {value: 2, end: 0.5}}]}
  - {id: two, prompt: red hat, characters: [tom, mia]}
  - {id: apart, prompt: red hat, together: regions, characters: {mia: {region: left}, tom: {region: tom.png}}}
"""


def picture_of(server, run, graph: dict) -> np.ndarray:
    result, _ = run(graph)
    assert result.status == "success", result.error
    image = next(entry for node in result.outputs.values() for entry in node.get("images", ()))
    return np.asarray(Image.open(server.base / image["type"] / image["subfolder"] / image["filename"]))


def with_edit(graph: dict, **inputs) -> dict:
    node, = (node for node in graph.values() if node["class_type"] == "Kontinuity_Edit")
    node["inputs"].update(inputs)
    return graph


def test_an_edit_s_strength(server, run, edit):
    plain = picture_of(server, run, edit())  # a graph of before the widgets
    made = {strength: picture_of(server, run, with_edit(edit(), strength=strength))
            for strength in (1.0, 0.5, 2.0, 0.0)}
    assert (made[1.0] == plain).all()
    assert all((made[strength] != plain).any() for strength in (0.5, 2.0, 0.0))
    late = picture_of(server, run, with_edit(edit(), strength=2.0, strength_start=0.5))
    assert (late != plain).any() and (late != made[2.0]).any()


@pytest.mark.parametrize(("inputs", "words"), [
    ({"strength_start": 0.5, "strength_end": 0.5}, "start of the strength '0.5': is not before its end 0.5"),
    ({"strength": 3.0}, "bigger than max"),  # what ComfyUI itself says
])
def test_bad_strengths(run, edit, inputs, words):
    result, _ = run(with_edit(edit(), **inputs))
    assert result.status != "success" and words in str(result.error)


def test_a_board_with_strengths_and_regions(server, run, board):
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(server.base / "input" / "tom.png")
    graph = two_characters(board(text=STORY))
    graph["4"]["inputs"]["strength"] = 0.5  # mia's
    graph["21"]["inputs"]["strength"] = 0.7  # tom's, of whom the story says more
    result, _ = run(graph)
    assert result.status == "success", result.error
    records = saved(server, graph)
    assert records["one"]["strengths"] == [[0.5, 0, 1]] and records["told"]["strengths"] == [[2, 0, 0.5]]
    assert (records["two"]["together"], records["two"]["strengths"]) == ("offset", [[1.2, 0, 1], [0.5, 0, 1]])
    assert [region["references"] for region in records["apart"]["regions"]["regions"]] == [[0], [1]]
    graph["5"]["inputs"]["text"] = STORY.replace("region: left", "region: centre")
    result, _ = run(graph)
    assert result.status != "success"
    assert "panel 'apart', line 7: characters tom region 'a mask': overlaps that of mia" in str(result.error)

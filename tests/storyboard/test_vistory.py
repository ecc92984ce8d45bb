"""ViStoryBench's story.json in the shapes it comes in: who appears, pictures, and nothing dropped unsaid."""

import json

import pytest
from kontinuity.storyboard import load_story

CHARACTERS = {"Grey Hare": {"name_en": "Grey Hare", "name_ch": "灰兔", "prompt_en": "a grey hare"},
              "Jack and Jill": {"name_en": "Jack and Jill"}, "Owl": {"prompt_ch": "猫头鹰"}}


def load(tmp_path, shots, characters=CHARACTERS, **more):
    path = tmp_path / "story.json"
    path.write_text(json.dumps({"Characters": characters, "Shots": shots, **more}, indent=1), "utf-8")
    return load_story(path)


def shot(**more):
    return {"index": 1, "Static Shot Description": {"en": "Hay."}, **more}


@pytest.mark.parametrize(("appearing", "names"), [
    (["Grey Hare"], ["Grey-Hare"]), ("Grey Hare", ["Grey-Hare"]), ({"en": "Grey Hare"}, ["Grey-Hare"]),
    ({"en": "Grey Hare, Owl"}, ["Grey-Hare", "Owl"]), ("Grey Hare and Owl", ["Grey-Hare", "Owl"]),
    ("Jack and Jill", ["Jack-and-Jill"]), (["Grey Hare, Owl"], ["Grey-Hare", "Owl"]),
    ("grey  hare; OWL", ["Grey-Hare", "Owl"]),
    ({"ch": ["灰兔"]}, ["Grey-Hare"]), ({"en": [], "ch": "灰兔、Owl"}, ["Grey-Hare", "Owl"]),
    ([{"name": "Grey Hare"}, {"en": "Owl"}], ["Grey-Hare", "Owl"]), ({"Grey Hare": "asleep"}, ["Grey-Hare"]),
    ([["Owl"]], ["Owl"]), ("", []), ([], []), (None, []), ("none", []), (["N/A"], []),
    ("Grey Hare, Grey Hare", ["Grey-Hare"])])
def test_who_appears(tmp_path, appearing, names):
    loaded = load(tmp_path, [shot(**{"Characters Appearing": appearing})])
    assert list(loaded.story.panels[0].characters) == names
    assert not [report for report in loaded.left_out if "not among" in report]


def test_who_is_not_among_the_characters_is_said(tmp_path):
    loaded = load(tmp_path, [shot(**{"Characters Appearing": "Grey Hare, Bird"})])
    assert "shot 1: Bird, who is not among the characters" in loaded.left_out


@pytest.mark.parametrize(("name", "folder", "pictures"), [
    ("Robot: R2", "Robot: R2", 0), ("Robot: R2", "Robot_ R2", 2), ("Robot: R2", "Robot R2", 2), ("Robot: R2", None, 0),
    ("A/B", "A_B", 2), ("Owl?", "Owl?", 2), ("Owl?", "Owl_", 2), ("..", "..", 0), ("../x", None, 0)])
def test_folders_with_characters_that_no_path_may_have(tmp_path, name, folder, pictures):
    if folder:
        home = tmp_path / "image" / folder
        home.mkdir(parents=True, exist_ok=True)
        for file in ("0.png", "1.png"):
            (home / file).write_bytes(b"")
    loaded = load(tmp_path, [shot()], {name: {"prompt_en": "x"}})
    character, = loaded.story.characters.values()
    assert [reference.picture for reference in character.pictures] == [
        f"image/{folder}/{index}.png" for index in range(pictures)]
    said = [report for report in loaded.left_out if f"pictures of {name}" in report]
    assert bool(said) == (not pictures and name != "..")
    if folder == "Robot: R2":
        assert said == ["2 of the pictures of Robot: R2: a story cannot name a path with : or \\ in it; "
                        "call the folder image/Robot_ R2"]


def test_every_text_is_used_or_said(tmp_path):
    loaded = load(tmp_path, [shot(**{
        "Setting Description": ["w1", "w2"], "Shot Perspective Design": {"fr": "w3"}, "Mood": {"a": ["w4"]},
        "Characters Appearing": [{"name": "Owl", "pose": "w5"}]}), {"index": "w6"}],
        {"Owl": {"name_en": "Snowy Owl", "prompt_ch": "w7", "colour": "w8",
        "tag": ["w9"]}}, Author="w10", Story_type={"de": "w11"})
    everything = f"{loaded.story.model_dump()} {loaded.left_out}"
    assert [word for word in (f"w{number}" for number in range(1, 12)) if word not in everything] == []
    assert "the name Owl, which is Snowy Owl below it" in loaded.left_out
    assert loaded.story.characters["Snowy-Owl"].traits == "w7"

"""How strongly a character's picture is looked at: in the story, in each way of combining, in records, in a resume."""

import json

import pytest
import torch
import yaml
from kontinuity.common import InputError
from kontinuity.kontext import ReferenceStrength
from kontinuity.storyboard import (
    Board,
    Sampling,
    finished_panels,
    load_story,
    parse_story,
    plan_panels,
    record,
    render,
    reserved_fields,
    save_panel,
)
from kontinuity.storyboard.cast.references import stitch
from kontinuity.storyboard.story.appearance import Appearance, Strength

PICTURES = {name: torch.full((32, 16 + 16 * i, 3), 0.2 * i) for i, name in enumerate(["mia", "tom", "eva"])}
STRONG, WEAK, PLAIN, NONE = (ReferenceStrength(value) for value in (1.3, 0.5, 1.0, 0.0))


def story_of(characters, *, together="auto", cast="{mia: , tom: , eva: }", more=""):
    return parse_story(f"version: 1\nsize: [64, 96]\ncharacters: {cast}\ntogether: {together}\n"
                       f"panels:\n- {{id: a, prompt: x, characters: {characters}{more}}}\n", "s.yaml")


def job_of(model, characters, strengths=(), **options):
    job, = plan_panels(Board(story_of(characters, **options), PICTURES, strengths=dict(strengths)), model, Sampling(2))
    return job


# The story --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("characters", [
    "[{name: mia, strength: 1.3}, tom]", "{mia: {strength: 1.3}, tom: }", "{mia: {strength: {value: 1.3}}, tom: {}}",
    "[{name: mia, strength: {value: 1.3, start: 0, end: 1}}, {name: tom}]"])
def test_the_ways_to_write_it_are_one(characters):
    assert story_of(characters).panels[0].characters == {
        "mia": Appearance(strength=Strength(value=1.3)), "tom": Appearance()}


@pytest.mark.parametrize(("characters", "words"), [
    ("[tom,\n   {name: mia, strength: 2.5}]", "s.yaml:7: panel 'a' characters strength value '2.5': is too large; "
                                             "use 0 to 2"),
    ("[{name: mia, strength: -1}]", "s.yaml:6: panel 'a' characters strength value '-1': is too small"),
    ("{mia: {strength: much}}", "s.yaml:6: panel 'a' characters mia strength value 'much': is not a number"),
    ("{mia: {strength: {value: 1, start: 0.5, end: 0.5}}}", "strength start '0.5': is not before the end 0.5"),
    ("{mia: {strength: {value: 1, end: 2}}}", "strength end '2': is too large; use 0 to 1"),
    ("{mia: {strength: {start: 0}}}", "strength value '': is missing"),
    ("[{nam: mia}]", "'nam': is not a field here; did you mean 'name'?"),
    ("[{strength: 1}]", "characters name '': is missing"),
    ("[tom, mia,\n   {name: tom}]", "s.yaml:7: panel 'a' characters 'tom': is named twice"),
    ("[tom,\n   {name: bob}]", "s.yaml:7: panel 'a' characters bob 'bob': is not a character of this story"),
])
def test_faults_have_their_line(characters, words):
    with pytest.raises(InputError) as error:
        story_of(characters)
    assert words in str(error.value)


def test_lines_are_found_by_name_in_a_list_too():
    story = story_of("[tom,\n   {name: mia,\n    strength: 1.3}]")
    paths = ["tom"], ["mia"], ["mia", "strength"]
    assert [story.line("panels", 0, "characters", *path) for path in paths] == [6, 7, 8]


def test_the_nearest_word_counts(model):
    def strengths(characters, **options):
        return job_of(model, characters, {"mia": WEAK}, **options).request.strengths

    told = "{mia: {strength: 2}, tom: , eva: }"
    assert strengths("[{name: mia, strength: 1.3}]", cast=told) == (STRONG,)
    assert strengths("[mia]", cast=told) == (ReferenceStrength(2),)  # the story's before what comes with the picture
    assert strengths("[mia]") == (WEAK,)
    assert strengths("[tom]") == () and strengths("[{name: mia, strength: 1}]") == ()
    part = "[{name: mia, strength: {value: 2, start: 0.25, end: 0.5}}]"
    assert strengths(part) == (ReferenceStrength(2, 0.25, 0.5),)


def test_who_is_there_already_brings_no_picture_to_look_at():
    source = "version: 1\ncharacters: {mia: , tom: }\npanels:\n- {id: a, prompt: x, characters: [mia]}\n"
    story = parse_story(source + "- {id: b, from: a, prompt: x, characters: [{name: mia, strength: 2, "
                                 "reference: face}, {name: tom, strength: 2}]}\n")
    assert reserved_fields(story) == ("panel characters strength (1)", "panel characters reference (1)")
    assert reserved_fields(parse_story(source)) == ()


def test_what_is_brought_with_a_picture_is_of_that_picture(model):
    board = Board(story_of("[mia]", more=", shot: close-up"), {**PICTURES, "mia/face": PICTURES["eva"]},
                  strengths={"mia": WEAK, "mia/face": STRONG})
    job, = plan_panels(board, model, Sampling())
    assert job.request.strengths == (STRONG,) and job.request.references[0] is PICTURES["eva"]


def test_a_file_keeps_its_comments_and_json_becomes_yaml(tmp_path):
    text = ("version: 1\ncharacters: {mia: {strength: 1.2}}  # held tight\npanels:\n- id: a\n  prompt: x\n"
            "  characters:\n  - name: mia  # the girl\n    strength: {value: 0.5, end: 0.25} # loosely, at first\n")
    (tmp_path / "s.yaml").write_text(text)
    loaded = load_story(tmp_path / "s.yaml")
    assert loaded.yaml == text and loaded.left_out == ()
    (tmp_path / "s.json").write_text(json.dumps(yaml.safe_load(text)))
    again = parse_story(load_story(tmp_path / "s.json").yaml)
    assert again.panels == loaded.story.panels and again.characters == loaded.story.characters


# Ways of combining ------------------------------------------------------------------------------------------------

UNLIKE = "[{name: mia, strength: 1.3}, tom]"


def test_offset_and_passes_and_regions_give_each_its_own(model):
    assert job_of(model, UNLIKE, together="offset").request.strengths == (STRONG, PLAIN)
    assert job_of(model, UNLIKE, together="regions").request.strengths == (STRONG, PLAIN)
    place, mia, tom = job_of(model, UNLIKE, together="passes").passes
    assert [pass_.request.strengths for pass_ in (place, mia, tom)] == [(), (STRONG,), (PLAIN,)]
    assert mia.on(PICTURES["eva"]).request.strengths == (PLAIN, STRONG)  # the picture so far is as usual


def test_one_picture_of_all_has_one_strength(model):
    alike = "[{name: mia, strength: 1.3}, {name: tom, strength: 1.3}]"
    assert job_of(model, alike, together="stitch").request.strengths == (STRONG,)
    with pytest.raises(InputError, match="panel 'a': characters 'strength': is not the same for all.* one strength"):
        job_of(model, UNLIKE, together="stitch")
    job = job_of(model, UNLIKE)  # auto, with a model that likes to stitch
    assert job.combine == "offset" and job.request.strengths == (STRONG, PLAIN)
    assert job_of(model, alike).combine == "stitch"


def test_strength_0_leaves_a_picture_out(model):
    absent = "[{name: mia, strength: 0}, tom, {name: eva, strength: 1}]"
    job = job_of(model, absent, together="stitch")
    assert torch.equal(job.request.references[0], stitch([PICTURES["tom"], PICTURES["eva"]]))
    assert job.request.strengths == (PLAIN,) and job.characters == ("mia", "tom", "eva")
    nobody = job_of(model, "[{name: mia, strength: 0}, {name: tom, strength: 0}]", together="stitch").request
    assert nobody.references == nobody.strengths == ()
    kept = job_of(model, absent, together="offset").request.without_absent()
    assert kept.references[0] is PICTURES["tom"] and kept.references[1] is PICTURES["eva"]


# Records and resume -----------------------------------------------------------------------------------------------


def results(model, characters, folder, **options):
    board = Board(story_of(characters, **options), PICTURES)
    jobs = plan_panels(board, model, Sampling(2))
    result, = render(jobs, model)
    save_panel(folder / "a.png", result.picture, record(result, model.name), {})
    return jobs, record(result, model.name), {"a": [folder / "a.png"]}


def test_records_say_it_where_it_is_not_1(model, tmp_path):
    _, plain, _ = results(model, "[mia]", tmp_path)
    assert "strengths" not in plain
    assert results(model, "[{name: mia, strength: 1}]", tmp_path)[1] == plain
    assert results(model, UNLIKE, tmp_path, together="offset")[1]["strengths"] == [[1.3, 0, 1], [1, 0, 1]]
    passes = results(model, UNLIKE, tmp_path, together="passes")[1]["passes"]
    assert [entry.get("strengths") for entry in passes] == [None, [[1, 0, 1], [1.3, 0, 1]], [[1, 0, 1], [1, 0, 1]]]


@pytest.mark.parametrize("together", ["offset", "passes", "regions"])
def test_a_resume_takes_over_what_has_the_same_strengths(model, tmp_path, together):
    jobs, entry, files = results(model, UNLIKE, tmp_path, together=together)
    assert json.loads(json.dumps(entry)) == entry
    assert list(finished_panels(jobs, files, model.name)) == ["a"]
    others = plan_panels(Board(story_of("[mia, tom]", together=together), PICTURES), model, Sampling(2))
    assert not finished_panels(others, files, model.name)


# The model --------------------------------------------------------------------------------------------------------


def test_a_strength_of_1_changes_no_bit_and_another_does(tiny_model_folder):
    from kontinuity.kontext import load_folder

    model = load_folder(tiny_model_folder, dtype=torch.float32)
    pictures = {}
    for written in ("mia", "{name: mia, strength: 1}", "{name: mia, strength: {value: 1, end: 0.5}}",
                    "{name: mia, strength: 1.5}"):
        story = story_of(f"[{written}]")
        result, = render(plan_panels(Board(story, PICTURES), model, Sampling(2)), model)
        pictures[written] = result.picture
    plain, one, half, more = pictures.values()
    assert torch.equal(plain, one) and torch.equal(plain, half) and not torch.equal(plain, more)

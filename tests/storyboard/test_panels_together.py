"""Panels made from other panels, and panels with several characters."""

from dataclasses import replace

import pytest
import torch
from kontinuity.common import Box, InputError
from kontinuity.storyboard import Board, Sampling, job_record, panel_seed, parse_story, plan_panels, record, render
from kontinuity.storyboard.cast.references import stitch
from kontinuity.storyboard.plan.masks import box_share, paste
from kontinuity.storyboard.plan.passes import even_regions
from kontinuity.storyboard.production.records import picture_hash
from kontinuity.storyboard.prompts import region_phrase
from kontinuity.storyboard.story.resolved import resolve

PICTURES = {name: torch.full((32, 16 + 16 * i, 3), 0.2 * i) for i, name in enumerate(["mia", "tom", "eva", "bob"])}
HEAD = "version: 1\nseed: 7\nsize: [64, 96]\ncharacters: {mia: {traits: a girl in red}, tom: , eva: , bob: }\npanels:\n"


def story_of(*panels, head=HEAD):
    return parse_story(head + "".join(f"- {{{panel}}}\n" for panel in panels))


def results_of(story, model, **options):
    jobs = plan_panels(Board(story, PICTURES), model, Sampling(2), **options)
    return {result.job.panel_id: result for result in render(jobs, model)}


# Panels from panels -----------------------------------------------------------------------------------------------

CHAIN = ("id: c, prompt: third, from: b", "id: a, prompt: first, characters: [mia]", "id: b, prompt: second, from: a",
         "id: d, prompt: alone, characters: []")


def test_a_panel_starts_from_the_picture_of_another(model):
    story = story_of(*CHAIN)
    jobs = plan_panels(Board(story, PICTURES), model, Sampling(2))
    assert [job.panel_id for job in jobs] == ["c", "a", "b", "d"]  # the story's order
    done = list(render(jobs, model))
    assert [result.job.panel_id for result in done] == ["a", "b", "c", "d"]  # as they can be made
    pictures = {result.job.panel_id: result.picture for result in done}
    for job in (result.job for result in done):
        expected = {"a": [PICTURES["mia"]], "b": [pictures["a"]], "c": [pictures["b"]], "d": []}[job.panel_id]
        assert [picture_hash(picture) for picture in job.request.references] == list(map(picture_hash, expected))
        assert job.request.seed == panel_seed(7, job.panel_id)
    entry = record(done[1], "fake")
    assert entry["from"] == "a" and entry["references"] == [picture_hash(pictures["a"])]
    assert entry["characters"] == ["mia"] and "from" not in record(done[0], "fake")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (1, 2), (1, 3)])
def test_other_panels_change_no_bit_of_a_panel(model, order):
    before = results_of(story_of(*CHAIN), model)
    after = results_of(story_of(*(CHAIN[i] for i in order), "id: new, prompt: new, from: a, characters: [tom]"), model)
    for name in set(after) & set(before):
        assert torch.equal(before[name].picture, after[name].picture)
        assert replace(before[name].job, number=0, passes=()) == replace(after[name].job, number=0, passes=())


def test_what_a_panel_is_made_from_is_made_and_not_handed_out(model):
    everything = results_of(story_of(*CHAIN), model)
    alone = results_of(story_of(*CHAIN), model, only=["c"])
    assert set(alone) == {"c"} and torch.equal(alone["c"].picture, everything["c"].picture)
    jobs = plan_panels(Board(story_of(*CHAIN), PICTURES), model, Sampling(), only="c")
    assert [(job.panel_id, job.wanted) for job in jobs] == [("c", True), ("a", False), ("b", False)]
    assert sum(job.steps for job in jobs) == 60


def test_a_new_character_joins_with_its_reference(model):
    story = story_of("id: a, prompt: x, characters: [mia]", "id: b, prompt: y, from: a, characters: [mia, tom]",
                     "id: c, prompt: y, from: a, characters: [tom, eva, mia]",
                     "id: d, prompt: y, from: a, characters: []")
    panels = results_of(story, model)
    a = panels["a"].picture
    b, c, d = (panels[name].job for name in "bcd")
    assert [picture_hash(p) for p in b.request.references] == [picture_hash(a), picture_hash(PICTURES["tom"])]
    assert b.characters == ("mia", "tom") and b.combine == ""
    both = stitch([PICTURES["tom"], PICTURES["eva"]])
    assert [picture_hash(p) for p in c.request.references] == [picture_hash(a), picture_hash(both)]
    assert (c.combine, len(d.request.references)) == ("stitch", 1)


def test_a_long_chain_of_edits_is_warned_of(model, caplog):
    panels = ["id: p0, prompt: x, characters: [mia]", *(f"id: p{i}, prompt: x, from: p{i - 1}" for i in range(1, 6))]
    plan_panels(Board(story_of(*panels), PICTURES), model, Sampling())
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "panels p4, p5 are more than 3 edits away from a reference"]


# Several characters -----------------------------------------------------------------------------------------------


def test_stitched_references():
    left, right = torch.rand(32, 16, 3), torch.rand(64, 40, 3)
    both = stitch([left, right])
    assert both.shape == (64, 72, 3) and torch.equal(both[:, 32:], right)
    assert 0 <= both.min() and both.max() <= 1
    assert torch.equal(stitch([right, right]), torch.cat([right, right], 1))


@pytest.mark.parametrize(("characters", "board", "panel", "together", "references"), [
    ("[mia]", "auto", "auto", "", 1), ("[mia, tom]", "auto", "auto", "stitch", 1),
    ("[tom, mia, eva]", "auto", "auto", "stitch", 1), ("[mia, tom]", "offset", "", "offset", 2),
    ("[mia, tom]", "offset", "stitch", "stitch", 1), ("[mia, tom]", "stitch", "offset", "offset", 2),
    ("[]", "stitch", "", "", 0)])
def test_how_characters_come_together(model, characters, board, panel, together, references):
    own = f", together: {panel}" if panel else ""
    head = HEAD.replace("panels", f"together: {board}\npanels")
    story = story_of(f"id: a, prompt: x, characters: {characters}{own}", head=head)
    job, = plan_panels(Board(story, PICTURES), model, Sampling())
    assert (job.combine, len(job.request.references), len(job.passes)) == (together, references, 1)
    assert job_record(job, "fake").get("together", "") == together
    if together == "stitch":
        names = characters.strip("[]").split(", ")
        assert torch.equal(job.request.references[0], stitch([PICTURES[name] for name in names]))


def test_a_model_says_how_it_takes_several_best(model):
    model.settings.combine = "offset"
    jobs = plan_panels(Board(story_of("id: a, prompt: x, characters: [mia, tom]",
                         "id: b, prompt: x, characters: [mia, tom], together: stitch"), PICTURES), model, Sampling())
    assert [(job.combine, len(job.request.references)) for job in jobs] == [("offset", 2), ("stitch", 1)]


def test_more_than_three_are_warned_of(model, caplog):
    plan_panels(Board(story_of("id: a, prompt: x, characters: [mia, tom, eva]"), PICTURES), model, Sampling())
    assert caplog.text == ""
    four = story_of("id: a, prompt: x, characters: [mia, tom, eva, bob], together: stitch")
    job, = plan_panels(Board(four, PICTURES), model, Sampling())
    assert "panel 'a': 4 characters at once; Kontext mixes up more than 3. Leave `together` out" in caplog.text
    assert len(job.passes) == 1 and len(job.characters) == 4


def test_a_crowd_is_made_apart_from_the_back_to_the_front(model, caplog):
    story = story_of("id: a, prompt: x, characters: [mia, tom, eva, bob]")
    job, = plan_panels(Board(story, PICTURES), model, Sampling())
    assert "Each gets a pass of its own, the first three in front." in caplog.text
    assert job.combine == "passes" and [pass_.character for pass_ in job.passes] == ["", "bob", "mia", "tom", "eva"]
    # and the picture so far
    assert all(len(pass_.request.references) == (pass_.character != "") for pass_ in job.passes)
    behind, front = job.passes[1].box, [pass_.box for pass_ in job.passes[2:]]
    assert all(box[1] > behind[1] and box[3] > behind[3] for box in front)  # lower in the picture
    assert front[0][2] <= front[1][0] and front[1][2] <= front[2][0]  # side by side
    result, = render([job], model)
    assert result.picture.shape == (96, 64, 3)


def test_passes(model):
    story = story_of("id: a, prompt: They meet., together: passes, location: sea, characters: {mia: {action: waving}, "
                     "tom: {region: [0.75, 0.5, 0.25, 0.5]}}",
                     head=HEAD.replace("panels", "locations: {sea: a beach}\npanels"))
    job, = plan_panels(Board(story, PICTURES), model, Sampling(3))
    place, mia, tom = job.passes
    assert job.steps == 9 and job.combine == "passes"
    assert place.request.prompt == "A beach, with nobody in the picture."
    assert (place.request.references, place.box) == ((), None)
    assert mia.request.prompt == "Add a girl in red on the left, waving. Keep the rest of the picture the same."
    assert tom.request.prompt == "Add the character on the right. Keep the rest of the picture the same."
    assert (mia.box, tom.box) == ((0, 0, 32, 96), (48, 48, 64, 96))
    assert len({place.request.seed, mia.request.seed, tom.request.seed}) == 3
    result, = render([job], model)
    done, picture = result.job, result.picture
    before = model.edit(done.passes[0].request)
    middle = paste(before, model.edit(done.passes[1].request), box_share(mia.box, 64, 96))
    assert torch.equal(done.passes[1].request.references[0], before)
    assert torch.equal(done.passes[2].request.references[0], middle)
    assert torch.equal(done.passes[2].request.references[1], PICTURES["tom"])
    outside = torch.ones(96, 64, dtype=torch.bool)
    outside[48:, 48:] = False
    assert torch.equal(picture[outside], middle[outside]) and not torch.equal(picture, middle)
    entry = record(result, "fake")["passes"]
    assert [told["character"] for told in entry] == ["", "mia", "tom"] and entry[2]["box"] == [48, 48, 64, 96]
    assert entry[1]["references"] == [picture_hash(before), picture_hash(PICTURES["mia"])]


def test_passes_onto_another_panel_keep_its_pixels(model):
    story = story_of("id: a, prompt: x, characters: [mia]", "id: b, prompt: y, from: a, together: passes, "
                     "characters: {mia: , tom: {region: right}}")
    panels = results_of(story, model)
    job, picture = panels["b"].job, panels["b"].picture
    assert [pass_.character for pass_ in job.passes] == ["tom"]
    assert torch.equal(picture[:, :32], panels["a"].picture[:, :32]) and not torch.equal(picture, panels["a"].picture)
    other = story_of("id: a, prompt: x, size: [64, 64], characters: [mia]",
                     "id: b, prompt: y, from: a, together: passes, characters: [tom]")
    with pytest.raises(InputError, match="panel 'b': size '64x96': is not that of panel 'a'"):
        plan_panels(Board(other, PICTURES), model, Sampling())


def test_a_panel_without_new_characters_needs_no_passes(model):
    story = story_of("id: a, prompt: x, characters: [mia]", "id: b, prompt: y, from: a, together: passes")
    assert [len(job.passes) for job in plan_panels(Board(story, PICTURES), model, Sampling())] == [1, 1]
    board = HEAD.replace("panels", "together: passes\npanels")
    jobs = plan_panels(Board(story_of("id: a, prompt: x, characters: [mia]", "id: b, prompt: x, characters: [mia, tom]",
                         "id: c, prompt: x, from: a, characters: [tom]", head=board), PICTURES), model, Sampling())
    assert [[pass_.character for pass_ in job.passes] for job in jobs] == [[""], ["", "mia", "tom"], ["tom"]]


def test_boxes_and_their_masks():
    assert even_regions(2, 3) == [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]
    share = box_share(Box(0, 10, 50, 60), 100, 100)
    assert share.shape == (100, 100) and share[35, 0] == 1 and share[35, 25] == 1  # the left edge is the picture's
    assert 0 < share[10, 25] < share[11, 25] < 1 and 0 < share[35, 49] < 0.5
    assert not share[:10].any() and not share[60:].any() and not share[:, 50:].any()
    picture, result = torch.zeros(100, 100, 3), torch.ones(100, 100, 3)
    pasted = paste(picture, result, share)
    assert pasted[35, 10].tolist() == [1, 1, 1] and pasted.sum() == pytest.approx(3 * share.sum().item(), rel=1e-4)
    assert picture.sum() == 0  # left as it is


# Prompts and references -------------------------------------------------------------------------------------------


def test_the_board_s_style_and_shape(model):
    head = "version: 1\naspect: 2:1\nstyle: ink drawing\npanels:\n"
    job, = plan_panels(Board(story_of("id: a, prompt: A dog.", head=head), {}), model, Sampling())
    assert job.request.prompt == "A dog. Change the style to ink drawing."
    assert (job.request.width, job.request.height) == (128, 64)  # no side is under 64, and the shape is kept
    model.settings.width = model.settings.height = 1024
    job, = plan_panels(Board(story_of("id: a, prompt: x", head=head.replace("2:1", "16:9")), {}), model, Sampling())
    assert (job.request.width, job.request.height) == (1360, 768)


def test_a_close_up_uses_the_face(model):
    story = story_of("id: far, prompt: x, characters: [mia]", "id: near, prompt: x, shot: Close-Up, characters: [mia]",
                     "id: behind, prompt: x, characters: {mia: {reference: back}}",
                     "id: side, prompt: x, characters: {mia: {reference: side}}",
                     "id: whole, prompt: x, characters: {mia: {reference: body}}")
    pictures = {"mia": PICTURES["mia"], "mia/face": PICTURES["tom"], "mia/back": PICTURES["eva"]}
    wanted = ["far", "near", "behind", "whole"]
    jobs = plan_panels(Board(story, pictures), model, Sampling(), only=wanted)
    used = {job.panel_id: job.request.references[0] for job in jobs}
    assert used["far"] is pictures["mia"] and used["near"] is pictures["mia/face"]
    assert used["behind"] is pictures["mia/back"] and used["whole"] is pictures["mia"]
    with pytest.raises(InputError, match="panel 'side': characters mia reference 'side': is no picture this character"):
        plan_panels(Board(story, pictures), model, Sampling())
    only_face, *_ = plan_panels(Board(story, {"mia/face": PICTURES["tom"]}), model, Sampling(), only="far")
    assert only_face.request.references[0] is PICTURES["tom"]


def test_the_phrase_of_a_region_says_who_is_there_and_what_they_do():
    story = story_of("id: a, prompt: They meet., characters: {mia: {action: waving}, tom: }")
    resolved = resolve(story, story.panels[0])
    assert region_phrase(resolved, "mia") == "The girl in red is waving."
    assert region_phrase(resolved, "tom") == "The character."


def test_a_change_becomes_a_sentence(model):
    head = HEAD.replace("panels", "locations: {sea: a beach}\nscenes: {one: {location: sea}}\nstyle: ink drawing\n"
                                  "panels")
    story = story_of(
        "id: a, change: {keep: the same coat}, scene: one, shot: full body, angle: low angle, "
        "characters: {mia: {action: waving}}",
        "id: b, change: {scene: a forest, action: running, shot: close-up, style: oil painting}, scene: one, "
        "characters: {mia: {action: waving}}", head=head)
    a, b = plan_panels(Board(story, PICTURES), model, Sampling())
    assert a.request.prompt == ("Change the background to a beach, the girl in red is waving, full body, low angle. "
                                "Change the style to ink drawing. Keep the same coat.")
    story = story_of(
        "id: c, change: {}, characters: {mia: {region: left, action: waving}, tom: {region: right, action: jumping}}",
        "id: d, change: {action: dancing}, characters: {mia: {region: left}, tom: {action: jumping}}")
    c, d = plan_panels(Board(story, PICTURES), model, Sampling())
    assert c.request.prompt == ("The girl in red on the left is waving, the character on the right is jumping. "
                                "Keep the same face, hair and clothes.")
    assert "the girl in red and the character are dancing" in d.request.prompt.lower()
    long = HEAD.replace("a girl in red", "x" * 499)
    story = story_of("id: e, change: {}, characters: {mia: {action: waving}, tom: }", head=long)
    with pytest.raises(InputError, match="panel 'e': characters '5.. characters': of traits and actions are more than"):
        plan_panels(Board(story, PICTURES), model, Sampling())
    assert b.request.prompt.startswith("Change the background to a forest, the girl in red is running, close-up. "
                                       "Change the style to oil painting. Keep the same face")


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    from kontinuity.kontext import load_folder

    model = load_folder(tiny_model_folder)
    model.settings = replace(model.settings, width=64, height=64, reference_area=64 * 64, min_text_tokens=16)
    return model


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 2)])
def test_a_real_model_gives_the_same_bits_whatever_stands_around(tiny, order):
    """Panels from panels, stitched references and passes, with the whole sampling of a small random Kontext."""
    panels = ("id: a, prompt: red, from: b", "id: b, prompt: hat, characters: [mia, tom]",
              "id: c, prompt: green, from: b, together: passes, characters: {mia: , tom: , eva: {region: left}}",
              "id: d, prompt: sea, characters: []")
    pictures = {name: torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(i))
                for i, name in enumerate(PICTURES)}
    head = HEAD.replace("[64, 96]", "[64, 64]")

    def render_all(*chosen):
        jobs = plan_panels(Board(story_of(*chosen, head=head), pictures), tiny, Sampling(1))
        return {result.job.panel_id: result.picture for result in render(jobs, tiny)}

    before = render_all(*panels)
    after = render_all("id: new, prompt: new, from: b", *(panels[i] for i in order))
    assert set(after) == {"new", *("abcd"[i] for i in order)}
    for name in set(after) - {"new"}:
        assert torch.equal(after[name], before[name])
    assert torch.equal(before["c"][:, 32:], before["b"][:, 32:]) and not torch.equal(before["c"], before["b"])

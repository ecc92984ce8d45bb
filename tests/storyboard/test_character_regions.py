"""`together: regions`: a region for each character, which sees its own phrase and reference."""

import numpy as np
import pytest
import torch
from kontinuity.common import Box, InputError
from kontinuity.storyboard import (
    Board,
    Sampling,
    finished_panels,
    parse_story,
    plan_panels,
    record,
    render,
    reserved_fields,
    save_panel,
    story_judge,
    story_regions,
)
from kontinuity.storyboard.plan.regions import box_of
from kontinuity.storyboard.production.records import picture_hash
from PIL import Image

PICTURES = {name: torch.full((32, 16 + 16 * i, 3), 0.2 * i) for i, name in enumerate(["mia", "tom", "eva", "bob"])}
LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
WHITE = torch.zeros(64, 96, dtype=torch.bool)
WHITE[16:48, 48:80] = True


@pytest.fixture
def folder(tmp_path):
    for name, mask in (("tom", WHITE), ("black", WHITE & False), ("small", WHITE[:32, :64])):
        Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
    return tmp_path


def story_of(*panels, together="auto", size="[96, 64]"):
    return parse_story(f"version: 1\nsize: {size}\ntogether: {together}\ncharacters: {{mia: {{traits: a girl in red}}, "
                       "tom: {traits: a tall man}, eva: , bob: }\npanels:\n"
                       + "".join(f"- {{{panel}}}\n" for panel in panels), "s.yaml")


def jobs_of(model, *panels, folder=None, **options):
    story = story_of(*panels, **options)
    masks = story_regions(story, folder, "s.yaml") if folder else {}
    return plan_panels(Board(story, PICTURES, regions=masks), model, Sampling(2))


def regions_of(job):
    return job.request.regions.regions


# Who is where -----------------------------------------------------------------------------------------------------


def test_each_has_its_own_phrase_and_reference_and_the_prompt_stays(model):
    job, = jobs_of(model, "id: a, prompt: They meet., together: regions, characters: {mia: {region: right, action: "
                          "waving}, tom: {region: [0, 0.5, 0.5, 0.5]}}")
    assert job.combine == "regions" and len(job.passes) == 1 and job.request.prompt == "They meet."
    tom, mia = regions_of(job)
    assert (mia.area, tom.area) == (RIGHT, Box(0, 0.5, 0.5, 1)) and (tom.references, mia.references) == ((0,), (1,))
    assert mia.phrase == "The girl in red is waving." and tom.phrase == "The tall man."
    assert all(picture is PICTURES[name]
               for picture, name in zip(job.request.references, ("tom", "mia"), strict=True))  # as they stand


def test_references_and_their_strengths_come_as_the_characters_stand(model):
    job, = jobs_of(model, "id: a, prompt: x, together: regions, characters: {mia: {region: [0.7, 0, 0.3, 1], strength: "
                          "1.5}, tom: {region: [0.35, 0, 0.3, 1]}, eva: {region: [0, 0, 0.3, 1], strength: 0.5}}")
    assert [strength.value for strength in job.request.strengths] == [0.5, 1, 1.5]
    assert [region.area.left for region in regions_of(job)] == [0, 0.35, 0.7]
    assert [picture_hash(picture) for picture in job.request.references] == [
        picture_hash(PICTURES[name]) for name in ("eva", "tom", "mia")]


@pytest.mark.parametrize("names", [["mia", "tom"], ["mia", "tom", "eva"], ["bob", "mia", "tom", "eva"]])
def test_who_has_no_region_gets_a_column(model, names, caplog):
    job, = jobs_of(model, f"id: a, prompt: x, characters: [{', '.join(names)}]", together="regions")
    edges = [(region.area.left, region.area.right) for region in regions_of(job)]
    assert edges == [(i / len(names), (i + 1) / len(names)) for i in range(len(names))]
    assert ("4 characters at once have little room side by side" in caplog.text) == (len(names) == 4)
    mixed, = jobs_of(model, "id: a, prompt: x, characters: {mia: , tom: {region: [0.6, 0, 0.4, 1]}}",
                     together="regions")
    assert [region.area for region in regions_of(mixed)] == [LEFT, Box(0.6, 0, 1, 1)]


def test_one_character_has_a_region_if_it_is_given(model):
    jobs = jobs_of(model, "id: a, prompt: x, characters: {mia: {region: left}}", "id: b, prompt: x, characters: [mia]",
                   "id: c, prompt: x, characters: []", together="regions")
    assert [job.combine for job in jobs] == ["regions", "", ""]
    assert [job.request.regions and job.request.regions.regions[0].area for job in jobs] == [LEFT, None, None]


@pytest.mark.parametrize("together", ["auto", "stitch", "offset", "passes", "regions"])
def test_a_panel_without_a_character_gets_no_reference_of_one(model, together):
    first, empty, onto = jobs_of(model, "id: a, prompt: x, characters: [mia, tom]", "id: b, prompt: x, characters: []",
                                 "id: c, prompt: x, from: b", together=together)
    assert len(first.passes[-1].request.references) and empty.passes[0].request.references == ()
    assert (len(empty.passes), len(onto.passes), onto.request.references) == (1, 1, ())  # and the picture of b


# What cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("characters", "words"), [
    ("{mia: {region: left},\n   tom: {region: centre}}",
     "panel 'a', line 7: characters tom region '[0.25, 0, 0.5, 1]': overlaps that of mia, [0, 0, 0.5, 1]; part them"),
    ("[{name: mia, region: centre},\n   tom]", "panel 'a': characters tom region '[0.5, 0, 0.5, 1]': overlaps"),
    ("[mia,\n   {name: tom, region: [0.9, 0, 0.01, 1]}]",
     "panel 'a', line 7: characters tom region '[0.9, 0, 0.01, 1]': is too small: it holds no 16 x 16 pixels"),
    ("{mia: {region: left},\n   tom: {region: [0.8, 0, 0.3, 1]}}",
     "s.yaml:7: panel 'a' characters tom region '[0.8, 0, 0.3, 1]': is not a region"),
])
def test_regions_that_overlap_or_leave_the_picture(model, characters, words):
    with pytest.raises(InputError) as error:
        jobs_of(model, f"id: a, prompt: x, characters: {characters}", together="regions")
    assert words in str(error.value)
    assert model.edited == []


def test_auto_takes_regions_where_the_model_wants_them_and_they_can_be(model):
    model.settings.combine = "regions"
    jobs = jobs_of(model, "id: a, prompt: x, characters: [mia, tom]",
                   "id: b, prompt: x, characters: {mia: {region: left}, tom: {region: centre}}",
                   "id: c, prompt: x, characters: [mia, tom, eva, bob]", "id: d, prompt: x, characters: [mia]",
                   "id: e, prompt: x, from: d, characters: [tom, eva]")
    assert [job.combine for job in jobs] == ["regions", "passes", "passes", "", "passes"]


def test_another_panel_s_picture_would_be_lost(model):
    first = "id: a, prompt: x, characters: [mia]"
    with pytest.raises(InputError, match="panel 'b': together 'regions': .* panel 'a' would be lost there; write "
                                         "`together: passes`"):
        jobs_of(model, first, "id: b, prompt: x, from: a, together: regions, characters: [mia, tom]")
    jobs = jobs_of(model, first, "id: b, prompt: x, from: a, characters: [mia, tom]", "id: c, prompt: x, from: a",
                   together="regions")
    assert [job.combine for job in jobs] == ["", "passes", ""]


# Masks ------------------------------------------------------------------------------------------------------------

MASKED = "id: a, prompt: x, characters: {mia: {region: left}, tom: {region: tom.png}}"


def test_a_mask_is_a_region(model, folder):
    job, = jobs_of(model, MASKED, folder=folder, together="regions")
    mia, tom = regions_of(job)
    assert mia.area == LEFT and torch.equal(tom.area, WHITE) and tom.references == (1,)
    passes, = jobs_of(model, MASKED, folder=folder, together="passes")
    assert passes.passes[2].box == Box(48, 16, 80, 48)  # the box around it
    assert box_of(WHITE).in_pixels(96, 64) == passes.passes[2].box


@pytest.mark.parametrize(("panel", "words"), [
    (MASKED.replace("tom.png", "black.png"), "s.yaml:6: panel 'a' characters tom region 'black.png': has no white, "
                                             "which says where tom is"),
    (MASKED.replace("tom.png", "none.png"), "none.png': does not exist"),
    (MASKED.replace("tom.png", "small.png"), "characters tom region 'small.png': is 64x32, and the panel is 96x64"),
    (MASKED.replace("left", "right"), "panel 'a', line 6: characters tom region 'a mask': overlaps that of mia"),
])
def test_bad_masks(model, folder, panel, words):
    with pytest.raises(InputError) as error:
        jobs_of(model, panel, folder=folder, together="regions")
    assert words in str(error.value)


def test_a_mask_that_nobody_opened(model):
    with pytest.raises(InputError, match="characters tom region 'tom.png': is not opened"):
        jobs_of(model, MASKED, together="regions")


def test_who_scores_is_told_of_it(folder):
    class Cast:
        def only(self, names):
            return self

        def score(self, picture, regions):
            return regions

    class Scorer:
        def cast(self, references):
            return Cast()

    story = story_of(MASKED, together="regions")
    judge = story_judge(Board(story, PICTURES, regions=story_regions(story, folder, "s.yaml")), Scorer())
    assert judge("a", torch.zeros(64, 96, 3)) == {"mia": LEFT, "tom": box_of(WHITE)}


# Kept -------------------------------------------------------------------------------------------------------------


def test_records_and_resume(model, folder):
    def done(panel, **options):
        jobs = jobs_of(model, panel, folder=folder, **options)
        result, = render(jobs, model)
        save_panel(folder / "a.png", result.picture, record(result, model.name), {})
        return jobs, record(result, model.name)

    jobs, entry = done(MASKED, together="regions")
    mia, tom = entry["regions"]["regions"]
    assert entry["together"] == "regions" and mia["area"] == [0, 0, 0.5, 1] and mia["references"] == [0]
    assert tom["area"] == picture_hash(WHITE[..., None].expand(-1, -1, 3)) and tom["phrase"].startswith("The tall man")
    files = {"a": [folder / "a.png"]}
    assert list(finished_panels(jobs, files, model.name)) == ["a"]
    for other in (MASKED.replace("left", "[0, 0, 0.5, 0.5]"), MASKED.replace("left", "left, action: waving")):
        assert not finished_panels(jobs_of(model, other, folder=folder, together="regions"), files, model.name)
    assert "regions" not in done(MASKED, together="passes")[1]


def test_nothing_of_it_is_reserved():
    panel = "id: a, prompt: x, characters: {mia: {region: left, action: waving}, tom: }"
    assert reserved_fields(story_of(panel, together="regions")) == ()
    assert reserved_fields(story_of(panel)) == ("panel characters region (1)", "panel characters action (1)")


def test_a_real_model_makes_such_a_panel(tiny_model_folder, folder):
    from kontinuity.kontext import load_folder

    model = load_folder(tiny_model_folder, dtype=torch.float32)
    pictures = [next(iter(render(jobs_of(model, MASKED, folder=folder, together=way), model))).picture
                for way in ("regions", "offset")]
    assert pictures[0].shape == (64, 96, 3) and not torch.equal(*pictures)

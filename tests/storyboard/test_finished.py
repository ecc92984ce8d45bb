"""Panels of an earlier run are taken over where they would come out the same, and only there."""

import json
from types import SimpleNamespace

import pytest
import torch
from kontinuity.common import open_picture
from kontinuity.storyboard import (
    Board,
    Character,
    Panel,
    Sampling,
    Story,
    finished_panels,
    parse_story,
    plan_panels,
    record,
    render,
    save_panel,
)
from PIL import Image, PngImagePlugin

MIA = torch.full((32, 32, 3), 0.25)
STORY = Story(version=1, seed=7, characters={"mia": Character()}, panels=(
    Panel(id="beach", prompt="on a beach"), Panel(id="night", prompt="at night", **{"from": "beach"})))


def jobs_of(story, model, **options):
    sampling = Sampling(options.pop("steps", 2), options.pop("guidance", 2.5))
    return plan_panels(Board(story, {"mia": MIA}), model, sampling, **options)


def saved(folder, model, jobs, **options):
    """Render and save; the files by panel id."""
    files = {}
    for result in render(jobs, model, **options):
        path = folder / f"board_00001_{result.job.panel_id}.png"
        save_panel(path, result.picture, record(result, model.name), {})
        files[result.job.panel_id] = [path]
    return files


def changed(panel: int, **changes) -> Story:
    panels = list(STORY.panels)
    panels[panel] = panels[panel].model_copy(update=changes)
    return STORY.model_copy(update={"panels": tuple(panels)})


def test_a_finished_board_is_not_made_again(tmp_path, model):
    jobs = jobs_of(STORY, model)
    files = saved(tmp_path, model, jobs)
    found = finished_panels(jobs, files, model.name)
    assert list(found) == ["beach", "night"] and found["night"].path == files["night"][0]
    model.edited.clear()
    made = {result.job.panel_id: result.picture for result in render(
        jobs, model, done={name: panel.picture for name, panel in found.items()})}
    assert model.edited == [] and model.prepared == []
    assert all(torch.equal(made[name], open_picture(files[name][0], "x", "y")) for name in ("beach", "night"))


def test_what_is_missing_is_made_from_what_is_there(tmp_path, model):
    jobs = jobs_of(STORY, model)
    files = saved(tmp_path, model, jobs)
    files["night"][0].write_bytes(files["night"][0].read_bytes()[:200])  # as a full disk may leave it
    found = finished_panels(jobs, files, model.name)
    assert list(found) == ["beach"]
    model.edited.clear()
    results = {result.job.panel_id: result for result in render(jobs, model, done={"beach": found["beach"].picture})}
    assert model.edited == ["panel 'night'"]
    assert results["night"].job.request.references[0] is found["beach"].picture
    assert [candidate.picture is found["beach"].picture for candidate in results["beach"].tried] == [True]


@pytest.mark.parametrize("story, options, still", [
    (changed(1, prompt="at noon"), {}, ["beach"]),
    (changed(0, prompt="on the shore"), {}, []),  # and what is made from it
    (changed(0, seed=3), {}, []),
    (STORY, {"steps": 3}, []),
    (STORY, {"guidance": 3.0}, []),
])
def test_a_panel_that_would_come_out_otherwise_is_made(tmp_path, model, story, options, still):
    files = saved(tmp_path, model, jobs_of(STORY, model))
    assert list(finished_panels(jobs_of(story, model, **options), files, model.name)) == still


def test_another_model_another_reference_and_a_reroll_are_made(tmp_path, model):
    jobs = jobs_of(STORY, model)
    files = saved(tmp_path, model, jobs)
    assert not finished_panels(jobs, files, "another model")
    assert not finished_panels(jobs, files, model.name, first=1)
    assert not finished_panels(plan_panels(Board(STORY, {"mia": MIA * 2}), model, Sampling(2)), files, model.name)
    alone = finished_panels(jobs_of(STORY, model, only=["night"]), files, model.name)
    assert list(alone) == ["beach", "night"]  # the one it is made from is not made, either


def test_the_newest_that_fits_is_taken(tmp_path, model):
    jobs = jobs_of(STORY, model)
    older = saved(tmp_path / "older", model, jobs)
    newer = saved(tmp_path / "newer", model, jobs_of(changed(0, seed=3), model))
    files = {name: [*newer[name], *older[name]] for name in older}
    assert finished_panels(jobs, files, model.name)["beach"].path == older["beach"][0]


def test_candidates_count_if_the_choice_was_wide_enough(tmp_path, model):
    scores = [0.2, 0.6]

    def judge(panel, picture):
        score = scores.pop(0)
        return SimpleNamespace(total=score, as_json=lambda: {"score": score, "encoder": "script"})

    def jobs(count):
        return jobs_of(changed(0, candidates=count), model, only="beach")

    files = saved(tmp_path, model, jobs(2), judge=judge)

    def found(count, **options):
        return list(finished_panels(jobs(count), files, model.name, **options))

    assert found(2, judged=True) == ["beach"]
    assert found(3, judged=True) == []
    assert found(2) == []  # nobody chooses now: that is candidate 0, and 1 was kept


def test_two_passes_are_known_again(tmp_path, model):
    story = parse_story("version: 1\nseed: 7\ncharacters: {mia: {}, tom: {}}\n"
                        "panels: [{id: both, prompt: two friends, characters: [mia, tom], together: passes}]")
    jobs = plan_panels(Board(story, {"mia": MIA, "tom": MIA * 2}), model, Sampling(1))
    files = saved(tmp_path, model, jobs)
    assert len(jobs[0].passes) > 1 and list(finished_panels(jobs, files, model.name)) == ["both"]
    other = plan_panels(Board(story, {"mia": MIA, "tom": MIA * 3}), model, Sampling(1))
    assert not finished_panels(other, files, model.name)


@pytest.mark.parametrize("said", ["", "[]", "3", "{", '{"candidates": 5}', '{"candidate": "x"}', '{"candidate": -1}',
                                  '{"candidates": [{"number": 0}], "passes": 7}', None])
def test_a_record_of_somebody_else_is_passed_over(tmp_path, model, said):
    chunks = PngImagePlugin.PngInfo()
    if said is not None:
        chunks.add_text("kontinuity", said)
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48)).save(path, pnginfo=chunks)
    assert not finished_panels(jobs_of(STORY, model), {"beach": [tmp_path / "none.png", path]}, model.name)


def test_the_record_is_compared_as_it_was_written(tmp_path, model):
    """A number more in the record, as a later version may write it, is a panel made otherwise."""
    jobs = jobs_of(STORY, model)
    for result in render(jobs[:1], model):
        entry = json.loads(json.dumps(record(result, model.name))) | {"sharpness": 2}
        save_panel(tmp_path / "a.png", result.picture, entry, {})
    assert not finished_panels(jobs, {"beach": [tmp_path / "a.png"]}, model.name)

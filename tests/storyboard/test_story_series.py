"""A panel with a start and an end frame: a series of pictures, saved one by one, taken over whole."""

import numpy as np
import pytest
import torch
from kontinuity.common import InputError, open_picture
from kontinuity.storyboard import (
    Board,
    Sampling,
    make_storyboard,
    parse_story,
    picture_names,
    plan_panels,
    reserved_fields,
    save_panel,
    story_frames,
)
from kontinuity.storyboard.plan.jobs import SeriesJob
from kontinuity.storyboard.production.records import picture_hash
from kontinuity.storyboard.production.resume import read_record
from PIL import Image
from test_run import Notes

PICTURES = {"mia": torch.full((32, 32, 3), 0.25)}
FIRST, SECOND = "id: a, prompt: first", "id: b, prompt: second, seed: 5"
WALK = "id: walk, start_frame: a, end_frame: b, frames: 5"


def story_of(*panels, head="version: 1\nsize: [96, 64]\ncharacters: {mia: }\npanels:\n"):
    return parse_story(head + "".join(f"- {{{panel}}}\n" for panel in panels), "s.yaml")


def board_of(*panels, folder=None):
    story = story_of(*panels)
    return Board(story, PICTURES, frames=story_frames(story, folder, "s.yaml") if folder else {})


class Folder:
    """A Store."""

    def __init__(self, path):
        self.path = path

    def claim(self):
        self.path.mkdir(exist_ok=True)

    def earlier(self):
        return {file.stem: [file] for file in self.path.glob("*.png")}

    def save(self, panel_id, picture, record):
        save_panel(self.path / f"{panel_id}.png", picture, record, {})
        return self.path / f"{panel_id}.png"


@pytest.fixture
def run(model, tmp_path):
    """run(*panels, **options): the result of a run into one folder."""
    def made(*panels, folder=None, **options):
        return make_storyboard(board_of(*panels, folder=folder), model, Sampling(2), options.pop("observer", Notes()),
                               Folder(tmp_path / "out"), **options)
    return made


@pytest.fixture
def files(tmp_path):
    for name, seed, size in (("one", 1, (64, 96)), ("two", 2, (64, 96)), ("other", 3, (64, 64))):
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


# What comes of it -------------------------------------------------------------------------------------------------


def test_its_pictures_are_named_saved_and_handed_out_in_their_place(run, tmp_path):
    result = run(WALK, FIRST, "id: on, prompt: later, from: walk", SECOND)  # the frames are made first
    names = [f"walk_0{number}" for number in range(5)]
    assert [made.name for made in result.panels] == [*names, "a", "on", "b"]
    assert [made.panel.id for made in result.panels] == ["walk"] * 5 + ["a", "on", "b"]
    pictures = {made.name: made.picture for made in result.panels}
    assert torch.equal(pictures["walk_00"], pictures["a"]) and torch.equal(pictures["walk_04"], pictures["b"])
    assert len({picture_hash(picture) for picture in pictures.values()}) == 6  # and three in between
    assert all(made.path == tmp_path / "out" / f"{made.name}.png" and made.path.is_file() for made in result.panels)
    assert all(made.candidates == () for made in result.panels[:5])
    entry = read_record(tmp_path / "out" / "on.png")
    assert entry["from"] == "walk" and entry["references"] == [picture_hash(pictures["b"])]
    assert any(remark.startswith("panel 'walk', 5 frames: 2 given, ") for remark in result.remarks)
    assert list(picture_names(story_of(WALK, FIRST, SECOND))) == [*names, "a", "b"]


def test_records(run, tmp_path):
    run(FIRST, SECOND, WALK + ", transition: a hand goes up; it waves, seed: 9")
    first, second = (read_record(tmp_path / "out" / f"walk_0{number}.png") for number in (0, 2))
    assert (first["panel"], first["frame"], first["frames"], first["seed"]) == ("walk", 0, 5, 9)
    assert first["prompts"] == ["a hand goes up", "it waves"] and first["origin"] == "given"
    assert second["frame"] == 2 and second["origin"] in ("kontext", "flow") and second["said"]
    ends = [picture_hash(open_picture(tmp_path / "out" / f"{name}.png", "x", "y")) for name in "ab"]
    assert [first["start_frame"], first["end_frame"]] == ends


def test_files_are_frames(run, files, model):
    result = run("id: walk, start_frame: one.png, end_frame: two.png, frames: 3, prompt: a walk", folder=files)
    first, _, last = (made.picture for made in result.panels)
    for picture, name in ((first, "one"), (last, "two")):
        assert ((picture * 255).round().byte().numpy() == np.asarray(Image.open(files / f"{name}.png"))).all()
    assert model.edited == ["panel 'walk', 50% of the way"]  # noise: no motion explains it


def test_only_what_is_wanted_and_what_it_needs(run, model):
    result = run(FIRST, SECOND, "id: other, prompt: x", WALK, only=["walk"])
    assert [made.panel.id for made in result.panels] == ["walk"] * 5 and "panel 'other'" not in model.edited


def test_steps_and_cancel(run):
    notes = Notes()
    run(FIRST, SECOND, WALK, observer=notes)
    assert notes.calls[0] == ("begin", 2 + 2 + 3 * 2) and [name for name, _ in notes.calls] == ["begin", "end"]
    with pytest.raises(KeyboardInterrupt):
        run(FIRST, SECOND, WALK, observer=Notes(cancel_after=5))


# Resume -----------------------------------------------------------------------------------------------------------


def test_a_series_is_taken_over_whole_or_made_anew(run, model, tmp_path):
    before = {made.name: made.picture for made in run(FIRST, SECOND, WALK).panels}
    model.edited.clear()
    again = run(FIRST, SECOND, WALK, resume=True)
    assert model.edited == [] and again.remarks[0] == "Taken over from earlier runs: a, b, walk."
    assert all((made.picture - before[made.name]).abs().max() <= 0.51 / 255 for made in again.panels)
    (tmp_path / "out" / "walk_02.png").unlink()
    assert run(FIRST, SECOND, WALK, resume=True).remarks[0] == "Taken over from earlier runs: a, b."
    for changed in (WALK + ", seed: 8", WALK + ", transition: hop", WALK.replace("a, end_frame: b", "b, end_frame: a")):
        run(FIRST, SECOND, WALK)
        assert run(FIRST, SECOND, changed, resume=True).remarks[0] == "Taken over from earlier runs: a, b."
    run(FIRST, SECOND, WALK)
    assert "walk" not in run(FIRST.replace("first", "new"), SECOND, WALK, resume=True).remarks[0]


# What is refused, before anything is sampled ----------------------------------------------------------------------


@pytest.mark.parametrize(("panels", "words"), [
    ((FIRST, "id: w, start_frame: a, end_frame: a"), "s.yaml:6: panel 'w' end_frame 'a': is the start frame too"),
    ((FIRST, "id: w, start_frame: a, end_frame: c"), "s.yaml:6: panel 'w' end_frame 'c': is not a panel of this story"),
    ((FIRST, SECOND, WALK + ", from: a"), "s.yaml:7: panel 'walk' from '': is not for a panel with a start and an end"),
    ((FIRST, SECOND, WALK + ", change: {add: x}"), "panel 'walk' change '': is not for a panel with a start"),
    ((FIRST, SECOND, WALK.replace("5", "2")), "panel 'walk' frames '2': is too small; use 3 to 33"),
    ((FIRST, "id: b, prompt: x, frames: 5"), "panel 'b' frames '5': is for a panel with start_frame and end_frame"),
    ((FIRST, "id: w, start_frame: a, end_frame: v", "id: v, prompt: x, from: w"),
     "s.yaml:6: panel 'w' end_frame 'v': goes round in a circle: w from v from w"),
    ((FIRST, "id: w, start_frame: a"), "panel 'w' prompt '': is missing"),
])
def test_faults_have_their_line(panels, words):
    with pytest.raises(InputError) as error:
        story_of(*panels)
    assert words in str(error.value)


@pytest.mark.parametrize(("panels", "words"), [
    ((FIRST, "id: b, prompt: x, size: [64, 64]", WALK), "panel 'walk': end_frame '64x64': is not of the start_frame's "
                                                        "size 96x64"),
    ((FIRST, "id: w, start_frame: a, end_frame: other.png"), "panel 'w': end_frame '64x64': is not of the"),
    (("id: w, start_frame: one.png, end_frame: folder/../one.png",), "leaves the story's folder"),
    ((FIRST, SECOND, WALK, "id: walk_03, prompt: x"), "panel 'walk': id 'walk_03': is a panel, and the name of a"),
    ((FIRST, SECOND, WALK + ", candidates: 9"), "panel 'walk': candidates '9': is not a whole number in 1..8"),
    ((FIRST, SECOND, WALK + ", transition: forbidden"), "is forbidden"),
    ((FIRST, "id: w, start_frame: a, end_frame: none.png"), "none.png': does not exist"),
])
def test_what_planning_refuses(run, model, files, panels, words):
    with pytest.raises(InputError) as error:
        run(*panels, folder=files)
    assert words in str(error.value) and model.edited == []


def test_two_files_of_one_picture(run, files, model):
    Image.open(files / "one.png").save(files / "copy.png")
    with pytest.raises(InputError, match="panel 'w': end frame '96x64': is the start frame once more"):
        run(FIRST, "id: w, start_frame: one.png, end_frame: copy.png", folder=files)
    assert model.edited == []


# Around it --------------------------------------------------------------------------------------------------------


def test_defaults_and_who_is_in_it(model):
    jobs = plan_panels(board_of(FIRST, SECOND, "id: w, start_frame: a, end_frame: b, prompt: a walk",
                                "id: n, start_frame: b, end_frame: a, characters: []"), model, Sampling())
    walk, nobody = jobs[2:]
    assert isinstance(walk, SeriesJob) and (walk.frames, walk.prompts, walk.characters) == (7, ("a walk",), ("mia",))
    assert nobody.characters == () and nobody.prompts == () and walk.seed != nobody.seed


def test_what_is_said_of_frames_that_are_no_series():
    alone = story_of("id: a, prompt: x, start_frame: b.png, transition: cut", "id: b, prompt: x, end_frame: a")
    assert reserved_fields(alone) == ("panel start_frame (1)", "panel end_frame (1)", "panel transition (1)")
    assert reserved_fields(story_of(FIRST, SECOND, WALK + ", transition: a walk")) == ()

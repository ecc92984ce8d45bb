"""The use case from the board to the files, with an observer that takes notes and a store in a folder."""

import json
import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from kontinuity.common import InputError, open_picture
from kontinuity.storyboard import Board, Sampling, Shortlist, make_storyboard, parse_story, save_panel
from kontinuity.storyboard.production import run as run_module
from kontinuity.storyboard.production.resume import read_record

MIA = torch.full((32, 32, 3), 0.25)
HEAD = "version: 1\nseed: 7\ncharacters: {mia: {traits: a girl in red}}\npanels:\n"
LATER, FIRST, ALONE = ("id: later, prompt: Make the hat red., from: first", "id: first, prompt: A beach.",
                       "id: alone, prompt: A forest.")
THREE = ("later", "first", "alone")


class Notes:
    """An observer. With `cancel_after` it cancels when so many steps are done."""

    def __init__(self, cancel_after=None):
        self.calls, self.previews, self.cancel_after = [], [], cancel_after

    def begin(self, steps):
        self.calls.append(("begin", steps))

    def step(self, preview):
        if len(self.previews) == self.cancel_after:
            raise KeyboardInterrupt
        self.previews.append(preview)

    def end(self):
        self.calls.append(("end", len(self.previews)))


class Folder:
    """A store. `number` is the run's; with `room` the disk is full after so many panels."""

    def __init__(self, path, number=1, room=None):
        self.path, self.number, self.room, self.calls = path, number, room, []

    def claim(self):
        self.calls.append("claim")

    def earlier(self):
        self.calls.append("earlier")
        names = {path.stem.split("_")[1] for path in self.path.glob("*.png")}
        return {name: sorted(self.path.glob(f"*_{name}.png"), reverse=True) for name in names}

    def save(self, panel_id, picture, record):
        self.calls.append(panel_id)
        if self.room == 0:
            raise OSError(28, "No space left on device")
        self.room = None if self.room is None else self.room - 1
        path = self.path / f"{self.number}_{panel_id}.png"
        save_panel(path, picture, record, {})
        return path


class Script:
    """A scorer that gives these scores one after the other."""

    def __init__(self, *scores):
        self.scores, self.references = list(scores), {}

    def cast(self, references):
        self.references = references
        return self

    def only(self, names):
        return self

    def score(self, picture, regions):
        total = self.scores.pop(0)
        return SimpleNamespace(total=total, as_json=lambda: {"score": total, "encoder": "script"})


def board(*panels):
    return Board(parse_story(HEAD + "".join(f"- {{{panel}}}\n" for panel in panels)), {"mia": MIA})


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def store(tmp_path):
    return Folder(tmp_path)


def test_a_board_becomes_files_in_the_order_of_the_story(model, notes, store, tmp_path):
    result = make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(2, 3.0), notes, store)
    assert store.calls == ["claim", "first", "later", "alone"]  # each when it is made; earlier runs play no part
    assert tuple(saved.panel.id for saved in result.panels) == THREE and result.remarks == ()
    assert [saved.path for saved in result.panels] == [tmp_path / f"1_{name}.png" for name in THREE]
    for saved in result.panels:
        record = read_record(saved.path)
        assert (record["panel"], record["model"], record["steps"], record["guidance"]) == (saved.panel.id, "fake", 2, 3)
        assert (open_picture(saved.path, "x", "y") - saved.picture).abs().max() <= 0.5 / 255 + 1e-6
        assert [candidate.picture is saved.picture for candidate in saved.candidates] == [True]
    assert notes.calls == [("begin", 6), ("end", 6)]
    assert [preview[0, 0, 0] for preview in notes.previews] == [1, 2, 1, 2, 1, 2]


def test_only_some_panels(model, notes, store):
    result = make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(2), notes, store, only=["later"])
    assert [saved.panel.id for saved in result.panels] == ["later"] == store.calls[1:]
    assert notes.calls == [("begin", 4), ("end", 4)]  # what it is made from is made, too


def test_the_best_candidate_is_kept_and_every_score_is_told(model, notes, store):
    scorer = Script(0.2, 0.9, 0.5)
    result = make_storyboard(board(FIRST, ALONE + ", candidates: 2"), model, Sampling(1), notes, store, scorer=scorer)
    alone = result.panels[1]
    assert len(alone.candidates) == 2 and alone.picture is alone.candidates[0].picture
    assert [line.split(" (")[0] for line in result.remarks] == [
        "panel 'first', candidate 0", "panel 'alone', candidate 0", "panel 'alone', candidate 1"]
    assert [line.endswith(" - kept") for line in result.remarks] == [True, True, False]
    assert [told["score"] for told in read_record(alone.path)["candidates"]] == [0.9, 0.5]
    assert notes.calls == [("begin", 3), ("end", 3)]
    assert list(scorer.references) == ["mia"] and scorer.references["mia"][0] is MIA


def test_steps_that_a_good_candidate_spares_are_not_made(model, notes, store):
    panel = ALONE + ", candidates: 4, stop_score: 0.8"
    result = make_storyboard(board(panel), model, Sampling(2), notes, store, scorer=Script(0.3, 0.85))
    assert len(result.panels[0].candidates) == 2 and notes.calls == [("begin", 8), ("end", 4)]


def test_candidates_without_a_scorer_are_said_not_to_be_made(model, notes, store, caplog):
    panels = FIRST, ALONE + ", candidates: 3"
    result = make_storyboard(board(*panels), model, Sampling(1), notes, store, where="Render Storyboard")
    assert result.remarks == ("One picture is made of alone: candidates and min_score need a scorer. Connect Load "
                              "Identity Scorer.",)
    assert caplog.messages == [f"Render Storyboard: {result.remarks[0]}"]
    assert notes.calls == [("begin", 2), ("end", 2)]


def test_the_budget_is_for_the_whole_run(model, notes, store):
    panels = FIRST + ", candidates: 3", ALONE + ", candidates: 3"
    result = make_storyboard(board(*panels), model, Sampling(1), notes, store, scorer=Script(*[0.5] * 6), budget=4)
    assert [len(saved.candidates) for saved in result.panels] == [3, 1]
    assert notes.calls == [("begin", 6), ("end", 4)]


def test_a_reroll_is_another_candidate(model, notes, store, tmp_path):
    once = make_storyboard(board(ALONE), model, Sampling(1), notes, store).panels[0]
    again = make_storyboard(board(ALONE), model, Sampling(1), notes, Folder(tmp_path, 2), first=1).panels[0]
    assert not torch.equal(once.picture, again.picture)
    assert "candidate" not in read_record(once.path) and read_record(again.path)["candidate"] == 1


def test_many_candidates_are_not_all_handed_out(model, notes, store, monkeypatch):
    monkeypatch.setattr(run_module, "Shortlist", partial(Shortlist, room=0))
    panels = FIRST + ", candidates: 2", ALONE
    result = make_storyboard(board(*panels), model, Sampling(1), notes, store, scorer=Script(0.1, 0.4, 0.3))
    assert [[candidate.number for candidate in saved.candidates] for saved in result.panels] == [[1], [0]]
    assert result.remarks[-1].startswith("Of first only the picture kept is handed out: all candidates would")
    assert len(read_record(result.panels[0].path)["candidates"]) == 2  # what was tried is known all the same


def test_resuming_makes_only_the_rest(model, notes, store, tmp_path):
    make_storyboard(board(LATER, FIRST), model, Sampling(2), Notes(), store)
    model.edited.clear()
    after = Folder(tmp_path, 2)
    result = make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(2), notes, after, resume=True)
    assert model.edited == ["panel 'alone'"] and after.calls == ["claim", "earlier", "alone"]
    assert result.remarks == ("Taken over from earlier runs: first, later.",)
    assert [saved.path.name for saved in result.panels] == ["1_later.png", "1_first.png", "2_alone.png"]
    assert notes.calls == [("begin", 2), ("end", 2)]


def test_resuming_a_finished_board_samples_nothing(model, notes, store, tmp_path):
    before = make_storyboard(board(FIRST), model, Sampling(2), Notes(), store).panels[0]
    after = make_storyboard(board(FIRST), model, Sampling(2), notes, Folder(tmp_path, 2), resume=True).panels[0]
    assert after.path == before.path and notes.calls == [("begin", 0), ("end", 0)]
    assert torch.equal(after.picture, open_picture(before.path, "x", "y"))
    assert [candidate.total for candidate in after.candidates] == [0.0]


def test_a_panel_without_anybody_is_made_once_and_taken_over(model, notes, store, tmp_path):
    empty = "id: empty, prompt: A beach., characters: [], candidates: 3"
    make_storyboard(board(empty), model, Sampling(2), notes, store, scorer=Script())
    assert model.edited == ["panel 'empty'"] and notes.calls == [("begin", 2), ("end", 2)]
    again = Notes()
    make_storyboard(board(empty), model, Sampling(2), again, Folder(tmp_path, 2), scorer=Script(), resume=True)
    assert again.calls == [("begin", 0), ("end", 0)]


def test_without_resume_everything_is_made_anew(model, notes, store, tmp_path):
    for number in (1, 2):
        make_storyboard(board(FIRST), model, Sampling(1), notes, Folder(tmp_path, number))
    assert model.edited == ["panel 'first'"] * 2 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("panel", "words"), [
    ("id: bad, prompt: forbidden", "panel 'bad': prompt 'forbidden': is forbidden"),
    ("id: bad, prompt: 在海滩上", "panel 'bad': prompt '在海滩上': cannot be used (unreadable)"),
])
def test_a_prompt_is_refused_before_anything_is_sampled(model, notes, store, panel, words):
    with pytest.raises(InputError) as caught:
        make_storyboard(board(FIRST, panel), model, Sampling(1), notes, store)
    assert words in str(caught.value)
    assert model.edited == [] and store.calls == [] and notes.calls == []


def test_what_is_said_of_a_region_is_looked_at_too(model, notes, store, caplog):
    def asked(action):
        panel = f"id: a, prompt: A beach., together: regions, characters: {{mia: {{region: left, action: {action}}}}}"
        return make_storyboard(board(panel), model, Sampling(1), notes, store, advice=advice).remarks

    def advice(prompts):
        heard.extend(prompt.prompt for prompt in prompts if prompt.whole)
        return ()

    heard = []
    with pytest.raises(InputError, match="panel 'a', mia: prompt '挥手.': cannot be used .unreadable."):
        asked("挥手")
    assert model.edited == []
    remark, = asked("not smiling")
    assert remark.startswith("2 prompts checked: 1 warning")
    assert "panel 'a', mia: warning (negative) 'is not smiling'" in remark
    assert heard == ["A beach."]


def test_an_unknown_panel_is_refused_in_the_name_of_who_asks(model, notes, store):
    with pytest.raises(InputError, match="my queue: panels 'frist': is not a panel.*did you mean 'first'"):
        make_storyboard(board(FIRST), model, Sampling(1), notes, store, only=["frist"], where="my queue")


def test_what_the_look_at_prompts_says_comes_first(model, notes, store, caplog):
    asked = []

    def advice(prompts):
        asked.extend((prompt.where, prompt.prompt, dict(prompt.traits)) for prompt in prompts)
        return ["Nobody taught it that."]

    panels = "id: mia, prompt: Put him on a beach.", "id: wide, prompt: A beach., candidates: 2"
    with caplog.at_level(logging.INFO, "kontinuity"):
        result = make_storyboard(board(*panels), model, Sampling(1), notes, store, advice=advice)
    look, unjudged = result.remarks
    assert look.splitlines()[0] == "2 prompts checked: 1 warning"
    assert look.splitlines()[1].startswith("panel 'mia': warning (pronoun) 'him'")
    assert look.splitlines()[2] == "Nobody taught it that." and unjudged.startswith("One picture is made of wide")
    assert caplog.records[0].levelname == "WARNING" and caplog.messages[0].startswith("panel 'mia': warning (pronoun)")
    assert asked == [("panel 'mia'", "Put him on a beach.", {"mia": "a girl in red"}),
                     ("panel 'wide'", "A beach.", {"mia": "a girl in red"})]


def test_each_pass_is_looked_at_with_who_it_adds(model, notes, store):
    asked = []
    panel = "id: a, prompt: They meet., together: passes, characters: {mia: {region: left}}"
    make_storyboard(board(panel), model, Sampling(1), notes, store,
                    advice=lambda prompts: asked.extend(prompts) or ())
    assert [prompt.where for prompt in asked] == ["panel 'a'", "panel 'a'"]
    assert asked[1].prompt.startswith("Add a girl in red on the left") and notes.calls == [("begin", 2), ("end", 2)]


def test_without_a_place_for_the_files_nothing_is_sampled(model, notes, store, monkeypatch):
    def claim():
        raise InputError("Render", "filename_prefix", "", "is no file name", "give a name")

    monkeypatch.setattr(store, "claim", claim)
    with pytest.raises(InputError, match="is no file name"):
        make_storyboard(board(FIRST), model, Sampling(1), notes, store)
    assert model.edited == [] and notes.calls == []


def test_cancelling_keeps_what_is_saved(model, store, tmp_path):
    notes = Notes(cancel_after=5)
    with pytest.raises(KeyboardInterrupt):
        make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(2), notes, store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1_first.png", "1_later.png"]
    assert notes.calls == [("begin", 6)]
    again = make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(2), Notes(), Folder(tmp_path, 2), resume=True)
    assert [saved.path.name for saved in again.panels] == ["1_later.png", "1_first.png", "2_alone.png"]


def test_a_full_disk_stops_the_run_and_keeps_what_is_saved(model, notes, tmp_path):
    store = Folder(tmp_path, room=1)
    with pytest.raises(OSError, match="No space left"):
        make_storyboard(board(LATER, FIRST, ALONE), model, Sampling(1), notes, store)
    assert store.calls == ["claim", "first", "later"] and model.edited == ["panel 'first'", "panel 'later'"]
    assert [path.name for path in tmp_path.iterdir()] == ["1_first.png"] and notes.calls == [("begin", 3)]


def test_the_record_tells_a_translated_prompt_as_it_was_written(model, notes, store):
    originals = {"first": "Am Strand."}
    result = make_storyboard(board(FIRST, ALONE), model, Sampling(1), notes, store, originals=originals)
    first, alone = (read_record(saved.path) for saved in result.panels)
    assert first["prompt_as_written"] == "Am Strand." and "prompt_as_written" not in alone
    assert json.dumps(first).index('"model"') < json.dumps(first).index('"prompt_as_written"')

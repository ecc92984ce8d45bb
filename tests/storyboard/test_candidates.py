"""Best of several candidates: which are made, which is kept, what the record says."""

from types import SimpleNamespace

import pytest
import torch
from kontinuity.kontext import Scorer
from kontinuity.storyboard import (
    Candidate,
    Character,
    Panel,
    Shortlist,
    Story,
    Wish,
    candidate_seed,
    plan_panels,
    record,
    render,
    story_judge,
)

MIA = torch.full((32, 32, 3), 0.25)


def story(*panels):
    return Story(version=1, seed=7, characters={"mia": Character()}, panels=panels)


def rendered(model, board, judge=None, only=(), **options):
    return {job.panel_id: (job, picture)
            for job, picture in render(plan_panels(board, {"mia": MIA}, model, steps=1, only=only), model, judge=judge,
                                       **options)}


def judge_by(*scores):
    """A judge that gives these scores one after the other, then 0."""
    left = list(scores)
    return lambda panel, picture: SimpleNamespace(
        total=left.pop(0) if left else 0.0, as_json=lambda: {"score": 0.5, "encoder": "script"})


BEACH = Panel(id="beach", prompt="x", candidates=4)


def test_candidate_0_is_the_picture_of_old_and_the_others_differ(model):
    plain = rendered(model, story(Panel(id="beach", prompt="x")))["beach"][1]
    job, picture = rendered(model, story(BEACH), judge_by(0.9, 0.1, 0.1, 0.1))["beach"]
    assert torch.equal(picture, plain) and job.chosen == 0 and len(job.tried) == 4
    assert len({one.seed for one in job.tried}) == 4
    assert all(not torch.equal(one.picture, plain) for one in job.tried[1:])


def test_the_best_is_kept_with_its_own_seed(model):
    job, picture = rendered(model, story(BEACH), judge_by(0.1, 0.5, 0.9, 0.9))["beach"]
    assert job.chosen == 2 and torch.equal(picture, job.tried[2].picture)
    assert record(job, "fake")["seed"] == job.request.seed == candidate_seed(job.tried[0].seed, 2)
    entry = record(job, "fake")
    assert entry["candidate"] == 2 and [one["seed"] for one in entry["candidates"]] == [
        one.seed for one in job.tried]
    # Its seed written into the story makes the same picture.
    again = story(Panel(id="beach", prompt="x", seed=entry["seed"]))
    assert torch.equal(rendered(model, again)["beach"][1], picture)


def test_without_a_scorer_one_picture_and_the_record_of_old(model):
    job, _ = rendered(model, story(BEACH))["beach"]
    assert len(job.tried) == 1 and "candidates" not in record(job, "fake")


def test_stop_score_stops_and_min_score_goes_on(model, caplog):
    panel = Panel(id="a", prompt="x", candidates=4, stop_score=0.8)
    assert len(rendered(model, story(panel), judge_by(0.3, 0.85))["a"][0].tried) == 2
    panel = Panel(id="a", prompt="x", candidates=2, min_score=0.6)
    assert len(rendered(model, story(panel), judge_by(0.3, 0.4, 0.7))["a"][0].tried) == 3
    assert not caplog.records
    job, _ = rendered(model, story(panel), judge_by(0.3, 0.4))["a"]
    assert len(job.tried) == 4 == job.wish.most and job.chosen == 1
    assert "less than its min_score 0.60" in caplog.text


@pytest.mark.parametrize("budget, counts", [(0, [4, 1, 4]), (1, [1, 1, 1]), (5, [3, 1, 1]), (8, [4, 1, 3])])
def test_the_budget_is_kept_and_every_panel_gets_a_picture(model, budget, counts):
    board = story(Panel(id="a", prompt="x", candidates=4), Panel(id="b", prompt="y"),
                  Panel(id="c", prompt="z", candidates=4))
    made = rendered(model, board, judge_by(), budget=budget)
    assert [len(job.tried) for job, _ in made.values()] == counts and len(model.edited) == sum(counts)


def test_the_chosen_candidate_is_what_the_next_panel_is_made_from(model):
    board = story(Panel(id="a", prompt="x", candidates=2), Panel(id="b", prompt="y", **{"from": "a"}))
    made = rendered(model, board, judge_by(0.1, 0.9))
    assert made["b"][0].request.references[0] is made["a"][1]


def test_a_reroll_changes_the_named_panel_only(model):
    board = story(Panel(id="a", prompt="x"), Panel(id="b", prompt="y", **{"from": "a"}))
    first, again = rendered(model, board), rendered(model, board, only=["b"], first=1)
    assert not torch.equal(first["b"][1], again["b"][1])
    assert torch.equal(again["b"][0].request.references[0], first["a"][1])  # its source is as ever
    assert record(again["b"][0], "fake")["candidate"] == 1
    assert torch.equal(rendered(model, board, only=["b"], first=1)["b"][1], again["b"][1])


def test_passes_get_seeds_as_if_the_panel_had_that_seed(model):
    board = story(Panel(id="a", prompt="x", together="passes", candidates=2))
    job = plan_panels(board, {"mia": MIA}, model, steps=1)[0]
    rolled = job.candidate(1)
    again = story(Panel(id="a", prompt="x", together="passes", seed=rolled.seed))
    same = plan_panels(again, {"mia": MIA}, model, steps=1)[0]
    assert [one.request.seed for one in rolled.passes] == [one.request.seed for one in same.passes]
    assert len({one.request.seed for one in (*job.passes, *rolled.passes)}) == 4


def test_the_storys_judge_asks_for_the_panels_own_characters():
    class Mean:
        name = "mean"

        def embed(self, pictures):
            return torch.nn.functional.normalize(torch.stack([one.mean((0, 1)) for one in pictures]), dim=1)

    red, blue = torch.eye(3)[0].expand(8, 8, 3), torch.eye(3)[2].expand(8, 8, 3)
    board = Story(version=1, characters={"mia": Character(), "tom": Character()}, panels=(
        Panel(id="m", prompt="x", characters=("mia",)), Panel(id="nobody", prompt="x", characters=()),
        Panel(id="both", prompt="x", characters={"mia": {"region": (0.5, 0, 0.5, 1)},
                                                 "tom": {"region": (0, 0, 0.5, 1)}})))
    judge = story_judge(board, {"mia": red, "tom": blue, "tom/face": red, "tom/body": blue}, Scorer(Mean()))
    assert judge("m", red).total == pytest.approx(1) and judge("m", blue).total == pytest.approx(0)
    assert judge("nobody", red) is None
    assert judge("both", torch.cat([blue, red], 1)).total == pytest.approx(1)
    assert judge("both", torch.cat([red, blue], 1)).figures["mia"].likeness == pytest.approx(0)


def test_a_wish():
    assert (Wish().most, Wish(4).most, Wish(1, 0.5).most, Wish(3, 0.5).most) == (1, 4, 4, 6)
    assert not Wish(stop_score=0.5).chooses and Wish(2).chooses and Wish(1, 0.5).chooses


def test_a_long_board_hands_out_only_so_many_candidates():
    picture = torch.zeros(4, 4, 3)
    tried = [Candidate(number, number, picture, None) for number in range(3)]
    shortlist = Shortlist(room=3 * picture.nbytes)
    assert shortlist.of("a", tried, chosen=1) == tried  # two are not kept
    assert shortlist.of("b", tried, chosen=1) == tried[1:2]
    assert shortlist.of("c", tried[:1], chosen=0) == tried[:1]
    assert shortlist.without == ["b"]

"""Best of several candidates: which are made, which is kept, what the record says."""

from types import SimpleNamespace

import pytest
import torch
from kontinuity.kontext import Scorer
from kontinuity.storyboard import (
    Board,
    Candidate,
    CandidatePolicy,
    Character,
    Panel,
    PanelJob,
    PanelResult,
    Sampling,
    Shortlist,
    Story,
    candidate_seed,
    characters_judge,
    plan_panels,
    record,
    render,
    story_judge,
)

MIA = torch.full((32, 32, 3), 0.25)
RED, BLUE = torch.eye(3)[0].expand(8, 8, 3), torch.eye(3)[2].expand(8, 8, 3)


def story(*panels):
    return Story(version=1, seed=7, characters={"mia": Character()}, panels=panels)


def rendered(model, board, judge=None, only=(), **options):
    jobs = plan_panels(Board(board, {"mia": MIA}), model, Sampling(1), only=only)
    return {result.job.panel_id: result for result in render(jobs, model, judge=judge, **options)}


def judge_by(*scores):
    """A judge that gives these scores one after the other, then 0."""
    left = list(scores)
    return lambda panel, picture: SimpleNamespace(
        total=left.pop(0) if left else 0.0, as_json=lambda: {"score": 0.5, "encoder": "script"})


BEACH = Panel(id="beach", prompt="x", candidates=4)


def test_candidate_0_is_the_picture_of_old_and_the_others_differ(model):
    plain = rendered(model, story(Panel(id="beach", prompt="x")))["beach"].picture
    result = rendered(model, story(BEACH), judge_by(0.9, 0.1, 0.1, 0.1))["beach"]
    assert torch.equal(result.picture, plain) and result.chosen.number == 0 and len(result.tried) == 4
    assert len({candidate.seed for candidate in result.tried}) == 4
    assert all(not torch.equal(candidate.picture, plain) for candidate in result.tried[1:])


def test_the_best_is_kept_with_its_own_seed(model):
    result = rendered(model, story(BEACH), judge_by(0.1, 0.5, 0.9, 0.9))["beach"]
    assert result.chosen.number == 2 and result.picture is result.tried[2].picture
    entry = record(result, "fake")
    assert entry["seed"] == result.job.request.seed == candidate_seed(result.tried[0].seed, 2)
    assert entry["candidate"] == 2 and [told["seed"] for told in entry["candidates"]] == [
        candidate.seed for candidate in result.tried]
    # Its seed written into the story makes the same picture.
    again = story(Panel(id="beach", prompt="x", seed=entry["seed"]))
    assert torch.equal(rendered(model, again)["beach"].picture, result.picture)


def test_without_a_scorer_one_picture_and_the_record_of_old(model):
    result = rendered(model, story(BEACH))["beach"]
    assert len(result.tried) == 1 and "candidates" not in record(result, "fake")


def test_stop_score_stops_and_min_score_goes_on(model, caplog):
    panel = Panel(id="a", prompt="x", candidates=4, stop_score=0.8)
    assert len(rendered(model, story(panel), judge_by(0.3, 0.85))["a"].tried) == 2
    panel = Panel(id="a", prompt="x", candidates=2, min_score=0.6)
    assert len(rendered(model, story(panel), judge_by(0.3, 0.4, 0.7))["a"].tried) == 3
    assert not caplog.records
    result = rendered(model, story(panel), judge_by(0.3, 0.4))["a"]
    assert len(result.tried) == 4 == result.job.policy.most and result.chosen.number == 1
    assert "less than its min_score 0.60" in caplog.text


@pytest.mark.parametrize("budget, counts", [(0, [4, 1, 4]), (1, [1, 1, 1]), (5, [3, 1, 1]), (8, [4, 1, 3])])
def test_the_budget_is_kept_and_every_panel_gets_a_picture(model, budget, counts):
    board = story(Panel(id="a", prompt="x", candidates=4), Panel(id="b", prompt="y"),
                  Panel(id="c", prompt="z", candidates=4))
    results = rendered(model, board, judge_by(), budget=budget)
    assert [len(result.tried) for result in results.values()] == counts and len(model.edited) == sum(counts)


def test_the_chosen_candidate_is_what_the_next_panel_is_made_from(model):
    board = story(Panel(id="a", prompt="x", candidates=2), Panel(id="b", prompt="y", **{"from": "a"}))
    results = rendered(model, board, judge_by(0.1, 0.9))
    assert results["b"].job.request.references[0] is results["a"].picture


def test_a_reroll_changes_the_named_panel_only(model):
    board = story(Panel(id="a", prompt="x"), Panel(id="b", prompt="y", **{"from": "a"}))
    first, again = rendered(model, board), rendered(model, board, only=["b"], first=1)
    assert not torch.equal(first["b"].picture, again["b"].picture)
    assert torch.equal(again["b"].job.request.references[0], first["a"].picture)  # its source is as ever
    assert record(again["b"], "fake")["candidate"] == 1
    assert torch.equal(rendered(model, board, only=["b"], first=1)["b"].picture, again["b"].picture)


def test_passes_get_seeds_as_if_the_panel_had_that_seed(model):
    board = story(Panel(id="a", prompt="x", together="passes", candidates=2))
    job = plan_panels(Board(board, {"mia": MIA}), model, Sampling(1))[0]
    rolled = job.candidate(1)
    again = story(Panel(id="a", prompt="x", together="passes", seed=rolled.seed))
    same = plan_panels(Board(again, {"mia": MIA}), model, Sampling(1))[0]
    assert [pass_.request.seed for pass_ in rolled.passes] == [pass_.request.seed for pass_ in same.passes]
    assert len({pass_.request.seed for pass_ in (*job.passes, *rolled.passes)}) == 4


class Mean:
    name = "mean"

    def embed(self, pictures):
        return torch.nn.functional.normalize(torch.stack([picture.mean((0, 1)) for picture in pictures]), dim=1)


def test_the_storys_judge_asks_for_the_panels_own_characters():
    board = Story(version=1, characters={"mia": Character(), "tom": Character()}, panels=(
        Panel(id="m", prompt="x", characters=("mia",)), Panel(id="nobody", prompt="x", characters=()),
        Panel(id="both", prompt="x", characters={"mia": {"region": (0.5, 0, 0.5, 1)},
                                                 "tom": {"region": (0, 0, 0.5, 1)}})))
    pictures = {"mia": RED, "tom": BLUE, "tom/face": RED, "tom/body": BLUE}
    judge = story_judge(Board(board, pictures), Scorer(Mean()))
    assert judge("m", RED).total == pytest.approx(1) and judge("m", BLUE).total == pytest.approx(0)
    assert judge("nobody", RED) is None
    assert judge("both", torch.cat([BLUE, RED], 1)).total == pytest.approx(1)
    assert judge("both", torch.cat([RED, BLUE], 1)).figures["mia"].likeness == pytest.approx(0)


def test_without_a_story_everybody_should_be_in_every_picture():
    judge = characters_judge({"mia": RED, "mia/face": RED, "tom": BLUE}, Scorer(Mean()))
    score = judge("", RED)
    assert sorted(score.figures) == ["mia", "tom"]
    assert score.figures["mia"].likeness == pytest.approx(1) and score.figures["tom"].likeness == pytest.approx(0)


def test_a_candidate_policy():
    assert [CandidatePolicy(*limits).most for limits in ((), (4,), (1, 0.5), (3, 0.5))] == [1, 4, 4, 6]
    assert not CandidatePolicy(stop_score=0.5).needs_scores
    assert CandidatePolicy(2).needs_scores and CandidatePolicy(1, 0.5).needs_scores


def test_a_long_board_hands_out_only_so_many_candidates():
    picture = torch.zeros(4, 4, 3)
    tried = tuple(Candidate(number, number, picture, None) for number in range(3))
    shortlist = Shortlist(room=3 * picture.nbytes)

    def handed_out(panel_id, tried, chosen):
        return shortlist.of(PanelResult(PanelJob(panel_id, 1, (), ()), tried, tried[chosen]))

    assert handed_out("a", tried, chosen=1) == tried  # two are not kept
    assert handed_out("b", tried, chosen=1) == tried[1:2]
    assert handed_out("c", tried[:1], chosen=0) == tried[:1]
    assert shortlist.without == ["b"]

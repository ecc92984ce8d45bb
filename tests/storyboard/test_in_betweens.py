"""Start and end frames: the series, what is asked for it, what is chosen, and what is refused before sampling."""

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.demo_model.toonworld import backdrop
from kontinuity.demo_model.training.in_betweens import prompt, random_series
from kontinuity.storyboard import InBetweens, Sampling, make_in_betweens
from kontinuity.storyboard.between.asked import in_between_prompt
from kontinuity.storyboard.between.ends import both_ends
from kontinuity.storyboard.between.mended import mended, torn
from kontinuity.storyboard.between.path import best_path
from test_run import Notes

SAMPLING = Sampling(steps=2, guidance=3.0)


def square(left, top=30, width=96, height=64):
    """A red square before stripes."""
    rows = torch.arange(height)[:, None, None]
    picture = torch.where(rows % 16 < 8, 0.9, 0.6) * torch.tensor([0.8, 1.0, 0.9]).expand(height, width, 3)
    picture[top:top + 20, left:left + 20] = torch.tensor([0.8, 0.1, 0.1])
    return picture.contiguous()


START, END = square(6), square(66, 12)


class Tearing:
    """A fake model that makes what flow makes, but noise for the candidates in `torn`; it notes the requests."""

    def __init__(self, model):
        self.settings = SimpleNamespace(width=96, height=64)
        self.check, self.prepare, self.preview, self._edit = model.check, model.prepare, model.preview, model.edit
        self.torn, self.requests, self.seeds = (), [], []

    def edit(self, request, on_step=None):
        self.requests.append(request)
        noise = self._edit(request, on_step)
        if request.seed not in self.seeds:
            self.seeds.append(request.seed)
        return noise if self.seeds.index(request.seed) in self.torn else request.references[0]


@pytest.fixture
def torn_ends(monkeypatch):
    """Flow explains nothing of what changes, so that Kontext makes all."""
    monkeypatch.setattr("kontinuity.storyboard.between.series.explained", lambda *_: 0.0)


@pytest.fixture
def tearing(model):
    return Tearing(model)


def series(model, observer=None, settings=None, ends=(START, END), **more):
    return make_in_betweens(*ends, model, SAMPLING, observer or Notes(), settings or InBetweens(), **more)


def test_the_ends_are_the_given_tensors_and_kontext_makes_what_is_between(tearing, torn_ends):
    made = series(tearing)
    assert made.frames[0].picture is START and made.frames[-1].picture is END
    assert [frame.origin for frame in made.frames] == ["given", *["kontext"] * 5, "given"]
    assert [round(frame.part, 3) for frame in made.frames] == [0, 0.167, 0.333, 0.5, 0.667, 0.833, 1]
    assert made.remarks[0].startswith("7 frames: 2 given, 5 made by Kontext, 0 by flow.")
    assert made.remarks[4].startswith("frame 4 (50%): made by Kontext: looks ")


def test_what_is_asked(tearing, torn_ends):
    series(tearing, settings=InBetweens(seed=11, frames=5, prompts=("the hand goes up", "the hand waves")))
    first = tearing.requests[0]
    assert first.prompt == "In-between at 50%. the hand waves" and first.seed == 11
    assert [request.prompt for request in tearing.requests[1:]] == ["In-between at 25%. the hand goes up",
                                                                  "In-between at 75%. the hand waves"]
    for request in tearing.requests:
        moved, start, end = request.references
        assert start is START and end is END and moved.shape == START.shape
        assert request.seed == 11 and request.reference_method == "offset"
        assert (request.steps, request.guidance) == (2, 3.0)
    assert [strength.value for strength in tearing.requests[1].strengths] == [1, 0.75, 0.25]


def test_the_lora_was_trained_with_these_words():
    assert all(in_between_prompt(part) == prompt(part) for part in (0.05, 1 / 6, 0.5, 0.999))


def test_the_middle_comes_first_then_the_worst_gap(tearing, monkeypatch):
    shares = iter([0.1, 0.6, 0.2, 0.99, 0.99])  # the whole; left and right of the middle; of the right half
    monkeypatch.setattr("kontinuity.storyboard.between.series.explained", lambda *_: next(shares))
    made = series(tearing, settings=InBetweens(frames=9, made=2))
    assert [request.prompt for request in tearing.requests] == ["In-between at 50%.", "In-between at 75%."]
    assert "".join(frame.origin[0] for frame in made.frames) == "gfffkfkfg"
    assert made.remarks[2].startswith("frame 2 (12%): by flow between frames 1 and 5: ")


def test_a_gap_that_flow_explains_is_filled_by_it(tearing, monkeypatch):
    monkeypatch.setattr("kontinuity.storyboard.between.series.explained", lambda *_: 1.0)
    made = series(tearing)
    assert not tearing.requests and made.remarks[0].startswith("7 frames: 2 given, 0 made by Kontext, 5 by flow.")


def test_each_candidate_has_one_noise_and_the_best_is_kept(tearing, torn_ends):
    tearing.torn = 0, 2
    made = series(tearing, settings=InBetweens(frames=4, candidates=3, seed=5))
    assert len(tearing.requests) == 6 and len(tearing.seeds) == 3 and tearing.seeds[0] == 5
    assert all("candidate 2 of 3: motion " in frame.said for frame in made.frames[1:-1])


def test_a_scorer_says_whose_figure_it_is(tearing, torn_ends):
    class Eye:
        def cast(self, references):
            assert [picture is end for picture, end in zip(references["the figure"], (START, END), strict=True)]
            return self

        def score(self, picture):
            return type("Score", (), {"total": 0.25})()

    made = series(tearing, scorer=Eye(), settings=InBetweens(frames=3))
    assert "identity 0.25" in made.frames[1].said


def test_progress_and_cancel(tearing, torn_ends):
    notes = Notes()
    series(tearing, observer=notes, settings=InBetweens(frames=4, candidates=2))
    assert notes.calls == [("begin", 2 * 2 * 2), ("end", 2 * 2 * 2)]
    with pytest.raises(KeyboardInterrupt):
        series(tearing, Notes(cancel_after=3))
    assert len(tearing.requests) == 4 + 1 + 1


def test_frames_are_as_large_as_the_ends(tearing, torn_ends):
    ends = square(6, width=150, height=101), square(100, width=150, height=101)
    made = series(tearing, ends=ends, settings=InBetweens(frames=4))
    assert {(request.width, request.height) for request in tearing.requests} == {(96, 64)}
    assert {tuple(frame.picture.shape) for frame in made.frames} == {(101, 150, 3)}


def test_the_best_path_is_the_best_of_all():
    generator = torch.Generator().manual_seed(1)
    layers = [torch.rand(3, generator=generator).tolist() for _ in range(5)]

    def step(a, b):
        return abs(a - b) * 2

    def whole(path):
        return sum(path) + sum(itertools.starmap(step, itertools.pairwise(path)))

    best = best_path(layers, lambda node: node, step)
    assert whole(best) == pytest.approx(min(map(whole, itertools.product(*layers))))
    assert whole(best) < whole([min(layer) for layer in layers])  # else the steps would play no part


@pytest.mark.parametrize(("ends", "settings", "field", "words"), [
    ((START, square(6, width=128)), {}, "end frame", "crop or extend"),
    ((START, square(6, width=192, height=128)), {}, "end frame", "scale one"),
    ((START, START.clone()), {}, "end frame", "once more"),
    ((START, END[..., :2]), {}, "end frame", "not a picture"),
    ((square(6, 20, height=48), square(30, 20, height=48)), {}, "start frame", "under 64"),
    ((START, END), {"frames": 2}, "frames", "3..33"),
    ((START, END), {"frames": 34}, "frames", "3..33"),
    ((START, END), {"made": -1}, "made", "0..33"),
    ((START, END), {"candidates": 0}, "candidates", "1..8"),
    ((START, END), {"confident": 1.1}, "confident", "0..1"),
    ((START, END), {"prompts": ("up", " ")}, "prompt 2", "empty"),
    ((START, END), {"prompts": ("forbidden",)}, "prompt", "forbidden"),
])
def test_bad_input_is_refused_before_sampling(tearing, ends, settings, field, words):
    with pytest.raises(InputError, match=words) as error:
        series(tearing, settings=replace(InBetweens(), **settings), ends=ends)
    assert error.value.field == field and not tearing.requests


def test_what_flow_carries_over_keeps_its_pixels_and_what_it_tears_is_new():
    drawn = random_series(random.Random(1), 0.22)
    start, end, truth, empty = (torch.from_numpy(picture / np.float32(255)) for picture in (
        drawn.draw(0), drawn.draw(1), drawn.draw(0.5), backdrop(drawn.start.scene, 128, drawn.start.variation)))
    ends = both_ends(start, end, None, "test")
    moved, new = ends.moved(0.5), torn(ends.pair, 0.5)
    picture, off = mended(torch.zeros_like(start), moved, new)
    assert torch.equal(picture[new == 0], moved[new == 0]) and not picture[new == 1].any()
    assert off == pytest.approx(float(moved[new == 0].mean()))
    figure, wrong = (truth - empty).abs().amax(2) > 0.1, (truth - moved).abs().amax(2) > 0.3
    assert new[wrong].mean() > 0.7 and new[figure & ~wrong].mean() < 0.5
    assert 0.1 < new.mean() < 0.7


def test_all_is_new_where_no_motion_is_known():
    noise = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(0))
    assert torn(both_ends(START, noise, None, "test").pair, 0.5).eq(1).all()


def test_a_model_that_was_not_taught_leaves_the_picture_to_flow(tearing, torn_ends):
    tearing.torn = (0,)
    made = series(tearing, settings=InBetweens(frames=4))
    assert [frame.origin for frame in made.frames] == ["given", "flow", "flow", "given"]
    assert "in-between LoRA" in made.frames[1].said and len(tearing.requests) == 2
    assert torch.equal(made.frames[1].picture, both_ends(START, END, None, "test").moved(1 / 3))

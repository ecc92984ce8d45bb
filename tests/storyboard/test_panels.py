"""Seeds, plans and rendering: what one panel is does not depend on its neighbours."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.storyboard import (
    Board,
    Character,
    Panel,
    PanelJob,
    Sampling,
    Story,
    job_record,
    panel_seed,
    plan_panels,
    render,
)
from kontinuity.storyboard.plan.jobs import Pass

MIA = torch.full((32, 32, 3), 0.25)
TOM = torch.full((16, 48, 3), 0.75)
GOLDEN = (4011380543740901, 4189972329295167, 3494988217490369)


def board(*ids, **changes):
    panels = tuple(Panel(id=name, prompt=f"picture of {name}") for name in ids)
    return Story(**{"version": 1, "seed": 7, "characters": {"mia": Character()}, "panels": panels, **changes})


def test_seeds_never_change():
    """These values are in the records of people's pictures: they may not change between versions."""
    assert panel_seed(0, "a") == GOLDEN[0]
    assert panel_seed(7, "beach") == GOLDEN[1]
    assert panel_seed(2**64 - 1, "Panel-3_b") == GOLDEN[2]
    assert panel_seed(1, "1a") != panel_seed(11, "a")
    seeds = {panel_seed(board_seed, f"p{i}") for board_seed in range(20) for i in range(100)}
    assert len(seeds) == 2000 and all(0 <= seed < 2**53 for seed in seeds)


def test_seeds_do_not_depend_on_the_process():
    code = "import hashlib; d = hashlib.sha256(b'kontinuity panel seed 1\\0' + b'7\\0beach').digest(); " \
           "print(int.from_bytes(d[:8], 'big') >> 11)"
    assert int(subprocess.check_output([sys.executable, "-c", code])) == panel_seed(7, "beach")


def pictures_of(story, model):
    jobs = plan_panels(Board(story, {"mia": MIA}), model, Sampling(2))
    return {result.job.panel_id: result.picture for result in render(jobs, model)}


@pytest.mark.parametrize("ids", [
    ("new", "a", "b", "c"), ("a", "new", "b", "c"), ("c", "b", "a"), ("b", "c"), ("c",)])
def test_other_panels_change_no_bit_of_a_panel(model, ids):
    before = pictures_of(board("a", "b", "c"), model)
    after = pictures_of(board(*ids), model)
    for name in set(ids) & set(before):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["a"], before["b"])


def test_the_board_seed_changes_all_panels_but_those_with_their_own(model):
    panels = (Panel(id="a", prompt="x"), Panel(id="b", prompt="x", seed=5))
    first, second = (pictures_of(board(panels=panels, seed=seed), model) for seed in (1, 2))
    assert not torch.equal(first["a"], second["a"]) and torch.equal(first["b"], second["b"])


def test_plan(model):
    story = board(size=(128, 96), characters={"mia": Character(), "tom": Character()}, together="offset", panels=(
        Panel(id="a", prompt="x", characters=("tom", "mia")),
        Panel(id="b", prompt="y", characters=(), seed=2**64 - 1, size=(64, 80))))
    a, b = plan_panels(Board(story, {"mia": MIA, "tom": TOM}), model, Sampling(4, 3.5))
    assert isinstance(a, PanelJob) and (a.panel_id, a.number, a.characters) == ("a", 1, ("tom", "mia"))
    assert a.request.references[0] is TOM and a.request.references[1] is MIA
    assert (a.request.width, a.request.height, a.request.seed) == (128, 96, panel_seed(7, "a"))
    assert (a.request.steps, a.request.guidance, a.request.where) == (4, 3.5, "panel 'a'")
    assert (b.number, b.characters, b.request.references) == (2, (), ())
    assert (b.request.width, b.request.height, b.request.seed) == (64, 80, 2**64 - 1)
    native = plan_panels(Board(board("a"), {"mia": MIA}), model, Sampling())[0].request
    assert (native.width, native.height) == (64, 48)


def test_only_some_panels_in_the_order_of_the_story(model):
    jobs = plan_panels(Board(board("a", "b", "c"), {"mia": MIA}), model, Sampling(), only=["c", "a", "c"])
    assert [(job.panel_id, job.number) for job in jobs] == [("a", 1), ("c", 3)]
    assert model.checked == ["panel 'a'", "panel 'c'"]
    alone, = plan_panels(Board(board("beach", "b"), {"mia": MIA}), model, Sampling(), only="beach")
    assert alone.panel_id == "beach"


def test_plan_refuses(model):
    pictures = {"mia": MIA}
    with pytest.raises(InputError, match="Render: panels 'beech': is not a panel of this story; did you mean 'beach'"):
        plan_panels(Board(board("beach", "b"), pictures), model, Sampling(), only=["beech"], where="Render")
    with pytest.raises(InputError, match="storyboard: panels 'zzz': .*known: beach, b"):
        plan_panels(Board(board("beach", "b"), pictures), model, Sampling(), only=["b", "zzz"])
    with pytest.raises(InputError, match="panel 'b': characters 'mia': has no reference picture.*Character node 'mia'"):
        plan_panels(Board(board("b"), {}), model, Sampling())
    with pytest.raises(InputError, match="characters 'mya': has a picture but is not a character of this story"):
        plan_panels(Board(board("b"), {"mia": MIA, "mya": MIA}), model, Sampling())
    assert model.edited == []


def test_everything_is_checked_before_anything_is_sampled(model):
    panels = tuple(Panel(id=name, prompt=prompt) for name, prompt in [("a", "x"), ("b", "y"), ("c", "forbidden")])
    with pytest.raises(InputError, match="panel 'c': prompt"):
        list(render(plan_panels(Board(board(panels=panels), {"mia": MIA}), model, Sampling()), model))
    assert len(model.checked) == 3 and model.edited == []
    # what is not asked for is not checked
    plan_panels(Board(board(panels=panels), {"mia": MIA}), model, Sampling(), only=["a", "b"])


def test_render_is_lazy_and_reports_steps(model):
    steps = []
    panels = render(plan_panels(Board(board("a", "b"), {"mia": MIA}), model, Sampling(3)), model,
                    lambda job, info: steps.append((job.panel_id, info.step)))
    assert model.edited == []
    result = next(panels)
    assert result.job.panel_id == "a" and result.picture.shape == (48, 64, 3) and model.edited == ["panel 'a'"]
    next(panels)
    assert steps == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]


def test_an_exception_in_on_step_cancels(model):
    class Cancelled(Exception):
        pass

    def cancel(job, info):
        if job.panel_id == "b":
            raise Cancelled

    done = []
    with pytest.raises(Cancelled):
        for result in render(plan_panels(Board(board("a", "b", "c"), {"mia": MIA}), model, Sampling()), model, cancel):
            done.append(result.job.panel_id)
    assert done == ["a"] and model.edited == ["panel 'a'", "panel 'b'"]


def test_record(model):
    job = plan_panels(Board(board("a"), {"mia": MIA}), model, Sampling(4))[0]
    entry = job_record(job, "fake")
    pixels = b"32x32\0" + bytes([64]) * (32 * 32 * 3)
    assert entry == {
        "format": 1, "panel": "a", "number": 1, "prompt": "picture of a", "seed": panel_seed(7, "a"), "size": [64, 48],
        "steps": 4, "guidance": 2.5, "characters": ["mia"], "references": [hashlib.sha256(pixels).hexdigest()],
        "reference_method": "offset", "model": "fake"}
    turned = replace(job, passes=(Pass(replace(job.request, references=(torch.full((16, 64, 3), 0.25),))),))
    assert job_record(turned, "fake")["references"] != entry["references"]

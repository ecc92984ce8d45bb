"""Pictures of every size: any estimator gives a finite flow of their size or a InputError, and a known shift is found.

Low and wide pictures are what OpenCV's DIS cannot take by itself: 468x24 in quality fast ended the process.
"""

import math

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.flow import (
    QUALITIES,
    DisFlow,
    InBetweenModel,
    PyramidFlow,
    RaftFlow,
    arrows,
    clip_scores,
    colour_wheel,
    estimate_motion,
    prepare_pair,
)
from kontinuity.flow.between.film import FilmNet
from kontinuity.flow.between.rife import IFNet
from kontinuity.flow.checks import check_picture
from kontinuity.flow.figures.background import find_background_shift
from torchvision.models.optical_flow import raft_small

LEAST, MOST, PATCH = 16, 2000, 8  # pixels
LOW = [(468, 24), (96, 16), (320, 31), (640, 20), (1300, 33), (1400, 16), (1600, 20), (2000, 63), (24, 468), (20, 1600)]


def sizes(most_pixels: int = MOST * MOST):
    """Widths and heights of 1 to 2000, often low ones; of at most so many pixels where an estimator is slow."""
    side = st.integers(1, MOST) | st.integers(LEAST, 70)
    return st.tuples(side, side).map(lambda size: size if math.prod(size) <= most_pixels else (
        size[0], max(1, most_pixels // size[0])))


def quick(examples: int):
    return settings(max_examples=examples, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def pictures(size: tuple[int, int], kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A pair of this width and height: noise that moved, one grey, stripes turned round, a drawn square that moved."""
    width, height = size
    if kind == "noise":
        a = torch.rand((height, width, 3), generator=torch.Generator().manual_seed(width * height))
        return a, a.roll(1, 1)
    a = torch.full((height, width, 3), 0.5)
    if kind == "grey":
        return a, a.clone()
    if kind == "stripes":
        a[:, ::2], a[:, 1::2] = 0, 1
        return a, 1 - a
    b, side = a.clone(), max(2, min(size) // 3)
    for picture, x in ((a, width // 4), (b, width // 4 + width // 20 + 1)):
        picture[side:2 * side, x:x + side] = torch.tensor([0.8, 0.1, 0.1])
    return a, b


kinds = st.sampled_from(["noise", "grey", "stripes", "drawing"])


def check(estimator, size: tuple[int, int], kind: str) -> None:
    a, b = pictures(size, kind)
    if min(size) < LEAST:
        with pytest.raises(InputError, match="at least 16 pixels"):
            estimate_motion(a, b, estimator)
        return
    flow = estimator(a, b)
    assert flow.shape == (*a.shape[:2], 2) and flow.dtype == torch.float32 and torch.isfinite(flow).all()
    assert flow.abs().max() <= 2 * max(size)  # no arbitrary memory


@example((1, 1), "fast", "noise")
@example((1, 2000), "normal", "noise")
@example((2000, 1), "best", "noise")
@example((468, 24), "fast", "noise")
@example((1400, 20), "normal", "noise")
@given(sizes(), st.sampled_from(["fast", "normal"]), kinds)
@quick(60)
def test_dis_takes_pictures_of_every_size(size, quality, kind):
    check(DisFlow(quality), size, kind)


@given(sizes(60_000), kinds)
@quick(40)
def test_dis_best_takes_pictures_of_every_size(size, kind):
    check(DisFlow("best"), size, kind)


@given(st.integers(LEAST, MOST) | st.integers(LEAST, 100), st.integers(LEAST, MOST) | st.integers(LEAST, 100),
       st.sampled_from(QUALITIES))
@quick(300)
def test_a_patch_fits_every_level_that_dis_uses(width, height, quality):
    """Reading beyond a picture is not always seen in its flow. The levels are those of OpenCV's dis_flow.cpp."""
    finest = DisFlow(quality)._dis(height, width).getFinestScale()
    shorter, longer = min(width, height), max(width, height)
    coarsest = min(int(math.log2(longer / (4 * PATCH)) + 0.5), int(math.log2(shorter // PATCH)))
    if coarsest < finest:
        coarsest = max(0, math.floor(math.log2(2 * width / (5 * PATCH))))
    assert shorter >> coarsest >= PATCH


@given(sizes(4_000), kinds)
@quick(15)
def test_the_pyramid_takes_pictures_of_every_size(size, kind):
    check(PyramidFlow(), size, kind)


@pytest.fixture(scope="module")
def raft():
    torch.manual_seed(0)
    return RaftFlow(raft_small(weights=None).eval(), updates=1)


@given(sizes(40_000), kinds)
@quick(12)
def test_raft_takes_pictures_of_every_size(raft, size, kind):
    a, b = pictures(size, kind)
    if min(size) < LEAST:
        with pytest.raises(InputError, match="at least 16 pixels"):
            estimate_motion(a, b, raft)
    else:
        flow = raft(a, b)
        assert flow.shape == (*a.shape[:2], 2) and torch.isfinite(flow).all()


@pytest.mark.parametrize("estimator", [*map(DisFlow, QUALITIES), PyramidFlow()],
                         ids=[*QUALITIES, "gpu"])
@pytest.mark.parametrize("size", LOW, ids=str)
def test_a_known_shift_of_low_and_high_pictures_is_found(texture, size, estimator):
    width, height = size
    shift = (5, 1) if width > height else (1, 5)
    whole = texture(3, height + 16, width + 16)
    a, b = whole[8:-8, 8:-8], whole[8 - shift[1]:8 - shift[1] + height, 8 - shift[0]:8 - shift[0] + width]
    wrong = (estimator(a.contiguous(), b.contiguous()) - torch.tensor(shift)).norm(dim=2)
    assert wrong.median() < 0.3


@pytest.mark.parametrize("size", [(468, 24), (1400, 20), (24, 468)], ids=str)
def test_a_shift_further_than_dis_sees_is_found_by_matching(texture, size):
    width, height = size
    shift = (16, 0) if width > height else (0, 16)
    whole = texture(5, height + 32, width + 32)
    a, b = whole[16:-16, 16:-16], whole[16 - shift[1]:16 - shift[1] + height, 16 - shift[0]:16 - shift[0] + width]
    motion = estimate_motion(a.contiguous(), b.contiguous(), DisFlow("fast"))
    assert (motion.forward - torch.tensor(shift)).norm(dim=2).median() < 0.5 and motion.coverage > 0.7


@example((1400, 16), "drawing", "normal")
@example((7000, 16), "drawing", "fast")  # brought to 640 pixels of width it would be one row high
@given(sizes(20_000), kinds, st.sampled_from(["fast", "normal"]))
@quick(40)
def test_pictures_in_between_and_scores_of_every_size(size, kind, quality):
    a, b = pictures(size, kind)
    estimator = DisFlow(quality)
    if min(size) < LEAST:
        with pytest.raises(InputError, match="at least 16 pixels"):
            prepare_pair(a, b, estimator=estimator)
        return
    pair = prepare_pair(a, b, estimator=estimator)
    check_picture(pair.at(0.4))
    scores = clip_scores([a, b, a], estimator)
    assert 0 <= scores.flicker <= 1 and 0 <= scores.coverage <= 1
    motion = estimate_motion(a, b, estimator)
    check_picture(colour_wheel(motion.forward))
    check_picture(arrows(motion.forward, a))


@pytest.mark.parametrize("height", [16, 31, 40])
def test_a_figure_and_a_background_are_found_in_low_wide_drawings(height):
    """They are looked for at half size in wide pictures, which is too low for an estimator in low ones."""
    a, b = pictures((1400, height), "drawing")
    motion = estimate_motion(a, b)
    side = height // 3
    moves = motion.forward[side + 1:2 * side - 1, 351:350 + side - 1]
    assert motion.figure is not None and (moves - torch.tensor([71.0, 0.0])).norm(dim=2).median() < 1
    ground = torch.full((height, 1410, 3), 0.7)
    for x in range(0, 1400, 40):
        ground[x // 40 * 3 % (height - 6):, x:x + 12] = torch.tensor([0.2, 0.4 + x / 4000, 0.3])
    shift = find_background_shift(ground[:, 4:1404].contiguous(), ground[:, 2:1402].contiguous())
    assert shift is not None and abs(shift.matrix[0, 2] - 2) < 0.2


@pytest.mark.parametrize("network", [IFNet(4, (8, 8, 8, 8, 8)), FilmNet(4, (4, 4, 4, 4))], ids=lambda net: net.name)
@pytest.mark.parametrize("size", [(16, 16), (468, 24), (17, 300)], ids=str)
def test_learnt_models_make_pictures_of_every_size(network, size):
    a, b = pictures(size, "noise")
    with torch.no_grad():
        made = InBetweenModel(network.eval()).pair(a, b)(0.5)
    assert made.shape == a.shape
    check_picture(made)


class Broken:
    """An in-between network that makes one value, or pictures of another size."""

    name, align, work_bytes = "Broken", 16, 1

    def __init__(self, value: float, less: int = 0):
        self.value, self.less = value, less

    def prepare(self, a, b):
        return a[..., self.less:]

    def make(self, prepared, t):
        return prepared * self.value


@pytest.mark.parametrize("network", [Broken(torch.nan), Broken(torch.inf), Broken(1, less=16)])
def test_a_model_that_makes_no_picture_is_refused(network):
    a, b = (picture + 0.1 for picture in pictures((48, 32), "grey"))
    with pytest.raises(InputError, match="model 'Broken': made .* use another file"):
        InBetweenModel(network).pair(a, b)(0.5)


@pytest.mark.parametrize("answer", [torch.full((96, 128, 2), torch.nan), torch.zeros(96, 64, 2)], ids=["NaN", "narrow"])
def test_the_estimate_after_a_match_is_checked_too(texture, answer):
    asked = []

    def estimator(a, b):
        asked.append(a)
        return torch.zeros(*a.shape[:2], 2) if len(asked) < 3 else answer

    with pytest.raises(InputError, match="estimated flow"):
        estimate_motion(texture(0), texture(1), estimator, large_motion=True)
    assert len(asked) == 3


def test_the_estimate_of_a_background_shift_is_checked_too(texture, monkeypatch):
    nothing = torch.full((96, 128, 2), torch.nan)
    monkeypatch.setattr("kontinuity.flow.figures.background.DisFlow", lambda quality: lambda a, b: nothing)
    with pytest.raises(InputError, match="estimated flow"):
        find_background_shift(texture(0), texture(1))

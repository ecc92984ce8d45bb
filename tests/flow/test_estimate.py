"""Known motions are found; what is no flow estimator is refused."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import QUALITIES, DisFlow, estimate_motion
from kontinuity.flow.estimators.coarse import coarse_flow
from kontinuity.flow.warp import warp_bicubic


def median_error(flow, truth, border=16):
    return (flow - truth).norm(dim=2)[border:-border, border:-border].median().item()


@pytest.mark.parametrize("quality", QUALITIES)
def test_translation_is_found(texture, quality):
    wide = texture(1, 112, 160)
    a, b = wide[8:104, 8:136], wide[5:101, 12:140]  # B's window is 4 right, 3 up: things move 4 left, 3 down
    flow = DisFlow(quality)(a, b)
    assert flow.shape == (96, 128, 2) and flow.dtype == torch.float32
    assert median_error(flow, torch.tensor([-4.0, 3.0])) < 0.15


def test_rotation_is_found(texture):
    a = texture(2, 128, 128)
    ys, xs = torch.meshgrid(torch.arange(128.0) - 63.5, torch.arange(128.0) - 63.5, indexing="ij")
    c, s = torch.cos(torch.tensor(0.05)), torch.sin(torch.tensor(0.05))
    truth = torch.stack([c * xs - s * ys - xs, s * xs + c * ys - ys], 2)
    back = torch.stack([c * xs + s * ys - xs, -s * xs + c * ys - ys], 2)
    b = warp_bicubic(a, back).clamp(0, 1)  # what was at p is now at p + truth
    motion = estimate_motion(a, b)
    assert median_error(motion.forward, truth, 24) < 0.15
    assert median_error(motion.backward, back, 24) < 0.15
    assert motion.coverage > 0.8


def test_wide_pictures_are_estimated_at_half_size_in_the_same_unit(texture):
    wide = texture(3, 80, 1420)
    a, b = wide[8:72, 8:1408], wide[8:72, 2:1402]
    assert median_error(DisFlow("normal")(a, b), torch.tensor([6.0, 0.0])) < 0.3


def test_large_motion_of_a_drawing_is_found(cartoon):
    a, b = cartoon(30), cartoon(95)
    ball = torch.zeros(96, 128, dtype=torch.bool)
    ball[42:58, 22:38] = True
    truth = torch.tensor([65.0, 0.0])
    assert (coarse_flow(a, b)[ball] - truth).norm(dim=1).median() < 6
    motion = estimate_motion(a, b)
    assert (motion.forward[ball] - truth).norm(dim=1).median() < 2
    assert motion.forward[5:20, 5:-5].abs().max() < 0.5  # the sky stands still


def test_large_motion_can_be_switched_off(cartoon):
    motion = estimate_motion(cartoon(30), cartoon(95), large_motion=False)
    assert motion.figure is None and torch.equal(motion.forward, DisFlow()(cartoon(30), cartoon(95)))


def test_same_pictures_same_bits(texture):
    a, b = texture(4), texture(4).roll(5, 1)
    one, two = estimate_motion(a, b), estimate_motion(a, b)
    other = estimate_motion(b, a).swapped()
    for motion in (two, other):
        assert torch.equal(one.forward, motion.forward) and torch.equal(one.backward, motion.backward)
        assert one.coverage == motion.coverage


def test_smallest_pictures(texture):
    for height, width in ((16, 16), (16, 200), (33, 17)):
        assert estimate_motion(texture(0, height, width), texture(1, height, width)).forward.shape == (height, width, 2)


def test_another_estimator_can_stand_in(texture):
    asked = []

    def still(a, b):
        asked.append((a, b))
        return torch.zeros(*a.shape[:2], 2)

    a, b = texture(0), texture(1)
    motion = estimate_motion(a, b, still)
    assert len(asked) == 2 and motion.coverage == 1 and not motion.forward.any()


@pytest.mark.parametrize("answer", [None, torch.zeros(3, 3, 2), torch.full((96, 128, 2), torch.nan)], ids=str)
def test_an_estimator_that_breaks_its_promise_is_refused(texture, answer):
    with pytest.raises(InputError, match="Node: estimated flow"):
        estimate_motion(texture(0), texture(1), lambda a, b: answer, where="Node")


def test_unknown_quality_is_refused():
    with pytest.raises(InputError, match="fast, normal, best"):
        DisFlow("ultra")

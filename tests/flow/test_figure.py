"""A figure before a still or shifted background; wide pictures; the fast synthesis against its float64 reference."""

import math
import sys

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import DisFlow, Motion, estimate_motion, frame_times, pictures_at, prepare_pair
from kontinuity.flow.field import in_order, shrunk
from kontinuity.flow.figures.background import BackgroundShift, find_background_shift
from kontinuity.flow.figures.figure import find_figure
from kontinuity.flow.occlusion import round_trip
from kontinuity.flow.splat import splat
from kontinuity.flow.warp import warp, warp_bicubic


def psnr(a, b):
    return 10 * math.log10(1 / max(1e-12, ((a - b) ** 2).mean().item()))


@pytest.fixture(scope="module")
def busy():
    """`busy(x)`: a ball with a spot at x, before still shapes; 144 x 256. `busy(x, mask=True)`: where it is."""
    import cv2

    def make(x, mask=False):
        picture = np.full((288, 512, 3), (150, 200, 240), np.uint8)
        picture[200:] = (120, 170, 110)
        for left, top, colour in ((20, 30, (230, 180, 90)), (120, 150, (90, 120, 200)), (210, 60, (200, 120, 150)),
                                  (330, 170, (240, 230, 200)), (430, 40, (110, 90, 140)), (440, 220, (200, 90, 70))):
            cv2.rectangle(picture, (left, top), (left + 55, top + 60), colour, -1)
            cv2.rectangle(picture, (left, top), (left + 55, top + 60), (60, 50, 40), 5)
        if mask:
            picture[:] = 0
        centre = (round(2 * x * 16), 150 * 16)
        cv2.circle(picture, centre, 50 * 16, (70, 20, 20), -1, cv2.LINE_AA, 4)
        cv2.circle(picture, centre, 44 * 16, (230, 60, 50), -1, cv2.LINE_AA, 4)
        cv2.circle(picture, (centre[0] + 12 * 16, 138 * 16), 12 * 16, (250, 240, 220), -1, cv2.LINE_AA, 4)
        small = cv2.resize(picture, (256, 144), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        return torch.from_numpy(small).amax(2) > 0.04 if mask else torch.from_numpy(small)

    return make


@pytest.mark.parametrize("way", [8, 30, 90])
def test_a_figure_moves_and_the_background_stays(busy, way):
    a, truth, b = busy(128 - way / 2), busy(128), busy(128 + way / 2)
    pair = prepare_pair(a, b)
    made, report = pair.at(0.5), pair.report
    assert report.decision == "splat" and "still background" in report.reason
    assert psnr(made, truth) > 28 and psnr(made, truth) > psnr((a + b) / 2, truth) + 5
    far = (busy(128, mask=True) | busy(128 - way / 2, mask=True) | busy(128 + way / 2, mask=True)).logical_not()
    far[:, 20:236] = False
    assert torch.equal(made[far], a[far])


def test_the_masks_are_the_figure(busy):
    motion = estimate_motion(busy(90), busy(150))
    assert motion.figure is not None
    for found, x in zip(motion.figure, (90, 150), strict=True):
        truth = busy(x, mask=True)
        assert (found & truth).sum() / (found | truth).sum() > 0.85
    assert motion.forward[motion.figure[0]].median(0).values[0] == pytest.approx(60, abs=1)
    assert not motion.forward[~motion.figure[0]].any()


def test_background_that_shows_through_a_figure_stays(busy):
    """Between legs, or under an arm: a gap has no partner in the other picture, its colour lies beside the figure."""
    import cv2

    def legs(x, apart):
        picture = (busy(-200).numpy() * 255).round().astype(np.uint8)
        for width, colour in ((16, (40, 30, 90)), (10, (120, 90, 220))):
            cv2.rectangle(picture, (x - apart, 32), (x + apart, 68), colour, width, cv2.LINE_AA)
        return torch.from_numpy(picture.astype(np.float32) / 255)

    a, truth, b = legs(164, 24), legs(177, 20), legs(190, 16)
    pair = prepare_pair(a, b)
    for mask, x, apart in zip(pair.motion.figure, (164, 190), (24, 16), strict=True):
        assert mask[42:58, x - apart - 2].all() and not mask[46:54, x - 4 : x + 4].any()
    assert (pair.at(0.5)[46:54, 173:181] - truth[46:54, 173:181]).abs().mean() < 0.02


def test_given_masks_are_kept_and_help(busy):
    a, truth, b = busy(98), busy(128), busy(158)
    masks = busy(98, mask=True), busy(158, mask=True)
    pair = prepare_pair(a, b, figure=masks)
    assert all(torch.equal(*both) for both in zip(pair.motion.figure, masks, strict=True))
    assert "given figure" in pair.report.reason
    assert psnr(pair.at(0.5), truth) > 28
    turned = prepare_pair(b, a, figure=masks[::-1])
    assert torch.equal(turned.at(0.25), pair.at(0.75))


def test_masks_help_where_everything_changes(busy):
    """Another place behind the figure: nothing tells it from the background, and only the masks can move it whole."""
    places = busy(-200), busy(-200).flip(0, 1).roll(1, 2)

    def before(x, ground):
        return torch.where(busy(x, mask=True)[..., None], busy(x), ground)

    a, truth, b = before(98, places[0]), before(128, torch.lerp(*places, 0.5)), before(158, places[1])
    assert estimate_motion(a, b).figure is None
    alone = prepare_pair(a, b).at(0.5)
    times = frame_times(2, 1, 2)
    made = list(pictures_at([a, b], times, figures=[busy(98, mask=True), busy(158, mask=True)]))[1].picture
    inside = busy(128, mask=True)
    assert psnr(made[inside], truth[inside]) > psnr(alone[inside], truth[inside]) + 6


@pytest.mark.parametrize("bad", [(None, None), (torch.zeros(144, 256),) * 2, (torch.zeros(9, 9, dtype=torch.bool),) * 2,
                                 torch.zeros(144, 256, dtype=torch.bool)], ids=["none", "float", "size", "one"])
def test_masks_that_do_not_fit_are_refused(busy, bad):
    with pytest.raises(InputError, match="motion: figure '.*': is (not two masks|no mask of the picture)"):
        prepare_pair(busy(98), busy(158), figure=bad)


def test_an_empty_mask_leaves_a_cross_fade(busy):
    a, b = busy(98), busy(158)
    none = torch.zeros(144, 256, dtype=torch.bool)
    assert torch.allclose(prepare_pair(a, b, "splat", figure=(none, none)).at(0.5), (a + b) / 2, atol=1e-6)


def test_a_background_shift_is_found_and_taken_out(busy):
    a, b = busy(98), busy(158)
    truth = BackgroundShift(np.array([[1.004, 0, 1.6], [0, 1.004, -1.2]]), np.array([0.97] * 3), np.array([0.01] * 3))
    shifted = truth.applied(b, 1.0)
    found = find_background_shift(a, shifted)
    corners = np.array([[0, 0, 1], [255, 143, 1]])
    assert np.abs(corners @ (found.matrix - truth.matrix).T).max() < 0.1  # DIS alone is off by 0.3
    assert found.gain == pytest.approx(truth.gain, abs=0.02)
    assert psnr(found.removed(shifted)[8:-8, 8:-8], b[8:-8, 8:-8]) > psnr(shifted[8:-8, 8:-8], b[8:-8, 8:-8]) + 6
    assert find_background_shift(a, b) is None and find_background_shift(a, a) is None


def test_a_redrawn_background_does_not_pulse(busy, monkeypatch):
    """The picture half-way has half of the shift: in it the background lies between those of the given pictures."""
    shift = BackgroundShift(np.array([[1, 0, 2.0], [0, 1, -1.4]]), np.array([0.96] * 3), np.array([0.0] * 3))
    a, b = busy(98), shift.applied(busy(158), 1.0)
    truth = shift.applied(busy(128), 0.5)
    pair = prepare_pair(a, b)
    assert "drifting background" in pair.report.reason
    assert torch.equal(prepare_pair(b, a).at(0.7), pair.at(0.3))
    monkeypatch.setattr(sys.modules["kontinuity.flow.between.frame_pair"], "find_background_shift", lambda *args: None)
    made, pulsing = (each.at(0.5)[6:-6, 6:-6] for each in (pair, prepare_pair(a, b)))
    assert psnr(made, truth[6:-6, 6:-6]) > 25
    assert psnr(made, truth[6:-6, 6:-6]) > psnr(pulsing, truth[6:-6, 6:-6]) + 2
    assert pair.at(0) is a and pair.at(1) is b


@pytest.mark.parametrize("mode", ["project", "splat"])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.77])
def test_turning_time_round_changes_no_bit(texture, busy, mode, t):
    for a, b in ((texture(7), texture(7).roll((3, -5), (0, 1))), (busy(98), busy(150))):
        assert in_order(a, b) != in_order(b, a)
        assert torch.equal(prepare_pair(a, b, mode).at(t), prepare_pair(b, a, mode).at(1 - t))


@pytest.mark.parametrize("mode", ["project", "splat"])
def test_float32_synthesis_equals_its_float64_reference(texture, busy, mode):
    """To 2e-4 of the range; where the softmax weights are next to nothing float32 may fill instead: 0.1 % of values."""
    for a, b in ((texture(7), texture(7).roll((3, -5), (0, 1))), (busy(98), busy(150))):
        reference = prepare_pair(a, b, mode, dtype=torch.float64)
        difference = (prepare_pair(a, b, mode).at(0.4) - reference.at(0.4)).abs()
        assert (difference > 2e-4).double().mean() < 1e-3


def test_wide_pictures_are_made_at_half_the_flow_and_full_size(texture):
    """Above 1280 pixels the flow is splatted at half size; on smooth flows that is within 0.01 of the reference."""
    wide = texture(3, 96, 1440)
    a, truth, b = (wide[8:88, start:start + 1400].contiguous() for start in (20, 24, 28))
    pair = prepare_pair(a, b)
    made, reference = pair.at(0.5), prepare_pair(a, b, dtype=torch.float64).at(0.5)
    assert pair.report.decision == "project" and made.shape == a.shape
    assert psnr(made[8:-8, 16:-16], truth[8:-8, 16:-16]) > 35
    assert (made - reference)[8:-8, 16:-16].abs().mean() < 0.002
    assert torch.equal(prepare_pair(b, a).at(0.5), made)


def test_a_figure_in_a_wide_picture(busy):
    import cv2

    def grown(x):
        return torch.from_numpy(cv2.resize(busy(x).numpy(), (1536, 864), interpolation=cv2.INTER_CUBIC)).clamp(0, 1)

    pair = prepare_pair(grown(108), grown(148))
    assert pair.motion.figure[0].shape == (864, 1536) and pair.motion.forward.shape == (864, 1536, 2)
    assert psnr(pair.at(0.5), grown(128)) > 27


def test_only_what_changed_is_looked_at_and_the_figure_is_the_same(busy):
    """The box against the whole picture, and half the size against all of it: of the masks and the motion 95 %."""
    import cv2

    def grown(x):
        return torch.from_numpy(cv2.resize(busy(x).numpy(), (768, 432), interpolation=cv2.INTER_CUBIC)).clamp(0, 1)

    asked = []

    def estimator(one, other):
        asked.append(one.shape[0] * one.shape[1])
        return DisFlow()(one, other)

    a, b = grown(108), grown(148)
    boxed, whole = find_figure(a, b, estimator), find_figure(a, b, estimator, whole=True)
    half = find_figure(shrunk(a, 2), shrunk(b, 2), estimator)
    assert max(asked) == 768 * 432 > 2 * asked[0]
    for found, times in ((boxed, 1), (half, 2)):
        for name, motion in (("mask_a", "forward"), ("mask_b", "backward")):
            mask, reference = getattr(found, name), getattr(whole, name)[::times, ::times]
            assert (mask & reference).sum() / (mask | reference).sum() > 0.9
            apart = (times * getattr(found, motion) - getattr(whole, motion)[::times, ::times]).norm(dim=2)
            assert (apart[mask & reference] < 1.5).float().mean() > 0.95


def test_a_background_shift_in_a_wide_picture_is_that_of_its_full_size(busy):
    import cv2

    def grown(x):
        return torch.from_numpy(cv2.resize(busy(x).numpy(), (1536, 864), interpolation=cv2.INTER_CUBIC)).clamp(0, 1)

    truth = BackgroundShift(np.array([[1.002, 0, 3.5], [0, 1.002, -2.5]]), np.array([0.98] * 3), np.zeros(3))
    found = find_background_shift(grown(98), truth.applied(grown(158), 1.0))
    corners = np.array([[0, 0, 1], [1535, 863, 1]])
    assert np.abs(corners @ (found.matrix - truth.matrix).T).max() < 0.3


def test_a_background_shift_is_moved_as_a_bicubic_warp_does(texture):
    """By ``warp_bicubic`` along the same flow, to 0.01 of the range: OpenCV rounds places to 1/32 pixel."""
    picture, matrix = texture(5), np.array([[1.003, 0.002, 1.37], [-0.002, 1.003, -0.61]])
    place = np.stack(np.meshgrid(np.arange(128), np.arange(96), [1]), 3)[:, :, 0].astype(np.float64)
    flow = torch.from_numpy((place @ matrix.T - place[..., :2]).astype(np.float32))
    moved = BackgroundShift(matrix, np.ones(3), np.zeros(3)).removed(picture)
    assert (moved - warp_bicubic(picture, flow).clamp(0, 1)).abs().max() < 0.01


def test_pushing_and_fetching_some_pixels_is_a_part_of_all_of_it(texture):
    """Bit by bit: what is not pushed adds zero."""
    values, flow = texture(1), (texture(2)[..., :2] - 0.5) * 30
    at = texture(3)[..., 0] > 0.5
    assert torch.equal(warp(values, flow, at), warp(values, flow)[at])
    assert torch.equal(splat(values[at], flow, at), splat(values * at[..., None], flow))


def test_what_stands_still_needs_no_fetching(texture):
    """The round trip of a figure's motion equals that of the same motion where everything moves a very little."""
    forward, backward = torch.zeros(96, 128, 2), torch.zeros(96, 128, 2)
    forward[30:60, 20:50], backward[30:60, 28:58] = torch.tensor([8.0, 0]), torch.tensor([-8.0, 0])
    assert torch.allclose(round_trip(forward, backward), round_trip(forward + 1e-7, backward), atol=1e-4)


def test_motion_knows_its_figure_the_other_way_round():
    masks = torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)
    flow = torch.zeros(4, 4, 2)
    assert Motion(flow, flow, 1.0, masks).swapped().figure == masks[::-1]
    assert Motion(flow, flow, 1.0).swapped().figure is None

"""Motion scores on flows and clips whose scores are known."""

import math

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import (
    Motion,
    clip_scores,
    estimate_motion,
    motion_alignment,
    motion_reward,
    motion_terms,
    moving_region,
)
from kontinuity.flow.clips.score import flicker, jerk
from kontinuity.flow.occlusion import explained


def local_motion(share: float, length: float, size: int = 512) -> torch.Tensor:
    """A centred square of `share` of the picture moves right by `length` of the diagonal."""
    flow = torch.zeros(size, size, 2)
    half = round(size * math.sqrt(share) / 2)
    middle = slice(size // 2 - half, size // 2 + half)
    flow[middle, middle, 0] = length * size * math.sqrt(2)
    return flow


def turned(flow: torch.Tensor) -> torch.Tensor:
    return torch.stack((-flow[..., 1], flow[..., 0]), 2)


def test_terms_of_a_flow_worked_out_by_hand():
    """2 x 2 pixels, diagonal sqrt(8) pixels: in shares of it one pixel should go (1, 0) and goes (0, 1)."""
    d = math.sqrt(8)
    wanted, found = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    wanted[0, 0], found[0, 0] = torch.tensor([d, 0.0]), torch.tensor([0.0, d])
    wanted[1, 1] = found[1, 1] = torch.tensor([0.0, d / 2])
    paper, released = motion_terms(found, wanted, "paper"), motion_terms(found, wanted, "released")
    small = 1e-6**0.4
    assert paper.magnitude == pytest.approx((2**0.4 + 3 * small) / 4, rel=1e-5)
    assert released.magnitude == pytest.approx((2 * 1 + 6 * small) / 8, rel=1e-5)
    assert paper.direction == pytest.approx((1 * 0.5 + 0.5 * 0) / 1.5, rel=1e-5)  # weighted by the wanted length
    assert released.direction == pytest.approx(0.25, rel=1e-5)
    assert paper.mean_found == paper.mean_wanted == pytest.approx(1.5 / 4)
    assert paper.movement == 0.0
    assert motion_terms(torch.zeros(2, 2, 2), wanted).movement == pytest.approx(0.01 + 1.5 / 8)


# The released reward on ideal flows: (share, length, (perfect, half way, static, opposite, at a right angle))
TABLE = [
    (0.10, 0.05, (1.0, 1.0, 0.8, 0.8, 0.8)),
    (0.20, 0.10, (1.0, 1.0, 0.8, 0.8, 0.8)),
    (0.40, 0.15, (1.0, 1.0, 0.8, 0.8, 0.8)),
    (1.00, 0.19, (1.0, 0.8, 0.8, 0.6, 0.6)),
]


@pytest.mark.parametrize(("share", "length", "rewards"), TABLE)
def test_the_released_reward_hardly_tells_a_static_or_opposite_edit(share, length, rewards):
    wanted = local_motion(share, length)
    edits = [wanted, wanted / 2, wanted * 0, -wanted, turned(wanted)]
    assert [motion_reward(motion_terms(edit, wanted, "released")) for edit in edits] == list(rewards)


@pytest.mark.parametrize(("share", "length"), [row[:2] for row in TABLE[:3]])
def test_moving_region_is_not_fooled(share, length):
    wanted = local_motion(share, length)
    pan = torch.zeros_like(wanted)
    pan[..., 0] = wanted.max()
    for fooling in (wanted * 0, -wanted, turned(wanted), pan):
        assert moving_region(fooling, wanted).score == 0.0
    steps = [moving_region(wanted * part, wanted) for part in (0, 0.25, 0.5, 0.75, 1)]
    assert [step.score for step in steps] == sorted(step.score for step in steps)
    assert steps[2].score == pytest.approx(50, abs=5) and steps[4].score == 100
    assert [step.progress for step in steps] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert moving_region(-wanted, wanted).progress == pytest.approx(-1)


def test_moving_region_forgives_a_shift_and_noise_but_not_a_background_in_pieces():
    wanted = local_motion(0.2, 0.1)
    shifted = moving_region(wanted + torch.tensor([3.0, -4.0]), wanted)
    assert shifted.score == 100 and shifted.background_shift == pytest.approx(5)
    generator = torch.Generator().manual_seed(0)
    assert moving_region(wanted + torch.randn(wanted.shape, generator=generator), wanted).score > 90
    torn = wanted.clone()
    torn[:100, :, 1] = 60
    assert moving_region(torn, wanted).score < 60
    assert moving_region(wanted, wanted).background_shift == 0


def test_scores_do_not_depend_on_the_resolution():
    small, large = (local_motion(0.25, 0.1, size) for size in (512, 1024))
    for part in (0.3, 0.8):
        assert moving_region(small * part, small).score == pytest.approx(moving_region(large * part, large).score)
        terms = [motion_terms(flow * part, flow) for flow in (small, large)]
        assert motion_alignment(terms[0]) == pytest.approx(motion_alignment(terms[1]))


def test_alignment_orders_edits_and_is_zero_for_a_static_one():
    wanted = local_motion(0.4, 0.15)
    scores = [motion_alignment(motion_terms(edit, wanted)) for edit in (wanted, wanted / 2, turned(wanted), -wanted)]
    assert scores[0] == 100 and scores == sorted(scores, reverse=True)
    assert motion_alignment(motion_terms(wanted * 0, wanted)) == 0
    assert motion_reward(motion_terms(wanted / 2, wanted), levels=None) < motion_reward(
        motion_terms(wanted, wanted), levels=None) == 1


def test_what_cannot_be_scored_is_refused():
    flow = local_motion(0.2, 0.1, 64)
    with pytest.raises(InputError, match="there is none"):
        moving_region(flow, flow * 0)
    with pytest.raises(InputError, match="Node: wanted motion '64x64 pixels'"):
        motion_terms(flow[:32], flow, where="Node")
    with pytest.raises(InputError, match="NaN"):
        moving_region(flow * math.nan, flow)
    with pytest.raises(InputError, match="unknown"):
        motion_terms(flow, flow, "exact")
    with pytest.raises(InputError, match="at least two"):
        clip_scores([torch.zeros(32, 32, 3)])


def uniform(dx: float, size: int = 32) -> Motion:
    flow = torch.zeros(size, size, 2)
    flow[..., 0] = dx
    return Motion(flow, -flow, 1.0)


def test_jerk_is_nothing_at_constant_speed_and_whole_when_everything_turns_round():
    change, path = jerk(uniform(5), uniform(5))
    assert change == 0 and path > 0
    change, path = jerk(uniform(20), uniform(-20))
    assert change / path == pytest.approx(39 / 40, abs=0.05)  # a pixel of change is taken for noise
    assert jerk(uniform(0), uniform(0)) == (0, 0)


def test_flicker_is_the_change_of_colour_that_motion_does_not_explain(texture):
    picture = texture(1)
    moved = torch.roll(picture, 4, 1)
    motion = Motion(*(torch.zeros(96, 128, 2).index_fill_(2, torch.tensor([0]), dx) for dx in (4.0, -4.0)), 1.0)
    assert flicker(picture, moved, motion) == pytest.approx(0, abs=1e-6)
    assert flicker(picture * 0.8, moved * 0.8 + 0.1, motion) == pytest.approx(0.1, abs=1e-5)
    lost = Motion(motion.forward, motion.forward, 0.0)
    assert flicker(picture, moved, lost) is None


def test_a_clip_that_glides_beats_one_that_trembles_and_one_that_pulses(texture):
    wide = texture(3, 96, 192)

    def clip(offsets, light=(0.0,) * 5):
        return [(wide[:, 40 + x : 168 + x] * 0.8 + y).contiguous() for x, y in zip(offsets, light, strict=True)]

    pairs = []
    glides = clip_scores(clip((0, 4, 8, 12, 16)), on_pair=lambda: pairs.append(1))
    trembles = clip_scores(clip((0, 4, 0, 4, 0)))
    pulses = clip_scores(clip((0, 4, 8, 12, 16), (0, 0.1, 0, 0.1, 0)))
    assert len(pairs) == 4
    assert glides.smoothness > 0.95 and trembles.smoothness < 0.4
    assert glides.flicker < 0.01 < 0.05 < pulses.flicker
    assert clip_scores(clip((0, 4, 8, 12, 16))[:2]).smoothness is None


def test_a_raised_arm_is_not_explained_though_the_picture_is_covered(cartoon):
    """The ball moves a little: explained. It is repainted elsewhere in another colour: covered, yet not explained."""
    near = explained(cartoon(40), cartoon(46), estimate_motion(cartoon(40), cartoon(46)))
    one, other = cartoon(40).clone(), cartoon(40).clone()
    one[70:80, 100:110], other[10:20, 100:110] = 0.0, 1.0
    motion = estimate_motion(one, other)
    assert near > 0.7 and motion.coverage > 0.9 and explained(one, other, motion) < 0.3
    assert explained(one, other, motion) == pytest.approx(explained(other, one, motion.swapped()))
    assert explained(one, one, estimate_motion(one, one)) == 1.0

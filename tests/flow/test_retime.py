"""A clip at another frame rate."""

import math
from fractions import Fraction

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import frame_rate, frame_times, on_cadence, pictures_at, prepare_pair


@pytest.mark.parametrize(("written", "meant"), [
    (24, 24), (25.0, 25), (23.976, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001)),
    (59.94, Fraction(60000, 1001)), (59.94005994005994, Fraction(60000, 1001)), (119.88, Fraction(120000, 1001)),
    (12.5, Fraction(25, 2)), (0.5, Fraction(1, 2)), (0.25, Fraction(1, 4)), (16.0, 16), (1000, 1000),
])
def test_a_rate_is_the_fraction_that_is_meant(written, meant):
    assert frame_rate(written) == meant


@pytest.mark.parametrize("rate", [0, 0.001, -1, 10_000, math.nan, math.inf])
def test_a_rate_that_is_none(rate):
    with pytest.raises(InputError, match="must be from 0.01 to 1000"):
        frame_rate(rate)


def test_times_begin_at_the_first_and_end_at_the_last_picture():
    assert frame_times(3, 12, 24) == [0, Fraction(1, 2), 1, Fraction(3, 2), 2]
    assert frame_times(5, 24, 12) == [0, 2, 4]
    odd = frame_times(100, 24, 60)
    assert len(odd) == 248 and odd[:3] == [0, Fraction(2, 5), Fraction(4, 5)] and 99 - odd[-1] < Fraction(2, 5)
    ntsc = frame_times(1001, 23.976, 24)  # no drift over a long clip
    assert ntsc[1000] == Fraction(24000, 24024) * 1000
    with pytest.raises(InputError, match="more than 64 times"):
        frame_times(2, 1, 65)
    with pytest.raises(InputError, match="pictures '1': are too few .*at least two"):
        frame_times(1, 24, 60)


def test_each_motion_is_estimated_once(texture):
    wide = texture(5, 64, 96)
    clip = [wide[:, x : x + 80].contiguous() for x in (0, 2, 4)]
    calls = []

    def estimator(a, b):
        calls.append(1)
        return torch.zeros(*a.shape[:2], 2) + torch.tensor([2.0, 0.0]) * (1 if len(calls) % 2 else -1)

    retimed = list(pictures_at(clip, frame_times(3, 10, 40), mode="project", estimator=estimator))
    assert len(calls) == 4
    calls.clear()
    pair = prepare_pair(*clip[:2], mode="project", estimator=estimator)
    assert [item.time for item in retimed] == [number / 4 for number in range(9)]
    assert all(torch.equal(retimed[number].picture, pair.at(number / 4)) for number in range(5))
    assert retimed[0].picture is clip[0] and retimed[-1].picture is clip[2]


def test_two_pictures_are_held_and_fewer_frames_read_only_what_they_need(texture):
    import gc
    import weakref

    alive = []

    def clip():
        for _ in range(8):
            picture = torch.rand(16, 16, 3)
            alive.append(weakref.ref(picture))
            yield picture

    most = 0
    for item in pictures_at(clip(), frame_times(8, 10, 20), mode="dissolve"):
        del item
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
    assert most <= 3  # two, and the one just read
    sparse = list(pictures_at((texture(i, 16, 16) for i in range(8)), frame_times(8, 20, 10)))
    assert [item.time for item in sparse] == [0, 2, 4, 6] and all(item.report is None for item in sparse)


def test_what_is_wrong_is_said(texture):
    clip = [texture(1, 32, 32), texture(2, 32, 48)]
    sizes = "pictures 1 and 2: second picture '48x32': has not the size of the first picture, 32x32"
    with pytest.raises(InputError, match=sizes):
        list(pictures_at(clip, frame_times(2, 1, 2)))
    with pytest.raises(InputError, match="Node: pictures 1 and 2: estimated flow"):
        list(pictures_at([clip[0], 1 - clip[0]], [Fraction(1, 2)], estimator=lambda a, b: a, where="Node"))
    with pytest.raises(InputError, match="times 'picture 3': is asked for"):
        list(pictures_at(clip, [Fraction(2)]))
    with pytest.raises(InputError, match="easing"):
        pictures_at(clip, [Fraction(0)], easing="bounce")
    with pytest.raises(InputError, match="mode"):
        pictures_at(clip, [Fraction(0)], mode="magic")
    with pytest.raises(InputError, match="holds 'drop': is unknown; use one of keep, remove"):
        pictures_at(clip, [Fraction(0)], holds="drop")
    with pytest.raises(InputError, match="cadence 'on fives'"):
        on_cadence([Fraction(0)], "on fives")


def test_on_twos_and_threes_each_picture_is_held_and_made_once(texture):
    times = frame_times(4, 12, 24)
    assert on_cadence(times, "on ones") == times
    assert on_cadence(times, "on twos") == [0, 0, 1, 1, 2, 2, 3]
    assert on_cadence(times, "on threes") == [0, 0, 0, 1.5, 1.5, 1.5, 3]
    clip = [texture(i, 16, 16) for i in range(4)]
    held = list(pictures_at(clip, on_cadence(frame_times(4, 12, 36), "on twos"), mode="dissolve"))
    assert all(a.picture is b.picture for a, b in zip(held[::2], held[1::2], strict=False))
    assert held[2].between == (0, 1) and held[6].picture is clip[2] and held[6].between is None


def test_short_holds_are_removed_long_ones_and_cuts_stay():
    greys = [0.1, 0.1, 0.3, 0.3, 0.3] + 6 * [0.5] + [0.7, 0.7]  # on twos, on threes, a pose, on twos
    clip = [torch.full((16, 16, 3), grey) for grey in greys]

    def shown(**settings):
        made = pictures_at(iter(clip), frame_times(13, 24, 24), mode="dissolve", **settings)
        return [round(item.picture.mean().item(), 3) for item in made]

    assert shown() == pytest.approx(greys, abs=1e-3)
    smooth = [0.1, 0.2, 0.3, 0.367, 0.433] + 6 * [0.5] + [0.7, 0.7]
    assert shown(holds="remove") == pytest.approx(smooth, abs=2e-3)
    cut = [torch.full((16, 16, 3), grey) for grey in (0.1, 0.1, 0.1, 0.9)]
    made = list(pictures_at(cut, frame_times(4, 24, 48), mode="hold", holds="remove"))
    assert [round(item.picture.mean().item(), 1) for item in made] == [0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9]
    assert made[1].between == (0, 3)


def test_a_hold_is_recognised_through_a_codec(cartoon):
    """Noise of a few steps, as lossy video has it, is no new drawing; a small thing that moves is."""
    noise = torch.Generator().manual_seed(0)
    still = cartoon(40.0)
    noisy = (still + 3 / 255 * torch.randn(still.shape, generator=noise)).clamp(0, 1)
    blink = still.clone()
    blink[48:52, 36:44] = 0.1
    times = [Fraction(i, 2) for i in range(7)]
    held = list(pictures_at([still, noisy, blink, blink], times, mode="dissolve", holds="remove"))
    assert [item.between for item in held] == [None] + 3 * [(0, 2)] + 3 * [None]
    assert torch.equal(held[2].picture, torch.lerp(still, blink, 0.5))

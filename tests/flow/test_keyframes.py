"""Keyframes go in where they help, and only there."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import insert_keyframes


def test_a_helpful_keyframe_goes_into_the_gap_that_needs_it(cartoon):
    near, far = cartoon(24), cartoon(32)
    other = torch.rand(96, 128, 3, generator=torch.Generator().manual_seed(1))  # nothing to follow
    asked = []

    def ask(gap, first, second):
        asked.append((gap, first, second))
        return first

    made = list(insert_keyframes([near, far, other], ask, threshold=0.5))
    assert [gap for gap, _, _ in asked] == [1] and asked[0][1] is far and asked[0][2] is other
    assert "near enough" in made[1].note
    assert [item.is_new for item in made] == [False] * 3 and "no better, left out" in made[2].note


def test_the_half_way_pose_is_inserted_and_a_repeated_picture_is_not(texture):
    wide = texture(7, 96, 320)
    first, middle, second = (wide[:, x : x + 128].contiguous() for x in (0, 60, 120))
    made = list(insert_keyframes([first, second], lambda *_: middle, threshold=0.9))
    assert [item.is_new for item in made] == [False, True, False]
    assert made[1].picture is middle and made[2].picture is second and "inserted" in made[1].note
    repeated = list(insert_keyframes([first, second], lambda *_: first, threshold=0.9))
    assert len(repeated) == 2 and "left out" in repeated[1].note


def test_nothing_is_asked_at_threshold_0_and_errors_name_the_pictures(cartoon):
    def ask(*_):
        raise AssertionError

    noise = torch.rand(96, 128, 3)
    assert len(list(insert_keyframes([cartoon(24), noise], ask, threshold=0))) == 2
    with pytest.raises(InputError, match="pictures 1 and 2: second picture"):
        list(insert_keyframes([cartoon(24), noise[:64]], ask))
    with pytest.raises(InputError, match="pictures '1': are too few .*at least two"):
        list(insert_keyframes([noise], ask))
    with pytest.raises(InputError, match="Node: pictures 1 and 2: keyframe '64x96'"):
        list(insert_keyframes([cartoon(24), noise], lambda *_: noise[:, :64], threshold=1, where="Node"))

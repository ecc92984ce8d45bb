"""Colours brought back: a known drift, and what is no drift."""

import pytest
import torch
from drift import GAIN, OFFSET, drifted
from kontinuity.flow.colour import ColourMatch, match_colours


def test_a_known_drift_is_found_and_undone(texture):
    picture = texture(1) * 0.8 + 0.1  # nothing is clipped
    match = match_colours(drifted(picture), picture)
    assert torch.allclose(match.gain, 1 / GAIN, atol=2e-3) and torch.allclose(match.offset, -OFFSET / GAIN, atol=2e-3)
    assert (match.applied(drifted(picture)) - picture).abs().max() < 2e-3
    assert match_colours(picture, picture).change < 1e-6


def test_a_part_that_shows_something_else_does_not_count(texture):
    picture = texture(1) * 0.8 + 0.1
    other = drifted(picture)
    other[:, :40] = texture(2)[:, :40]  # a third
    match = match_colours(other, picture)
    assert torch.allclose(match.gain, 1 / GAIN, atol=0.02) and torch.allclose(match.offset, -OFFSET / GAIN, atol=0.02)


@pytest.mark.parametrize("other", [lambda picture: 1 - picture, lambda picture: picture * 0.2])
def test_another_picture_and_more_than_a_drift_are_left(texture, other):
    assert match_colours(other(texture(1)), texture(1)) is None


def test_two_different_pictures_do_not_match(texture):
    assert match_colours(texture(1), texture(2)) is None


def test_a_plain_picture_gets_its_offset_only():
    match = match_colours(torch.full((32, 32, 3), 0.4), torch.full((32, 32, 3), 0.5))
    assert torch.equal(match.gain, torch.ones(3)) and torch.allclose(match.offset, torch.full((3,), 0.1))


def test_between_two_matches_everything_is_linear(texture):
    match = ColourMatch(GAIN, OFFSET)
    half = ColourMatch.none().towards(match, 0.5)
    assert torch.allclose(half.gain, (1 + GAIN) / 2) and torch.allclose(half.offset, OFFSET / 2)
    assert match.change == pytest.approx(0.07)  # red: 0.9 + 0.03 - 1

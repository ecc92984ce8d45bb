"""Pictures of motions."""

import colorsys

import pytest
import torch
from kontinuity.flow import FlowError, arrows, colour_wheel


def uniform(dx: float, dy: float, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.tensor([dx, dy]).expand(height, width, 2).contiguous()


def hue(flow: torch.Tensor) -> float:
    return colorsys.rgb_to_hsv(*colour_wheel(flow, 10)[0, 0].tolist())[0]


def test_stillness_is_white_and_each_direction_has_its_colour():
    assert torch.equal(colour_wheel(uniform(0, 0)), torch.ones(48, 64, 3))
    right, down, left, up = (hue(uniform(*d)) for d in ((10, 0), (0, 10), (-10, 0), (0, -10)))
    assert right == pytest.approx(0, abs=0.03)  # red, as on the published wheel
    assert 0.1 < down < 0.3 and 0.4 < left < 0.65 and 0.65 < up < 0.9


def test_length_is_saturation_on_a_scale_that_can_be_held():
    half, full = (colour_wheel(uniform(x, 0), 10) for x in (5, 10))
    assert half[0, 0, 1] > full[0, 0, 1] + 0.3
    assert torch.equal(colour_wheel(uniform(30, 0), 10), full)  # beyond the scale: full colour, not another one
    assert torch.equal(colour_wheel(uniform(5, 0)), colour_wheel(uniform(20, 0)))  # without one: the longest
    assert full.shape == (48, 64, 3) and full.dtype == torch.float32


def test_arrows_point_where_it_moves():
    picture = arrows(uniform(12, 0), torch.zeros(48, 64, 3))
    ink = picture[..., 0] > 0.5
    assert ink[:, 16:].any()
    across = ink.float().sum(1)
    assert across.max() > 20 and (ink.float().sum(0) > 0).float().mean() > 0.5  # drawn along x
    still = arrows(uniform(0, 0), torch.zeros(48, 64, 3))
    assert (still[..., 0] > 0.5).sum() < ink.sum() / 2


def test_what_cannot_be_shown():
    with pytest.raises(FlowError, match="is 32x32, the motion is for 64x48"):
        arrows(uniform(1, 0), torch.zeros(32, 32, 3))
    with pytest.raises(FlowError, match="longest -1"):
        colour_wheel(uniform(1, 0), -1)
    with pytest.raises(FlowError, match="expected a flow field"):
        colour_wheel(torch.zeros(4, 4, 3))

"""Pictures of motions."""

import colorsys

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import arrows, colour_wheel


def uniform(dx: float, dy: float, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).expand(height, width, 2).contiguous()


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


def test_an_arrow_goes_from_the_middle_of_its_cell_to_where_that_moves():
    flow = torch.zeros(96, 128, 2)
    flow[40:56, 56:72, 0] = 14.0
    black = torch.zeros(96, 128, 3)
    drawn, still = (arrows(field, black)[..., 0] > 0.4 for field in (flow, flow * 0))
    ys, xs = torch.nonzero(drawn & ~still, as_tuple=True)
    assert xs.min() >= 56 and 78 <= xs.max() <= 86  # a cell is 8 pixels, its middle 60 or 68
    assert 40 <= ys.min() and ys.max() <= 57
    assert still.sum() < 2000 and arrows(flow)[0, 0, 0] == pytest.approx(0.35, abs=0.01)  # grey without a picture


def test_what_cannot_be_shown():
    with pytest.raises(InputError, match="picture '32x32': is of another size than the motion, 64x48"):
        arrows(uniform(1, 0), torch.zeros(32, 32, 3))
    with pytest.raises(InputError, match="longest '-1': is no length"):
        colour_wheel(uniform(1, 0), -1)
    with pytest.raises(InputError, match="is not a flow field"):
        colour_wheel(torch.zeros(4, 4, 3))

"""The one rectangle."""

import pytest
from kontinuity.common import WHOLE, Box


def test_a_box_by_its_size_and_by_its_edges_is_one():
    box = Box.of_size(10, 20, 30, 40)
    assert box == Box(10, 20, 40, 60) == (10, 20, 40, 60)
    assert (box.width, box.height, box.centre) == (30, 40, (25, 40))


def test_whole_pixels_inside_the_picture_and_one_at_least():
    assert Box(0.5, 0, 1, 1).in_pixels(63, 10) == (32, 0, 63, 10)
    assert Box.of_size(0.999, 0.999, 0.0001, 0.0001).in_pixels(64, 64) == (63, 63, 64, 64)
    assert WHOLE.in_pixels(17, 33) == (0, 0, 17, 33)


@pytest.mark.parametrize(("point", "inside"), [((0.5, 0.5), True), ((1, 0), True), ((0.2, 1.01), False)])
def test_a_point_on_the_edge_is_inside(point, inside):
    assert WHOLE.holds(*point) is inside

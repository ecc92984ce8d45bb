"""The benchmark of pictures in between still runs, and its drawn figures move as they say."""

import pytest
from kontinuity.benchmarks import interpolation
from kontinuity.benchmarks._cartoon import HEIGHT, MOTIONS, WIDTH, moment


def test_a_row_of_drawn_figures():
    distance = min(MOTIONS)
    row = interpolation.measure_row("drawn", [moment(3, distance)], "fast", {})
    measured = row["psnr_db"]
    assert row["samples"] == 1 and row["decisions"] == {"splat": 1}
    assert measured["auto"] == measured["splat"] > measured["naive"] > measured["fade"]
    best = row["best_choice_psnr_db"]
    assert max(measured.values()) == best["picture"] < best["block"]
    assert row["ssim"]["auto"] > 0.97 and row["line_distance_px"]["auto"] < row["line_distance_px"]["fade"]


def test_a_moment_is_a_picture_and_only_the_figure_moves():
    first, middle, last = moment(0, 140)
    assert first.shape == (HEIGHT, WIDTH, 3) and first.min() >= 0 and 0.9 < first.max() <= 1
    still = (first == last).all(2)
    assert 0.8 < still.float().mean().item() < 1
    assert (middle == first).all(2)[still].float().mean().item() == pytest.approx(1, abs=0.2)

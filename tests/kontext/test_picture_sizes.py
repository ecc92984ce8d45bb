"""Sizes in whole tokens: Kontext's own are kept, shapes too, and nothing shifts between a reference and its result."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from kontinuity.kontext import whole_size
from kontinuity.kontext.references import fit_reference

MEGAPIXEL = 1024 * 1024
# those FLUX.1 Kontext was trained in: diffusers' PREFERRED_KONTEXT_RESOLUTIONS, which ComfyUI's FluxKontextImageScale
# makes too
TALL = ((672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104))
SEVENTEEN = (*TALL, (1024, 1024), *((height, width) for width, height in TALL))


@pytest.mark.parametrize(("width", "height"), SEVENTEEN)
def test_kontexts_own_sizes_are_kept_to_the_last_bit(width, height):
    reference = torch.rand(height, width, 3)
    assert torch.equal(fit_reference(reference, MEGAPIXEL), reference)
    for factor in (0.5, 1.7, 2, 3):  # the same shape in another size
        assert whole_size(round(width * factor), round(height * factor), MEGAPIXEL) == (width, height)


@pytest.mark.parametrize(("width", "height", "wanted"), [
    (1920, 1080, (1360, 768)), (3840, 2160, (1360, 768)), (4, 3, (1184, 880)), (2.0, 1.0, (1440, 720)),
    (1000, 1000, (1024, 1024)), (1016, 1016, (1024, 1024)), (1, 8, (368, 2944))])
def test_other_shapes_come_as_near_as_whole_tokens_allow(width, height, wanted):
    assert whole_size(width, height, MEGAPIXEL) == wanted


SIDES = st.integers(16, 8192)


@example(206, 1504, 512 * 768, 16)
@given(SIDES, SIDES, st.sampled_from([MEGAPIXEL, 128 * 128, 512 * 768]), st.sampled_from([16, 64]))
def test_a_size_is_whole_stable_and_the_same_on_its_side(width, height, area, shortest):
    size = whole_size(width, height, area, shortest)
    assert all(side % 16 == 0 and side >= shortest for side in size)
    assert whole_size(height, width, area, shortest) == size[::-1]
    assert whole_size(*size, area, shortest) == size  # a result that goes in again is not scaled again
    if area == MEGAPIXEL and max(width, height) <= 8 * min(width, height):
        assert abs(math.log(size[0] / size[1] * height / width)) < 0.0125
        assert abs(size[0] * size[1] / area - 1) < 0.05


def test_a_result_stays_in_its_size_over_six_rounds():
    """Each round's result is the next one's reference."""
    for width, height in ((1920, 1080), (2100, 2970), (1280, 1024), (6000, 4000), (672, 1568)):
        size = whole_size(width, height, MEGAPIXEL, 64)
        for _ in range(6):
            assert whole_size(*size, MEGAPIXEL, 64) == size

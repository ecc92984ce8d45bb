"""Reference pictures: their size and where their tokens sit."""

import pytest
import torch
from kontinuity.kontext.references import fit_reference, reference_ids, token_ids
from kontinuity.kontext.sizes import whole_size

REFERENCE_AREA = 96 * 96


@pytest.mark.parametrize(("width", "height"), [(96, 96), (144, 64), (64, 144), (128, 80)])
def test_a_reference_of_about_the_right_size_keeps_every_bit(picture, width, height):
    area = width * height
    for wanted in (area, int(area * 1.049), int(area / 1.049)):
        assert torch.equal(fit_reference(picture(width, height), wanted), picture(width, height))


@pytest.mark.parametrize(("width", "height"), [
    (16, 16), (33, 47), (95, 96), (97, 96), (500, 300), (300, 500), (1000, 125), (125, 1000), (1023, 1025)])
def test_a_reference_is_brought_to_the_area_whole(width, height):
    ramp = torch.linspace(0, 1, width).repeat(height, 1)
    fitted = fit_reference(torch.stack([ramp, ramp, ramp], dim=2), REFERENCE_AREA)
    assert fitted.shape[:2] == whole_size(width, height, REFERENCE_AREA)[::-1] and fitted.dtype == torch.float32
    assert 0 <= fitted.min() and fitted.max() <= 1
    assert fitted[0, 0, 0] < 0.06 and fitted[0, -1, 0] > 0.94  # both ends of the ramp are still there


def test_slight_overshoot_of_an_upscaler_is_cut_off(picture):
    fitted = fit_reference(picture() * 1.2 - 0.1, REFERENCE_AREA)
    assert fitted.min() == 0 and fitted.max() == 1


def test_ids_count_rows_and_columns():
    assert token_ids(2, 3, index=1, row=4, column=5).tolist() == [
        [1, 4, 5], [1, 4, 6], [1, 4, 7], [1, 5, 5], [1, 5, 6], [1, 5, 7]]


@pytest.mark.parametrize("method", ["offset", "index"])
def test_one_reference_has_the_ids_of_diffusers(method):
    from diffusers import FluxKontextPipeline

    expected = FluxKontextPipeline._prepare_latent_image_ids(1, 6, 4, "cpu", torch.float32)
    expected[:, 0] = 1
    [ids] = reference_ids([(6, 4)], method)
    assert torch.equal(ids, expected)


def test_index_numbers_the_references():
    ids = reference_ids([(2, 2), (3, 1)], "index")
    assert torch.equal(ids[0], token_ids(2, 2, index=1))
    assert torch.equal(ids[1], token_ids(3, 1, index=2))


def places(sizes):
    """(row, column) of the top left token of each reference; all must have the first id 1."""
    ids = reference_ids(sizes, "offset")
    assert all((i[:, 0] == 1).all() for i in ids)
    return [tuple(int(v) for v in i[0, 1:]) for i in ids]


def test_offset_lays_references_out_as_one_picture():
    assert places([(4, 4), (4, 4)]) == [(0, 0), (4, 0)]  # a square below a square
    assert places([(6, 4), (6, 4)]) == [(0, 0), (0, 4)]  # portraits side by side
    assert places([(4, 6), (4, 6)]) == [(0, 0), (4, 0)]  # landscapes below each other
    assert places([(4, 4), (4, 4), (4, 4)]) == [(0, 0), (4, 0), (0, 4)]  # 8 x 4 so far: 12 down or 8 to the right


def test_offset_agrees_with_a_literal_table_of_comfyui():
    """Made with ComfyUI 0.3.75's rule by hand: place right if rows + height > columns + width, else below."""
    sizes = [(6, 4), (4, 8), (5, 5), (2, 9), (9, 2)]
    #   height, width before:   0,0      6,4       10,8     10,13     12,13
    #   6>4 right at 0 | 10<=12 below | 15>13 right | 12<=22 below | 21>15 right
    assert places(sizes) == [(0, 0), (6, 0), (0, 8), (10, 0), (0, 13)]


def test_offset_references_never_overlap():
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        sizes = [tuple(torch.randint(1, 12, (2,), generator=generator).tolist()) for _ in range(5)]
        tokens = [tuple(t) for ids in reference_ids(sizes, "offset") for t in ids.tolist()]
        assert len(set(tokens)) == len(tokens)

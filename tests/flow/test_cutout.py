"""Pictures in between cut-outs: the alpha moves with the colours, and what is hidden counts for nothing."""

from fractions import Fraction

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import MODES, InBetweenModel, Motion, multiplied, pictures_at, prepare_pair, separated


def disc(x: float, colour=(0.9, 0.2, 0.1), hidden=0.0, side: int = 96):
    """A soft-edged disc with a darker ring, on nothing, at column x."""
    ys, xs = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    far = ((xs - x) ** 2 + (ys - side / 2) ** 2).sqrt()
    alpha = (20.5 - far).clamp(0, 1)[..., None]
    inside = torch.tensor(colour) * (1 - 0.5 * (far > 15)[..., None].float())
    return torch.cat([torch.where(alpha > 0, inside, hidden), alpha], 2)


def left(picture, threshold=0.5):
    """The column where the disc begins, to a part of a pixel, on the middle row."""
    row = picture[48, :, 3]
    first = int((row >= threshold).nonzero()[0])
    return first - float((row[first] - threshold) / (row[first] - row[first - 1]).clamp_min(1e-6))


@pytest.mark.parametrize("mode", ["auto", "splat"])
@pytest.mark.parametrize("colour", [(0.9, 0.2, 0.1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)], ids=["red", "white", "black"])
def test_alpha_and_colours_move_together(mode, colour):
    a, truth, b = (disc(x, colour) for x in (36, 42, 48))
    made = prepare_pair(a, b, mode).at(0.5)
    assert made.shape == a.shape and made.min() >= 0 and made.max() <= 1
    assert left(made) == pytest.approx(left(truth), abs=0.6)
    assert (made[..., 3] - truth[..., 3]).abs().mean() < 0.004
    seen = truth[..., 3] > 0.9
    assert (made - truth)[seen].abs().mean() < 0.03
    assert (made[:, :10, 3] < 0.01).all() and (made[:, 90:, 3] < 0.01).all()


@pytest.mark.parametrize("mode", MODES)
def test_on_a_ground_they_are_the_pictures_that_are_made_on_it(mode):
    def on_white(picture):
        values = multiplied(picture)
        return values[..., :3] + 1 - values[..., 3:]

    a, b = disc(36), disc(44, (0.2, 0.3, 0.9))
    made, plain = on_white(prepare_pair(a, b, mode).at(0.4)), prepare_pair(on_white(a), on_white(b), mode).at(0.4)
    assert (made - plain).abs().mean() < 0.003


@pytest.mark.parametrize("mode", MODES)
def test_hidden_colours_count_for_nothing(mode):
    pairs = [prepare_pair(disc(36, hidden=hidden), disc(44, hidden=hidden), mode) for hidden in (0.0, 0.7)]
    made = [multiplied(pair.at(0.25)) for pair in pairs]
    assert (made[0] - made[1]).abs().max() < 1e-6 and pairs[0].report.decision == pairs[1].report.decision
    assert pairs[0].at(0) is pairs[0].a and pairs[0].at(1) is pairs[0].b


@pytest.mark.parametrize("mode", MODES)
def test_opaque_cut_outs_are_pictures(texture, mode):
    a, b = texture(0), texture(0).roll(3, 1)
    whole = [torch.cat([picture, torch.ones(*picture.shape[:2], 1)], 2) for picture in (a, b)]
    made = prepare_pair(*whole, mode).at(0.25)
    assert torch.equal(made[..., :3], prepare_pair(a, b, mode).at(0.25)) and (made[..., 3] == 1).all()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_from_both_ends(mode):
    a, b = disc(36), disc(44, (0.2, 0.3, 0.9))
    there, back = prepare_pair(a, b, mode).at(0.25), prepare_pair(b, a, mode).at(0.75)
    assert (multiplied(there) - multiplied(back)).abs().max() < 1e-5


def test_float64_is_the_reference():
    for mode in ("project", "splat"):
        made, reference = (prepare_pair(disc(36), disc(44), mode, dtype=dtype).at(0.25)
                           for dtype in (torch.float32, torch.float64))
        assert (multiplied(made) - multiplied(reference)).abs().max() < 2e-4


def test_with_its_own_flow_a_cut_out_is_moved_exactly():
    a, truth, b = disc(36), disc(40), disc(44)
    flow = torch.tensor([8.0, 0.0]).expand(96, 96, 2)
    for mode in ("project", "splat"):
        made = prepare_pair(a, b, mode, motion=Motion(flow, -flow, 1.0)).at(0.5)
        assert (multiplied(made) - multiplied(truth)).abs().max() < 1e-4


def test_a_dissolve_fades_alpha():
    made = prepare_pair(disc(20), disc(70), "dissolve").at(0.25)
    assert made[48, 20].tolist() == pytest.approx([0.9, 0.2, 0.1, 0.75])  # its own colour, not one darker with black
    assert made[48, 70].tolist() == pytest.approx([0.9, 0.2, 0.1, 0.25])


def test_a_change_of_alpha_alone_is_a_change():
    a, b = disc(40), disc(40)
    b[..., 3] *= 0.5
    made = prepare_pair(a, b).at(0.5)
    assert made[48, 40, 3] == pytest.approx(0.75, abs=0.02) and made[48, 40, 0] == pytest.approx(0.9, abs=0.01)


def test_a_learnt_model_makes_the_silhouette_too():
    class Mean:
        name, align, work_bytes = "mean", 1, 0

        def prepare(self, a, b):
            return a, b

        def make(self, prepared, t):
            return torch.lerp(*prepared, t)

    made = prepare_pair(disc(36), disc(44), model=InBetweenModel(Mean())).at(0.25)
    assert torch.allclose(multiplied(made), torch.lerp(multiplied(disc(36)), multiplied(disc(44)), 0.25), atol=1e-5)


def test_a_clip_of_cut_outs():
    given = [disc(30), disc(38), disc(46)]
    made = [item.picture for item in pictures_at(given, [Fraction(n, 2) for n in range(5)])]
    assert [made[n] is given[n // 2] for n in (0, 2, 4)] == [True] * 3
    assert [left(picture) for picture in made] == pytest.approx([left(disc(x)) for x in (30, 34, 38, 42, 46)], abs=0.6)


def test_separated_is_the_inverse_where_something_is_seen():
    picture = torch.rand(8, 8, 4) * 0.9 + 0.1
    assert torch.allclose(separated(multiplied(picture)), picture, atol=1e-5)
    clear = separated(torch.zeros(4, 4, 4))
    assert not clear.any()


def test_what_is_no_cut_out_is_refused(texture):
    a = disc(36)
    for bad in (2.0, -1.0, torch.nan):
        wrong = a.clone()
        wrong[3, 3, 3] = bad
        with pytest.raises(InputError, match="second picture 'alpha .*': has alpha outside 0..1"):
            prepare_pair(a, wrong)
    with pytest.raises(InputError, match="alpha"):
        prepare_pair(a, a[..., :3].contiguous())
    with pytest.raises(InputError, match="picture 1 .* batch"):
        list(pictures_at([a[None], a[None]], [Fraction(1, 2)]))

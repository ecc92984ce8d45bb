"""Cutting out a subject."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.publish import check_visible, key_border, visible_share, with_mask

BACK, SKIN = torch.tensor([0.2, 0.7, 0.3]), torch.tensor([0.9, 0.5, 0.4])


def disc(inner: torch.Tensor = SKIN, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A soft-edged disc on a plain ground, and its share of each pixel."""
    ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    share = (20 - ((xs - 32) ** 2 + (ys - 32) ** 2).sqrt()).clamp(0, 1)
    picture = BACK * (1 - share[..., None]) + inner * share[..., None]
    picture = picture + noise * (torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    return picture.clamp(0, 1), share


@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_a_plain_background_goes_and_the_edge_is_clean(noise):
    picture, share = disc(noise=noise)
    cut = key_border(picture, 0.06, "Sticker")
    assert (cut[..., 3] - share).abs().mean() < 0.02
    assert (cut[..., 3][share == 1] > 0.99).float().mean() > 0.97 and (cut[..., 3][share == 0] == 0).all()
    edge = (cut[..., 3] > 0.2) & (cut[..., 3] < 0.9)
    assert edge.sum() > 20
    fringe, before = ((colours[..., :3][edge] - SKIN).abs().mean() for colours in (cut, picture))
    assert fringe < 0.06 and fringe < before / 2


def test_the_subject_may_hold_the_backgrounds_colour():
    picture, share = disc()
    picture[28:36, 28:36] = BACK
    assert (key_border(picture, 0.06, "Sticker")[28:36, 28:36, 3] == 1).all()


def test_a_subject_that_touches_the_border_is_kept():
    picture, _ = disc()
    picture[40:, 20:44] = SKIN
    cut = key_border(picture, 0.06, "Sticker")
    assert (cut[50:, 24:40, 3] == 1).all() and cut[60, 5, 3] == 0


def test_a_background_that_is_not_plain_is_said():
    with pytest.raises(InputError, match="connect a mask"):
        key_border(torch.rand(32, 32, 3), 0.06, "Sticker")


def test_a_mask_keeps_what_it_selects_at_any_size():
    picture = torch.rand(40, 60, 3)
    mask = torch.zeros(20, 30)
    mask[:, 15:] = 1
    cut = with_mask(picture, mask)
    assert cut.shape == (40, 60, 4) and torch.equal(cut[..., :3], picture)
    assert (cut[:, :28, 3] == 0).all() and (cut[:, 32:, 3] == 1).all()
    picture[:, 40:, :], clear = 0.5, torch.ones(40, 60, 1)
    clear[:20] = 0  # what a cut-out hides stays hidden
    again = with_mask(torch.cat([picture, clear], 2), mask)
    assert torch.equal(again[..., :3], picture) and torch.equal(again[..., 3:], cut[..., 3:] * clear)


def test_a_cut_out_of_which_nothing_is_left_is_refused():
    """A white subject on white is the background's colour within the tolerance."""
    picture, share = disc(inner=BACK + 0.03)
    cut = key_border(picture, 0.06, "Sticker")
    assert visible_share(cut) == 0 and visible_share(picture) == 1
    with pytest.raises(InputError, match="^Sticker: background 'cut out': leaves nothing to be seen: .*; lower it$"):
        check_visible([visible_share(cut), 0.0005], "Sticker", "background", "cut out", "lower it")
    check_visible([visible_share(key_border(picture, 0.02, "Sticker"))], "Sticker", "background", "cut out", "lower it")
    seen = (share > 0.5).double().mean().item()
    assert visible_share(key_border(picture, 0.02, "Sticker")) == pytest.approx(seen, abs=0.01)


def test_a_subject_may_come_in_later():
    empty = key_border(torch.full((64, 64, 3), 1.0), 0.06, "Sticker")
    check_visible([visible_share(empty), visible_share(key_border(disc()[0], 0.06, "Sticker"))], "a", "b", "c", "d")

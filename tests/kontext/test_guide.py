"""A picture that the first steps follow."""

import pytest
import torch
from kontinuity.kontext import Guide
from kontinuity.kontext.sampling import GuideLatents, denoise
from test_requests import refusal

SIGMAS = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.0])


def velocity(x, timestep):
    """Curved, so that where a step begins matters."""
    return torch.sin(3 * x) + timestep


def guided(until, certain=1.0, sigmas=SIGMAS, on_step=None):
    noise = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    clean = torch.linspace(-1, 1, 32).reshape(1, 2, 4, 4)
    share = torch.full((1, 1, 4, 4), certain) if isinstance(certain, float) else certain
    return denoise(velocity, noise, sigmas, on_step, guide=GuideLatents(clean, share, until)), noise, clean


def test_the_steps_below_begin_on_the_picture_under_its_noise():
    made, noise, clean = guided(until=0.5)
    start = 0.3 * clean + 0.7 * noise
    assert torch.equal(made, denoise(velocity, start, SIGMAS[2:]))


def test_steps_that_leave_no_trace_are_not_computed():
    steps = []
    guided(until=0.5, on_step=lambda info: steps.append(info.step))
    assert steps == [3, 4]
    steps.clear()
    guided(until=0.5, certain=0.999, on_step=lambda info: steps.append(info.step))
    assert steps == [1, 2, 3, 4]


def test_skipping_them_changes_nothing():
    """One place that is hardly free makes all steps be computed; the others come out the same."""
    share = torch.ones(1, 1, 4, 4)
    share[..., 0, 0] = 0.5
    whole, part = guided(until=0.5)[0], guided(until=0.5, certain=share)[0]
    same = (whole == part).all(dim=1)[0]
    assert not same[0, 0] and same.sum() == 15


def test_where_it_counts_for_nothing_the_model_is_free():
    made, noise, _ = guided(until=0.0, certain=0.0)
    assert torch.equal(made, denoise(velocity, noise, SIGMAS))


@pytest.mark.parametrize(("until", "counts"), [(1.0, False), (0.95, False), (0.85, True)])
def test_at_full_noise_nothing_of_it_is_left(until, counts):
    made, noise, _ = guided(until)
    assert torch.equal(made, denoise(velocity, noise, SIGMAS)) is not counts


def test_an_edit_follows_it(model, request_for, picture):
    clean, whole = model.backend.encode_picture(picture(seed=9)), torch.ones(96, 96)
    free, held = ([], [])
    model.edit(request_for(steps=50), free.append)
    model.edit(request_for(steps=50, guide=Guide(picture(seed=9), whole, 0.0)), held.append)
    assert [info.step for info in held] == [50]
    assert (held[0].latents - clean).abs().mean() < 0.2 * (free[-1].latents - clean).abs().mean()


def test_an_edit_is_free_elsewhere(model, request_for, picture):
    left = torch.ones(96, 96)
    left[:, 48:] = 0
    infos = {}
    for name, guide in (("free", None), ("left", Guide(picture(seed=9), left, 0.0))):
        infos[name] = []
        model.edit(request_for(steps=8, guide=guide), infos[name].append)
    clean = model.backend.encode_picture(picture(seed=9))
    made = infos["left"][-2].latents  # before the last step all of the left half was the guide
    assert (made[..., :6] - clean[..., :6]).abs().max() < (infos["free"][-2].latents - clean)[..., :6].abs().max()


@pytest.mark.parametrize(("guide", "field"), [
    (Guide(torch.zeros(96, 64, 3), torch.ones(96, 64), 0.5), "guide"),
    (Guide(torch.zeros(96, 96, 4), torch.ones(96, 96), 0.5), "guide"),
    (Guide(torch.full((96, 96, 3), torch.nan), torch.ones(96, 96), 0.5), "guide"),
    (Guide(torch.zeros(96, 96, 3), torch.ones(96, 64), 0.5), "guide certain"),
    (Guide(torch.zeros(96, 96, 3), torch.full((96, 96), 1.5), 0.5), "guide certain"),
    (Guide(torch.zeros(96, 96, 3), torch.full((96, 96), torch.nan), 0.5), "guide certain"),
    (Guide(torch.zeros(96, 96, 3), torch.ones(96, 96, dtype=torch.bool), 0.5), "guide certain"),
    (Guide(torch.zeros(96, 96, 3), torch.ones(96, 96), 1.5), "guide until"),
    (Guide(torch.zeros(96, 96, 3), torch.ones(96, 96), torch.nan), "guide until"),
])
def test_refusals(model, request_for, guide, field):
    assert refusal(model, request_for(guide=guide)).field == field

"""The estimator in torch against OpenCV's DIS on warps that are known, and what a user's pictures may be like."""

import math

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import DisFlow, PyramidFlow, estimate_motion
from kontinuity.flow.estimators.pyramid import pyramid_flow
from torch.nn.functional import interpolate

HEIGHT, WIDTH, MARGIN = 120, 160, 24


def textured(seed: int, height: int, width: int) -> torch.Tensor:
    """Random colours in features of 4 to 32 pixels, ``[H, W, 3]``."""
    draw, total = torch.Generator().manual_seed(seed), 0
    for size in (4, 8, 16, 32):
        noise = torch.rand((1, 3, height // size + 3, width // size + 3), generator=draw)
        total = total + interpolate(noise, scale_factor=size, mode="bicubic")[0, :, :height, :width] * size ** 0.5
    return ((total - total.min()) / (total.max() - total.min())).permute(1, 2, 0).contiguous()


def shift(seed: int, length: float) -> torch.Tensor:
    angle = 1 + 2.4 * seed
    return torch.tensor([math.cos(angle), math.sin(angle)]).expand(HEIGHT, WIDTH, 2) * length


def waves(seed: int, length: float) -> torch.Tensor:
    knots = torch.randn((1, 2, 4, 5), generator=torch.Generator().manual_seed(seed))
    field = interpolate(knots, size=(HEIGHT, WIDTH), mode="bicubic", align_corners=True)[0].permute(1, 2, 0)
    return field / field.norm(dim=2).max() * length


def zoom(seed: int, length: float) -> torch.Tensor:
    ys, xs = torch.meshgrid(torch.arange(HEIGHT) - HEIGHT / 2, torch.arange(WIDTH) - WIDTH / 2, indexing="ij")
    field = torch.stack([xs + ys * (0.6 - seed), ys - xs * (0.6 - seed)], 2)
    return field / field.norm(dim=2).max() * length


def warped(seed: int, field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures a and b for which ``field`` is the flow from a to b."""
    wide = textured(seed, HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
    ys, xs = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    grid = torch.stack([(2 * (xs + MARGIN + field[..., 0]) + 1) / wide.shape[1] - 1,
                        (2 * (ys + MARGIN + field[..., 1]) + 1) / wide.shape[0] - 1], 2)
    a = torch.nn.functional.grid_sample(wide.permute(2, 0, 1)[None], grid[None], "bicubic", "border",
                                        align_corners=False)[0].permute(1, 2, 0).clamp(0, 1).contiguous()
    return a, wide[MARGIN:-MARGIN, MARGIN:-MARGIN].contiguous()


def error(flow: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean end-point error over the whole picture, pixels."""
    return (flow - truth).norm(dim=2).mean().item()


CASES = [(shift, 1.3), (shift, 4), (shift, 10), (waves, 1.5), (waves, 5), (zoom, 4)]


@pytest.mark.parametrize(("kind", "length"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_no_worse_than_dis_medium_within_a_tenth(kind, length):
    """Shifts up to 10 pixels of 160, as 20 are of 320."""
    ours = theirs = 0.0
    for seed in (0, 1):
        truth = kind(seed, length)
        a, b = warped(seed, truth)
        ours += error(PyramidFlow()(a, b), truth) / 2
        theirs += error(DisFlow("normal")(a, b), truth) / 2
    assert ours <= 1.1 * theirs, f"{ours:.3f} pixels, DIS {theirs:.3f}"
    assert ours < 0.2


def test_a_fade_does_not_look_like_motion():
    truth = shift(0, 3)
    a, b = warped(3, truth)
    assert error(PyramidFlow()(a, b * 0.8 + 0.1), truth) < 0.15


def test_a_figure_does_not_drag_the_background_along():
    a = textured(5, HEIGHT, WIDTH)
    b, patch = a.clone(), textured(9, 48, 48)
    a[36:84, 50:98], b[36:84, 58:106] = patch, patch
    flow = PyramidFlow()(a, b)
    assert (flow[42:78, 56:92] - torch.tensor([8.0, 0.0])).norm(dim=2).mean() < 0.3
    assert flow[:28].norm(dim=2).mean() < 0.1 and flow[:, :40].norm(dim=2).mean() < 0.1


def test_pairs_at_once_are_the_pairs_one_by_one():
    pairs = [warped(seed, waves(seed, 3)) for seed in (0, 1)]
    a, b = (torch.stack([pair[side] for pair in pairs]).permute(0, 3, 1, 2) for side in (0, 1))
    both = pyramid_flow(a, b)
    for number, pair in enumerate(pairs):
        alone = PyramidFlow()(*pair)
        assert (both[number].permute(1, 2, 0) - alone).abs().max() < 1e-3
        assert torch.equal(alone, PyramidFlow()(*pair))
    with pytest.raises(InputError, match="are not two of"):
        pyramid_flow(a, b[:, :, 1:])


@pytest.mark.parametrize("size", [(16, 16), (17, 90), (61, 43)])
def test_any_size_and_pictures_without_texture(size):
    plain = torch.full((*size, 3), 0.5)
    assert PyramidFlow()(plain, plain * 0.5).abs().max() < 1e-3
    flow = PyramidFlow()(textured(1, *size), textured(2, *size))
    assert flow.shape == (*size, 2) and torch.isfinite(flow).all()


def test_it_is_an_estimator_that_asks_for_its_device():
    asked = []

    def device(work_bytes):
        asked.append(work_bytes)
        return torch.device("cpu")

    a, b = warped(1, shift(1, 2))
    motion = estimate_motion(a, b, PyramidFlow(device), large_motion=False)
    assert motion.coverage > 0.9 and len(asked) == 2 and asked[0] >= 100 * HEIGHT * WIDTH
    with pytest.raises(InputError, match="bring them to one size"):
        estimate_motion(a, b[1:], PyramidFlow())

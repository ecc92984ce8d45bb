"""Warp, splat, hole filling and consistency: exact properties."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import Motion
from kontinuity.flow.between.synthesis import push
from kontinuity.flow.field import flat_share, is_flat
from kontinuity.flow.occlusion import consistent, coverage, round_trip
from kontinuity.flow.splat import fill_holes, splat
from kontinuity.flow.warp import warp, warp_bicubic


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniform(x, y, height=20, width=30):
    return torch.tensor([float(x), float(y)]).expand(height, width, 2).clone()


def inner_mask(flow):
    """Pixels that land wholly inside."""
    height, width = flow.shape[:2]
    x = torch.arange(width) + flow[..., 0]
    y = torch.arange(height)[:, None] + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def test_a_smooth_surface_in_a_video_is_no_flat_drawing(cartoon):
    """Both have hardly a gradient above 2/255; a drawing's are at outlines, also when it was compressed or enlarged."""
    import cv2

    ys, xs = torch.meshgrid(torch.arange(180.0), torch.arange(320.0), indexing="ij")
    roof = (0.7 + 0.1 * torch.sin(xs / 60) + 0.1 * torch.cos(ys / 40 + xs / 90))[..., None].expand(180, 320, 3).clone()
    roof[80:90, 100:140] = 0.2
    noise = torch.randn(roof.shape, generator=torch.Generator().manual_seed(0))
    roof = ((roof + noise * 0.4 / 255).clamp(0, 1) * 255).round() / 255
    drawing = cartoon(60.0)
    packed = cv2.imencode(".jpg", (drawing * 255).byte().numpy(), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    packed = torch.from_numpy(cv2.imdecode(packed, cv2.IMREAD_COLOR).astype("float32") / 255)
    large = torch.from_numpy(cv2.resize(drawing.numpy(), (1536, 1152), interpolation=cv2.INTER_LINEAR))
    assert flat_share(roof) > 0.6 and not is_flat(roof, roof)
    assert all(is_flat(picture, picture) for picture in (drawing, packed, large))


@pytest.mark.parametrize("function", [warp, warp_bicubic])
def test_no_motion_changes_nothing(function):
    values = random(20, 30, 3, dtype=torch.float32)
    assert torch.allclose(function(values, uniform(0, 0)), values, atol=1e-6)
    assert torch.equal(warp(values, uniform(0, 0)), values)


@pytest.mark.parametrize("function", [warp, warp_bicubic])
def test_whole_pixel_translation_fetches_exact_values(function):
    values = random(20, 30, 3)
    out = function(values, uniform(3, -2))
    assert torch.allclose(out[2:, :-3], values[:-2, 3:], atol=1e-12)


def test_warp_is_bilinear_and_zero_outside():
    ramp = torch.arange(30.0).expand(20, 30)[..., None]
    assert torch.allclose(warp(ramp, uniform(0.25, 0))[:, :-1], ramp[:, :-1] + 0.25, atol=1e-5)
    assert (warp(ramp + 1, uniform(40, 0)) == 0).all()


def test_bicubic_continues_the_edge():
    values = torch.full((20, 30, 1), 0.7)
    assert torch.allclose(warp_bicubic(values, uniform(50, -70)), values, atol=1e-6)


def test_whole_pixel_splat_moves_values():
    values = random(20, 30, 3)
    out = splat(values, uniform(3, -2))
    assert torch.allclose(out[:-2, 3:], values[2:, :-3])
    assert (out[:, :3] == 0).all() and (out[-2:] == 0).all()


def test_splat_and_warp_are_adjoint():
    flow = (random(20, 30, 2, seed=1) - 0.5) * 14
    u, v = random(20, 30, 3, seed=2), random(20, 30, 3, seed=3)
    assert (splat(u, flow) * v).sum().item() == pytest.approx((u * warp(v, flow)).sum().item(), rel=1e-12)
    u, v, flow = u.float(), v.float(), flow.float()
    assert (splat(u, flow) * v).sum().item() == pytest.approx((u * warp(v, flow)).sum().item(), rel=1e-5)


def test_splat_is_a_partition_of_unity():
    """Every pixel gives away exactly itself."""
    flow = (random(20, 30, 2, seed=1) - 0.5) * 14
    inside = inner_mask(flow)
    out = splat(inside[..., None].double(), flow)
    assert out.sum().item() == pytest.approx(inside.sum().item(), rel=1e-12)


def test_two_constants_pushed_together_are_the_constant():
    motion = Motion(*((random(20, 30, 2, seed=seed) - 0.5) * 14 for seed in (1, 2)), 1.0)
    plain = torch.full((20, 30, 3), 0.3, dtype=torch.float64)
    weights = random(20, 30, seed=4) * 20, random(20, 30, seed=5) * 20
    assert torch.allclose(push(plain, plain, motion, weights, 0.4), plain, atol=1e-9)


def test_importance_decides_who_is_in_front():
    values, flow, importance = torch.zeros(20, 30, 1), uniform(0, 0), torch.zeros(20, 30)
    values[5, 10], values[5, 12] = 1.0, 0.5
    flow[5, 10, 0] = 2
    motion, gone = Motion(2 * flow, uniform(1e4, 0), 1.0), torch.zeros(20, 30)  # the first picture is all that is seen
    assert push(values, values, motion, (importance, gone), 0.5)[5, 12].item() == pytest.approx(0.75)
    importance[5, 10] = 20
    assert push(values, values, motion, (importance, gone), 0.5)[5, 12].item() == pytest.approx(1.0, abs=1e-6)


def test_splat_gives_the_same_bits_twice():
    values, flow = random(64, 64, 3, dtype=torch.float32), (random(64, 64, 2, seed=1) - 0.5).float() * 60
    assert torch.equal(splat(values, flow), splat(values, flow))
    motion, weights = Motion(flow, -flow, 1.0), (values[..., 0], values[..., 1])
    assert torch.equal(push(values, values, motion, weights, 0.4), push(values, values, motion, weights, 0.4))


def test_splat_has_the_gradient_of_its_adjoint():
    values = random(6, 7, 2).requires_grad_()
    flow = (random(6, 7, 2, seed=1) - 0.5) * 4
    assert torch.autograd.gradcheck(lambda v: splat(v, flow), (values,))
    assert torch.autograd.gradcheck(lambda v: warp(v, flow), (values,))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (1, 9)])
def test_filling_keeps_what_is_there_and_invents_no_value(height, width):
    values, density = random(height, width, 3), torch.ones(height, width, dtype=torch.float64)
    assert torch.equal(fill_holes(values, density), values)
    density[height // 4 : height // 2 + 1, 2:7] = 0
    values[density == 0] = 1e6
    out = fill_holes(values, density)
    assert torch.equal(out[density > 0], values[density > 0])
    assert out.min() >= 0 and out.max() <= 1
    assert (fill_holes(values * 0 + 0.4, density) - 0.4).abs().max() < 1e-9
    assert torch.equal(fill_holes(values * 0, density * 0), values * 0)


def test_round_trip_of_a_known_rotation():
    """A rotation and its inverse agree but for the corners that leave the picture."""
    flows = []
    for angle in (0.1, -0.1):
        ys, xs = torch.meshgrid(torch.arange(60.0) - 29.5, torch.arange(60.0) - 29.5, indexing="ij")
        c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
        flows.append(torch.stack([c * xs - s * ys - xs, s * xs + c * ys - ys], 2))
    assert round_trip(*flows)[10:-10, 10:-10].max() < 1e-4
    assert consistent(*flows)[10:-10, 10:-10].all()
    assert 0.9 < coverage(*flows) < 1
    assert coverage(*flows) == coverage(*flows[::-1])


def test_what_leaves_the_picture_is_not_covered():
    assert coverage(uniform(6, 0), uniform(-6, 0)) == pytest.approx(24 / 30)
    assert coverage(uniform(6, 0), uniform(6, 0)) == 0
    assert torch.isinf(round_trip(uniform(6, 0), uniform(-6, 0))[:, -6:]).all()


@pytest.mark.parametrize("flow", [
    torch.zeros(20, 30), torch.zeros(20, 30, 3), torch.zeros(9, 30, 2), torch.zeros(20, 30, 2).long(),
    torch.full((20, 30, 2), torch.nan), torch.full((20, 30, 2), torch.inf), None], ids=str)
@pytest.mark.parametrize("function", [warp, warp_bicubic, splat])
def test_bad_flow_is_refused(function, flow):
    with pytest.raises(InputError) as caught:
        function(torch.zeros(20, 30, 3), flow)
    assert "\n" not in str(caught.value)


def test_flows_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="same pictures"):
        coverage(torch.zeros(20, 30, 2), torch.zeros(20, 31, 2))

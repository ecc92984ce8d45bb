"""The Triton kernel against the plain splat, in Triton's interpreter: it was never run on a GPU."""

import sys

import pytest
import torch
from kontinuity.flow.splat import splat

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def splat_fused():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # read when the kernel is declared
        sys.modules.pop("kontinuity.flow.splat_triton", None)
        from kontinuity.flow.splat_triton import splat_fused

        yield splat_fused
    sys.modules.pop("kontinuity.flow.splat_triton", None)


@pytest.mark.parametrize(("height", "width", "channels", "length"), [(20, 30, 5, 8), (7, 41, 1, 100), (16, 16, 3, 0)])
def test_equals_the_plain_splat(splat_fused, height, width, channels, length):
    draw = torch.Generator().manual_seed(0)
    values = torch.rand((height, width, channels), generator=draw) - 0.3
    flow = (torch.rand((height, width, 2), generator=draw) - 0.5) * length
    ours, plain = splat_fused(values, flow), splat(values, flow)
    assert (ours - plain).abs().max() < 1e-5 and plain.abs().max() > 0.1


def test_all_on_one_pixel_and_far_outside(splat_fused):
    ys, xs = torch.meshgrid(torch.arange(12.0), torch.arange(20.0), indexing="ij")
    gathered = torch.stack([9.5 - xs, 5.25 - ys], 2)
    values = torch.rand((12, 20, 2), generator=torch.Generator().manual_seed(1))
    assert (splat_fused(values, gathered) - splat(values, gathered)).abs().max() < 1e-4
    away = torch.full((12, 20, 2), 3e9)
    away[0] = -3e9
    assert splat_fused(values, away).abs().max() == 0

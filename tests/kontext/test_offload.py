"""Weights that visit the device: same bits, never two places too many, and home again whatever happens."""

import pytest
import torch
from kontinuity.kontext.memory.offload import Prefetcher, prefetcher_bytes, weight_bytes
from torch import nn


class Block(nn.Module):
    """A block with all sorts of weights: parameters and buffers, other dtypes, a transposed one, a scalar."""

    def __init__(self, width: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.linear = nn.Linear(8, width)
        self.back = nn.Parameter(torch.randn(8, width, generator=generator).t())  # not contiguous
        self.register_buffer("float8", torch.randn(8, generator=generator).to(torch.float8_e4m3fn))
        self.register_buffer("scale", torch.tensor(0.7))
        for parameter in self.linear.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, x):
        return torch.tanh(self.linear(x) @ self.back) * self.scale + self.float8.to(x.dtype)


class Poisoned(Prefetcher):
    """A place that was left, or is written anew, holds NaN: whoever still computes with it is found out."""

    def leave(self, i):
        place = next(p for p in self._places if p.holds == i)
        super().leave(i)
        place.memory.fill_(255)
        place.holds = None


@pytest.fixture
def blocks():
    return [Block(width, seed) for seed, width in enumerate((4, 16, 4, 7, 1))]


def run(blocks, x):
    for block in blocks:
        x = block(x)
    return x


def addresses(blocks):
    return [tensor.data_ptr() for block in blocks for tensor in (*block.parameters(), *block.buffers())]


@pytest.mark.parametrize("kind", [Prefetcher, Poisoned])
@pytest.mark.parametrize("which", [slice(None), slice(1, None, 2), slice(2, 3)])
@torch.no_grad()
def test_same_bits_as_resident_for_several_rounds(blocks, which, kind):
    x = torch.randn(3, 8)
    expected = run(blocks, x)
    prefetcher = kind(blocks[which], "cpu")
    for _ in range(2):  # it can be opened again
        with prefetcher, prefetcher.attached():
            assert all(torch.equal(run(blocks, x), expected) for _ in range(3))
    assert torch.equal(run(blocks, x), expected)


@torch.no_grad()
def test_parameters_stay_the_same_objects_and_are_not_trained(blocks):
    before = [(name, id(tensor), tensor.stride()) for name, tensor in nn.ModuleList(blocks).named_parameters()]
    with Prefetcher(blocks, "cpu") as prefetcher, prefetcher.attached():
        run(blocks, torch.zeros(1, 8))
    assert [(n, id(t), t.stride()) for n, t in nn.ModuleList(blocks).named_parameters()] == before
    assert not any(tensor.is_inference() for tensor in nn.ModuleList(blocks).parameters())


@torch.inference_mode()
def test_in_inference_mode(blocks):
    expected = run(blocks, torch.ones(1, 8))
    with Prefetcher(blocks, "cpu") as prefetcher, prefetcher.attached():
        assert torch.equal(run(blocks, torch.ones(1, 8)), expected)
    assert not any(tensor.is_inference() for tensor in nn.ModuleList(blocks).parameters())


@torch.no_grad()
def test_two_places_of_the_largest_module(blocks):
    prefetcher = Prefetcher(blocks, "cpu")
    assert prefetcher.device_bytes == 0
    with prefetcher, prefetcher.attached():
        held = []
        for block in blocks:
            block.register_forward_hook(lambda *_: held.append(prefetcher.device_bytes))
        run(blocks, torch.zeros(1, 8))
        assert set(held) == {prefetcher_bytes(blocks)}
    largest = max(map(weight_bytes, blocks))
    assert 2 * largest <= prefetcher_bytes(blocks) <= 2 * largest + 2 * 5 * 256
    assert prefetcher.device_bytes == 0
    assert prefetcher_bytes(blocks[:1]) < 2 * largest and prefetcher_bytes([]) == 0


@torch.no_grad()
def test_the_next_one_is_fetched_while_one_computes(blocks):
    fetched = []

    class Watched(Prefetcher):
        def _fetch(self, i):
            fetched.append(i)
            return super()._fetch(i)

    with Watched(blocks, "cpu") as prefetcher, prefetcher.attached():
        seen = []
        for i, block in enumerate(blocks):
            block.linear.register_forward_hook(lambda *_, i=i: seen.append((i, fetched[-1])))
        run(blocks, torch.zeros(1, 8))
        run(blocks, torch.zeros(1, 8))
    assert seen == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)] * 2
    assert fetched == [0, 1, 2, 3, 4] * 2 + [0]  # each once in a round; the very last is the first of a next round


@torch.no_grad()
def test_modules_that_are_skipped_or_come_in_another_order(blocks):
    x = torch.randn(3, 8)
    expected = run(blocks[::2], x), run(blocks[::-1], x)
    with Poisoned(blocks, "cpu") as prefetcher, prefetcher.attached():
        assert torch.equal(run(blocks[::2], x), expected[0])
        assert torch.equal(run(blocks[::-1], x), expected[1])


@pytest.mark.parametrize("where", ["inside a module", "between two"])
@torch.no_grad()
def test_an_exception_leaves_nothing_on_the_device(blocks, where):
    x = torch.randn(3, 8)
    expected = run(blocks, x)

    class Cancelled(BaseException):
        pass

    def cancel(*_):
        raise Cancelled

    prefetcher = Prefetcher(blocks, "cpu")
    with prefetcher, prefetcher.attached():
        run(blocks, x)
    home = addresses(blocks)
    handle = (blocks[2].linear if where == "inside a module" else blocks[2]).register_forward_hook(cancel)
    with pytest.raises(Cancelled), prefetcher, prefetcher.attached():
        run(blocks, x)
    handle.remove()
    assert addresses(blocks) == home and prefetcher.device_bytes == 0
    assert torch.equal(run(blocks, x), expected)  # no hook is left that would bring anything
    with prefetcher, prefetcher.attached():
        assert torch.equal(run(blocks, x), expected)


@torch.no_grad()
def test_weights_that_changed_between_two_uses_are_seen(blocks):
    x = torch.randn(3, 8)
    prefetcher = Prefetcher(blocks, "cpu")
    with prefetcher, prefetcher.attached():
        run(blocks, x)
    blocks[1].linear = nn.Linear(8, 16)  # as an adapter does
    blocks[3].linear.weight.data = torch.ones(7, 8)
    expected = run(blocks, x)
    with prefetcher, prefetcher.attached():
        assert torch.equal(run(blocks, x), expected)


@torch.no_grad()
def test_three_at_once_are_refused(blocks):
    with Prefetcher(blocks, "cpu") as prefetcher:
        prefetcher.bring(0)
        prefetcher.bring(1)
        with pytest.raises(RuntimeError, match="more than two"):
            prefetcher.bring(2)


def test_the_measure_works_on_the_meta_device():
    with torch.device("meta"):
        block = nn.Linear(100, 100, dtype=torch.bfloat16)
    assert weight_bytes(block) == 20200
    assert prefetcher_bytes([block, block]) == 2 * (20224 + 256)

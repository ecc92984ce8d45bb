"""Quantised layers: their numbers against gguf-py's and plain arithmetic, and what moving them does."""

import pytest
import torch
from kontinuity.kontext.dequantise import BLOCKS, SCALE_BYTES, dequantise, scales_are_finite
from kontinuity.kontext.quantised import BlockLinear, GgufLinear, StoredLinear
from torch.nn import functional as F


def random_blocks(kind: str, rows: int = 3, blocks: int = 2, seed: int = 0) -> torch.Tensor:
    """Any bits with scales that are ordinary numbers."""
    generator = torch.Generator().manual_seed(seed)
    packed = torch.randint(0, 256, (rows * blocks, BLOCKS[kind][1]), dtype=torch.uint8, generator=generator)
    for at in SCALE_BYTES[kind]:
        packed[:, at : at + 2] = torch.randn(rows * blocks, 1, generator=generator).half().view(torch.uint8)
    if kind == "MXFP4":
        packed[:, 0] = torch.randint(0, 240, (rows * blocks,), generator=generator)  # powers of two, tiny ones too
    return packed.reshape(rows, -1)


@pytest.mark.parametrize("kind", BLOCKS)
def test_numbers_are_those_of_gguf(kind):
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    assert GGML_QUANT_SIZES[GGMLQuantizationType[kind]] == BLOCKS[kind]
    packed = random_blocks(kind)
    wanted = torch.from_numpy(quants.dequantize(packed.numpy(), GGMLQuantizationType[kind]))
    found = dequantise(packed, kind)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-6 if SCALE_BYTES[kind] else 0)


def test_rows_at_a_time_change_nothing(monkeypatch):
    packed = random_blocks("Q4_K", rows=7)
    whole = dequantise(packed, "Q4_K")
    for at_once in (1, 512 * 3):
        monkeypatch.setattr("kontinuity.kontext.dequantise._AT_ONCE", at_once)
        assert torch.equal(dequantise(packed, "Q4_K"), whole)
    assert torch.equal(dequantise(packed, "Q4_K", torch.bfloat16), whole.bfloat16())


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_broken_scale_is_seen(kind):
    packed = random_blocks(kind)
    assert scales_are_finite(packed, kind) and torch.isfinite(dequantise(packed, kind)).all()
    for at in SCALE_BYTES[kind]:
        for value in (float("nan"), float("inf")):
            broken = packed.clone()
            broken[1, at : at + 2] = torch.tensor([value]).half().view(torch.uint8)
            assert not scales_are_finite(broken, kind)
    if kind == "MXFP4":
        packed[1, 0] = 255
        assert not scales_are_finite(packed, kind)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("scale", [None, torch.tensor(0.37), torch.rand(6) + 0.1, torch.rand(6, 1) + 0.1])
def test_fp8(dtype, scale):
    values, bias, x = torch.randn(6, 8).to(dtype), torch.randn(6), torch.randn(2, 3, 8)
    layer = StoredLinear(values, scale, bias)
    weight = values.float() * (1.0 if scale is None else scale.reshape(-1, 1))
    assert torch.equal(layer.weight_as(torch.float32), weight)
    for small in (torch.bfloat16, torch.float16):  # rounded once, not with a rounded scale
        assert torch.equal(layer.weight_as(small), weight.to(small))
        assert layer(x.to(small)).dtype == small
    assert torch.equal(layer(x), F.linear(x, weight, bias))
    assert (layer.in_features, layer.out_features) == (8, 6)


def layers():
    return (StoredLinear(torch.randn(6, 8).to(torch.float8_e4m3fn), torch.rand(6) + 0.1, torch.randn(6)),
            GgufLinear(random_blocks("Q8_0"), "Q8_0", torch.randn(3)))


@pytest.mark.parametrize("layer", layers(), ids=["fp8", "gguf"])
@pytest.mark.parametrize("move", [lambda m: m.to(torch.bfloat16), lambda m: m.half(),
                                  lambda m: m.to("cpu", torch.float64)])
def test_a_dtype_leaves_the_quantised_tensors(layer, move):
    before = {name: tensor.clone() for name, tensor in layer.named_buffers()}
    weight = layer.weight_as(torch.float32)
    move(torch.nn.Sequential(layer))
    for name, tensor in layer.named_buffers():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor.view(torch.uint8), before[name].view(torch.uint8))
    assert torch.equal(layer.weight_as(torch.float32), weight)
    assert layer.bias.dtype != torch.float32
    layer.to(torch.float32)


@pytest.mark.parametrize("layer", layers(), ids=["fp8", "gguf"])
def test_devices_and_state(layer):
    state = layer.state_dict()
    assert {name.rpartition(".")[2] for name in state} in ({"values", "scale", "bias"}, {"packed", "bias"})
    on_meta = layers()[0 if isinstance(layer, StoredLinear) else 1].to("meta")
    assert all(t.device.type == "meta" for t in [*on_meta.buffers(), *on_meta.parameters()])
    assert not list(on_meta.buffers())[0].is_floating_point() or list(on_meta.buffers())[0].dtype.itemsize == 1
    on_meta.load_state_dict(state, assign=True)
    assert torch.equal(on_meta.weight_as(torch.float32), layer.weight_as(torch.float32))
    assert layer.weight is None


def test_refusals():
    with pytest.raises(ValueError, match="rows"):
        StoredLinear(torch.zeros(6, 8).to(torch.float8_e5m2), torch.ones(3))
    with pytest.raises(TypeError, match="int32"):
        StoredLinear(torch.zeros(6, 8, dtype=torch.int32))
    with pytest.raises(ValueError, match="turned"):
        StoredLinear(torch.zeros(6, 8, dtype=torch.int8), torch.ones(6), rotation=16)
    with pytest.raises(ValueError, match="no such matrix"):
        BlockLinear(torch.zeros(6, 8, dtype=torch.uint8), torch.zeros(6, 3), torch.zeros(16))
    with pytest.raises(ValueError, match="blocks"):
        GgufLinear(torch.zeros(2, 33, dtype=torch.uint8), "Q8_0")

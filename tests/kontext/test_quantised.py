"""Quantised layers: their numbers against gguf-py's and plain arithmetic, and what moving them does."""

import copy

import pytest
import torch
from kontinuity.kontext.layers.dequantise import BLOCKS, E2M1, SCALE_BYTES, dequantise, scales_are_finite
from kontinuity.kontext.layers.quantised import (
    BlockLinear,
    GgufLinear,
    StoredLinear,
    bfloat16_by_bits,
    fp8_numbers,
    fp8_numbers_by_table,
    fp8_table,
    hadamard,
    largest_unpacking,
)
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
        monkeypatch.setattr("kontinuity.kontext.layers.dequantise._AT_ONCE", at_once)
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
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(0, 256, (6, 16), dtype=torch.uint8, generator=generator)
    whole = torch.randint(-127, 128, (6, 16), dtype=torch.int8, generator=generator)
    return (StoredLinear(torch.randn(6, 8).to(torch.float8_e4m3fn), torch.rand(6) + 0.1, torch.randn(6)),
            GgufLinear(random_blocks("Q8_0"), "Q8_0", torch.randn(3)),
            StoredLinear(torch.randn(6, 8).bfloat16(), None, torch.randn(6)),
            StoredLinear(whole, torch.rand(6) + 0.1, torch.randn(6), rotation=4),
            BlockLinear(codes, codes[:, :2] & 0x77, torch.tensor(E2M1), torch.randn(6), scale_format="e4m3", scale=0.3),
            BlockLinear(codes, codes[:, :1] % 200, fp8_table(torch.float8_e5m2).nan_to_num(0, 1, -1), torch.randn(6),
                        scale_format="e8m0"),
            BlockLinear(codes, torch.rand(6, 2), torch.randn(16), torch.randn(6), high_first=False))


NAMES = ["fp8", "gguf", "bf16", "int8 turned", "nvfp4", "mxfp8", "nf4"]


def plainly(layer) -> list[list[float]]:
    """The plain twin of a BlockLinear: one number at a time."""
    rows = []
    for codes, scales in zip(layer.codes.tolist(), layer.scales, strict=True):
        if layer.codes_in_byte == 2:
            codes = [half for byte in codes for half in
                     ((byte >> 4, byte & 15) if layer.high_first else (byte & 15, byte >> 4))]
        if layer.scale_format == "e8m0":
            factors = [2.0 ** (byte - 127) for byte in scales.tolist()]
        else:
            factors = (scales.view(torch.float8_e4m3fn).float() if layer.scale_format else scales).tolist()
        block = len(codes) // len(factors)
        rows.append([layer.table[code].item() * (factors[i // block] * layer.scale) for i, code in enumerate(codes)])
    return rows


@pytest.mark.parametrize("layer", layers()[4:], ids=NAMES[4:])
def test_blocks_are_the_plain_twins(layer, monkeypatch):
    wanted = torch.tensor(plainly(layer))
    found = layer.weight_as(torch.float32)
    assert torch.allclose(found, wanted, rtol=1e-6, atol=0) and found.shape == (6, layer.in_features)
    monkeypatch.setattr("kontinuity.kontext.layers.dequantise._AT_ONCE", 1)
    assert torch.equal(layer.weight_as(torch.float32), found)
    assert torch.equal(layer.weight_as(torch.bfloat16), found.bfloat16())


@pytest.mark.parametrize("size", [4, 16, 64, 256])
def test_a_turn_is_its_own_inverse(size):
    turn = hadamard(size)
    assert torch.allclose(turn @ turn, torch.eye(size), atol=1e-6) and torch.equal(turn, turn.T)
    for wrong in (2, 8, 5):
        with pytest.raises(ValueError, match="power of 4"):
            hadamard(wrong)


def test_turned_columns(monkeypatch):
    values, scale = torch.randint(-127, 128, (5, 32), dtype=torch.int8), torch.rand(5) + 0.1
    wanted = torch.cat([values[:, i : i + 16].double() @ hadamard(16).double() for i in (0, 16)], 1) * scale[:, None]
    layer = StoredLinear(values, scale, rotation=16)
    assert torch.allclose(layer.weight_as(torch.float32).double(), wanted, rtol=1e-5, atol=1e-4)
    monkeypatch.setattr("kontinuity.kontext.layers.dequantise._AT_ONCE", 1)
    assert torch.allclose(layer.weight_as(torch.float32).double(), wanted, rtol=1e-5, atol=1e-4)
    assert torch.allclose(StoredLinear(values, scale[:1], rotation=16).weight_as(torch.float32).double(),
                          wanted / scale[:, None] * scale[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("format", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_fp8_without_fp8(format, dtype):
    """What Apple's devices do: no tensor of fp8 anywhere, the same numbers."""
    every = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    by_table, by_cast = fp8_numbers_by_table(every, format, dtype), fp8_numbers(every, format, dtype)
    assert torch.equal(by_table.nan_to_num(99), by_cast.nan_to_num(99)) and by_table.dtype == dtype
    layer = StoredLinear(every.view(format))
    assert not any(buffer.dtype in (torch.float8_e4m3fn, torch.float8_e5m2) for buffer in layer.buffers())


def test_bfloat16_without_bfloat16():
    every = torch.arange(-2**15, 2**15, dtype=torch.int16).view(torch.bfloat16)
    assert torch.equal(bfloat16_by_bits(every).view(torch.int32), every.float().view(torch.int32))


@pytest.mark.parametrize("layer", layers(), ids=NAMES)
def test_what_a_pass_takes_beside(layer):
    bytes_of_matrix = 2 * layer.in_features * layer.out_features
    assert layer.unpacking_bytes(torch.bfloat16) == (0 if getattr(layer, "format", None) == torch.bfloat16
                                                     else 2 * bytes_of_matrix)
    assert largest_unpacking(torch.nn.Sequential(layer, torch.nn.Linear(2000, 2000)), torch.float32) == 4 * \
        bytes_of_matrix


@pytest.mark.parametrize("layer", layers(), ids=NAMES)
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


@pytest.mark.parametrize("layer", layers(), ids=NAMES)
def test_devices_and_state(layer):
    state = layer.state_dict()
    assert {*state} in ({"values", "scale", "bias"}, {"values", "bias"}, {"packed", "bias"},
                        {"codes", "scales", "table", "bias"})
    on_meta = copy.deepcopy(layer).to("meta")
    assert all(t.device.type == "meta" for t in [*on_meta.buffers(), *on_meta.parameters()])
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

"""GGUF's blocks as numbers, in plain PyTorch on any device.

The layouts are ggml's (`ggml-common.h`, `ggml-quants.c`; the same in gguf-py's `quants.py`): a row is a string of
blocks, each with its own scales in float16. "Q4_1": 4 bits a weight, scale and minimum; "K" blocks of 256 weights
hold 8 or 16 groups with scales of their own, which are integers times the block's. "IQ4": 4 bits choose one of 16
numbers that are not evenly spaced. "MXFP4": of the OCP Microscaling formats (v1.0), the scale a power of two in a byte.
"""

from collections.abc import Callable, Iterator

import torch

BLOCKS = {  # kind -> (weights in a block, bytes of a block)
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
    "IQ4_NL": (32, 18), "IQ4_XS": (256, 136), "MXFP4": (32, 17),
}
_AT_ONCE = 2**22  # weights
SCALE_BYTES = {  # kind -> where a block's float16 numbers begin
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "MXFP4": (),
}
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)  # 4 bit floating point
_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)  # kvalues_iq4nl in ggml-common.h
_E8M0_LARGEST = 240  # 255 is NaN; above this, numbers times the scale leave float32


def dequantise(packed: torch.Tensor, kind: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of packed rows, computed in float32 some rows at a time, so that little memory is needed beside them.

    Args:
        packed: uint8 [rows, bytes], each row whole blocks.
        kind: a key of `BLOCKS`.
        dtype: of the result.

    Returns:
        [rows, weights of a row] on the same device.
    """
    weights, width = BLOCKS[kind]
    rows, length = packed.shape[0], packed.shape[1] // width * weights
    numbers = torch.empty(rows, length, dtype=dtype, device=packed.device)
    for some in rows_at_once(rows, length):
        blocks = packed[some].reshape(-1, width)
        numbers[some] = _KINDS[kind](blocks).reshape(-1, length)
    return numbers


def rows_at_once(rows: int, length: int) -> Iterator[slice]:
    """All rows of so many weights, some at a time."""
    step = max(1, _AT_ONCE // max(1, length))
    return (slice(begin, min(rows, begin + step)) for begin in range(0, rows, step))


def scales_are_finite(packed: torch.Tensor, kind: str) -> bool:
    """Whether no block's scale is NaN or infinite; integers times finite scales are finite."""
    blocks = packed.reshape(-1, BLOCKS[kind][1])
    if kind == "MXFP4":
        return powers_are_finite(blocks[:, 0])
    return all(bool(torch.isfinite(_half(blocks, at)).all()) for at in SCALE_BYTES[kind])


def powers_of_two(e8m0: torch.Tensor) -> torch.Tensor:
    """Scales of the OCP Microscaling formats as float32: byte e is 2 to the power of e - 127."""
    return torch.ldexp(torch.ones(e8m0.shape, device=e8m0.device), e8m0.to(torch.int32) - 127)


def powers_are_finite(e8m0: torch.Tensor) -> bool:
    """Whether no such scale is NaN or so large that the numbers with it are not finite."""
    return e8m0.numel() == 0 or e8m0.max().item() <= _E8M0_LARGEST


def looked_up(table: tuple[float, ...], places: torch.Tensor) -> torch.Tensor:
    """The table's numbers at these places, float32 in their shape."""
    return torch.tensor(table, dtype=torch.float32, device=places.device)[places.to(torch.int32)]


# Pieces of blocks; b is uint8 [n, bytes of a block] -----------------------------------------------------------------


def _half(b: torch.Tensor, at: int) -> torch.Tensor:
    """The float16 at a byte, as float32 [n, 1]."""
    return b[:, at : at + 2].contiguous().view(torch.float16).to(torch.float32)


def _bits(b: torch.Tensor, bits: int, run: int) -> torch.Tensor:
    """Unpack numbers of `bits` bits, uint8 [n, weights]: of each `run` bytes first all lowest bits, then the next."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=b.device).reshape(1, 1, -1, 1)
    return (b.reshape(b.shape[0], -1, 1, run) >> shifts & (1 << bits) - 1).reshape(b.shape[0], -1)


def _grouped(q: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Numbers [n, 256] times one scale [n, g] for each group of neighbours, float32 [n, g, 256 / g]."""
    return q.reshape(q.shape[0], scale.shape[1], -1).to(torch.float32) * scale.unsqueeze(2)


def _k_scales(b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """8 scales and 8 minima of 6 bits each out of 12 bytes, float32 [n, 8]."""
    low, mid, high = b.split(4, dim=1)
    scales = torch.cat([low & 0x3F, high & 0x0F | low >> 2 & 0x30], dim=1)
    minima = torch.cat([mid & 0x3F, high >> 4 | mid >> 2 & 0x30], dim=1)
    return scales.to(torch.float32), minima.to(torch.float32)


# Kinds -------------------------------------------------------------------------------------------------------------


def _q8_0(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * b[:, 2:].view(torch.int8).to(torch.float32)


def _q4_0(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * (_bits(b[:, 2:], 4, 16).to(torch.float32) - 8)


def _q4_1(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * _bits(b[:, 4:], 4, 16).to(torch.float32) + _half(b, 2)


def _five_bits(high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """Bit 4 from 4 bytes, the lower bits from 16."""
    fifth = high.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8, device=high.device) & 1
    return (fifth.reshape(-1, 32) << 4 | _bits(low, 4, 16)).to(torch.float32)


def _q5_0(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * (_five_bits(b[:, 2:6], b[:, 6:]) - 16)


def _q5_1(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * _five_bits(b[:, 4:8], b[:, 8:]) + _half(b, 2)


def _q2_k(b: torch.Tensor) -> torch.Tensor:
    both = b[:, :16]
    scales, minima = _half(b, 80) * (both & 0x0F).to(torch.float32), _half(b, 82) * (both >> 4).to(torch.float32)
    return _grouped(_bits(b[:, 16:80], 2, 32), scales) - minima.unsqueeze(2)


def _q3_k(b: torch.Tensor) -> torch.Tensor:
    scales = _bits(b[:, 96:104], 4, 8) | _bits(b[:, 104:108], 2, 4) << 4
    scales = _half(b, 108) * (scales.to(torch.float32) - 32)
    third = _bits(b[:, :32], 1, 32).to(torch.float32) - 1  # a bit that is not set takes 4 away
    return _grouped(_bits(b[:, 32:96], 2, 32).to(torch.float32) + 4 * third, scales)


def _q4_k(b: torch.Tensor) -> torch.Tensor:
    scales, minima = _k_scales(b[:, 4:16])
    return _grouped(_bits(b[:, 16:], 4, 32), _half(b, 0) * scales) - (_half(b, 2) * minima).unsqueeze(2)


def _q5_k(b: torch.Tensor) -> torch.Tensor:
    scales, minima = _k_scales(b[:, 4:16])
    q = _bits(b[:, 16:48], 1, 32) << 4 | _bits(b[:, 48:], 4, 32)
    return _grouped(q, _half(b, 0) * scales) - (_half(b, 2) * minima).unsqueeze(2)


def _q6_k(b: torch.Tensor) -> torch.Tensor:
    q = (_bits(b[:, :128], 4, 64) | _bits(b[:, 128:192], 2, 32) << 4).to(torch.float32) - 32
    return _grouped(q, _half(b, 208) * b[:, 192:208].contiguous().view(torch.int8).to(torch.float32))


def _iq4_nl(b: torch.Tensor) -> torch.Tensor:
    return _half(b, 0) * looked_up(_IQ4, _bits(b[:, 2:], 4, 16))


def _iq4_xs(b: torch.Tensor) -> torch.Tensor:
    scales = _bits(b[:, 4:8], 4, 1) | _bits(b[:, 2:4], 2, 1) << 4
    return _grouped(looked_up(_IQ4, _bits(b[:, 8:], 4, 16)), _half(b, 0) * (scales.to(torch.float32) - 32))


def _mxfp4(b: torch.Tensor) -> torch.Tensor:
    return powers_of_two(b[:, :1]) * looked_up(E2M1, _bits(b[:, 1:], 4, 16))


_KINDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0,
    "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs, "MXFP4": _mxfp4,
}

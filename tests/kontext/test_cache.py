"""The cache of prompts and references: recent ones stay, and their bytes never pass the limit."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from kontinuity.kontext.memory.cache import Recent, tensor_bytes


def of(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.uint8)


def test_bytes_of_nested_values():
    value = ([torch.zeros(3, dtype=torch.float32), {"pooled": torch.zeros(2, 2, dtype=torch.bfloat16), "n": 7}], None)
    assert tensor_bytes(value) == 12 + 8
    assert tensor_bytes(torch.zeros(10, device="meta")) == 40
    assert tensor_bytes("text") == 0


def test_the_longest_unused_goes_first():
    made, recent = [], Recent(30)
    for key in (1, 2, 3, 1, 4, 1, 2):  # 4 drops 2
        recent.get(key, lambda key=key: made.append(key) or of(10))
    assert made == [1, 2, 3, 4, 2]
    assert 1 in recent and 3 not in recent and recent.bytes == 30


def test_a_result_beyond_the_limit_is_made_but_not_kept():
    recent = Recent(30)
    small = recent.get("small", lambda: of(10))
    assert recent.get("large", lambda: of(31)).numel() == 31
    assert "large" not in recent and recent.get("small", lambda: None) is small


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=30))
def test_never_over_the_limit_and_never_wrong(requests):
    recent, sizes = Recent(60), {}
    for key, size in requests:
        size = sizes.setdefault(key, size)
        assert recent.get(key, lambda size=size: of(size)).numel() == size
        kept = sum(sizes[k] for k in sizes if k in recent)
        assert recent.bytes == kept <= 60


def test_a_failure_is_not_kept():
    recent = Recent(30)
    for _ in range(2):
        try:
            recent.get("key", lambda: 1 / 0)
        except ZeroDivisionError:
            continue
    assert "key" not in recent and recent.bytes == 0

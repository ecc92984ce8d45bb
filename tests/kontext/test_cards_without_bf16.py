"""float16 and float32 where a card has no bfloat16: no more main memory than the files, and float16's overflow guarded.

No such card was at hand: what a device can do is faked, the numbers are those of the CPU.
"""

from pathlib import Path

import pytest
import tiny_files as files
import torch
from kontinuity.kontext.files import source as sources
from kontinuity.kontext.layers.quantised import StoredLinear
from kontinuity.kontext.load.parts import choose_dtype
from kontinuity.kontext.memory.offload import weight_bytes
from kontinuity.kontext.networks.flux import SingleBlock, plain_attention
from test_layouts import request, shrink


@pytest.fixture
def bf16_file(tiny, tmp_path) -> Path:
    path = tmp_path / "kontext.safetensors"
    files.TRANSFORMERS["BFL keys", "bf16"](path, files.module_state(tiny["transformer"]))
    return path


@pytest.mark.parametrize("known", [True, False])
def test_what_a_card_is_given(monkeypatch, known):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: known or including_emulation)
    assert choose_dtype(None, torch.device("cuda"), "here") == (torch.bfloat16 if known else torch.float16)
    assert choose_dtype(None, torch.device("cpu"), "here") == torch.float32
    assert choose_dtype(torch.float16, torch.device("cpu"), "here") == torch.float16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_large_file_takes_no_more_than_its_bytes(bf16_file, load_files, monkeypatch, dtype):
    monkeypatch.setattr(sources, "LARGE", 10**6)
    transformer = load_files(bf16_file, dtype=dtype).components["transformer"]
    assert weight_bytes(transformer) < 1.02 * bf16_file.stat().st_size  # biases and norms are in `dtype`
    kinds = {layer.format for layer in transformer.modules() if isinstance(layer, StoredLinear)}
    assert kinds == {torch.bfloat16} and transformer.dtype == dtype
    assert not any(isinstance(layer, torch.nn.Linear) for layer in transformer.modules())


def test_a_wide_file_becomes_narrow(tiny, load_files, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGE", 10**6)
    path = tmp_path / "kontext.safetensors"
    files.TRANSFORMERS["BFL keys", "fp32"](path, files.module_state(tiny["transformer"]))
    transformer = load_files(path, dtype=torch.bfloat16).components["transformer"]
    assert weight_bytes(transformer) < 0.52 * path.stat().st_size


def test_float16_is_the_transformers_alone(bf16_file, load_files):
    """T5's feed-forward leaves float16, and so can the VAE."""
    parts = load_files(bf16_file, dtype=torch.float16).components
    assert parts["transformer"].dtype == torch.float16
    assert {parts["text_encoders"][name].dtype for name in ("clip", "t5")} == {parts["vae"].dtype} == {torch.float32}


@pytest.mark.parametrize("large", [True, False])
def test_a_picture_in_float16(bf16_file, load_files, monkeypatch, large):
    wanted = shrink(load_files(bf16_file)).edit(request(steps=2))
    if large:
        monkeypatch.setattr(sources, "LARGE", 10**6)
    narrow = shrink(load_files(bf16_file, dtype=torch.float16)).edit(request(steps=2))
    assert torch.isfinite(narrow).all() and (narrow - wanted).abs().mean() < 0.01
    assert not torch.equal(narrow, wanted)
    if large:  # the same bits, whoever turns bfloat16 into float32
        assert torch.equal(shrink(load_files(bf16_file)).edit(request(steps=2)), wanted)


def test_what_leaves_float16_is_its_largest_number():
    torch.manual_seed(0)
    block = SingleBlock(128, 1, 128).half()
    for layer in block.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data.mul_(3)
    block.proj_out.bias.data.fill_(60000.0)
    block.norm.linear.bias.data[256:].fill_(50.0)  # the gate
    block.norm.linear.bias.data[300] = 0.0  # where the change is infinite: no number
    block.proj_out.bias.data[300 - 256] = float("inf")
    block.norm.linear.weight.data[300] = 0.0
    x, embedding = torch.randn(1, 4, 128).half() * 100, torch.randn(1, 128).half()
    rotation = torch.ones(4, 128), torch.zeros(4, 128)
    with torch.no_grad():
        out = block(x, embedding, rotation, plain_attention)
        bare = x + 50 * block.proj_out.bias
    assert not torch.isfinite(bare).all()
    assert torch.isfinite(out).all() and out.max() == 65504 and (out[..., 300 - 256] == 0).all()

"""Files that another program cuts off or overwrites while they are in use: an error, never the end of the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_files as files
import torch
from kontinuity.common import InputError
from kontinuity.kontext import into_memory
from kontinuity.kontext.files import source as sources
from kontinuity.kontext.files.source import Source
from kontinuity.kontext.layers.quantised import StoredLinear
from kontinuity.kontext.load.components import t5_filling
from kontinuity.kontext.memory.offload import Prefetcher

IDS = torch.tensor([[0, 5, 9, 23, 1, 1, 1]])
LAYER = "encoder.block.0.layer.0.SelfAttention.q"
CHANGED = "changed or cut off"


@pytest.fixture
def t5_file(tiny, tmp_path) -> Path:
    files.save(tmp_path / "t5.safetensors", files.plain(torch.bfloat16)(files.module_state(tiny["t5"])))
    return tmp_path / "t5.safetensors"


@pytest.fixture
def large(monkeypatch):
    """Every part counts as large."""
    monkeypatch.setattr(sources, "LARGE", 0)


def is_mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


def read(path: Path, dtype=torch.float32, may_map: bool = True) -> torch.nn.Module:
    return t5_filling(Source.of_file(path), dtype).read(may_map)


linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at what Linux says is mapped")


@linux
def test_what_is_mapped(t5_file, monkeypatch):
    small = read(t5_file)
    assert not is_mapped(t5_file) and isinstance(small.get_submodule(LAYER), torch.nn.Linear)
    monkeypatch.setattr(sources, "LARGE", 0)
    copied = read(t5_file, may_map=False)
    assert not is_mapped(t5_file) and copied.get_submodule(LAYER).values.dtype == torch.bfloat16
    mapped = read(t5_file)
    assert is_mapped(t5_file)
    assert {layer.values.dtype for layer in mapped.modules() if isinstance(layer, StoredLinear)} == {torch.bfloat16}
    assert mapped.dtype == torch.float32 and mapped.shared.weight.dtype == torch.float32
    wanted = small(IDS)[0]
    assert torch.equal(copied(IDS)[0], wanted) and torch.equal(mapped(IDS)[0], wanted)
    del mapped
    assert not is_mapped(t5_file)


@pytest.mark.parametrize("spoil", [
    lambda path: os.truncate(path, 4096), lambda path: os.truncate(path, 0),
    lambda path: path.write_bytes(bytes(path.stat().st_size)), lambda path: os.truncate(path, 10**7)],
    ids=["cut", "empty", "overwritten", "longer"])
@pytest.mark.parametrize("use", [
    lambda t5: t5(IDS), lambda t5: t5.to(torch.bfloat16), lambda t5: t5.get_submodule(LAYER)(torch.ones(1, 256)),
    lambda t5: Prefetcher([t5.encoder.block[0]], "cpu").__enter__().bring(0)],
    ids=["forward", "move", "layer", "prefetcher"])
def test_a_mapped_file_that_changes(t5_file, large, spoil, use):
    t5 = read(t5_file)
    os.utime(t5_file, ns=(1, 1))  # a clock that is coarser than the test is quick
    t5 = read(t5_file)
    spoil(t5_file)
    with pytest.raises(InputError, match=CHANGED) as caught:
        use(t5)
    assert caught.value.where == str(t5_file) and "\n" not in str(caught.value)


@pytest.mark.parametrize("large_part", [True, False])
def test_a_file_cut_before_it_is_read(t5_file, monkeypatch, large_part):
    monkeypatch.setattr(sources, "LARGE", 0 if large_part else 2**40)
    filling = t5_filling(Source.of_file(t5_file), torch.float32)
    os.truncate(t5_file, t5_file.stat().st_size // 2)
    with pytest.raises(InputError, match=CHANGED):
        filling.read()


def test_weights_in_memory_do_not_care(t5_file, monkeypatch):
    for large_part, may_map in ((False, True), (True, False)):
        monkeypatch.setattr(sources, "LARGE", 0 if large_part else 2**40)
        t5 = read(t5_file, may_map=may_map)
        wanted, whole = t5(IDS)[0], t5_file.read_bytes()
        os.truncate(t5_file, 0)
        assert torch.equal(t5(IDS)[0], wanted)
        t5_file.write_bytes(whole)


def test_a_file_that_gives_its_name_to_another_stays(t5_file, large):
    """As hub clients and browsers do it: the mapped one is still whole, without a name."""
    t5 = read(t5_file)
    wanted = t5(IDS)[0]
    other = t5_file.with_name("new")
    other.write_bytes(b"something else")
    os.replace(other, t5_file)
    assert torch.equal(t5(IDS)[0], wanted)


def test_what_left_the_file_is_asked_no_more(t5_file, large):
    t5 = read(t5_file)
    layer = t5.get_submodule(LAYER)
    layer._buffers["values"] = layer.values.clone()
    os.truncate(t5_file, 0)
    assert torch.isfinite(layer(torch.ones(1, 256))).all()


@pytest.mark.parametrize("may_map", [True, False])
def test_the_process_lives(tiny, tmp_path, may_map, tiny_model_folder):
    """A large GGUF transformer, cut while it is in use, in a process of its own (SIGBUS would end it)."""
    path = tmp_path / "kontext.gguf"
    files.save_gguf(path, files.to_bfl(files.module_state(tiny["transformer"])), "Q8_0")
    script = f"""
import importlib.util, os, sys
root = {str(Path(__file__).resolve().parents[2])!r}
spec = importlib.util.spec_from_file_location("kontinuity", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["kontinuity"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["kontinuity"])
from pathlib import Path
from kontinuity.common import InputError
from kontinuity.kontext.files import source
from kontinuity.kontext.load.components import transformer_filling
import torch
source.LARGE = 0
path = Path({str(path)!r})
model = transformer_filling(source.Source.of_file(path), torch.float32).read({may_map})
layer = model.transformer_blocks[0].ff.net[0].proj
x = torch.ones(1, layer.in_features)
before = layer(x)
os.truncate(path, 0)
try:
    print("same" if torch.equal(layer(x), before) else "other")
except InputError as error:
    print("refused", error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.startswith("refused" if may_map else "same"), done.stdout


@linux
def test_no_other_reader_maps(tmp_path, tiny):
    """Those of LoRAs, of motion models, of the identity finder, and what transformers loads."""
    from kontinuity.flow.weights import read_tensors
    from kontinuity.kontext.files.headers import read_weights_file
    from kontinuity.kontext.files.source import read_tensor
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"a": torch.arange(5000.0), "b": torch.tensor([3])}, path)
    read_flow = read_tensors(path, "RAFT", "motion")
    read_lora = {name: read_tensor(path, read_weights_file(path), name) for name in ("a", "b")}
    assert torch.equal(read_flow["a"], read_lora["a"]) and read_lora["b"].tolist() == [3] and not is_mapped(path)

    tiny["clip"].save_pretrained(tmp_path / "clip")
    model = type(tiny["clip"]).from_pretrained(tmp_path / "clip")
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    into_memory(model)
    assert not is_mapped(tmp_path / "clip" / "model.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", ["plain", "nvfp4", "int8", "nf4", "gguf"])
def test_a_piece_of_a_fused_layer_keeps_no_more_than_itself(tiny, tmp_path, kind):
    """q, k and v are rows of one tensor: each reads its own, and none holds the others' memory."""
    import tiny_quants as quants

    path, state = tmp_path / "x", files.to_bfl(files.module_state(tiny["transformer"]))
    if kind == "gguf":
        files.save_gguf(path, state, "Q8_0")
    else:
        packs = {"plain": files.plain(torch.bfloat16), "nvfp4": quants.nvfp4("comfy_quant"),
                 "int8": quants.int8(rows=True), "nf4": quants.bitsandbytes(nested=True)}
        files.save(path, packs[kind](state))
    source, name = Source.of_file(path), "single_blocks.0.linear1.weight"
    pieces = [(0, 256), (256, 512), (512, 768), (768, 1792)]
    layers = [source.layer(name, (rows,)) for rows in pieces]
    held = sum(buffer.untyped_storage().nbytes() for layer in layers for buffer in layer.buffers())
    assert held <= 1.1 * source[name].bytes  # peaks of nf4 become float32
    whole = source.layer(name).weight_as(torch.float32)
    assert torch.equal(torch.cat([layer.weight_as(torch.float32) for layer in layers]), whole)
    swapped = source.layer(name, ((512, 768), (0, 256))).weight_as(torch.float32)
    assert torch.equal(swapped, torch.cat([whole[512:768], whole[:256]]))

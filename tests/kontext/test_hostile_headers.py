"""Files nobody vouches for: a finding or an InputError comes out, in no more memory than the file has bytes."""

import json
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.kontext import identify
from kontinuity.kontext.names import parts as layouts
from weight_files import BITS, bfl, gguf_bytes, packed_string, write_gguf, write_safetensors

MIB = 1024 * 1024


def entry(**fields) -> bytes:
    return json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | fields}).encode()


def framed(text: bytes, data: int = 8) -> bytes:
    return len(text).to_bytes(8, "little") + text + b"\0" * data


HOSTILE = {
    "empty": b"", "short": b"\0\0", "text": b"hello, I am no model at all",
    "lfs": b"version https://git-lfs.github.com/spec/v1\n", "long": (2**63).to_bytes(8, "little") + b"{}",
    "list": framed(b"[]"), "nothing": framed(b"{}"), "cut": framed(entry(), 7), "brackets": framed(b"[" * 20000),
    "containers": framed(b"[" + b"[]," * 400_000 + b"[]]"), "digits": framed(b'{"a": ' + b"9" * 5000 + b"}"),
    "shape": framed(entry(shape="x")), "negative": framed(entry(shape=[-2])), "float": framed(entry(shape=[2.0])),
    "true": framed(entry(shape=[True, 2])), "offsets": framed(entry(data_offsets=[8, 0])),
    "one offset": framed(entry(data_offsets=[8])), "dtype": framed(entry(dtype=5)),
    "size": framed(entry(shape=[3])), "huge": framed(entry(shape=[2**62, 2**62])), "not utf8": framed(b'{"\xff": 1}'),
    "overlap": framed(json.dumps({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}).encode()),
    "gguf": b"GGUF", "gguf v1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "gguf big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "gguf empty": b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
    "gguf tensors": b"GGUF" + struct.pack("<IQQ", 3, 2**62, 0), "gguf keys": b"GGUF" + struct.pack("<IQQ", 3, 1, 2**62),
    "gguf name": b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**63),
    "gguf array": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + packed_string("k") + struct.pack("<IIQ", 9, 0, 2**63),
    "gguf strings": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + packed_string("k") + struct.pack("<IIQ", 9, 8, 2**40),
    "gguf nested": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + packed_string("k") + struct.pack("<IIQ", 9, 9, 1) * 9,
    "gguf type": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + packed_string("k") + struct.pack("<I", 99),
    "gguf cut": gguf_bytes({"a": ("F32", (64,))})[0],
    "gguf twice": b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + (packed_string("a") + struct.pack("<IQIQ", 1, 0, 0, 0)) * 2,
    "gguf dimensions": b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + packed_string("a") + struct.pack("<I", 2**31),
}


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory) -> None:
    """What is imported when a file is first taken for a text encoder is not of the file's size."""
    folder = tmp_path_factory.mktemp("first")
    for i, name in enumerate(("shared.weight", "token_embedding.weight", "decoder.conv_in.weight", "a.lora_A.b")):
        identify(write_safetensors(folder / f"{i}.safetensors", {name: (4, 4)}))


def judge(path: Path) -> None:
    """Nothing but a finding or an InputError, in the memory of the file's size."""
    size = path.stat().st_size
    tracemalloc.start()
    try:
        assert identify(path).report
    except InputError as error:
        assert "\n" not in str(error) and str(path) in error.where
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < size + MIB + MIB // 4


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    path = tmp_path / "x.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InputError):
        identify(path)
    judge(path)


@pytest.mark.parametrize("name", ["x.ckpt", "x.pt", "x.bin"])
def test_pickles_stay_closed(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(InputError, match="pickle"):
        identify(tmp_path / name)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        identify(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="no model_index.json"):
        identify(tmp_path)


@pytest.mark.parametrize("cut", [20, 100, 1000, -1])
def test_cut_off_downloads(tmp_path, cut):
    for path in (write_safetensors(tmp_path / "a.safetensors", {f"a{i}": (64,) for i in range(20)}),
                 write_gguf(tmp_path / "a.gguf", {f"a{i}": ("F32", (64,)) for i in range(40)})):
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            identify(path)


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
                    max_leaves=20)
ENTRY = st.fixed_dictionaries({}, optional={
    "dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "??"]) | JSON, "shape": st.lists(st.integers(-1, 9)) | JSON,
    "data_offsets": st.lists(st.integers(-1, 99), max_size=3) | JSON})
OTHERS = ("encoder.block.23.layer.1.DenseReluDense.wi_1.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
          "decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight")
TELL_TALES = [prefix + name for part, names in layouts.TELL_TALES.items() for name in names
              for prefix in layouts.PREFIXES[part][::3]]
KNOWN = [*list(bfl())[:8], *OTHERS, *TELL_TALES, "x_embedder.weight", "img_in.proj.weight", "encoder.mid.x",
         "transformer.resblocks.0.attn.in_proj_weight", "scaled_fp8", "img_in.scale_weight", "img_in.comfy_quant",
         "a.lora_A.b", "x.qweight", "__metadata__"]
NAME = st.sampled_from(KNOWN) | st.text()


@FUZZ
@given(header=st.dictionaries(NAME, ENTRY | JSON, max_size=8) | JSON, data=st.integers(0, 200))
def test_any_json_header(tmp_path, header, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(framed(json.dumps(header).encode(), data))
    judge(path)


@FUZZ
@given(tensors=st.dictionaries(NAME, st.tuples(st.sampled_from(sorted(BITS)), st.lists(st.integers(0, 5), max_size=5)),
                               max_size=8).filter(lambda t: "__metadata__" not in t),
       metadata=st.dictionaries(st.sampled_from(["modelspec.title", "x"]), st.text()))
def test_any_valid_header(tmp_path, tensors, metadata):
    judge(write_safetensors(tmp_path / "x.safetensors", tensors, metadata))


@FUZZ
@given(raw=st.binary(max_size=300), start=st.sampled_from([b"", b"GGUF\3\0\0\0", b"GGUF\2\0\0\0\1\0\0\0\0\0\0\0"]))
def test_any_bytes(tmp_path, raw, start):
    (tmp_path / "x.gguf").write_bytes(start + raw)
    judge(tmp_path / "x.gguf")


@FUZZ
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
       which=st.booleans())
def test_any_changed_bytes(tmp_path, edits, which):
    tensors = {"img_in.weight": (8, 64), "double_blocks.0.img_attn.norm.key_norm.scale": (128,), "b": (3, 256)}
    path = (write_safetensors(tmp_path / "a.safetensors", tensors, {"modelspec.title": "x"}) if which else
            write_gguf(tmp_path / "a.gguf", {name: ("F32", shape) for name, shape in tensors.items()}))
    raw = bytearray(path.read_bytes())
    for place, value in edits:
        raw[place % min(len(raw), 400)] = value
    path.write_bytes(raw)
    judge(path)


@pytest.mark.parametrize("count", [100, 4000])
def test_memory_of_real_headers(tmp_path, count):
    """A header of many tensors with the data it names is read in little memory."""
    names = {f"double_blocks.{i}.img_attn.qkv.weight": (64, 64) for i in range(count)}
    judge(write_safetensors(tmp_path / "a.safetensors", names))
    judge(write_gguf(tmp_path / "a.gguf", {name: ("F32", shape) for name, shape in names.items()}))

"""Files that would give wrong pictures are refused by name; files nobody vouches for give a model or an InputError."""

import json
import math
import shutil
import struct
from pathlib import Path

import pytest
import tiny_files as files
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.kontext.files.source import Source
from kontinuity.kontext.load import components
from safetensors.torch import load_file, save_file
from weight_files import GGML, judge_t5, write_gguf

PROJ = "double_blocks.0.img_attn.proj"
QKV = "double_blocks.0.img_attn.qkv"


def transformer(path: Path):
    return components.transformer_filling(Source.of_file(path), torch.float32)


def refusal(path: Path, read: bool = False) -> InputError:
    with pytest.raises(InputError) as caught:
        filling = transformer(path)
        if read:
            filling.read()
    text = str(caught.value)
    assert "\n" not in text and caught.value.remedy and str(path) == caught.value.where, text
    return caught.value


@pytest.fixture(scope="module")
def packed(tiny):
    """Stored tensors and metadata of a transformer in BFL's keys, by layout of its scales."""
    state = files.to_bfl(files.module_state(tiny["transformer"]))
    return {layout: files.scaled(layout)(state)[:2] for layout in ("scaled_fp8", "metadata", "comfy_quant")} | {
        "bf16": files.plain(torch.bfloat16)(state)[:2], "fp8": files.plain(files.E4M3)(state)[:2]}


def with_bytes(tensor: torch.Tensor, *values: int) -> torch.Tensor:
    """A copy whose first bytes are these."""
    copy = tensor.clone().contiguous()
    copy.view(-1).view(torch.uint8)[: len(values)] = torch.tensor(values, dtype=torch.uint8)
    return copy


def note(text: str) -> torch.Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


NAN_BF16 = (0xC0, 0x7F)
# layout, changes (None deletes; a function gets the tensor that is there), the tensor named, words of the problem
HEADERS = [
    ("bf16", {f"{PROJ}.weight": None}, f"{PROJ}.weight", "is not in the file"),
    ("bf16", {f"{QKV}.bias": None}, f"{QKV}.bias", "is not in the file"),
    ("bf16", {"final_layer.linear.bias": None}, "final_layer.linear.bias", "is not in the file"),
    ("bf16", {"img_in.lora.weight": torch.zeros(2)}, "img_in.lora.weight", "is no tensor of"),
    ("bf16", {"double_blocks.1.img_attn.norm.key_norm.scale": torch.zeros(128)}, "double_blocks.1.img_attn.qkv.weight",
     "is not in the file"),
    ("bf16", {f"{PROJ}.weight": torch.zeros(256, 128)}, f"{PROJ}.weight", "does not give the [256, 256]"),
    ("bf16", {f"{QKV}.weight": torch.zeros(1024, 256)}, f"{QKV}.weight", "does not give the [256, 256]"),
    ("bf16", {f"{QKV}.weight": torch.zeros(700, 256)}, f"{QKV}.weight", "does not give the [256, 256]"),
    ("bf16", {f"{QKV}.weight": torch.zeros(768)}, f"{QKV}.weight", "is not a matrix"),
    ("bf16", {f"{PROJ}.weight": torch.zeros(256, 256, dtype=torch.int8)}, f"{PROJ}.weight", "does not read"),
    ("bf16", {"double_blocks.0.img_attn.norm.query_norm.scale": torch.zeros(64)},
     "double_blocks.0.img_attn.norm.query_norm.scale", "head size"),
    ("fp8", {f"{PROJ}.weight_scale_inv": torch.tensor(1.0)}, f"{PROJ}.weight_scale_inv", "no scale this pack knows"),
    ("fp8", {f"{PROJ}.weight_scale_2": torch.tensor(1.0)}, f"{PROJ}.weight_scale_2", "no scale this pack knows"),
    ("fp8", {f"{PROJ}.scale_weight": torch.tensor(1.0)}, "time_in.in_layer.weight", "without a scale"),
    ("scaled_fp8", {f"{PROJ}.scale_weight": None}, f"{PROJ}.weight", "without a scale"),
    ("fp8", {"scaled_fp8": torch.empty(0, dtype=files.E4M3)}, "scaled_fp8", "not one scale is in the file"),
    ("scaled_fp8", {f"{PROJ}.scale_weight": torch.ones(3)}, f"{PROJ}.scale_weight", "nor one for each of 256 rows"),
    ("scaled_fp8", {f"{PROJ}.scale_weight": torch.ones(1, 256)}, f"{PROJ}.scale_weight", "nor one for each"),
    ("scaled_fp8", {f"{PROJ}.scale_weight": torch.ones(1, dtype=torch.uint8)}, f"{PROJ}.scale_weight", "number format"),
    ("scaled_fp8", {f"{PROJ}.weight_scale": torch.tensor(1.0)}, f"{PROJ}.weight_scale", "second scale"),
    ("scaled_fp8", {"nothing.scale_weight": torch.tensor(1.0)}, "nothing.scale_weight", "weight that is not in"),
    ("metadata", {f"{PROJ}.weight_scale": None}, f"{PROJ}.weight", "weight_scale is not in the file"),
    ("comfy_quant", {f"{PROJ}.weight_scale": None}, f"{PROJ}.weight", "weight_scale is not in the file"),
    ("comfy_quant", {f"{PROJ}.comfy_quant": note('{"format": "convrot_w4a4"}')}, f"{PROJ}.comfy_quant",
     "does not read"),
    ("comfy_quant", {f"{PROJ}.comfy_quant": note("{")}, f"{PROJ}.comfy_quant", "not JSON"),
    ("comfy_quant", {f"{PROJ}.comfy_quant": note("[" * 4000)}, f"{PROJ}.comfy_quant", "not JSON"),
    ("comfy_quant", {f"{PROJ}.comfy_quant": note(" " * 5000)}, f"{PROJ}.comfy_quant", "longer than"),
]
BODIES = [
    ("bf16", {f"{PROJ}.weight": lambda t: with_bytes(t, *NAN_BF16)}, f"{PROJ}.weight"),
    ("bf16", {f"{PROJ}.bias": lambda t: with_bytes(t, 0x80, 0x7F)}, f"{PROJ}.bias"),  # infinity
    ("fp8", {f"{PROJ}.weight": lambda t: with_bytes(t, 0x7F)}, f"{PROJ}.weight"),
    ("fp8", {f"{PROJ}.weight": lambda t: with_bytes(t, 0xFF)}, f"{PROJ}.weight"),
    ("scaled_fp8", {f"{PROJ}.scale_weight": torch.tensor(float("inf"))}, f"{PROJ}.scale_weight"),
]


def write(path: Path, packed, layout: str, changes: dict) -> Path:
    stored, metadata = packed[layout]
    stored = {**stored, **{name: new(stored[name]) if callable(new) else new for name, new in changes.items()}}
    save_file({name: tensor for name, tensor in stored.items() if tensor is not None}, path, metadata or None)
    return path


@pytest.mark.parametrize(("layout", "changes", "name", "words"), HEADERS,
                         ids=[f"{i}-{case[0]}-{next(iter(case[1]))}" for i, case in enumerate(HEADERS)])
def test_told_by_the_header(packed, tmp_path, layout, changes, name, words):
    error = refusal(write(tmp_path / "kontext.safetensors", packed, layout, changes))
    assert error.field == name and words in error.problem


@pytest.mark.parametrize(("layout", "changes", "name"), BODIES)
def test_nan_and_infinity(packed, tmp_path, layout, changes, name):
    path = write(tmp_path / "kontext.safetensors", packed, layout, changes)
    transformer(path)
    error = refusal(path, read=True)
    assert error.field == name and error.value == "NaN"


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 5}', "[" * 5000])
def test_metadata_that_is_none(packed, tmp_path, text):
    stored, _ = packed["metadata"]
    save_file(stored, tmp_path / "x.safetensors", {"_quantization_metadata": text})
    assert refusal(tmp_path / "x.safetensors").field == "_quantization_metadata"


def test_a_listed_layer_of_another_format(packed, tmp_path):
    stored, metadata = packed["metadata"]
    changed = json.loads(metadata["_quantization_metadata"])
    changed["layers"][PROJ] = {"format": "convrot_w4a4"}
    save_file(stored, tmp_path / "x.safetensors", {"_quantization_metadata": json.dumps(changed)})
    error = refusal(tmp_path / "x.safetensors")
    assert error.field == PROJ and error.value == "convrot_w4a4"


def test_unlisted_fp8_layers_need_no_scale(packed, tmp_path):
    """In the two layouts that list their layers, an fp8 weight that is not listed is meant as it is."""
    path = write(tmp_path / "x.safetensors", packed, "comfy_quant",
                 {f"{PROJ}.weight_scale": None, f"{PROJ}.comfy_quant": None})
    layer = transformer(path).read().transformer_blocks[0].attn.to_out[0]
    assert layer.scale is None


def test_gguf_blocks(tiny, tmp_path):
    state = files.to_bfl(files.module_state(tiny["transformer"]))
    path = tmp_path / "kontext.gguf"
    files.save_gguf(path, state, "Q8_0")
    entry = Source.of_file(path)[f"{PROJ}.weight"]
    with path.open("r+b") as file:
        file.seek(entry.start + 34 * 5)
        file.write(struct.pack("<e", float("nan")))
    assert refusal(path, read=True).field == f"{PROJ}.weight"
    GGML["IQ3_S"] = (21, 256, 110)
    try:
        shapes = {name: ("F32", tuple(tensor.shape)) for name, tensor in state.items()}
        write_gguf(path, shapes | {f"{PROJ}.weight": ("IQ3_S", (256, 256))})
    finally:
        del GGML["IQ3_S"]
    error = refusal(path)
    assert error.field == f"{PROJ}.weight" and error.value == "IQ3_S"


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_cut_files(packed, tmp_path, load_files, keep):
    path = write(tmp_path / "kontext.safetensors", packed, "bf16", {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cut off"):
        load_files(path)


# Parts that do not belong together -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kontext(packed, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("kontext") / "kontext.safetensors", packed, "bf16", {})


def check(load_files, path, field: str, words: str, **changes) -> InputError:
    with pytest.raises(InputError) as caught:
        load_files(path, **changes)
    assert caught.value.field == field and words in str(caught.value), str(caught.value)
    return caught.value


def test_parts_that_are_missing_or_mixed_up(load_files, kontext, others, tmp_path, tiny_model_folder):
    for part, what in (("clip", "CLIP-L"), ("t5", "T5-XXL"), ("vae", "ae.safetensors")):
        check(load_files, kontext, part, f"{what}", **{part: None})
        check(load_files, kontext, part, "does not exist", **{part: tmp_path / "none.safetensors"})
    check(load_files, kontext, "clip", "is not a CLIP-L file but", clip=others["t5"])
    check(load_files, kontext, "t5", "is not a T5-XXL file but VAE (FLUX.1 VAE", t5=others["vae"])
    check(load_files, kontext, "vae", "is not FLUX.1's VAE", vae=kontext)
    check(load_files, others["vae"], "model", "is not FLUX.1 Kontext")
    check(load_files, tiny_model_folder, "transformer", "Load Kontext Model")
    check(load_files, kontext, "file", "vocab.json", tokenizers=(tmp_path, tmp_path))
    check(load_files, kontext, "dtype", "no dtype", dtype=torch.float64)


def test_parts_of_another_model(load_files, kontext, others, tmp_path):
    t5 = load_file(others["t5"])
    narrow = {}
    for name, tensor in t5.items():
        writes = name.endswith(("o.weight", "norm.weight"))  # to the model's width; the others read it
        narrow[name] = (tensor[:128] if writes or tensor.dim() == 1 else tensor[:, :128]).contiguous() \
            if "relative" not in name else tensor
    save_file(narrow, tmp_path / "narrow.safetensors")
    error = check(load_files, kontext, "t5", "wide where the transformer reads 256", t5=tmp_path / "narrow.safetensors")
    assert error.value == 128
    few = t5 | {"shared.weight": t5["shared.weight"][:20].contiguous()}
    save_file(few, tmp_path / "few.safetensors")
    check(load_files, kontext, "t5", "words are known", t5=tmp_path / "few.safetensors")


def test_a_stranger_in_the_checkpoint(load_files, tiny, tmp_path):
    path = tmp_path / "kontext.safetensors"
    files.save_all_in_one(path, tiny, files.plain(torch.bfloat16))
    tensors = load_file(path)
    save_file(tensors | {"model_ema.x": torch.zeros(1)}, path)
    check(load_files, path, "model_ema.x", "belongs to no part", clip=None, t5=None, vae=None)


def test_folders_of_parts(load_files, kontext, tiny, tmp_path):
    for part in ("clip", "t5", "vae"):
        tiny[part].save_pretrained(tmp_path / part)
    load_files(kontext, **{part: tmp_path / part for part in ("clip", "t5", "vae")})
    config = json.loads((tmp_path / "t5" / "config.json").read_text())
    for changes, words in (({"num_layers": 10**9}, "more than 256"), ({"d_model": -5}, "gives no model"),
                           ({"d_ff": 100}, "does not give the"), ({"num_layers": 3}, "is not in the file")):
        (tmp_path / "t5" / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(InputError, match=words):
            load_files(kontext, t5=tmp_path / "t5")
    shutil.rmtree(tmp_path / "t5")


# Fuzz --------------------------------------------------------------------------------------------------------------

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MIB = 1024 * 1024


def small(prefix: str = "") -> dict[str, torch.Tensor]:
    """A T5 of one layer, fp8 with scales: the smallest part with all that can go wrong."""
    shapes = {"shared.weight": (8, 32), "encoder.final_layer_norm.weight": (32,)}
    block = "encoder.block.0.layer."
    shapes |= {f"{block}0.SelfAttention.{letter}.weight": (32, 32) for letter in "qkvo"}
    shapes |= {f"{block}0.SelfAttention.relative_attention_bias.weight": (32, 2), f"{block}0.layer_norm.weight": (32,),
               f"{block}1.layer_norm.weight": (32,), f"{block}1.DenseReluDense.wi_0.weight": (64, 32),
               f"{block}1.DenseReluDense.wi_1.weight": (64, 32), f"{block}1.DenseReluDense.wo.weight": (32, 64)}
    state = {name: torch.full(shape, 0.5) for name, shape in shapes.items()}
    return files.scaled("comfy_quant")(state)[0]


def judge(path: Path) -> None:
    judge_t5(path, 4)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> tuple[bytes, bytes]:
    """The bytes of the small part as safetensors and as GGUF."""
    folder = tmp_path_factory.mktemp("small")
    save_file(small(), folder / "t5.safetensors")
    plain = {name: tensor.float() for name, tensor in small().items() if "quant" not in name and "scale" not in name}
    files.save_gguf(folder / "t5.gguf", files.to_llama_t5(plain), "Q8_0", "t5encoder")
    judge(folder / "t5.safetensors")  # also: what is imported late is imported now
    judge(folder / "t5.gguf")
    assert components.t5_filling(Source.of_file(folder / "t5.gguf"), torch.float32).read()
    return (folder / "t5.safetensors").read_bytes(), (folder / "t5.gguf").read_bytes()


@FUZZ
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), gguf=st.booleans(),
       keep=st.just(1.0) | st.floats(0, 1), header=st.booleans())
def test_any_changed_bytes(originals, tmp_path, edits, gguf, keep, header):
    raw = bytearray(originals[gguf])
    end = min(len(raw), 3000) if header else len(raw)
    for place, value in edits:
        raw[int(place * (end - 1))] = value
    path = tmp_path / "x"
    path.write_bytes(raw[: int(len(raw) * keep)])
    judge(path)


NUMBERS = st.integers(0, 40) | st.sampled_from([64, 2**20, 2**31, 2**40])
ENTRIES = st.tuples(st.sampled_from(["F32", "BF16", "F8_E4M3", "U8", "I64"]), st.lists(NUMBERS, max_size=3))


@FUZZ
@given(changes=st.dictionaries(st.sampled_from([*small(), "scaled_fp8", "x.weight_scale", "encoder.block.9.x"]),
                               st.none() | ENTRIES, max_size=4))
@example(changes={"shared.weight": ("F32", [8, 2**20, 2**40])})
def test_any_shapes(tmp_path, changes):
    """A header of other shapes whose bytes are there as a hole (up to a mebibyte), or are said to be."""
    from weight_files import BITS

    tensors = {name: (_DTYPES[tensor.dtype], list(tensor.shape)) for name, tensor in small().items()} | changes
    header, end = {}, 0
    for name, entry in tensors.items():
        if entry is None:
            continue
        dtype, shape = entry
        size = math.prod(shape) * {**BITS, "I64": 64}[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + min(end, MIB))
    judge(path)


_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3", torch.uint8: "U8"}

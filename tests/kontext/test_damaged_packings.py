"""Weights in several tensors of which something is wrong, or that are packed in a way that is not read: refused."""

import json
import math
from pathlib import Path

import pytest
import tiny_quants as quants
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.kontext.files.headers import read_weights_file
from kontinuity.kontext.files.source import Source
from kontinuity.kontext.load.components import t5_filling, transformer_filling
from kontinuity.kontext.recognise.precision import read_precision
from safetensors.torch import save_file
from weight_files import judge_t5

ATTENTION, WI = "encoder.block.0.layer.0.SelfAttention", "encoder.block.0.layer.1.DenseReluDense.wi_0"
Q = f"{ATTENTION}.q"
NAN = torch.tensor(float("nan"))


def small() -> dict[str, torch.Tensor]:
    """A T5 of one layer."""
    shapes = {"shared.weight": (8, 64), "encoder.final_layer_norm.weight": (64,), f"{WI}.weight": (128, 64),
              f"{ATTENTION}.relative_attention_bias.weight": (32, 2),
              "encoder.block.0.layer.0.layer_norm.weight": (64,), "encoder.block.0.layer.1.layer_norm.weight": (64,),
              f"{WI[:-4]}wi_1.weight": (128, 64), f"{WI[:-4]}wo.weight": (64, 128)}
    shapes |= {f"{ATTENTION}.{letter}.weight": (64, 64) for letter in "qkvo"}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


PACKINGS = {
    "nvfp4": quants.nvfp4("modelopt"), "mxfp8": quants.mxfp8(), "mxfp4": quants.mxfp4(),
    "int8": quants.int8(rows=True, turned=64), "llm.int8": quants.llm_int8(), "quanto": quants.quanto(torch.int8),
    "nf4": quants.bitsandbytes(), "nested": quants.bitsandbytes(nested=True),
}
NOTE = f"{Q}.weight.quant_state.bitsandbytes__nf4"


def state(**changes) -> torch.Tensor:
    return quants.as_bytes({"quant_type": "nf4", "blocksize": 64, "shape": [64, 64]} | changes)


def as_dtype(dtype: torch.dtype):
    return lambda tensor: tensor.to(dtype)


# packing, changes (None deletes; a function gets the tensor that is there), the tensor named, words of the problem
WRONG = [
    ("nvfp4", {f"{Q}.weight_scale": None}, f"{Q}.weight", "number format"),
    ("nvfp4", {f"{Q}.weight_scale": torch.zeros(64, 3).to(torch.float8_e4m3fn)}, f"{Q}.weight_scale", "no scales of"),
    ("nvfp4", {f"{Q}.weight_scale_2": torch.ones(2)}, f"{Q}.weight_scale_2", "not the one float32 factor"),
    ("nvfp4", {f"{Q}.weight_scale_2": as_dtype(torch.float16)}, f"{Q}.weight_scale_2", "not the one float32 factor"),
    ("nvfp4", {f"{Q}.weight": torch.zeros(64, 4, dtype=torch.uint8)}, f"{Q}.weight", "no matrix of nvfp4"),
    ("nvfp4", {f"{Q}.weight": torch.zeros(64, dtype=torch.uint8)}, f"{Q}.weight", "no matrix of nvfp4"),
    ("nvfp4", {f"{Q}.pre_quant_scale": torch.ones(64)}, f"{Q}.pre_quant_scale", "no scale this pack knows"),
    ("nvfp4", {f"{Q}.comfy_quant": quants.as_bytes({"format": "nvfp4"})}, f"{Q}.weight_scale", "no scales of"),
    ("mxfp8", {f"{Q}.weight_scale": None}, f"{Q}.weight", "weight_scale is not in the file"),
    ("mxfp8", {f"{Q}.weight_scale": torch.ones(())}, f"{Q}.weight_scale", "no scales of"),
    ("mxfp8", {f"{Q}.weight": as_dtype(torch.float8_e5m2)}, f"{Q}.weight", "no matrix of mxfp8"),
    ("mxfp8", {f"{Q}.comfy_quant": quants.as_bytes({"format": "nvfp4"})}, f"{Q}.weight", "no matrix of nvfp4"),
    ("mxfp8", {f"{Q}.comfy_quant": quants.as_bytes({"format": "asym_w4a8_int8"})}, f"{Q}.comfy_quant", "does not read"),
    ("mxfp4", {f"{Q}.weight_scale": torch.zeros(64, 4, dtype=torch.uint8)}, f"{Q}.weight_scale", "no scales of"),
    ("int8", {f"{Q}.weight_scale": None}, f"{Q}.weight", "weight_scale is not in the file"),
    ("int8", {f"{Q}.weight_scale": torch.ones(64, 64)}, f"{Q}.weight_scale", "neither one scale nor one for each"),
    ("int8", {f"{Q}.comfy_quant": quants.as_bytes({"format": "int8_tensorwise", "convrot": True})}, f"{Q}.weight",
     "no group in which"),
    ("int8", {f"{Q}.comfy_quant": quants.as_bytes({"format": "int8_tensorwise", "convrot": True,
                                                   "convrot_groupsize": 32})}, f"{Q}.weight", "no group in which"),
    ("int8", {f"{Q}.comfy_quant": quants.as_bytes({"format": "int8_blockwise"})}, f"{Q}.comfy_quant", "does not read"),
    ("llm.int8", {f"{Q}.SCB": torch.ones(3)}, f"{Q}.SCB", "not a scale for each of 64 rows"),
    ("llm.int8", {f"{Q}.SCB": None}, f"{Q}.weight", "number format"),
    ("llm.int8", {f"{Q}.weight_format": torch.tensor(2).byte()}, f"{Q}.weight_format", "other than row by row"),
    ("llm.int8", {f"{Q}.weight": None}, f"{Q}.SCB", "scale of no int8 weight"),
    ("quanto", {f"{Q}.weight._scale": None}, f"{Q}.weight._scale", "neither one scale"),
    ("quanto", {f"{Q}.weight._scale": torch.ones(8, 8)}, f"{Q}.weight._scale", "neither one scale"),
    ("quanto", {f"{Q}.weight._data": as_dtype(torch.uint8)}, f"{Q}.weight._data", "other than qint8"),
    ("quanto", {f"{Q}.weight._shift": torch.ones(64, 1)}, f"{Q}.weight._data", "other than qint8"),
    ("quanto", {f"{Q}._weight_qdata": torch.ones(64, 64, dtype=torch.int8), f"{Q}._weight_scale": torch.ones(64, 1)},
     f"{Q}._weight_qdata", "packed by torchao"),
    ("nf4", {NOTE: None}, f"{Q}.weight", "is packed by bitsandbytes, but how is not in the file"),
    ("nf4", {f"{Q}.weight.absmax": None}, f"{Q}.weight", "number format"),
    ("nf4", {f"{Q}.weight.quant_map": torch.zeros(8)}, f"{Q}.weight.quant_map", "not the 16 numbers"),
    ("nf4", {f"{Q}.weight.absmax": torch.zeros(63)}, f"{Q}.weight.absmax", "not the 64 numbers"),
    ("nf4", {NOTE: state(shape=[64, 128])}, NOTE, "does not describe the 2048 bytes"),
    ("nf4", {NOTE: state(shape=[10**9, 10**9])}, NOTE, "does not describe"),
    ("nf4", {NOTE: state(shape=[-64, -64])}, NOTE, "does not describe"),
    ("nf4", {NOTE: state(shape=64)}, NOTE, "does not describe"),
    ("nf4", {NOTE: state(shape=[32, 128])}, f"{Q}.weight", "does not give the"),
    ("nf4", {NOTE: state(blocksize=0)}, NOTE, "does not describe"),
    ("nf4", {NOTE: state(blocksize=128)}, NOTE, "over the ends of rows"),
    ("nf4", {NOTE: quants.as_bytes([1])}, NOTE, "does not describe"),
    ("nf4", {NOTE: torch.tensor(list(b"{"), dtype=torch.uint8)}, NOTE, "is not JSON"),
    ("nested", {f"{Q}.weight.nested_absmax": None}, f"{Q}.weight.nested_absmax", "not the 1 numbers"),
    ("nested", {f"{Q}.weight.nested_quant_map": torch.zeros(16)}, f"{Q}.weight.nested_quant_map", "not the 256"),
    ("nested", {NOTE: state(nested_blocksize=0)}, NOTE, "no nested_blocksize"),
    ("nested", {NOTE: state(nested_blocksize=256, nested_offset="much")}, NOTE, "no nested_offset"),
]
NOT_FINITE = [
    ("nvfp4", {f"{Q}.weight_scale": lambda t: (t.float() * NAN).to(t.dtype)}, f"{Q}.weight_scale"),
    ("nvfp4", {f"{Q}.weight_scale_2": NAN}, f"{Q}.weight_scale_2"),
    ("mxfp8", {f"{Q}.weight_scale": lambda t: torch.full_like(t.view(torch.uint8), 255)}, f"{Q}.weight_scale"),
    ("mxfp4", {f"{Q}.weight_scale": lambda t: torch.full_like(t, 255)}, f"{Q}.weight_scale"),
    ("int8", {f"{Q}.weight_scale": lambda t: t * NAN}, f"{Q}.weight_scale"),
    ("llm.int8", {f"{Q}.SCB": lambda t: t * NAN}, f"{Q}.SCB"),
    ("quanto", {f"{Q}.weight._scale": lambda t: t * NAN}, f"{Q}.weight._scale"),
    ("nf4", {f"{Q}.weight.absmax": lambda t: t * NAN}, f"{Q}.weight.absmax"),
    ("nf4", {f"{Q}.weight.quant_map": lambda t: t * NAN}, f"{Q}.weight.quant_map"),
    ("nested", {f"{Q}.weight.nested_absmax": lambda t: t * NAN}, f"{Q}.weight.nested_absmax"),
]


def write(path: Path, packing: str, changes: dict) -> Path:
    stored, metadata, _ = PACKINGS[packing](small())
    stored = {**stored, **{name: new(stored[name]) if callable(new) else new for name, new in changes.items()}}
    save_file({name: t.contiguous() for name, t in stored.items() if t is not None}, path, metadata or None)
    return path


def refusal(path: Path, read: bool = False) -> InputError:
    with pytest.raises(InputError) as caught:
        filling = t5_filling(Source.of_file(path), torch.float32)
        if read:
            filling.read()
    assert "\n" not in str(caught.value) and caught.value.remedy and caught.value.where == str(path)
    return caught.value


@pytest.mark.parametrize("packing", PACKINGS)
def test_they_are_read_as_they_are(tmp_path, packing):
    path = write(tmp_path / "t5.safetensors", packing, {})
    t5, exact = t5_filling(Source.of_file(path), torch.float32).read(), PACKINGS[packing](small())[2]
    for name in (Q, WI):
        found = t5.get_submodule(name).weight_as(torch.float32)
        assert (found - exact[f"{name}.weight"]).abs().max() <= 1e-6 * found.abs().max()
    assert torch.isfinite(t5(torch.tensor([[1, 2, 3]]))[0]).all()


@pytest.mark.parametrize(("packing", "changes", "name", "words"), WRONG,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(WRONG)])
def test_told_by_the_header(tmp_path, packing, changes, name, words):
    error = refusal(write(tmp_path / "t5.safetensors", packing, changes))
    assert error.field == name and words in error.problem, error


@pytest.mark.parametrize(("packing", "changes", "name"), NOT_FINITE,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(NOT_FINITE)])
def test_nan_and_infinity(tmp_path, packing, changes, name):
    path = write(tmp_path / "t5.safetensors", packing, changes)
    t5_filling(Source.of_file(path), torch.float32)
    error = refusal(path, read=True)
    assert error.field == name and error.value == "NaN"


def test_nvfp4_of_which_nothing_tells_the_order(tiny, tmp_path):
    import tiny_files as files

    stored, _, _ = quants.nvfp4("comfy_quant")(files.to_bfl(files.module_state(tiny["transformer"])))
    plain = {name: tensor.contiguous() for name, tensor in stored.items() if not name.endswith("comfy_quant")}
    save_file(plain, tmp_path / "kontext.safetensors")
    with pytest.raises(InputError, match="nvfp4.* listed nowhere"):
        transformer_filling(Source.of_file(tmp_path / "kontext.safetensors"), torch.float32)
    stored, metadata, _ = quants.nvfp4("metadata")(files.to_bfl(files.module_state(tiny["transformer"])))
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, tmp_path / "kontext.safetensors",
              metadata | {"quantization_config": json.dumps({"quant_method": "modelopt"})})
    with pytest.raises(InputError, match="written by ModelOpt"):
        transformer_filling(Source.of_file(tmp_path / "kontext.safetensors"), torch.float32)


def test_a_list_without_the_prefix(tiny, tmp_path):
    """ComfyUI takes a prefix off before it looks into the list, so files have both."""
    import tiny_files as files

    stored, metadata, _ = quants.nvfp4("metadata")(files.to_bfl(files.module_state(tiny["transformer"])))
    save_file({files.MODEL + name: tensor.contiguous() for name, tensor in stored.items()},
              tmp_path / "kontext.safetensors", metadata)
    source = Source.of_file(tmp_path / "kontext.safetensors").below(files.MODEL)
    assert source["double_blocks.0.img_attn.qkv.weight"] == ("nvfp4", (768, 256), *source[
        "double_blocks.0.img_attn.qkv.weight"][2:])
    transformer_filling(source, torch.float32)


@pytest.mark.parametrize(("packing", "name"), [
    ("nvfp4", "nvfp4 scaled (weight_scale)"), ("mxfp8", "mxfp8 scaled (weight_scale + comfy_quant)"),
    ("mxfp4", "mxfp4 scaled (weight_scale)"), ("int8", "int8 scaled (weight_scale + comfy_quant)"),
    ("llm.int8", "int8 (bitsandbytes)"), ("quanto", "int8 (quanto)"), ("nf4", "nf4 (bitsandbytes)"),
    ("nested", "nf4 (bitsandbytes)")])
def test_their_names(tmp_path, packing, name):
    found, parameters, _ = read_precision(read_weights_file(write(tmp_path / "t5.safetensors", packing, {})))
    assert (found, parameters) == (name, sum(tensor.numel() for tensor in small().values()))


# Fuzz --------------------------------------------------------------------------------------------------------------

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MIB = 2**20


def judge(path: Path) -> None:
    judge_t5(path, 8)  # 4 bit becomes 32


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("small")
    for packing in PACKINGS:
        path = write(folder / packing, packing, {})
        assert t5_filling(Source.of_file(path), torch.float32).read()  # also: what is imported late is imported now
        judge(path)
    return {packing: (folder / packing).read_bytes() for packing in PACKINGS}


@FUZZ
@given(packing=st.sampled_from([*PACKINGS]), keep=st.just(1.0) | st.floats(0, 1), header=st.booleans(),
       edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_changed_bytes(originals, tmp_path, packing, edits, keep, header):
    raw = bytearray(originals[packing])
    end = int.from_bytes(raw[:8], "little") + 8 if header else len(raw)
    for place, value in edits:
        raw[int(place * (end - 1))] = value
    (tmp_path / "x").write_bytes(raw[: int(len(raw) * keep)])
    judge(tmp_path / "x")


JSONS = st.recursive(st.none() | st.booleans() | st.integers(-2**40, 2**40) | st.floats() | st.just("nf4"),
                     lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@FUZZ
@given(notes=st.dictionaries(st.sampled_from(["shape", "blocksize", "nested_blocksize", "nested_offset"]), JSONS),
       nested=st.booleans())
def test_any_note(tmp_path, notes, nested):
    judge(write(tmp_path / "x", "nested" if nested else "nf4", {NOTE: state(**notes)}))


NUMBERS = st.integers(0, 70) | st.sampled_from([64, 128, 2**20, 2**40])
ENTRIES = st.tuples(st.sampled_from(["F32", "BF16", "F8_E4M3", "F8_E8M0", "U8", "I8"]), st.lists(NUMBERS, max_size=3))


@FUZZ
@example(packing="int8", place=0.75, entry=("F8_E8M0", [128, 64]))  # once a TypeError
@example(packing="int8", place=0.75, entry=("U8", [128, 64]))
@given(packing=st.sampled_from([*PACKINGS]), place=st.floats(0, 1), entry=ENTRIES)
def test_any_shape(originals, tmp_path, packing, place, entry):
    """One tensor of another shape, whose bytes are there as a hole (up to a mebibyte) or are said to be."""
    raw = originals[packing]
    length = int.from_bytes(raw[:8], "little")
    header, end = json.loads(raw[8 : 8 + length]), len(raw) - 8 - length
    names = sorted(name for name in header if name != "__metadata__")
    dtype, shape = entry
    size = math.prod(shape) * {"F32": 4, "BF16": 2}.get(dtype, 1)
    header[names[int(place * (len(names) - 1))]] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    with (tmp_path / "x").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + raw[8 + length :])
        file.truncate(8 + len(text) + end + min(size, MIB))
    judge(tmp_path / "x")

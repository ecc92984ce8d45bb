"""LoRAs of every layout and kind: beside the layers as in the weights, the formulas, and what Inspect Model says."""

import copy
import json
import random
import re
from pathlib import Path

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import identify, read_lora
from kontinuity.kontext.layers.quantised import StoredLinear
from kontinuity.kontext.lora.header import _NEEDED
from kontinuity.kontext.names.loras import find_target
from kontinuity.kontext.recognise.loras import LORA_TENSOR
from lora_files import (
    HEAD,
    WIDTH,
    bfl_layers,
    diffusers_layers,
    kohya,
    loha,
    lokr,
    low_rank,
    matrix,
    numbers,
    pair,
    peft,
    seeded,
    under,
    write,
)

QKV = "double_blocks.0.img_attn.qkv"
LAST = "final_layer.adaLN_modulation.1"
CASES = matrix({module: (1, 1) for modules in bfl_layers().values() for module in modules})  # for their names only


@pytest.fixture
def transformer(model):
    return model.components["transformer"]


@pytest.fixture
def file_of(model, transformer, tmp_path):
    """file_of(case): the path of one file of the matrix."""
    cases = matrix(diffusers_layers(transformer), model.components["text_encoders"].t5.config.vocab_size)

    def make(case: str):
        tensors, metadata = cases[case]
        return write(tmp_path / f"{''.join(c if c.isalnum() else '_' for c in case)}.safetensors", tensors, metadata)
    return make


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


def bfl_weight(transformer, name: str) -> torch.Tensor:
    """A weight as BFL's model has it."""
    weight = torch.cat([transformer.get_submodule(part).weight for part in bfl_layers()[name]])
    return torch.cat(weight.chunk(2)[::-1]) if name == LAST else weight


def changed(model, tensors, tmp_path, name: str, strength: float = 1.0, metadata=None) -> torch.Tensor:
    """What a file makes of one of BFL's weights."""
    lora = read_lora(write(tmp_path / "one.safetensors", tensors, metadata))
    adapted = model.adapted([(lora, strength)])
    return bfl_weight(adapted.backend.branches.merged(model.components)["transformer"], name)


# Beside the layers and in the weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_branches_equal_merged_weights(model, file_of, case):
    """Layer by layer, and every layer is as before afterwards."""
    branches = model.adapted([(read_lora(file_of(case)), -0.7)]).backend.branches
    twins = branches.merged(model.components)
    assert branches._effects_at
    for number, (component, path) in enumerate(branches._effects_at):
        layer, twin = (part[component].get_submodule(path) for part in (model.components, twins))
        if isinstance(layer, torch.nn.Embedding):
            x = torch.arange(layer.num_embeddings).unsqueeze(0)
        else:
            x = numbers(2, 5, layer.weight.shape[-1], seed=number, size=1)
        with torch.no_grad():
            plain = layer(x)
            with branches.on(model.components, component):
                beside = layer(x)
            expected = twin(x)
        assert largest(beside, expected) <= 2e-6 * max(1, expected.abs().max().item()), path
        assert largest(beside, plain) > 1e-4, path
        assert torch.equal(layer(x), plain)


def test_several_kinds_add_up_in_any_order(model, file_of):
    """A DoRA looks at the base, whatever else is on it."""
    chosen = [(read_lora(file_of(case)), strength) for case, strength in (
        ("DoRA of outputs, lora_unet_", 0.7), ("kohya", -0.4), ("DoRA of inputs, lora_unet_", 0.5), ("LoHa", 0.3))]
    one, two = (model.adapted(order).backend.branches.merged(model.components)["transformer"]
                for order in (chosen, chosen[::-1]))
    alone = [bfl_weight(model.adapted([choice]).backend.branches.merged(model.components)["transformer"], QKV)
             for choice in chosen]
    base = bfl_weight(model.components["transformer"], QKV)
    assert largest(bfl_weight(one, QKV), bfl_weight(two, QKV)) <= 1e-6
    assert largest(bfl_weight(one, QKV) - base, sum(weight - base for weight in alone)) <= 1e-5


@pytest.mark.parametrize("case", ["DoRA of outputs, lora_unet_", "DoRA of inputs, lora_unet_", "LoKr 2", "LoHa", "set",
                                  "DoRA of inputs, transformer."])
def test_a_packed_base(model, file_of, case):
    """The base is read from fp8: a DoRA's norm is of its unpacked weights."""
    branches = model.adapted([(read_lora(file_of(case)), 0.6)]).backend.branches
    parts = dict(model.components)
    packed, plain = copy.deepcopy(parts["transformer"]), copy.deepcopy(parts["transformer"])
    for name in diffusers_layers(plain):
        layer = plain.get_submodule(name)
        values = layer.weight.to(torch.float8_e4m3fn)
        layer.weight.data = values.float() * 1.5
        packed.set_submodule(name, StoredLinear(values, torch.tensor(1.5), layer.bias.data))
    twin = branches.merged(parts | {"transformer": plain})["transformer"]
    branches = model.adapted([(read_lora(file_of(case)), 0.6)]).backend.branches
    for _, path in branches._effects_at:
        layer, expected = packed.get_submodule(path), twin.get_submodule(path)
        x = numbers(3, layer.in_features, size=1)
        with torch.no_grad(), branches.on(parts | {"transformer": packed}, "transformer"):
            assert largest(layer(x), expected(x)) <= 1e-5, path


def test_bfloat16(model, file_of):
    """All kinds compute in the base's dtype."""
    base = copy.deepcopy(model.components["transformer"]).to(torch.bfloat16)
    parts = model.components | {"transformer": base}
    for case in ("DoRA of outputs, lora_unet_", "DoRA of inputs, lora_unet_", "LoKr 12", "LoHa", "full", "set",
                 "norms"):
        branches = model.adapted([(read_lora(file_of(case)), 0.6)]).backend.branches
        twin = branches.merged(parts)["transformer"]
        for _, path in branches._effects_at:
            layer = base.get_submodule(path)
            x = numbers(3, layer.weight.shape[-1], size=1).to(torch.bfloat16)
            with torch.no_grad():
                plain = layer(x)
                with branches.on(parts, "transformer"):
                    beside = layer(x)
                expected = twin.get_submodule(path)(x.float())
                assert beside.dtype == torch.bfloat16 and torch.equal(layer(x), plain)
            assert largest(beside.float(), expected) <= 0.03 * max(1, expected.abs().max().item()), (case, path)


# Formulas ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "alpha", "scale"), [
    ("whole", 7.0, 1.0),  # two whole factors: alpha says nothing (LyCORIS sets it to the rank)
    ("2", 1.0, 0.5), ("12", 6.0, 3.0), ("1", 1.0, 0.5), ("2", None, 1.0)])
def test_lokr(model, transformer, tmp_path, form, alpha, scale):
    parts = lokr((3 * WIDTH, WIDTH), 1, form)
    one, two = (parts[f"lokr_w{n}"] if f"lokr_w{n}" in parts else parts[f"lokr_w{n}_a"] @ parts[f"lokr_w{n}_b"]
                for n in "12")
    if alpha is not None:
        parts["alpha"] = torch.tensor(alpha)
    expected = bfl_weight(transformer, QKV) + 0.5 * scale * torch.kron(one, two)
    assert largest(changed(model, under({QKV: parts}, "diffusion_model."), tmp_path, QKV, 0.5), expected) <= 1e-6


def test_loha(model, transformer, tmp_path):
    parts = loha((3 * WIDTH, WIDTH), 1) | {"alpha": torch.tensor(6.0)}
    product = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    expected = bfl_weight(transformer, QKV) + 0.5 * (6 / 3) * product
    assert largest(changed(model, under({QKV: parts}, "lora_unet_", True), tmp_path, QKV, 0.5), expected) <= 1e-6


@pytest.mark.parametrize("name", [QKV, LAST])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_dora(model, transformer, tmp_path, name, axis, strength):
    """m * (W + BA) / |W + BA| (Liu et al., arXiv:2402.09353), the norm of a row or of a column of the whole layer."""
    base = bfl_weight(transformer, name)
    parts = low_rank(tuple(base.shape), 1)
    whole = base + 2 * parts["lora_up.weight"] @ parts["lora_down.weight"]
    norm = whole.norm(dim=1 - axis, keepdim=True)
    magnitude = numbers(*norm.shape, size=1).abs() + 0.2
    tensors = under({name: parts | {"dora_scale": magnitude, "alpha": torch.tensor(6.0)}}, "lora_unet_", True)
    expected = base + strength * (magnitude * whole / norm - base)
    assert largest(changed(model, tensors, tmp_path, name, strength), expected) <= 1e-5


def test_pefts_dora(model, transformer, tmp_path):
    """Its magnitude is a vector of the outputs."""
    base = bfl_weight(transformer, QKV)
    down, up = pair(*base.shape, 1)
    norm = (base + up @ down).norm(dim=1)
    for suffix in ("lora_magnitude_vector", "lora_magnitude_vector.weight", "lora_magnitude_vector.default.weight"):
        tensors = peft({QKV: (down, up)}, "base_model.model.")
        tensors[f"base_model.model.{QKV}.{suffix}"] = norm * 1.25
        expected = 1.25 * (base + up @ down)
        assert largest(changed(model, tensors, tmp_path, QKV), expected) <= 1e-6
        note = {"lora_adapter_metadata": json.dumps({"transformer.use_dora": True, "transformer.lora_alpha": 3})}
        assert largest(changed(model, tensors, tmp_path, QKV, metadata=note), expected) <= 1e-6


def test_full_differences_norms_and_new_weights(model, transformer, tmp_path):
    base, diff = bfl_weight(transformer, QKV), numbers(3 * WIDTH, WIDTH)
    tensors = under({QKV: {"diff": diff}}, "diffusion_model.")
    assert largest(changed(model, tensors, tmp_path, QKV, 0.5), base + diff / 2) <= 1e-6
    tensors = under({QKV: {"set_weight": diff}}, "diffusion_model.")
    assert largest(changed(model, tensors, tmp_path, QKV), diff) <= 1e-6
    assert largest(changed(model, tensors, tmp_path, QKV, 0.25), 0.75 * base + diff / 4) <= 1e-6
    norm = numbers(HEAD)
    for name in ("query_norm", "query_norm.scale"):  # ComfyUI's name of it, and that before 0.14
        tensors = {f"diffusion_model.double_blocks.0.txt_attn.norm.{name}.diff": norm}
        lora = read_lora(write(tmp_path / "norm.safetensors", tensors))
        twin = model.adapted([(lora, 0.5)]).backend.branches.merged(model.components)["transformer"]
        path = "transformer_blocks.0.attn.norm_added_q"
        expected = transformer.get_submodule(path).weight + norm / 2
        assert largest(twin.get_submodule(path).weight, expected) <= 1e-6


# What is read and said ------------------------------------------------------------------------------------------------


def test_what_the_report_says(file_of):
    assert "kinds" not in read_lora(file_of("kohya")).report
    lora = read_lora(file_of("mixed"))
    assert lora.kinds == {"LoRA": 4, "LoKr": 1} and "kinds: 4 LoRA, 1 LoKr" in lora.report
    assert read_lora(file_of("LoHa")).ranks == (3,)
    assert "alpha: of no use" in read_lora(file_of("LoKr whole")).report
    bundled = read_lora(file_of("bundled embeddings"))
    assert bundled.embeddings == 3 and "3 tensors of textual inversions" in bundled.report and not bundled.left_out


def test_memory_of_all_kinds(model, file_of):
    def held(case: str) -> int:
        return model.adapted([(read_lora(file_of(case)), 1.0)]).backend.branches.bytes("transformer", torch.bfloat16)

    sizes = diffusers_layers(model.components["transformer"])
    assert held("full") >= 2 * sum(rows * columns for rows, columns in sizes.values())
    assert held("DoRA of outputs, lora_unet_") >= held("kohya") // 100
    assert 0 < held("LoKr whole") < held("full") and held("LoHa") >= 4 * 2 * 7 * WIDTH * WIDTH


REFUSED = {
    "SDXL": lambda: kohya({"input_blocks_4_1_proj_in": pair(8, 8, 1)}, alpha=1),
    "SDXL with text": lambda: kohya({"input_blocks_4_1_proj_in": pair(8, 8, 1)}, alpha=1)
    | kohya(seeded({"encoder.layers.0.mlp.fc1": (48, 24)}), "lora_te1_text_model_"),
    "SDXL's text encoders": lambda: kohya(seeded({"encoder.layers.0.mlp.fc1": (48, 24)}), "lora_te1_text_model_")
    | kohya(seeded({"encoder.layers.0.mlp.fc1": (64, 32)}), "lora_te2_text_model_"),
    "Wan": lambda: peft({"blocks.0.cross_attn.k": pair(8, 8, 1)}, "diffusion_model."),
    "HunyuanVideo": lambda: peft({"double_blocks.0.img_attn_qkv": pair(96, 32, 1)}, "transformer."),
    "Fill": lambda: peft({"x_embedder": pair(WIDTH, 384, 1), "proj_out": pair(64, WIDTH, 1)}),
    "Fill, LoKr": lambda: under({"img_in": lokr((WIDTH, 384), 1)}, "lora_unet_", True),
    "Canny": lambda: peft({"img_in": pair(WIDTH, 128, 1), QKV: pair(96, 32, 1)}, ""),
    "Canny's norms": lambda: peft({QKV: pair(96, 32, 1)}, "")
    | {"double_blocks.0.img_attn.norm.key_norm.scale": numbers(HEAD)},
    "OFT": lambda: {"lora_unet_double_blocks_0_img_attn_qkv.oft_blocks": numbers(4, 8, 8)},
    "tucker": lambda: under({QKV: lokr((96, 32), 1, "2") | {"lokr_t2": numbers(2, 2, 3, 3)}}, "lora_unet_", True),
    "half a pair": lambda: {f"{QKV}.lora_A.weight": numbers(3, 32)},
    "half a LoKr": lambda: {f"lora_unet_double_blocks_0_img_attn_qkv.{part}": numbers(4, 2)
                            for part in ("lokr_w1", "lokr_w2_a")},
    "half a LoHa": lambda: {name: tensor for name, tensor in under({QKV: loha((96, 32), 1)}, "lora_unet_", True).items()
                            if "hada_w2_b" not in name},
    "magnitude without a change": lambda: {f"{QKV}.dora_scale": numbers(96, 1), f"{QKV}.diff_b": numbers(96)},
    "magnitude of another size": lambda: peft({QKV: pair(96, 32, 1)}, "") | {f"{QKV}.dora_scale": numbers(95, 1)},
    "two kinds of one layer": lambda: peft({QKV: pair(96, 32, 1)}, "") | {f"{QKV}.diff": numbers(96, 32)},
    "twice": lambda: kohya({QKV: pair(96, 32, 1)}) | peft({"transformer_blocks.0.attn.to_q": pair(32, 32, 1)}),
    "bias of a norm": lambda: {f"double_blocks.0.{norm}": numbers(HEAD) for norm in (
        "img_attn.norm.key_norm.diff", "img_attn.norm.key_norm.diff_b")},
    "bias of T5's norm": lambda: {"t5.encoder.final_layer_norm.diff_b": numbers(32)},
    "int8": lambda: {name: tensor.to(torch.int8) for name, tensor in peft({QKV: pair(96, 32, 1)}, "").items()},
    "nunchaku's": lambda: {f"transformer_blocks.0.qkv_proj.lora_{half}": numbers(32, 4) for half in ("down", "up")},
    "embeddings alone": lambda: {"bundle_emb.token.clip_l": numbers(2, 24), "x.lora_A.weight": numbers(2, 2)},
    "new tensors": lambda: peft({QKV: pair(96, 32, 1), "transformer_blocks.0.new": pair(8, 8, 1)}, ""),
}


@pytest.mark.parametrize("case", [*CASES, *REFUSED])
def test_inspect_model_says_what_the_reader_says(file_of, tmp_path, case):
    path = write(tmp_path / "file.safetensors", REFUSED[case]()) if case in REFUSED else file_of(case)
    found = identify(path)
    assert found.kind == "LoRA"
    try:
        read_lora(path)
        refusal = None
    except InputError as error:
        refusal = str(error).removeprefix(f"{path}: ")
    assert (refusal is not None) == (case in REFUSED), refusal
    if refusal is None:
        assert found.advice.startswith("choose it in Load Kontext LoRA") and "refuses" not in found.advice
        assert "SDXL" not in found.flavour
    else:
        assert found.advice.startswith(f"Load Kontext LoRA refuses it: {refusal}")


@pytest.mark.parametrize(("case", "whose"), [("Fill", "Fill"), ("Fill, LoKr", "Fill"), ("Canny", "Canny or Depth"),
                                             ("Canny's norms", "Canny or Depth")])
def test_loras_of_flux_tools(tmp_path, case, whose):
    """They come with a first layer of their own, which reads the mask or the edges."""
    with pytest.raises(InputError, match=whose):
        read_lora(write(tmp_path / "file.safetensors", REFUSED[case]()))


@pytest.mark.parametrize(("name", "size", "fits"), [
    ("double_blocks.18.img_attn.qkv", (9216, 3072), True), ("single_blocks.37.linear1", (21504, 3072), True),
    ("double_blocks.19.img_attn.qkv", (9216, 3072), False),  # FLUX.1 has 19, from 0
    ("single_blocks.0.linear1", (27648, 3072), False),  # FLUX.2 klein
    ("double_blocks.0.img_attn.qkv", (18432, 6144), False),  # FLUX.2
])
def test_inspect_model_tells_other_sizes(tmp_path, name, size, fits):
    path = write(tmp_path / "size.safetensors", peft({name: (torch.ones(1, size[1]), torch.ones(size[0], 1))}, ""))
    assert ("not for FLUX.1" in identify(path).advice) == (not fits)


@pytest.mark.parametrize("names", [("lora_te2_encoder_block_0_layer_0_SelfAttention_q",),
                                   ("lora_te1_text_model_encoder_layers_0_mlp_fc1",
                                    "lora_te2_encoder_block_0_layer_0_SelfAttention_q", "lora_unet_img_in")])
def test_a_lora_of_flux_with_t5_is_not_for_sdxl(tmp_path, names):
    """OneTrainer calls T5 `lora_te2`; SDXL's second text encoder has other layers."""
    path = write(tmp_path / "te2.safetensors", kohya(seeded({name: (32, 32) for name in names}), ""))
    assert "SDXL" not in identify(path).flavour and "SDXL" not in read_lora(path).flavour


# The page -------------------------------------------------------------------------------------------------------------


def lora_section() -> str:
    page = Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md"
    return page.read_text("utf-8").partition("## LoRAs")[2].partition("\n## ")[0]


def test_the_page_names_what_is_read():
    """Every example of docs/checkpoints.md is a tensor that is read, and every kind is there."""
    layouts, kinds = (table for table in lora_section().split("\n\n") if table.startswith("|"))
    examples = re.findall(r"`(\S+)`", " ".join(row.split("|")[2] for row in layouts.splitlines()[2:]))
    assert len(examples) == 20
    for example in examples:
        match = LORA_TENSOR.fullmatch(example)
        assert match and find_target(match["name"]), example
    rows = {row.split("|")[1].split(",")[0].strip(): row for row in kinds.splitlines()[2:]}
    assert set(rows) == {*_NEEDED, "DoRA", "bias"}
    for kind, parts in _NEEDED.items():
        suffixes = [name for name in re.findall(r"`([a-z_]\w+)`", rows[kind]) if not name.startswith("_")]
        assert suffixes
        for suffix in suffixes:
            ending = f"{suffix}.weight" if kind == "LoRA" else suffix
            assert LORA_TENSOR.fullmatch(f"a.{ending}"), suffix
        assert parts


@pytest.mark.parametrize("missing", ["1", "2"])
def test_half_a_loha_is_refused(missing, tmp_path):
    parts = {name: tensor for name, tensor in loha((32, 32), 1).items() if f"_w{missing}_" not in name}
    path = write(tmp_path / "half.safetensors", under({QKV: parts}, "lora_unet_", True))
    with pytest.raises(InputError, match=f"hada_w{missing}_b and hada_w{missing}_a.* are missing"):
        read_lora(path)


# Damaged and hostile files --------------------------------------------------------------------------------------------


def test_damaged_files_are_refused_in_words(tmp_path):
    """Tensors dropped, renamed, of other shapes and dtypes: typed errors or a LoRA, and both readers agree."""
    cases = [tensors for tensors, _ in matrix({module: (32, 32) for modules in bfl_layers().values()
                                               for module in modules}, 8).values()]
    chosen, refused = random.Random(0), 0
    for number in range(150):
        tensors = dict(chosen.choice(cases))
        for _ in range(chosen.randint(1, 3)):
            name = chosen.choice(list(tensors))
            tensor = tensors.pop(name)
            change = chosen.choice(["drop", "rename", "shape", "dtype", "empty", "swap"])
            if change == "rename":
                tensors[chosen.choice([name.replace("0", "7"), f"{name}.weight", name[: len(name) // 2] or "a",
                                       name.replace("lora_down", "lokr_w1")])] = tensor
            elif change == "shape":
                tensors[name] = torch.zeros([chosen.randint(0, 3) for _ in range(chosen.randint(0, 4))])
            elif change == "dtype":
                tensors[name] = tensor.to(chosen.choice([torch.int8, torch.bool, torch.float64, torch.float8_e5m2]))
            elif change == "empty":
                tensors[name] = torch.zeros(0, 0)
            elif change == "swap":
                tensors[name] = tensor.t() if tensor.dim() == 2 else tensor
        path = write(tmp_path / f"{number}.safetensors", tensors or {"a": torch.zeros(1)})
        try:
            read_lora(path)
            said = None
        except InputError as error:
            said, refused = str(error), refused + 1
        found = identify(path)
        if found.kind == "LoRA" and "changes nothing: all it holds is zero" not in (said or ""):
            assert ("Load Kontext LoRA refuses" in found.advice) == (said is not None), (said, found.advice)
        path.unlink()
    assert 30 < refused < 150

"""LoRAs: against weights merged in float32, against diffusers, in every layout; restoring; caches; what is refused."""

import copy
import json

import pytest
import torch
from kontinuity.kontext import KontextModel, Resident, read_lora
from lora_files import bfl_layers, diffusers_layers, kohya, pair, peft, seeded, write
from torch import nn

TOLERANCE = 2e-5  # of pixels in 0..1, float32: the same numbers in another order


@pytest.fixture
def transformer(model):
    return model.components["transformer"]


@pytest.fixture
def style(transformer, tmp_path):
    """A LoRA on every layer of the transformer, in diffusers' layout."""
    return read_lora(write(tmp_path / "style.safetensors", peft(seeded(diffusers_layers(transformer)))))


def edit_with(model, components, request):
    """The picture of a model with other components and caches of its own."""
    backend = copy.copy(model.backend)
    backend.components, backend.placement = components, Resident(components, "cpu")
    return KontextModel(name="other", backend=backend, schedule=model.schedule, settings=model.settings).edit(request)


def merged(adapted) -> dict[str, nn.Module]:
    """The components with an adapted model's LoRAs in their weights."""
    return adapted.backend.branches.merged(adapted.components)


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


# What it computes ----------------------------------------------------------------------------------------------------


def test_branches_equal_merged_weights(model, style, request_for):
    request = request_for()
    for strength in (1.0, 0.35, -0.8):
        adapted = model.adapted([(style, strength)])
        picture = adapted.edit(request)
        assert largest(picture, edit_with(model, merged(adapted), request)) <= TOLERANCE
        assert largest(picture, model.edit(request)) > 0.01


def test_the_merged_twin_is_the_formula(model, transformer, tmp_path):
    name = "transformer_blocks.0.attn.to_q"
    down, up = pair(32, 32, 1)
    lora = read_lora(write(tmp_path / "a.safetensors", kohya({name: (down, up)}, "lora_transformer_", alpha=6)))
    twin = merged(model.adapted([(lora, 0.5)]))["transformer"]
    expected = transformer.get_submodule(name).weight + 0.5 * (6 / 3) * up @ down
    assert largest(twin.get_submodule(name).weight, expected) <= 1e-6
    changed = [n for n, p in twin.named_parameters() if not torch.equal(p, transformer.get_parameter(n))]
    assert changed == [f"{name}.weight"]


def test_diffusers_agrees(model, pipeline, style, tmp_path, request_for):
    """diffusers with peft, which the house does not need otherwise."""
    pytest.importorskip("peft")
    request = request_for()
    pipe = copy.deepcopy(pipeline)
    pipe.load_lora_weights(style.where, adapter_name="style")
    pipe.set_adapters(["style"], [0.7])
    image = pipe(image=request.references[0].permute(2, 0, 1).unsqueeze(0), prompt=request.prompt, width=96, height=96,
                 num_inference_steps=request.steps, guidance_scale=request.guidance, max_sequence_length=32,
                 max_area=96 * 96, _auto_resize=False, output_type="pt",
                 generator=torch.Generator().manual_seed(request.seed)).images[0].permute(1, 2, 0)
    assert largest(model.adapted([(style, 0.7)]).edit(request), image) <= TOLERANCE


def test_diffusers_reads_the_same_alpha(model, pipeline, tmp_path):
    pytest.importorskip("peft")
    name = "transformer_blocks.0.attn.to_q"
    config = {"transformer.lora_alpha": 8, "transformer.r": 4, "transformer.target_modules": [name]}
    path = write(tmp_path / "a.safetensors", peft({name: pair(32, 32, 1, rank=4)}),
                 {"lora_adapter_metadata": json.dumps(config)})
    pipe = copy.deepcopy(pipeline)
    pipe.load_lora_weights(str(path), adapter_name="a")
    pipe.fuse_lora()
    twin = merged(model.adapted([(read_lora(path), 1.0)]))["transformer"]
    theirs = pipe.transformer.get_submodule(name)
    assert largest(twin.get_submodule(name).weight, getattr(theirs, "base_layer", theirs).weight) <= 1e-6


def test_several_add_up_in_any_order(model, style, transformer, tmp_path, request_for):
    other = read_lora(write(tmp_path / "other.safetensors", peft(seeded(diffusers_layers(transformer), 500, rank=5))))
    request = request_for()
    together = model.adapted([(style, 0.5), (other, -0.7)])
    picture = together.edit(request)
    assert largest(picture, edit_with(model, merged(together), request)) <= TOLERANCE
    assert largest(picture, model.adapted([(other, -0.7)]).adapted([(style, 0.5)]).edit(request)) <= TOLERANCE
    twice = model.adapted([(style, 0.5)]).adapted([(style, -0.5)])
    assert largest(twice.edit(request), model.edit(request)) <= TOLERANCE


# Layouts -------------------------------------------------------------------------------------------------------------


def bfl_file(transformer):
    """(LoRA on BFL's layers, diffusers' weights with it merged where BFL has them in one matrix)."""
    sizes, weights, layers = diffusers_layers(transformer), {}, {}
    for seed, (name, parts) in enumerate(bfl_layers().items()):
        down, up = layers[name] = pair(sum(sizes[part][0] for part in parts), sizes[parts[0]][1], seed)
        weight = torch.cat([transformer.get_submodule(part).weight for part in parts])
        if name == "final_layer.adaLN_modulation.1":  # BFL has shift first
            weight = torch.cat(weight.chunk(2)[::-1]) + up @ down
            weight = torch.cat(weight.chunk(2)[::-1])
        else:
            weight = weight + up @ down
        weights |= dict(zip(parts, weight.split([sizes[part][0] for part in parts]), strict=True))
    return layers, weights


@pytest.mark.parametrize("layout", ["bare", "diffusion_model.", "base_model.model.", "kohya", "comfyui"])
def test_bfl_names(model, transformer, tmp_path, layout):
    layers, weights = bfl_file(transformer)
    tensors = {
        "bare": lambda: peft(layers, ""), "diffusion_model.": lambda: peft(layers, "diffusion_model."),
        "base_model.model.": lambda: peft(layers, "base_model.model.", ".default"),
        "kohya": lambda: kohya(layers, alpha=3),
        "comfyui": lambda: {key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor
                            for key, tensor in peft(layers, "diffusion_model.").items()},
    }[layout]()
    lora = read_lora(write(tmp_path / "bfl.safetensors", tensors))
    twin = merged(model.adapted([(lora, 1.0)]))["transformer"]
    assert set(weights) == set(diffusers_layers(transformer))  # the list above is whole
    for name, weight in weights.items():
        assert largest(twin.get_submodule(name).weight, weight) <= 1e-6, name


@pytest.mark.parametrize("layout", ["", "transformer.", "base_model.model.", "lora_transformer_", "lycoris_", "last _"])
def test_diffusers_names(model, transformer, style, tmp_path, layout):
    layers = seeded(diffusers_layers(transformer))
    if layout == "last _":  # TheLastBen's trainer
        layers = {name + "_": halves for name, halves in layers.items()}
        layout = "lora_unet_"
    tensors = kohya(layers, layout, alpha=3) if layout.endswith("_") else peft(layers, layout)
    lora = read_lora(write(tmp_path / "same.safetensors", tensors))
    assert {layer.target.modules for layer in lora.layers} == {layer.target.modules for layer in style.layers}
    ours, expected = (merged(model.adapted([(x, 1.0)]))["transformer"] for x in (lora, style))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), expected.parameters(), strict=True))


def test_parts_of_fused_layers(model, transformer, tmp_path):
    """OneTrainer numbers them, XLabs has q, k and v without the MLP."""
    q, mlp, qkv, out = pair(32, 32, 1), pair(128, 32, 2), pair(96, 32, 3), pair(32, 32, 4)
    tensors = peft({"double_blocks.0.txt_attn.qkv.0": q, "single_blocks.1.linear1.3": mlp})
    for name, halves in (("single_blocks.0.processor.qkv_lora", qkv), ("double_blocks.0.processor.proj_lora2", out)):
        tensors |= {f"{name}.{half}.weight": t for half, t in zip(("down", "up"), halves, strict=True)}
    lora = read_lora(write(tmp_path / "parts.safetensors", tensors))
    twin = merged(model.adapted([(lora, 1.0)]))["transformer"]
    single = "single_transformer_blocks.0.attn.to_"
    expected = {"transformer_blocks.0.attn.add_q_proj": q[1] @ q[0],
                "transformer_blocks.0.attn.to_add_out": out[1] @ out[0],
                "single_transformer_blocks.1.proj_mlp": mlp[1] @ mlp[0],
                **{single + x: (qkv[1] @ qkv[0])[i * 32: i * 32 + 32] for i, x in enumerate("qkv")}}
    for name in diffusers_layers(transformer):
        change = twin.get_submodule(name).weight - transformer.get_submodule(name).weight
        assert largest(change, expected.get(name, torch.zeros_like(change))) <= 1e-6, name


def test_biases(model, transformer, tmp_path):
    """PEFT's lora_B.bias scales with alpha, ComfyUI's diff_b does not."""
    down, up = pair(96, 32, 1)
    bias, diff = torch.randn(96), torch.randn(32)
    tensors = kohya({"double_blocks.0.img_attn.qkv": (down, up)}, alpha=6)
    tensors["lora_unet_double_blocks_0_img_attn_qkv.lora_B.bias"] = bias
    tensors["diffusion_model.double_blocks.0.img_attn.proj.diff_b"] = diff
    lora = read_lora(write(tmp_path / "bias.safetensors", tensors))
    adapted = model.adapted([(lora, 0.5)])
    twin = merged(adapted)["transformer"]
    for name, change in (("to_k", bias[32:64]), ("to_out.0", diff / 2)):
        base = transformer.get_submodule(f"transformer_blocks.0.attn.{name}")
        assert largest(twin.get_submodule(f"transformer_blocks.0.attn.{name}").bias, base.bias + change) <= 1e-6
    x = torch.randn(2, 5, 32)
    for name in ("to_k", "to_v", "to_out.0"):
        path = f"transformer_blocks.0.attn.{name}"
        with torch.no_grad(), adapted.backend.branches.on(model.components, "transformer"):
            assert largest(transformer.get_submodule(path)(x), twin.get_submodule(path)(x)) <= 1e-5


# Nothing is changed for good -----------------------------------------------------------------------------------------


def test_the_base_is_restored_bit_by_bit(model, style, request_for):
    request = request_for()
    before = {name: p.clone() for c in model.components.values() for name, p in c.state_dict().items()}
    plain = model.edit(request)
    adapted = model.adapted([(style, 1.0)])
    assert not torch.equal(adapted.edit(request), plain)
    assert torch.equal(model.edit(request), plain)
    assert torch.equal(model.adapted([(style, 0)]).edit(request), plain)
    assert torch.equal(adapted.edit(request), adapted.edit(request))

    def cancel(info):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        adapted.edit(request, cancel)
    assert torch.equal(model.edit(request), plain)
    after = {name: p for c in model.components.values() for name, p in c.state_dict().items()}
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert not any(m._forward_hooks for c in model.components.values() for m in c.modules())


def test_an_adapted_model_is_a_light_copy(model, style):
    adapted = model.adapted([(style, 0.8)])
    assert adapted.components is model.components and adapted.placement is model.placement
    assert model.backend.branches.choices == () and adapted.backend.branches.choices == ((style, 0.8),)
    assert adapted.name == "tiny + style (0.8)" and model.name == "tiny"


def test_memory_is_counted_and_freed(model, style, request_for):
    asked = {}

    class Placement:
        def room(self):
            return None

        def use(self, component, activation_bytes):
            asked.setdefault(component, []).append(activation_bytes)
            return torch.device("cpu")
    model.placement = Placement()
    model.edit(request_for())
    model.adapted([(style, 1.0)]).edit(request_for())
    numbers = sum(t.numel() for layer in style.layers for t in (layer.change.down, layer.change.up))
    assert asked["transformer"][1] - asked["transformer"][0] == 4 * numbers  # float32
    assert len(asked["text_encoders"]) == 1  # the prompt is remembered: this LoRA does not touch it


# Text encoders -------------------------------------------------------------------------------------------------------


TEXT = {"clip": ("lora_te1_text_model_encoder_layers_0_mlp_fc1", (48, 24)),
        "t5": ("lora_te3_encoder_block_0_layer_1_DenseReluDense_wi_0", (64, 32))}


@pytest.mark.parametrize("part", TEXT)
def test_text_encoder_parts_are_applied_and_prompts_not_mixed(model, tmp_path, request_for, part):
    name, size = TEXT[part]
    lora = read_lora(write(tmp_path / "te.safetensors", kohya({name: pair(*size, 1)}, "", alpha=3)))
    request = request_for()
    plain = model.edit(request)
    adapted = model.adapted([(lora, 2.0)])
    picture = adapted.edit(request)
    assert largest(picture, plain) > 1e-4
    assert largest(picture, edit_with(model, merged(adapted), request)) <= TOLERANCE
    assert torch.equal(model.edit(request), plain) and torch.equal(adapted.edit(request), picture)
    weaker = model.adapted([(lora, 1.0)]).edit(request)
    assert not torch.equal(weaker, picture) and not torch.equal(weaker, plain)


# Bases of other kinds ------------------------------------------------------------------------------------------------


class Rounded(nn.Linear):
    """Stands for a quantised layer: its weight is stored in eighths, and read in the dtype asked for."""

    def __init__(self, linear: nn.Linear):
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, dtype=linear.weight.dtype)
        del self.weight
        self.register_buffer("stored", (linear.weight * 8).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, x):
        return nn.functional.linear(x, self.stored.to(x.dtype) / 8, self.bias)


@pytest.mark.parametrize("kind", ["bfloat16", "quantised"])
def test_other_bases(model, style, request_for, kind):
    """The change a LoRA makes to a layer's output is the same on any base, up to the base's own rounding."""
    components = dict(model.components)
    transformer = components["transformer"] = copy.deepcopy(components["transformer"])
    if kind == "bfloat16":
        transformer.to(torch.bfloat16)
    else:
        for name in diffusers_layers(transformer):
            transformer.set_submodule(name, Rounded(transformer.get_submodule(name)))
    branches = model.adapted([(style, 0.6)]).backend.branches
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    for layer in style.layers:
        base = transformer.get_submodule(layer.target.modules[0])
        x = torch.randn(2, 7, base.in_features, generator=torch.Generator().manual_seed(1)).to(dtype)
        with torch.no_grad():
            plain = base(x)
            with branches.on(components, "transformer"):
                changed = base(x)
            expected = plain.float() + 0.6 * (x.float() @ layer.change.down.T @ layer.change.up.T)
            assert changed.dtype == dtype and torch.equal(base(x), plain)
        limit = 0.02 * expected.abs().max() if kind == "bfloat16" else 1e-5
        assert largest(changed.float(), expected) <= limit, layer.name
    plain, changed = (edit_with(m, components, request_for()) for m in (model, model.adapted([(style, 0.6)])))
    assert largest(changed, plain) > 0.01

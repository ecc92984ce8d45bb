"""The modulation table against the plain forward pass: bit for bit, and without the weights it stands for."""

import pytest
import torch
from kontinuity.kontext import flux
from kontinuity.kontext.fast.modulation import ModulationTable
from kontinuity.kontext.flux import modulation_layers
from kontinuity.kontext.memory.offload import Prefetcher, weight_bytes
from kontinuity.kontext.networks import FluxTransformer, TransformerConfig
from kontinuity.kontext.sampling import Schedule

SCHEDULE = Schedule(use_dynamic_shifting=True)


def timesteps_of(steps: int) -> list[float]:
    return SCHEDULE.sigmas(steps, 12)[:-1].tolist()


def make_table(transformer, inputs, timesteps=(), **more) -> ModulationTable:
    table = ModulationTable(transformer, inputs.guidance, inputs.pooled, dtype=transformer.dtype, device="cpu", **more)
    if timesteps:
        table.compute(timesteps)
    return table


def vectors(table) -> list[torch.Tensor]:
    return [vector for row in table._rows.values() for vector in row.values()]


def make_transformer(dtype=torch.float32, guidance_embeds=True):
    torch.manual_seed(0)
    return FluxTransformer(TransformerConfig(
        num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        pooled_projection_dim=24, guidance_embeds=guidance_embeds, axes_dims_rope=(4, 6, 6),
    )).to(dtype).eval().requires_grad_(False)


class Inputs:
    """One forward pass's inputs; the pooled text is that of the prompt."""

    def __init__(self, dtype, seed=1, guidance=2.5):
        generator = torch.Generator().manual_seed(seed)
        self.hidden = torch.randn(1, 12, 64, generator=generator).to(dtype)
        self.text = torch.randn(1, 5, 32, generator=generator).to(dtype)
        self.pooled = torch.randn(1, 24, generator=generator).to(dtype)
        self.guidance = guidance

    def run(self, transformer, timestep: float) -> torch.Tensor:
        guided = transformer.config.guidance_embeds and self.guidance is not None
        return transformer(
            hidden_states=self.hidden, encoder_hidden_states=self.text, pooled_projections=self.pooled,
            timestep=torch.tensor([timestep]), guidance=torch.tensor([self.guidance]) if guided else None,
            img_ids=torch.arange(36.0).reshape(12, 3), txt_ids=torch.zeros(5, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps, guidance", [(1, 2.5), (4, 2.5), (4, 3.5), (28, 1.0), (2, None)])
@torch.no_grad()
def test_every_step_equals_the_plain_forward_pass_bit_for_bit(dtype, steps, guidance):
    transformer, inputs = make_transformer(dtype), Inputs(dtype, guidance=guidance)
    timesteps = timesteps_of(steps)
    plain = [inputs.run(transformer, t) for t in timesteps]
    table = make_table(transformer, inputs, timesteps)
    inputs.guidance = 99.0  # the table has it already
    with table.installed():
        for i in reversed(range(steps)):  # in any order
            assert torch.equal(inputs.run(transformer, timesteps[i]), plain[i])
    inputs.guidance = guidance
    assert torch.equal(inputs.run(transformer, timesteps[0]), plain[0])  # its own layers are back
    assert {vector.dtype for vector in vectors(table)} == {dtype}
    assert len(table._rows) == steps


@torch.no_grad()
def test_a_timestep_that_was_not_foreseen_is_computed_then():
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    plain = inputs.run(transformer, 0.123), inputs.run(transformer, 0.5)
    table = make_table(transformer, inputs, [0.5])
    with table.installed():
        assert torch.equal(inputs.run(transformer, 0.123), plain[0])
        assert torch.equal(inputs.run(transformer, 0.5), plain[1])
    assert torch.equal(inputs.run(transformer, 0.5), plain[1])


def test_prompt_guidance_and_timesteps_all_matter():
    transformer = make_transformer()
    first = vectors(make_table(transformer, Inputs(torch.float32), [0.5]))
    for other in (make_table(transformer, Inputs(torch.float32, guidance=3.0), [0.5]),
                  make_table(transformer, Inputs(torch.float32, seed=2), [0.5]),
                  make_table(transformer, Inputs(torch.float32), [0.6])):
        assert not any(torch.equal(a, b) for a, b in zip(first, vectors(other), strict=True))


@torch.no_grad()
def test_a_transformer_without_guidance():
    transformer, inputs = make_transformer(guidance_embeds=False), Inputs(torch.float32)
    plain = inputs.run(transformer, 0.7)
    with make_table(transformer, inputs, [0.7]).installed():
        assert torch.equal(inputs.run(transformer, 0.7), plain)


@torch.no_grad()
def test_the_loop_runs_without_the_weights():
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    plain = inputs.run(transformer, 0.7)
    table = make_table(transformer, inputs, [0.7])
    layers = modulation_layers(transformer).values()
    assert len(layers) == 1 + 2 * 2 + 3 + 1
    names = [name for name in transformer.state_dict() if ".linear." in name or "time_text" in name]
    assert len(names) == 2 * 6 + 2 * 8
    with table.installed():
        assert not set(names) & set(transformer.state_dict())
        kept = {id(parameter) for parameter in transformer.parameters()}
        assert not kept & {id(parameter) for layer in layers for parameter in layer.parameters()}
        assert torch.equal(inputs.run(transformer, 0.7), plain)
    assert set(names) <= set(transformer.state_dict())


def test_layers_in_main_memory_are_prefetched():
    transformer, inputs = make_transformer(torch.bfloat16), Inputs(torch.bfloat16)
    timesteps = timesteps_of(3)
    resident = vectors(make_table(transformer, inputs, timesteps))
    prefetcher = Prefetcher(modulation_layers(transformer).values(), "cpu")
    for _ in range(2):
        carried = vectors(make_table(transformer, inputs, timesteps, prefetcher=prefetcher))
        assert all(torch.equal(a, b) for a, b in zip(resident, carried, strict=True))
        assert prefetcher.device_bytes == 0


class Wrapped(torch.nn.Module):
    """As a LoRA wraps a layer: its output and a low-rank part."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.down = torch.nn.Linear(layer.in_features, 2, bias=False)
        self.up = torch.nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


class Quantised(torch.nn.Module):
    """As a quantised layer: weights in float8, unpacked for every call."""

    def __init__(self, layer):
        super().__init__()
        self.register_buffer("weight", layer.weight.to(torch.float8_e4m3fn))
        self.register_buffer("scale", torch.tensor(0.5))
        self.bias = layer.bias

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype), self.bias)


@pytest.mark.parametrize("wrapper", [Wrapped, Quantised])
@torch.no_grad()
def test_whatever_stands_for_the_layers_is_called(wrapper):
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    bare = inputs.run(transformer, 0.7)
    norms = [transformer.transformer_blocks[1].norm1, transformer.single_transformer_blocks[0].norm]
    for norm in norms:
        norm.linear = wrapper(norm.linear)
    wrappers = [norm.linear for norm in norms]
    plain = inputs.run(transformer, 0.7)
    assert not torch.equal(plain, bare)
    prefetcher = Prefetcher(modulation_layers(transformer).values(), "cpu")
    with make_table(transformer, inputs, [0.7], prefetcher=prefetcher).installed():
        assert torch.equal(inputs.run(transformer, 0.7), plain)
    assert [norm.linear for norm in norms] == wrappers
    assert torch.equal(inputs.run(transformer, 0.7), plain)


def test_the_layers_come_back_after_an_exception():
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    layers = list(modulation_layers(transformer).values())
    plain = inputs.run(transformer, 0.5)
    with pytest.raises(KeyboardInterrupt), make_table(transformer, inputs, [0.5]).installed():
        raise KeyboardInterrupt
    assert list(modulation_layers(transformer).values()) == layers
    assert torch.equal(inputs.run(transformer, 0.5), plain)


@torch.no_grad()
def test_the_true_model_gets_six_gigabytes_smaller():
    """FLUX's own shapes on the meta device: 3.23 of 11.90 billion parameters, a table of under 60 MB for 28 steps."""
    transformer = flux.transformer()
    layers = modulation_layers(transformer).values()
    assert len(layers) == 1 + 2 * 19 + 38 + 1
    assert round(weight_bytes(transformer) / 2 / 1e9, 2) == 11.90
    assert 6.4e9 < sum(map(weight_bytes, layers)) < 6.6e9
    table = ModulationTable(transformer, 2.5, torch.zeros(1, 768), dtype=torch.bfloat16, device="meta")
    table.compute(timesteps_of(28))
    assert 55e6 < table.bytes < 60e6

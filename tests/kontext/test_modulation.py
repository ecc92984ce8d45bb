"""The modulation table against the plain forward pass: bit for bit, and without the weights it stands for."""

import pytest
import torch
from kontinuity.kontext.fast.modulation import compute_table, modulation_layers, table_installed
from kontinuity.kontext.offload import Carousel, weight_bytes
from kontinuity.kontext.sampling import Schedule

CPU = torch.device("cpu")
SCHEDULE = Schedule(use_dynamic_shifting=True)


def make_transformer(dtype=torch.float32, guidance_embeds=True):
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=24, guidance_embeds=guidance_embeds, axes_dims_rope=(4, 6, 6),
    ).to(dtype).eval().requires_grad_(False)


class Inputs:
    """One forward pass's inputs; the pooled text is that of the prompt."""

    def __init__(self, dtype, seed=1, guidance=2.5):
        generator = torch.Generator().manual_seed(seed)
        self.hidden = torch.randn(1, 12, 64, generator=generator).to(dtype)
        self.text = torch.randn(1, 5, 32, generator=generator).to(dtype)
        self.pooled = torch.randn(1, 24, generator=generator).to(dtype)
        self.guidance = guidance

    def run(self, transformer, timestep: torch.Tensor) -> torch.Tensor:
        guided = transformer.config.guidance_embeds
        return transformer(
            hidden_states=self.hidden, encoder_hidden_states=self.text, pooled_projections=self.pooled,
            timestep=timestep.reshape(1), guidance=torch.tensor([self.guidance]) if guided else None,
            img_ids=torch.arange(36.0).reshape(12, 3), txt_ids=torch.zeros(5, 3), return_dict=False)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps, guidance", [(1, 2.5), (4, 2.5), (4, 3.5), (28, 1.0)])
def test_every_step_equals_the_plain_forward_pass_bit_for_bit(dtype, steps, guidance):
    transformer, inputs = make_transformer(dtype), Inputs(dtype, guidance=guidance)
    timesteps = SCHEDULE.sigmas(steps, 12)[:-1]
    with torch.no_grad():
        plain = [inputs.run(transformer, t) for t in timesteps]
        table = compute_table(transformer, timesteps, guidance, inputs.pooled, dtype=dtype, device=CPU)
        with table_installed(transformer, table) as select:
            for i in reversed(range(steps)):  # in any order
                select(float(timesteps[i]))
                assert torch.equal(inputs.run(transformer, timesteps[i]), plain[i])
        assert torch.equal(inputs.run(transformer, timesteps[0]), plain[0])  # its own layers are back
    assert {rows.dtype for rows in table.rows.values()} == {dtype}
    assert {rows.shape[0] for rows in table.rows.values()} == {steps}


def test_prompt_guidance_and_timesteps_all_matter():
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    timesteps = SCHEDULE.sigmas(2, 12)[:-1]

    def rows(timesteps=timesteps, guidance=2.5, pooled=inputs.pooled):
        table = compute_table(transformer, timesteps, guidance, pooled, dtype=torch.float32, device=CPU)
        return table.rows["norm_out.linear"]

    first = rows()
    for other in (rows(guidance=3.0), rows(pooled=inputs.pooled + 1), rows(timesteps=timesteps * 0.9)):
        assert not torch.equal(first, other)


def test_a_transformer_without_guidance():
    transformer, inputs = make_transformer(guidance_embeds=False), Inputs(torch.float32)
    timesteps = torch.tensor([0.7])
    with torch.no_grad():
        table = compute_table(transformer, timesteps, 2.5, inputs.pooled, dtype=torch.float32, device=CPU)
        plain = inputs.run(transformer, timesteps)
        with table_installed(transformer, table) as select:
            select(float(timesteps))
            assert torch.equal(inputs.run(transformer, timesteps), plain)


def test_the_loop_runs_without_the_weights():
    """The layers' weights are gone (on the meta device) while the table stands for them."""
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    timesteps = SCHEDULE.sigmas(2, 12)[:-1]
    with torch.no_grad():
        plain = inputs.run(transformer, timesteps[1])
        table = compute_table(transformer, timesteps, 2.5, inputs.pooled, dtype=torch.float32, device=CPU)
        with table_installed(transformer, table) as select:
            assert len(modulation_layers(transformer)) == 1 + 2 * 2 + 3 + 1
            assert sum(map(weight_bytes, modulation_layers(transformer).values())) == 0
            assert not any("linear" in name or "time_text" in name for name in transformer.state_dict())
            select(float(timesteps[1]))
            assert torch.equal(inputs.run(transformer, timesteps[1]), plain)


def test_layers_in_main_memory_ride_a_carousel():
    transformer, inputs = make_transformer(torch.bfloat16), Inputs(torch.bfloat16)
    timesteps = SCHEDULE.sigmas(3, 12)[:-1]

    def compute(**more):
        return compute_table(transformer, timesteps, 2.5, inputs.pooled, dtype=torch.bfloat16, device=CPU, **more)

    with torch.no_grad():
        resident = compute()
        layers = modulation_layers(transformer)
        carousel = Carousel(layers.values(), "cpu")
        carried, again = compute(carousel=carousel), compute(carousel=carousel)
    for path, rows in resident.rows.items():
        assert torch.equal(carried.rows[path], rows) and torch.equal(again.rows[path], rows)


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
def test_whatever_stands_for_the_layers_is_called(wrapper):
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    timesteps = SCHEDULE.sigmas(2, 12)[:-1]
    with torch.no_grad():
        bare = inputs.run(transformer, timesteps[0])
        norms = [transformer.transformer_blocks[1].norm1, transformer.single_transformer_blocks[0].norm]
        for norm in norms:
            norm.linear = wrapper(norm.linear)
        wrappers = [norm.linear for norm in norms]
        plain = inputs.run(transformer, timesteps[0])
        assert not torch.equal(plain, bare)
        carousel = Carousel(modulation_layers(transformer).values(), "cpu")
        table = compute_table(transformer, timesteps, 2.5, inputs.pooled, dtype=torch.float32, device=CPU,
                              carousel=carousel)
        with table_installed(transformer, table) as select:
            select(float(timesteps[0]))
            assert torch.equal(inputs.run(transformer, timesteps[0]), plain)
        assert [norm.linear for norm in norms] == wrappers
        assert torch.equal(inputs.run(transformer, timesteps[0]), plain)


def test_an_unknown_or_no_timestep_is_refused_and_the_layers_come_back():
    transformer, inputs = make_transformer(), Inputs(torch.float32)
    timesteps = SCHEDULE.sigmas(2, 12)[:-1]
    layers = list(modulation_layers(transformer).values())
    table = compute_table(transformer, timesteps, 2.5, inputs.pooled, dtype=torch.float32, device=CPU)
    with pytest.raises(RuntimeError, match="no timestep"), table_installed(transformer, table):
        inputs.run(transformer, timesteps[0])
    with pytest.raises(KeyError), table_installed(transformer, table) as select:
        select(0.123)
    assert list(modulation_layers(transformer).values()) == layers


def test_the_true_model_gets_six_gigabytes_smaller():
    """FLUX's own shapes on the meta device: 3.23 of 11.90 billion parameters, a table of under 60 MB for 28 steps."""
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True).to(torch.bfloat16)
    layers = modulation_layers(transformer)
    assert len(layers) == 1 + 2 * 19 + 38 + 1
    assert round(weight_bytes(transformer) / 2 / 1e9, 2) == 11.90
    saved = sum(map(weight_bytes, layers.values()))
    assert 6.4e9 < saved < 6.6e9
    with torch.no_grad():
        table = compute_table(transformer, torch.linspace(1, 0.1, 28), 2.5, torch.zeros(1, 768, device="meta"),
                              dtype=torch.bfloat16, device=torch.device("meta"))
    assert 55e6 < table.bytes < 60e6
    assert all(rows.device.type == "meta" for rows in table.rows.values())

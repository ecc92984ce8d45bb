"""The own denoise loop against diffusers' FluxKontextPipeline and scheduler, float32 on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from kontinuity.kontext.sampling import Schedule, make_noise, pack, unpack

TOLERANCE = 1e-5


def run_pipeline(pipeline, request, min_tokens, output_type):
    reference = request.references[0].permute(2, 0, 1).unsqueeze(0) if request.references else None
    return pipeline(
        image=reference, prompt=request.prompt, width=request.width, height=request.height,
        num_inference_steps=request.steps, guidance_scale=request.guidance, max_sequence_length=min_tokens,
        max_area=request.width * request.height, _auto_resize=False, output_type=output_type,
        generator=torch.Generator().manual_seed(request.seed)).images


def assert_parity(model, pipeline, request):
    infos = []
    ours = model.edit(request, infos.append)
    min_tokens = model.settings.min_text_tokens
    latents = run_pipeline(pipeline, request, min_tokens, "latent")
    image = run_pipeline(pipeline, request, min_tokens, "pt")[0].permute(1, 2, 0)
    assert (pack(infos[-1].latents) - latents).abs().max() <= TOLERANCE
    assert ours.shape == (request.height, request.width, 3) == image.shape
    assert (ours - image).abs().max() <= TOLERANCE


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 96), (128, 64), (80, 144), (256, 256)])
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_one_reference(model, pipeline, request_for, width, height, steps):
    assert_parity(model, pipeline, request_for(width=width, height=height, steps=steps))


def test_twenty_steps_other_seed_and_guidance(model, pipeline, request_for):
    assert_parity(model, pipeline, request_for(steps=20, seed=2**64 - 1, guidance=4.5))


def test_no_reference(model, pipeline, request_for):
    assert_parity(model, pipeline, request_for(references=()))


def test_reference_of_another_shape_than_the_result(model, pipeline, request_for, picture):
    # 144 x 64 pixels are exactly the reference area
    assert_parity(model, pipeline, request_for(references=(picture(144, 64),), width=64, height=128))


def test_five_hundred_tokens_of_text(model, pipeline, request_for):
    """FLUX's own padding, and a prompt longer than CLIP's 77."""
    model.settings = replace(model.settings, min_text_tokens=512)
    assert_parity(model, pipeline, request_for(prompt="she waves " * 100))


@pytest.mark.parametrize("config", [
    {"use_dynamic_shifting": True, "shift": 3.0},
    {"use_dynamic_shifting": True, "base_shift": 0.3, "max_shift": 2.0, "base_image_seq_len": 64},
    {"use_dynamic_shifting": True, "time_shift_type": "linear"},
    {"use_dynamic_shifting": False, "shift": 3.0},
    {},
])
def test_sigmas_are_the_schedulers_own(config):
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux_kontext import calculate_shift

    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    c = scheduler.config
    for steps in (1, 2, 3, 8, 20, 28, 50, 200):
        for tokens in (16, 64, 256, 1000, 4096):
            mu = calculate_shift(tokens, c.base_image_seq_len, c.max_image_seq_len, c.base_shift, c.max_shift)
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
            ours = Schedule.from_config(c).sigmas(steps, tokens)
            assert torch.equal(ours, scheduler.sigmas)
            assert ours[0] == 1 and ours[-1] == 0 and (ours.diff() < 0).all()


def test_pack_and_unpack_are_inverse_and_diffusers_own():
    from diffusers import FluxKontextPipeline

    latents = make_noise(16, 6, 10, seed=1)
    assert torch.equal(pack(latents), FluxKontextPipeline._pack_latents(latents, 1, 16, 6, 10))
    assert torch.equal(unpack(pack(latents), 6, 10), latents)


def test_noise_is_float32_of_the_cpu_by_seed():
    expected = torch.randn((1, 16, 4, 4), generator=torch.Generator("cpu").manual_seed(3))
    assert torch.equal(make_noise(16, 4, 4, 3), expected)

"""The demo model's in-between LoRA: trained on what the use case asks, and shipped as a file that fits."""

import random
from dataclasses import replace

import pytest
import torch
from kontinuity.benchmarks._cases import as_picture
from kontinuity.benchmarks._in_between_set import draw_set
from kontinuity.demo_model import in_between_lora, weights_folder
from kontinuity.demo_model.training import between
from kontinuity.demo_model.training.text import PromptCache
from kontinuity.demo_model.training.transformer import unpack
from kontinuity.kontext import load_folder, read_lora, sampling
from kontinuity.storyboard import InBetweens, Sampling
from kontinuity.storyboard.between.asked import in_between_requests
from kontinuity.storyboard.between.ends import both_ends


@pytest.fixture(scope="module")
def demo():
    return load_folder(weights_folder())


def test_the_trainer_computes_what_the_engine_does_with_the_request_of_the_use_case(demo, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    model = diffusers.FluxTransformer2DModel.from_pretrained(weights_folder() / "transformer",
                                                             torch_dtype=torch.float32)
    vae = diffusers.AutoencoderKL.from_pretrained(weights_folder() / "vae", torch_dtype=torch.float32).eval()
    lora = between.add_lora(model, 4)
    for layer in lora.values():
        torch.nn.init.normal_(layer.up.weight, std=0.02)
        for weight in (layer.up.weight, layer.down.weight):  # as they are saved
            weight.data = weight.data.bfloat16().float()
    between.save_lora(lora, tmp_path / "lora.safetensors")
    drawn = draw_set("test", 1, 1)
    batch = between.Batches(drawn, vae, PromptCache()).draw(1, random.Random(0))
    part = float(batch["part"])
    start, end = (as_picture(picture.numpy()) for picture in drawn["ends"][0])
    if part != drawn["parts"][0, 0] / 100:  # told the other way round
        start, end = end, start

    request, = in_between_requests(both_ends(start, end, None, "test"), part, demo, Sampling(1), InBetweens(seed=3),
                                   "test")
    request = replace(request, references=(as_picture(drawn["moved"][0, 0].numpy()), *request.references[1:]))
    steps = []
    tuned = demo.adapted([(read_lora(tmp_path / "lora.safetensors"), 1.0)])
    tuned.edit(request, steps.append)
    noise = sampling.make_noise(16, 16, 16, 3)
    with torch.no_grad():
        velocity = between.velocity(model, between.pack(noise), batch, torch.ones(1))
        plain = between.velocity(model, between.pack(noise), batch | {"part": torch.tensor([0.5])}, torch.ones(1))
    off = (noise - unpack(velocity, 8, 8) - steps[0].latents).abs()
    assert off.mean() < 2e-3 and off.max() < 0.1  # the engine's VAE is another program
    assert (plain - velocity).abs().mean() > 5 * off.mean()  # the weights of the ends play their part


def test_the_shipped_file_fits_and_changes_the_picture(demo, caplog):
    lora = read_lora(in_between_lora())
    assert not caplog.records and in_between_lora().stat().st_size < 2 * 2**20
    drawn = draw_set("shipped", 1, 1)
    ends = both_ends(*(as_picture(picture.numpy()) for picture in drawn["ends"][0]), None, "test")
    request, = in_between_requests(ends, 0.5, demo, Sampling(2), InBetweens(), "test")
    taught, plain = (model.edit(request) for model in (demo.adapted([(lora, 1.0)]), demo))
    moved = ends.moved(0.5)
    assert (taught - moved).abs().mean() < 0.6 * (plain - moved).abs().mean()

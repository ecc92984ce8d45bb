"""The training code: the same token layout as the engine, a resumable run, a codec that inverts, prompts that fit."""

import itertools
import random

import numpy as np
import pytest
import torch
from kontinuity.demo_model.toonworld import ACTIONS, FRAMINGS, PHRASINGS, SCENES, Shot, instruction
from kontinuity.demo_model.training import examples, pca, state, text, transformer
from kontinuity.kontext import references, sampling


def test_tokens_lie_as_in_the_engine():
    latents = torch.randn(3, 16, 8, 8)
    packed = transformer.pack(latents)
    assert torch.equal(packed, torch.cat([sampling.pack(one[None]) for one in latents]))
    ids = transformer.token_ids(4, "cpu")
    assert torch.equal(ids, torch.cat([references.token_ids(4, 4), references.reference_ids([(4, 4)])[0]]))


def test_a_fresh_transformer_predicts_nothing_and_its_gates_are_open():
    torch.manual_seed(0)
    model = transformer.build_transformer()
    batch = {
        "target": torch.randn(2, 16, 64),
        "reference": torch.randn(2, 16, 64),
        "states": torch.randn(2, 8, text.JOINT),
        "pooled": torch.randn(2, text.POOLED),
    }
    noise = torch.randn(2, 16, 64)
    error = transformer.velocity_error(model, batch, torch.tensor([0.5, 1.0]), noise)
    assert torch.allclose(error, (noise - batch["target"]).square().mean(-1))
    gates = model.single_transformer_blocks[0].norm.linear.bias.chunk(3)[2]
    assert torch.equal(gates, torch.ones_like(gates))


def test_examples_show_the_same_character_and_mark_it():
    example = examples.random_example(random.Random(3), 64)
    assert example.reference.shape == example.target.shape == (64, 64, 3)
    assert 0.05 < example.figure.mean() < 0.9
    assert not examples.is_held_out(example.character)
    assert example.prompt in {instruction(example.shot, phrasing) for phrasing in range(PHRASINGS)}


def test_the_linear_codec_is_a_projection():
    codec = pca.PatchPCA.fit(pictures=40, size=64)
    picture = examples.random_picture(random.Random(1), 64)
    signal = torch.from_numpy(examples.to_signal(picture[None]))
    latents = codec.encode(signal)
    assert latents.shape == (1, 16, 8, 8)
    assert torch.allclose(codec.encode(codec.decode(latents)), latents, atol=1e-4)
    assert (codec.decode(latents) - signal).abs().mean() < 0.15


def test_every_instruction_fits_and_is_known():
    cache = text.PromptCache()
    tokenizer = text.t5_tokenizer()
    for parts in itertools.product(SCENES, ACTIONS, FRAMINGS):
        for phrasing in range(PHRASINGS):
            ids = tokenizer(instruction(Shot(*parts), phrasing)).input_ids
            assert len(ids) <= text.MIN_TOKENS and tokenizer.unk_token_id not in ids
    states, pooled = cache([instruction(Shot("beach", "waving")), instruction(Shot("night", "waving"))])
    assert states.shape == (2, text.MIN_TOKENS, text.JOINT) and pooled.shape == (2, text.POOLED)
    assert not torch.equal(states[0], states[1]) and not torch.equal(pooled[0], pooled[1])
    with pytest.raises(ValueError, match="over 32"):
        cache(["walking " * 40])


def test_a_run_goes_on_where_it_was_cut_off(tmp_path):
    def begin():
        torch.manual_seed(0)
        module = torch.nn.Linear(2, 2)
        return module, state.Run(tmp_path, "run", minutes=60, parts={"module": module})

    module, run = begin()
    with torch.no_grad():
        module.weight.fill_(7)
    assert run.tick(32)
    run.save()
    again, resumed = begin()
    assert torch.equal(again.weight, module.weight)
    assert (resumed.step, resumed.samples) == (1, 32) and resumed.elapsed >= run.elapsed
    resumed.log(loss=0.5)
    assert '"loss": 0.5' in (tmp_path / "run.jsonl").read_text()


def test_the_average_follows_and_swaps_back():
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0)
    average = state.Average(module, 0.9)
    with torch.no_grad():
        module.weight.fill_(1)
    for _ in range(200):
        average.update(module)
    assert np.isclose(float(average.values["weight"]), 1, atol=1e-3)
    average.values["weight"].fill_(5)
    average.swap(module)
    assert float(module.weight) == 5
    average.swap(module)
    assert float(module.weight) == 1


def test_the_learning_rate_is_flat_then_falls():
    rates = [state.learning_rate(p / 10, 1.0, flat=0.5) for p in range(11)]
    assert rates[:5] == [1.0] * 5 and rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(0.02)

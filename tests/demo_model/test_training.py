"""The training code: the same token layout as the engine, a resumable run, a codec that inverts, prompts that fit."""

import importlib
import itertools
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from kontinuity.demo_model.toonworld import (
    ACTIONS,
    EDIT_KINDS,
    FRAMINGS,
    PHRASINGS,
    SCENES,
    Character,
    Shot,
    draw,
    instruction,
    random_edit,
)
from kontinuity.demo_model.training import __main__ as whole_training
from kontinuity.demo_model.training import examples, pca, state, text, transformer, vae
from kontinuity.kontext import load_folder, references, sampling


def test_tokens_lie_as_in_the_engine():
    latents = torch.randn(3, 16, 8, 8)
    packed = transformer.pack(latents)
    assert torch.equal(packed, torch.cat([sampling.pack(one[None]) for one in latents]))
    ids = transformer.token_ids((4, 4), (3, 6), "cpu")
    assert torch.equal(ids, torch.cat([references.token_ids(4, 4), references.reference_ids([(3, 6)])[0]]))


def test_a_fresh_transformer_predicts_nothing_and_its_gates_are_open():
    torch.manual_seed(0)
    model = transformer.build_transformer()
    batch = {
        "target": torch.randn(2, 16, 64),
        "reference": torch.randn(2, 16, 64),
        "states": torch.randn(2, 8, text.JOINT),
        "pooled": torch.randn(2, text.POOLED),
        "ids": transformer.token_ids((4, 4), (4, 4), "cpu"),
    }
    noise = torch.randn(2, 16, 64)
    error = transformer.velocity_error(model, batch, torch.tensor([0.5, 1.0]), noise)
    assert torch.allclose(error, (noise - batch["target"]).square().mean(-1))
    gates = model.single_transformer_blocks[0].norm.linear.bias.chunk(3)[2]
    assert torch.equal(gates, torch.ones_like(gates))


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_examples_show_unheld_characters_and_weigh_what_matters(kind):
    example = examples.random_example(random.Random(3), kind)
    assert example.target.shape == (128, 128, 3) and example.weight.shape == (128, 128)
    assert example.reference.shape == ((256, 128, 3) if kind == "two" else (128, 128, 3))
    assert example.weight.min() >= 1 and 1.1 < example.weight.mean() < 5
    assert not any(map(examples.is_held_out, example.edit.before[0].cast))


def test_two_references_lie_where_the_engine_puts_them():
    engine = torch.cat([references.token_ids(8, 8), *references.reference_ids([(8, 8), (8, 8)], "offset")])
    assert torch.equal(transformer.token_ids((8, 8), (16, 8), "cpu"), engine)
    edit = random_edit("two", random.Random(1), (Character.from_seed(1), Character.from_seed(2)))
    for picture, view in zip(np.split(examples.draw_reference(edit.before), 2), edit.before, strict=True):
        assert np.array_equal(picture, draw(view.cast, view.shot))


@pytest.mark.parametrize("share, size, kind", transformer.SHAPES)
def test_batches_of_every_shape_have_as_many_ids_as_tokens(share, size, kind):
    codec = pca.PatchPCA.load()
    batch = transformer.Batches(codec.encode, text.PromptCache(), 3, "cpu").of(random.Random(0), size, kind)
    tokens = batch["target"].shape[1] + batch["reference"].shape[1]
    assert batch["ids"].shape == (tokens, 3) and batch["weight"].shape == batch["target"].shape[:2]
    assert batch["target"].shape[1] == size[0] * size[1] // 256 and share > 0


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
    assert cache.fits("walking " * (text.MIN_TOKENS - 1)) and not cache.fits("walking " * text.MIN_TOKENS)


def test_an_instruction_that_is_too_long_is_drawn_again(monkeypatch):
    drawn = []

    def now_and_then_long(*given):
        example = examples.random_example(*given)
        drawn.append(example)
        long = replace(example.edit, text="walking " * 60)
        return replace(example, edit=long) if len(drawn) == 2 else example

    monkeypatch.setattr(transformer, "random_example", now_and_then_long)
    batch = transformer.Batches(pca.PatchPCA.load().encode, text.PromptCache(), 3, "cpu").of(random.Random(0))
    assert batch["states"].shape == (3, text.MIN_TOKENS, text.JOINT) and len(drawn) == 4


def test_a_word_means_the_same_in_a_larger_vocabulary_and_its_neighbours_are_heard():
    assert torch.equal(text._word_vector("▁beach", 0), text._word_vector("▁beach", 0))
    _, _, tokenizer, t5 = text.text_encoders()

    def said(words: str) -> torch.Tensor:
        ids = tokenizer(words, return_tensors="pt").input_ids
        with torch.no_grad():
            return t5(ids).last_hidden_state[0]

    left = said("left waving right sitting")
    right = said("left sitting right waving")
    other = (left[1] - right[3]).norm() / left[1].norm()  # "waving" after "left" and after "right"
    assert other > 0.1


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


@pytest.mark.slow
def test_one_command_runs_every_stage_and_writes_what_is_shipped(tmp_path, monkeypatch):
    said = []

    def run_here(command, check):
        assert command[:2] == [sys.executable, "-m"] and check
        said.append(command[2:])
        monkeypatch.setattr(sys, "argv", command[2:])
        importlib.import_module(command[2]).main()

    monkeypatch.setattr(whole_training.subprocess, "run", run_here)
    for module, name, few in ((vae, "JUDGED", 2), (transformer, "JUDGED", 3), (transformer, "SAMPLES", 2),
                              (transformer, "BATCH", 2), (vae, "BATCH", {"encoder": 2, "decoder": 2, "joint": 2})):
        monkeypatch.setattr(module, name, few)
    whole_training.main(["--minutes=0.0001", "--device=cpu", f"--state={tmp_path / 'state'}", f"--out={tmp_path}"])
    assert len(said) == len(whole_training.STAGES) + 3
    assert load_folder(tmp_path / "weights").settings.combine == "offset"
    assert (tmp_path / "identity" / "finder.safetensors").exists()
    assert (tmp_path / "curves.png").exists() and (tmp_path / "samples.jpg").exists()


def test_minutes_are_shared_among_the_stages():
    def minutes(*given: str) -> list[float]:
        options = whole_training.parser().parse_args(given)
        runs = whole_training.commands(options)[: len(whole_training.STAGES)]
        return [float(word.removeprefix("--minutes=")) for run in runs for word in run if word.startswith("--minutes=")]

    usual = minutes("--device=cpu")
    assert usual == [*whole_training.STAGES.values()]
    assert minutes("--device=cpu", "--minutes=68.3") == pytest.approx([one / 10 for one in usual])
    assert sum(minutes("--device=cuda")) == pytest.approx(whole_training.GPU_MINUTES)
    [shared] = [run for run in whole_training.commands(whole_training.parser().parse_args(["--workers=2"]))
                if "--nproc-per-node=2" in run]
    assert f"{whole_training.__package__}.transformer" in shared

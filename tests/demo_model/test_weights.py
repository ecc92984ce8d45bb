"""The shipped weights: small enough, the true architecture, and they keep a character. Figures for 200 characters:
``dev.py bench demo_model``."""

import json
import math
import random

import pytest
import torch
from kontinuity.benchmarks._cases import Tally, answer, judge, through_codec, unseen_case
from kontinuity.demo_model import weights_folder
from kontinuity.demo_model.toonworld import PHRASINGS, Shot, draw, instruction
from kontinuity.demo_model.training import text
from kontinuity.demo_model.training.examples import is_held_out, random_character
from kontinuity.kontext import check_folder, load_folder

CHARACTERS = 16


@pytest.fixture(scope="module")
def model():
    return load_folder(weights_folder())


def test_the_folder_is_small_and_kontext_shaped():
    check_folder(weights_folder())
    assert sum(path.stat().st_size for path in weights_folder().rglob("*") if path.is_file()) <= 40 * 2**20
    config = json.loads((weights_folder() / "transformer" / "config.json").read_text())
    assert config["in_channels"] == 64 and config["guidance_embeds"]
    assert not list(weights_folder().rglob("*.bin"))


def test_held_out_characters_are_a_fixed_part_of_the_world():
    rng = random.Random(0)
    people = [random_character(rng) for _ in range(200)]
    assert not any(map(is_held_out, people))
    assert is_held_out(random_character(rng, held_out=True))


@pytest.mark.slow
def test_unseen_characters_survive_an_edit_and_the_reference_is_what_does_it(model):
    """benchmarks/results/demo_model.json has the same for more characters."""
    right, wrong, parts = Tally(), Tally(), Tally()
    for seed in range(CHARACTERS):
        case, other = unseen_case("board", seed), unseen_case("board", seed + 1)
        for tally, reference in ((right, case.reference), (wrong, other.reference)):
            found, attributes = judge(case, answer(model, case, 4, reference))
            for hit in attributes.values():
                tally.add("kept", hit)
            if tally is right:
                for name in ("scene", "action", "framing"):
                    parts.add(name, found[name])
    assert right.share("kept") >= 0.9
    assert wrong.share("kept") <= 0.4
    assert min(parts.share(name) for name in ("scene", "action", "framing")) >= 0.85


def judged(model, kind: str, cases: int) -> Tally:
    """The parts of the answers to the first cases of a kind, and "kept": all attributes together."""
    tally = Tally()
    for seed in range(cases):
        case = unseen_case(kind, seed)
        parts, attributes = judge(case, answer(model, case, 4))
        for name, value in parts.items():
            tally.add(name, value)
        for hit in attributes.values():
            tally.add("kept", hit)
    return tally


@pytest.mark.slow
def test_two_unseen_characters_stay_apart(model):
    tally = judged(model, "two", 5)
    assert tally.share("done") >= 0.8 and tally.share("kept") >= 0.75


@pytest.mark.parametrize("kind", ["scene", "accessory", "remove", "style", "same"])
def test_a_picture_can_be_edited(model, kind):
    tally = judged(model, kind, 4)
    assert tally.share("kept") >= 0.8
    assert kind == "same" or tally.share("done") >= 0.75
    assert kind == "scene" or tally.share("untouched") >= 0.85


@pytest.mark.slow
def test_the_codec_alone_keeps_the_character(model):
    tally, error = Tally(), []
    for seed in range(12):
        case = unseen_case("board", seed)
        truth = draw(case.edit.after.cast, case.edit.after.shot)
        made = through_codec(model, truth)
        error.append(((made.astype(float) - truth) ** 2).mean())
        for hit in judge(case, made)[1].values():
            tally.add("kept", hit)
    assert tally.share("kept") >= 0.95
    assert 10 * math.log10(255**2 / (sum(error) / len(error))) >= 27


def test_a_text_side_survives_being_written_and_loaded(tmp_path):
    """transformers rebuilds tokenizers when it loads a folder; what it builds must give the same tokens and states."""
    from transformers import T5EncoderModel, T5TokenizerFast

    _, _, tokenizer, encoder = text.text_encoders()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    encoder.save_pretrained(tmp_path / "encoder")
    loaded = T5TokenizerFast.from_pretrained(tmp_path / "tokenizer")
    again = T5EncoderModel.from_pretrained(tmp_path / "encoder").eval()
    for phrasing in range(PHRASINGS):
        prompt = instruction(Shot("beach", "waving", "close-up"), phrasing)
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        assert torch.equal(loaded(prompt, return_tensors="pt").input_ids, ids)
        with torch.no_grad():
            assert torch.equal(again(ids).last_hidden_state, encoder(ids).last_hidden_state)


def test_other_scripts_are_unknown_and_there_is_a_preview(model):
    tokenizer = model.backend.t5_tokenizer
    assert tokenizer.unk_token_id in tokenizer("背景を海に").input_ids
    assert tokenizer.unk_token_id not in tokenizer("Zebra, 3 cups!").input_ids
    assert model.settings.latent_rgb is not None

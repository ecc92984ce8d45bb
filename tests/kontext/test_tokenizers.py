"""The tokenizers give the same tokens with every transformers we allow (dev.py environments runs this file with 4 and
5), from folders that either of them wrote."""

import json
import os
import shutil
from pathlib import Path

import pytest
from kontinuity.demo_model import weights_folder
from kontinuity.kontext.load.parts import load_tokenizers
from kontinuity.kontext.text import TokenSpan, t5_tokens, text_token_ids

DEMO = (Path(weights_folder(), "tokenizer"), Path(weights_folder(), "tokenizer_2"))
COMFYUI = os.environ.get("KONTINUITY_COMFYUI")
PROMPT = "Change the background to a beach, the character's café 她  waving"
DEMO_IDS = (  # with transformers 5.24
    [512, 66, 71, 64, 77, 70, 324, 83, 71, 324, 65, 64, 66, 74, 70, 81, 78, 84, 77, 323, 83, 334, 320, 65, 68,
     64, 66, 327, 267, 83, 71, 324, 66, 71, 64, 81, 64, 66, 83, 68, 337, 6, 338, 66, 64, 69, 127, 358, 161, 98,
     373, 86, 64, 85, 72, 77, 326, 513],
    [266, 161, 18, 163, 5, 21, 184, 161, 36, 222, 204, 3, 188, 186, 191, 2, 3, 2, 174, 1])
SHARED_IDS = (
    [49406, 1799, 518, 5994, 531, 320, 2117, 267, 518, 4009, 568, 15304, 29290, 373, 26545, 49407],
    [5968, 8, 2458, 12, 3, 9, 2608, 6, 8, 1848, 31, 7, 11949, 3, 2, 8036, 3745, 1])


def ids(tokenizers) -> tuple[list[int], list[int]]:
    return tuple(tokenizer(PROMPT).input_ids for tokenizer in tokenizers)


def test_the_demo_models_tokens():
    assert ids(load_tokenizers(*DEMO)) == DEMO_IDS


@pytest.mark.skipif(not COMFYUI, reason="the tokenizers of single files are ComfyUI's")
def test_the_tokens_of_single_files():
    shared = Path(COMFYUI, "comfy", "sd1_tokenizer"), Path(COMFYUI, "comfy", "text_encoders", "t5_tokenizer")
    assert ids(load_tokenizers(*shared)) == SHARED_IDS


def test_padding_and_special_tokens():
    clip, t5 = load_tokenizers(*DEMO)
    clip_ids, t5_ids = text_token_ids(clip, t5, "a beach", 8, 77)
    assert clip_ids.shape == (1, 77) and t5_ids.tolist() == [[5, 21, 1, 0, 0, 0, 0, 0]]
    assert (clip.eos_token_id, len(clip), t5.eos_token_id, t5.unk_token_id, len(t5)) == (513, 514, 1, 2, 442)


def test_a_token_begins_at_its_word():
    _, t5 = load_tokenizers(*DEMO)
    pieces = t5_tokens(t5, "a 她 beach")
    assert [piece for piece in pieces if not piece.known] == [TokenSpan(2, 3, False)]
    assert (pieces[0].start, pieces[-1]) == (0, TokenSpan(4, 9, True))


@pytest.mark.parametrize("change", [
    {"extra_special_tokens": [], "backend": "tokenizers"},  # as transformers 5 writes it
    {"extra_special_tokens": [f"<extra_id_{i}>" for i in range(3)]},
    {"additional_special_tokens": []}, {"tokenizer_class": "TokenizersBackend"}])
def test_folders_that_either_transformers_wrote(tmp_path, change):
    folders = []
    for source in DEMO:
        folders.append(shutil.copytree(source, tmp_path / source.name))
        config = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
        (folders[-1] / "tokenizer_config.json").write_text(json.dumps(config | change), "utf-8")
    assert ids(load_tokenizers(*folders)) == DEMO_IDS


def test_the_demo_model_is_written_so_that_both_read_it():
    for folder in DEMO:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        assert not isinstance(config.get("extra_special_tokens"), list)

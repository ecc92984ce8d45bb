"""Our models in ComfyUI's own memory manager: its books are right, and what it takes comes back with the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def found(comfyui, tiny_model_folder) -> dict:
    command = [sys.executable, str(Path(__file__).with_name("memory_checks.py")), str(comfyui), str(ROOT),
               str(tiny_model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "memory leak" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_comfyui_counts_what_is_on_the_card(found):
    plain, lean, leanest = found["plain"], found["lean"], found["leanest"]
    assert plain["loaded"] == plain["size"] == plain["total"]
    assert lean["table"] and lean["loaded"] == lean["size"] == lean["resident"] < plain["total"]
    assert leanest["offloaded"] == 3 and leanest["loaded"] == leanest["size"] == leanest["resident"] < lean["size"]
    for books in (plain, lean, leanest):
        assert books["entries"] == 1  # a new residency replaces the old entry
        assert books["overlap"] == 0  # nothing that is away is in the books


def test_the_same_bits_however_little_stays(found):
    assert found["lean equal"] and found["leanest equal"]


def test_unload_takes_all_and_it_comes_back(found):
    assert found["after unload"]["entries"] == 0
    assert found["back equal"]


def test_other_models_take_a_part_and_it_comes_back(found):
    assert 0 < found["partly out"]["loaded"] < found["partly out"]["size"]
    assert found["partly equal"]
    assert found["whole again"]["loaded"] == found["whole again"]["size"]


def test_cancel_at_every_step_leaves_nothing(found):
    assert found["stopped"] == [1, 2, 3]
    assert found["equal after cancel"]


def test_a_second_model_replaces_the_first(found):
    first = found["first model"]
    assert first["gone"] and first["entries before"] > 0 and first["entries"] == 0
    assert found["second equal"]


def test_inspect_model_predicts_an_edit_on_this_card(found):
    whole, packed, other, folder = found["predictions"]
    assert "blocks are brought in" in whole
    assert "at most" in packed and "blocks are brought in" not in packed
    assert other is None and found["no card"] is None
    assert "blocks are brought in" in folder


def test_the_room_is_what_is_free_and_what_others_would_give_back(found):
    assert found["room"] == [0, 10**6]


def test_a_chosen_size_limits_a_card_and_nothing_else(found):
    assert found["limits"] == [None, 7 * 2**30, None]

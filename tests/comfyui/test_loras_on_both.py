"""One LoRA reader: a file means the same to our own model and to a native MODEL, in every layout and kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent / "kontext"))
from lora_files import bfl_layers, matrix  # noqa: E402

TOLERANCE = 1e-5  # final latents, whose largest value is 4
CASES = matrix({module: (1, 1) for modules in bfl_layers().values() for module in modules})  # for their names only


@pytest.fixture(scope="module")
def report(comfyui, tmp_path_factory) -> dict:
    """What lora_report.py found."""
    base = tmp_path_factory.mktemp("loras")
    (base / "custom_nodes").mkdir()
    command = [sys.executable, str(HERE / "lora_report.py"), str(comfyui), str(ROOT), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_the_same_latents_on_either_backend(report, case):
    assert report["cases"][case]["parity"] <= TOLERANCE
    assert report["cases"][case]["effect"] > 100 * TOLERANCE


def test_comfyuis_own_reader_makes_the_same_of_what_it_reads(report):
    worst = {case: found for case, found in report["ComfyUI's own reader"].items() if not found <= 2e-6}
    assert len(report["ComfyUI's own reader"]) == 12 and worst == {}


def test_several_on_a_native_model(report):
    """In any order, at once or one after another."""
    assert report["stack"] <= TOLERANCE


def test_a_native_model_in_fp8(report):
    """ComfyUI rounds the changed weights to fp8 again; the change is there, and the MODEL without it is as before."""
    for changed, plain in report["fp8"].values():
        assert 0.7 * plain < changed < 1.4 * plain
    assert report["fp8 afterwards"] == 0


def test_weights_that_comfyui_changes_in_each_pass(report):
    assert report["patched on the way"] == 0


def test_nothing_is_left_behind(report):
    assert report["afterwards"] == [0, 0] and report["strength 0"] == 0
    assert report["MODEL untouched"]  # by a LoRA of the text encoders


def test_prompts_stay_encoded(report):
    assert report["CLIP kept"]


def test_a_model_of_other_classes(report):
    """nunchaku's has FLUX's layers in a form of its own, and takes LoRAs by its own node."""
    assert "finds none of its layers in this MODEL" in report["other classes"]
    assert "the LoRA node that belongs to the MODEL's loader" in report["other classes"]


@pytest.mark.parametrize(("case", "words"), [
    ("more blocks", ["lora_unet_double_blocks_7_img_mlp_0", "one of 1 layers this model does not have"]),
    ("wider", ["3072 inputs and 9216 outputs", "this model has 32 and 96", "1 of 2 layers"]),
])
def test_what_cannot_land_is_said_alike(report, case, words):
    ours, theirs = report["refused"][case]
    assert ours == theirs and all(word in ours for word in words)


@pytest.mark.parametrize(("case", "words"), [
    ("bias of a layer without", ["block.0.layer.0.SelfAttention.q 'bias'", "has none in this model"]),
    ("no layers there, kohya", ["finds none of its layers in this MODEL"]),
    ("no layers there, text encoders only", ["finds none of its layers in this CLIP"]),
])
def test_what_only_a_native_model_refuses(report, case, words):
    ours, theirs = report["refused"][case]
    assert not ours and all(word in theirs for word in words)

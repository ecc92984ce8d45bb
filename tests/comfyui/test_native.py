"""ComfyUI's own MODEL, CLIP and VAE: the same pictures as our loader's, patches kept, and the way back."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TOLERANCE = 1e-5  # final latents, whose largest value is 4
PIXELS = 1e-5  # of 0..1


@pytest.fixture(scope="module")
def report(comfyui, tmp_path_factory) -> dict:
    """What native_report.py found."""
    base = tmp_path_factory.mktemp("native")
    (base / "custom_nodes").mkdir()
    command = [sys.executable, str(HERE / "native_report.py"), str(comfyui), str(ROOT), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_final_latents_and_pictures_equal_those_of_the_diffusers_backend(report):
    assert len(report["parity"]) == 19
    worst = {name: found for name, found in report["parity"].items() if found[0] > TOLERANCE or found[1] > PIXELS}
    assert worst == {}


def test_everything_that_was_compared_matters(report):
    """Parity of something the tiny model ignores would say nothing."""
    assert min(report["matters"].values()) > 100 * TOLERANCE, report["matters"]


def test_a_model_goes_to_comfyui_and_back_unchanged(report):
    trip = report["round_trip"]
    assert trip["name"] == "n" and trip["settings"] is True
    assert max(*trip["one"], *trip["two"]) <= TOLERANCE
    assert max(*trip["strengths"], *trip["strengths, regions, guide"]) <= TOLERANCE
    assert trip["the same objects"] == [True, True, True]


def test_patches_of_the_model_are_used_and_leave_the_others_alone(report):
    patches = report["patches"]
    assert patches["effect"] > 100 * TOLERANCE and patches["afterwards"] == 0
    assert patches["sigmas"] < 1e-6  # a wrapper was called once a step, with our sigmas


def test_another_attention_on_the_model_is_used_in_the_steps_without_a_plan(report):
    assert [steps for steps, _ in (report["attention"][name] for name in ("plain", "late", "afterwards"))] == [4, 2, 4]
    assert max(difference for _, difference in (report["attention"][name] for name in ("plain", "late"))) <= TOLERANCE


def test_a_transformer_that_computes_attention_itself_is_refused(report):
    said = report["attention"]["refused"]
    assert report["attention"]["not refused"] == ""
    assert "model 'Linear'" in said and "Load Diffusion Model" in said


@pytest.mark.parametrize("node", ["flux", "aura"])
def test_noise_levels_of_a_sampling_node_on_the_model_are_used(report, node):
    difference, effect = report["sampling"][node]
    assert difference <= TOLERANCE and effect > 100 * TOLERANCE


@pytest.mark.parametrize("node", ["SD3", "EDM"])
def test_sampling_nodes_of_other_models_are_refused(report, node):
    assert "is a sampling patch on this MODEL that is not for FLUX" in report["sampling"][node]
    assert "ModelSamplingFlux" in report["sampling"][node]


@pytest.mark.parametrize("case", ["cfg 3", "no guidance"])
def test_core_guiders_do_the_same_with_ours_as_with_comfyuis_own(report, case):
    difference, effect = report["negative"][case]
    assert difference <= TOLERANCE and effect > 100 * TOLERANCE
    assert report["negative"]["another negative"] > 100 * TOLERANCE


def test_patches_that_need_a_negative_prompt_are_named(report):
    nothing, rescaled, free = report["negative"]["said"]
    assert nothing == []
    assert len(rescaled) == len(free) == 1 and "RescaleCFG" in rescaled[0] and "NAG" in free[0]


def test_fp8_weights_stay_fp8(report):
    assert report["patches"]["fp8 dtype"] == "torch.float8_e4m3fn"
    assert 100 * TOLERANCE < report["patches"]["fp8"] < 1


def test_a_lora_gives_the_same_on_either_backend(report):
    """Ours adds branches, ComfyUI changes the weights."""
    lora = report["lora"]
    assert lora["parity"] <= TOLERANCE and lora["effect"] > 100 * TOLERANCE and lora["afterwards"] == 0
    assert "finds none of its layers in this MODEL" in lora["refused"]


def test_cancel_stops_and_the_next_edit_works_after_unloading(report):
    assert report["cancel"] == {"error": "InterruptProcessingException", "steps": [1, 2], "afterwards": 0}


@pytest.mark.parametrize(("case", "socket", "words"), [
    ("Fill", "model", ["FLUX.1 Fill", "Load Diffusion Model"]),
    ("Canny", "model", ["Canny or Depth"]),
    ("schnell", "model", ["schnell", "guidance"]),
    ("FLUX.2", "model", ["FLUX.2"]),
    ("SD3", "model", ["SD3", "flux1-dev-kontext"]),
    ("no model", "model", ["is not FLUX.1 Kontext"]),
    ("no clip", "clip", ["no text encoders", "DualCLIPLoader, type flux"]),
    ("SD clip", "clip", ["SD1Tokenizer", "DualCLIPLoader, type flux"]),
    ("SD3 clip", "clip", ["SD3Tokenizer", "t5xxl"]),
    ("no vae", "vae", ["no VAE", "Load VAE"]),
    ("SD vae", "vae", ["4 channels", "ae.safetensors"]),
    ("video vae", "vae", ["video VAE"]),
])
def test_other_models_are_refused_by_socket_and_loader(report, case, socket, words):
    said = report["refused"][case]
    assert said.startswith(f"Kontext from MODEL, CLIP, VAE: {socket} ")
    assert all(word in said for word in words), said


def test_the_shipped_workflow_runs_with_the_users_files(report):
    workflow = report["workflow"]
    assert workflow.get("success"), workflow
    assert workflow["size"] == [64, 64]


def test_core_samplers_draw_the_demo_models_own_picture(server, run):
    """The graph of core nodes that one would build for FLUX.1 Kontext, beside our Edit node."""
    prompt = ("Change the background to a beach, the character is waving, full body. "
              "Keep the same face, hair and clothes.")
    graph = {
        "1": node("Kontinuity_LoadModel", model="demo model (built in)"),
        "2": node("Kontinuity_ToNative", model=["1", 0]),
        "3": node("Kontinuity_DemoCharacter", seed=231),
        "4": node("CLIPTextEncode", clip=["2", 1], text=prompt),
        "5": node("VAEEncode", pixels=["3", 0], vae=["2", 2]),
        "6": node("ReferenceLatent", conditioning=["4", 0], latent=["5", 0]),
        "7": node("FluxGuidance", conditioning=["6", 0], guidance=2.5),
        "8": node("ModelSamplingFlux", model=["2", 0], max_shift=1.15, base_shift=0.5, width=128, height=128),
        "9": node("EmptySD3LatentImage", width=128, height=128, batch_size=2),
        "10": node("KSampler", model=["8", 0], positive=["7", 0], negative=["4", 0], latent_image=["9", 0], seed=1,
                   steps=8, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0),
        "11": node("VAEDecode", samples=["10", 0], vae=["2", 2]),
        "12": node("SaveImage", images=["11", 0], filename_prefix="to_native/core"),
        "13": node("Kontinuity_Edit", model=["1", 0], picture=["3", 0], instruction=prompt, seed=1, steps=8,
                   guidance=2.5, width=128, height=128),
        "14": node("SaveImage", images=["13", 0], filename_prefix="to_native/edit"),
    }
    result, _ = run(graph)
    assert result.status == "success", result.error
    first, second, ours = (pixels(server, image) for key in ("12", "14") for image in result.outputs[key]["images"])
    assert np.abs(first - ours).max() <= 1
    assert np.abs(second - ours).mean() > 1 > np.abs(first - ours).mean()  # the batch has another noise
    assert ours.std() > 20


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def pixels(server, image: dict) -> np.ndarray:
    with Image.open(server.base / "output" / image["subfolder"] / image["filename"]) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)

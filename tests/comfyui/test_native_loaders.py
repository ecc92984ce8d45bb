"""The same files through this pack's reader and ComfyUI's own loaders: the same velocity, within a tolerance."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_files as files
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "checkpoints.md"
ALL_IN_ONE = ("all-in-one", "bf16"), ("all-in-one", "fp8_e4m3fn scaled, scale_weight + scaled_fp8")


UNREADABLE = "cannot read it"


def matrix() -> dict[tuple[str, str], list[str]]:
    """(layout, precision) -> for each ComfyUI there: largest difference of a velocity of about 2, or UNREADABLE."""
    section = PAGE.read_text("utf-8").partition("## The matrix")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+) \|$", section, re.MULTILINE)[1:]
    return {(layout, precision): hosts.split(" | ") for layout, precision, hosts in rows}


def is_so(said: str, ours: torch.Tensor, native: torch.Tensor | str | None) -> bool:
    """Does ComfyUI get on with a file as an entry of the matrix says?"""
    if said == UNREADABLE:  # it refuses the file, or its picture is another one; the difference may be NaN
        return not torch.is_tensor(native) or not (native - ours).abs().max() < 0.2
    return torch.is_tensor(native) and bool((native - ours).abs().max() <= float(said))


PROMPT = "Change the background to a beach at night; she's waving. Café, 3 cats & \"quotes\" \n 😀 KEEP the face"


@pytest.fixture(scope="module")
def velocities(comfyui, tmp_path_factory) -> dict:
    """(layout, precision) -> (our velocity, ComfyUI's or why not); "clip", "t5" -> ComfyUI's token numbers."""
    from kontinuity.kontext import Conditions
    from kontinuity.kontext.backends.transformer import make_velocity
    from kontinuity.kontext.files.source import Source
    from kontinuity.kontext.load.components import transformer_filling

    folder = tmp_path_factory.mktemp("native")
    tiny = files.build()
    state = files.module_state(tiny["transformer"])
    generator = torch.Generator().manual_seed(5)
    inputs = {name: torch.randn(shape, generator=generator) for name, shape in (
        ("x", (1, 16, 8, 12)), ("reference", (1, 16, 4, 6)), ("context", (1, 5, files.TEXT)), ("y", (1, files.POOLED)))}
    inputs |= {"timestep": torch.tensor([0.7]), "guidance": torch.tensor([2.5])}
    save_file(inputs, folder / "inputs.safetensors")
    ours = {}
    for (layout, precision), writer in files.TRANSFORMERS.items():
        path = folder / files.file_name(layout, precision)
        writer(path, state)
        ours[layout, precision] = path, Source.of_file(path)
    packs = files.plain(torch.bfloat16), files.scaled("scaled_fp8")
    for (layout, precision), packing in zip(ALL_IN_ONE, packs, strict=True):
        path = folder / f"kontext all-in-one {precision}.safetensors"
        files.save_all_in_one(path, tiny, packing)
        ours[layout, precision] = path, Source.of_file(path).below(files.MODEL)

    script = Path(__file__).with_name("native_velocities.py")
    done = subprocess.run([sys.executable, str(script), str(comfyui), str(folder), PROMPT], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    native = load_file(folder / "outputs.safetensors")
    with safe_open(folder / "outputs.safetensors", "pt") as file:
        failed = file.metadata() or {}
    found = {"clip": native["clip"], "t5": native["t5"]}
    for key, (path, source) in ours.items():
        source = source.below(files.MODEL) if "prefix" in key[0] else source
        transformer = transformer_filling(source, torch.float32).read()
        with torch.no_grad():
            conditions = Conditions((inputs["context"], inputs["y"]), (inputs["reference"],), "offset", 2.5,
                                    inputs["timestep"])
            mine = make_velocity(transformer, conditions, (8, 12), torch.device("cpu"))(
                inputs["x"], inputs["timestep"])
        found[key] = mine, native.get(path.name, failed.get(path.name))
    return found


@pytest.mark.parametrize(("layout", "precision"), [*files.TRANSFORMERS, *ALL_IN_ONE])
def test_comfyui_computes_the_same(velocities, layout, precision):
    """Or, where the page says so of one ComfyUI, cannot read the file."""
    ours, native = velocities[layout, precision]
    assert ours.abs().max() > 0.5
    difference = (native - ours).abs().max() if torch.is_tensor(native) else native
    assert any(is_so(said, ours, native) for said in matrix()[layout, precision]), difference


def test_comfyuis_tokenizers_give_its_tokens(velocities, comfyui):
    """From ComfyUI's folders as nodes/host/folders.py hands them over; T5 padded to FLUX's 512."""
    from kontinuity.kontext.load.parts import load_tokenizers
    from kontinuity.kontext.text import MAX_T5_TOKENS, token_count

    folder = comfyui / "comfy"
    clip, t5 = load_tokenizers(folder / "sd1_tokenizer", folder / "text_encoders" / "t5_tokenizer")
    ours = clip([PROMPT], padding="max_length", max_length=77, truncation=True).input_ids[0]
    assert ours == velocities["clip"].tolist() and clip.eos_token_id == 49407
    ours = t5([PROMPT], padding="max_length", max_length=MAX_T5_TOKENS, truncation=True).input_ids[0]
    native = velocities["t5"].tolist()
    assert ours[: len(native)] == native and len(ours) == 512 and not any(ours[token_count(t5, PROMPT) :])


def test_the_page_lists_what_is_tested():
    """docs/checkpoints.md has one row for each layout and precision."""
    assert list(matrix()) == [*files.TRANSFORMERS, *ALL_IN_ONE]


def test_this_comfyui_is_like_one_of_the_page(velocities):
    """One column of docs/checkpoints.md is true of it from top to bottom."""
    columns = zip(*matrix().values(), strict=True)
    wrong = [[key for key, said in zip(matrix(), column, strict=True) if not is_so(said, *velocities[key])]
             for column in columns]
    assert len(wrong) == 2 and not all(wrong), f"this ComfyUI needs a column of its own: {wrong}"

"""The tiny model in memory, its requests, and diffusers' pipeline on the same folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_files as files
import torch

REFERENCE_AREA = 96 * 96
MIN_TOKENS = 32


def _picture(width: int = 96, height: int = 96, seed: int = 5) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def picture():
    """Builds a seeded noise picture: picture(width=96, height=96, seed=5)."""
    return _picture


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """A copy of the tiny model to break."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.fixture(scope="session")
def loaded(tiny_model_folder):
    from kontinuity.kontext import load_folder

    return load_folder(tiny_model_folder)


@pytest.fixture
def model(loaded):
    """A fresh model (own caches, placement, settings) around the shared weights."""
    from kontinuity.kontext import KontextModel
    from kontinuity.kontext.backends.modules import ModuleBackend

    settings = replace(loaded.settings, width=96, height=96, reference_area=REFERENCE_AREA, min_text_tokens=MIN_TOKENS)
    shared = loaded.backend
    backend = ModuleBackend(shared.components, shared.clip_tokenizer, shared.t5_tokenizer)
    return KontextModel(name="tiny", backend=backend, schedule=loaded.schedule, settings=settings)


@pytest.fixture
def request_for():
    """Builds an EditRequest; keyword arguments replace its fields."""
    from kontinuity.kontext import EditRequest

    def build(**changes):
        fields = dict(prompt="change the background to a beach, she waves", references=(_picture(),), width=96,
                      height=96, seed=7, steps=2, where="panel 'beach'")
        return EditRequest(**fields | changes)

    return build


@pytest.fixture(scope="session")
def pipeline(tiny_model_folder):
    from diffusers import FluxKontextPipeline

    pipe = FluxKontextPipeline.from_pretrained(tiny_model_folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def tiny():
    """float32 modules of FLUX's head layout: transformer, clip, t5, vae. Not to be changed."""
    return files.build()


@pytest.fixture(scope="session")
def others(tiny, tmp_path_factory):
    """Files of the other parts as people have them, and the shared folder of tokenizers."""
    folder = tmp_path_factory.mktemp("parts")
    states = {part: files.module_state(tiny[part]) for part in ("clip", "t5", "vae")}
    clip = {f"text_model.{name}": tensor for name, tensor in states["clip"].items()}
    files.save(folder / "clip_l.safetensors", files.plain(torch.float32)(clip))
    files.save(folder / "t5xxl.safetensors", files.plain(torch.float32)(states["t5"]))
    files.save(folder / "ae.safetensors", files.plain(torch.float32)(files.to_bfl_vae(states["vae"])))
    return {"clip": folder / "clip_l.safetensors", "t5": folder / "t5xxl.safetensors", "vae": folder / "ae.safetensors"}


@pytest.fixture
def load_files(others, tiny_model_folder):
    """load_files(path, **changes): load_parts with the tiny tokenizers and the other parts."""
    from kontinuity.kontext import load_parts

    tokenizers = (tiny_model_folder / "tokenizer", tiny_model_folder / "tokenizer_2")
    return lambda path, **changes: load_parts(path, **{**others, "tokenizers": tokenizers, **changes})

"""The tiny model in memory, its requests, and diffusers' pipeline on the same folder."""

from dataclasses import replace

import pytest
import torch

REFERENCE_AREA = 96 * 96
MIN_TOKENS = 32


def _picture(width: int = 96, height: int = 96, seed: int = 5) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def picture():
    """Builds a seeded noise picture: picture(width=96, height=96, seed=5)."""
    return _picture


@pytest.fixture(scope="session")
def loaded(tiny_model_folder):
    from kontinuity.kontext import load_folder

    return load_folder(tiny_model_folder)


@pytest.fixture
def model(loaded):
    """A fresh model (own caches, placement, settings) around the shared weights."""
    from kontinuity.kontext import KontextModel
    from kontinuity.kontext.backends.diffusers import DiffusersBackend

    settings = replace(loaded.settings, width=96, height=96, reference_area=REFERENCE_AREA, min_text_tokens=MIN_TOKENS)
    shared = loaded.backend
    backend = DiffusersBackend(shared.components, shared.clip_tokenizer, shared.t5_tokenizer)
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

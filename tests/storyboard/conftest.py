"""A model that paints its request."""

import hashlib
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import StepInfo


class FakeModel:
    """Its picture depends on everything in the request; refuses prompts with "forbidden"; reads ASCII words only."""

    name = "fake"

    def __init__(self):
        self.settings = SimpleNamespace(width=64, height=48, combine="stitch")
        self.checked, self.edited = [], []

    def check(self, request):
        self.checked.append(request.where)
        if "forbidden" in request.prompt:
            raise InputError(request.where, "prompt", request.prompt, "is forbidden", "say something else")

    def prepare(self, requests):
        self.prepared = list(requests)

    def t5_tokens(self, prompt):
        return [SimpleNamespace(start=word.start(), end=word.end(), known=word[0].isascii())
                for word in re.finditer(r"\S+", prompt)]

    def clip_token_count(self, prompt):
        return len(prompt.split())

    def preview(self, info):
        return np.full((2, 2, 3), info.step, np.uint8)

    def edit(self, request, on_step=None):
        self.edited.append(request.where)
        for step in range(1, request.steps + 1):
            if on_step:
                on_step(StepInfo(step=step, steps=request.steps, latents=torch.zeros(1, 16, 2, 2)))
        numbers = (request.prompt, request.seed, request.width, request.height, request.steps, request.guidance,
                   [float(picture.sum()) for picture in request.references], request.strengths,
                   [(str(region.area), region.phrase, region.references) for region in
                    (request.regions.regions if request.regions else ())])
        seed = int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")
        return torch.rand(request.height, request.width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    return FakeModel()

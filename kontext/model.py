"""KontextModel: a request in, a picture out."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from . import references, text
from .attention.groups import attention_plan
from .backends import Backend
from .lora import Lora
from .memory.cache import Recent
from .memory.placement import Placement
from .request import EditRequest, Guide, StepInfo, check_numbers
from .sampling import Conditions, GuideLatents, Schedule, denoise, make_noise
from .settings import ModelSettings
from .sizes import MULTIPLE

CACHE_BYTES = 2**30  # for FLUX: a prompt of 512 tokens has 4 MB in bf16, a reference of 1 MP 1 MB


class KontextModel:
    """A FLUX.1 Kontext (or a smaller model of its shape). Made by `load_folder`, `load_parts`, or around a backend.

    Attributes:
        name: what to call it.
        backend: runs the networks.
        schedule: how noise levels are spread.
        settings: native size, reference area, text padding, preview colours.
    """

    def __init__(self, *, name: str, backend: Backend, schedule: Schedule, settings: ModelSettings):
        self.name = name
        self.backend = backend
        self.schedule = schedule
        self.settings = settings
        self._cache = Recent(CACHE_BYTES)

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """What a Placement moves: "text_encoders" (ModuleDict clip, t5), "transformer", "vae". Empty if the backend's
        networks place themselves (ComfyUI's own)."""
        return self.backend.components

    @property
    def placement(self) -> Placement | None:
        """Decides where the components are; assign another one at any time. None if the networks place themselves."""
        return self.backend.placement

    @placement.setter
    def placement(self, placement: Placement) -> None:
        self.backend.placement = placement

    def token_count(self, prompt: str) -> int:
        """T5 tokens of a prompt, the end mark included; `check` refuses more than 512."""
        return text.token_count(self.backend.t5_tokenizer, prompt)

    def t5_tokens(self, prompt: str) -> list[text.TokenSpan]:
        """Where the T5 tokens of a prompt are, without the end mark; those that are not `known` cannot be read."""
        return text.t5_tokens(self.backend.t5_tokenizer, prompt)

    def clip_token_count(self, prompt: str) -> int:
        """CLIP tokens of a prompt, both marks included; the first 77 are read."""
        return text.token_count(self.backend.clip_tokenizer, prompt)

    def check(self, request: EditRequest) -> None:
        """Raise every InputError that the request alone gives cause for. Looks at no weights and moves nothing.

        Raises:
            InputError: prompt, or what is said of a region, empty or over 512 T5 tokens; size, steps, guidance, seed,
                reference method, strengths, regions or guide out of range; a reference with a wrong shape, dtype or
                values; strengths or regions for a transformer that cannot follow them.
        """
        text.check_prompt(self.backend.t5_tokenizer, request.prompt, request.where)
        references.check_references(request.references, request.where)
        check_numbers(request)
        for number, phrase in enumerate(_phrases(request), 1):
            text.check_prompt(self.backend.t5_tokenizer, phrase, request.where, f"region {number} phrase")
        if request.plans_attention:
            self.backend.check_attention(request.where)

    def adapted(self, loras: Sequence[tuple[Lora, float]]) -> "KontextModel":
        """This model with more LoRAs. A light copy: weights, placement and caches are shared, and this model stays.

        Args:
            loras: (LoRA, strength) each. 1.0 is the strength it was trained for, 0 nothing, and a negative one the
                opposite. They add up, also with those this model already has.

        Raises:
            InputError: a LoRA does not fit this model, or a strength is no finite number.
        """
        model = copy.copy(self)
        model.backend = self.backend.adapted(loras)
        model.name = " + ".join([self.name, *(f"{lora.name} ({strength:g})" for lora, strength in loras)])
        return model

    @torch.no_grad()
    def edit(self, request: EditRequest, on_step: Callable[[StepInfo], None] | None = None) -> torch.Tensor:
        """Make one picture.

        Args:
            request: what to make; checked first.
            on_step: called after every step. An exception it raises cancels the edit and propagates unchanged; the
                model stays usable.

        Returns:
            float32 [height, width, 3] in 0..1 on the CPU.

        Raises:
            InputError: see `check`; or a file of the weights was changed by another program since.
            RuntimeError: the model computed NaN (float16 overflows with FLUX, a LoRA is far too strong, or the weights
                are damaged).
        """
        self.check(request)
        request = request.without_absent()
        rows, columns = request.height // MULTIPLE, request.width // MULTIPLE
        conditions = self._conditions(request, rows, columns)
        guide = self._guide(request.guide) if request.guide else None
        noise = make_noise(self.backend.latent_channels, rows * 2, columns * 2, request.seed)
        latents = self.backend.sample(conditions, noise, lambda velocity, start: denoise(
            velocity, start, conditions.sigmas, on_step, self.schedule.num_train_timesteps, guide))
        picture = self.backend.decode(latents)
        if not torch.isfinite(picture).all():
            dtype = self.backend.dtype
            wider = {torch.float16: "load it with dtype bfloat16 or float32, or ",
                     torch.bfloat16: "load it with dtype float32, or "}.get(dtype, "")
            raise RuntimeError(f"{self.name} computed NaN or infinite pixels in {str(dtype).removeprefix('torch.')}; "
                               f"{wider}lower the strength of its LoRAs, or download its weights again")
        return picture.clamp(0, 1)

    def _conditions(self, request: EditRequest, rows: int, columns: int) -> Conditions:
        """What stays the same over the steps of a checked request whose picture has so many tokens."""
        prompt, phrases = self._prompt(request.prompt), tuple(map(self._phrase, _phrases(request)))
        latents = tuple(self._reference(picture) for picture in request.references)
        sigmas = self.schedule.sigmas(request.steps, rows * columns)
        return Conditions(prompt, latents, request.reference_method, request.guidance, sigmas, phrases, attention_plan(
            request.strengths, request.regions,
            text_tokens=[self.backend.text_tokens(words) for words in (prompt, *phrases)], rows=rows, columns=columns,
            reference_tokens=[z.shape[2] * z.shape[3] // 4 for z in latents], sigmas=sigmas))

    def preview(self, info: StepInfo) -> np.ndarray | None:
        """A small picture of the present estimate, one pixel for each latent (8 x 8 pixels).

        Colours are latents @ factors + bias, in -1..1 (the convention of ComfyUI's `latent_rgb_factors`, so those of
        `comfy.latent_formats.Flux` can be put into `settings` as they are).

        Returns:
            uint8 [height/8, width/8, 3], or None if `settings.latent_rgb` is None.
        """
        rgb = self.settings.latent_rgb
        if rgb is None:
            return None
        factors, bias = torch.tensor(rgb["factors"]).float(), torch.tensor(rgb["bias"]).float()
        latents = info.latents[0].detach().to("cpu", torch.float32)
        colours = torch.einsum("chw,cr->hwr", latents, factors) + bias
        return ((colours + 1) * 127.5).nan_to_num().clamp(0, 255).round().to(torch.uint8).numpy()

    @torch.no_grad()
    def prepare(self, requests: Sequence[EditRequest]) -> None:
        """Encode the prompts and references of several checked requests beforehand, as far as the cache has room.

        So the text encoders come to the card once for a storyboard, and not between its panels. Changes no result.
        """
        requests = [request.without_absent() for request in requests]
        for prompt in dict.fromkeys(request.prompt for request in requests):
            if self._cache.bytes > CACHE_BYTES // 2:
                break
            self._prompt(prompt)
        for phrase in dict.fromkeys(phrase for request in requests for phrase in _phrases(request)):
            self._phrase(phrase)  # a few tokens each
        for picture in (picture for request in requests for picture in request.references):
            if self._cache.bytes > CACHE_BYTES * 3 // 4:
                break
            self._reference(picture)

    def _prompt(self, prompt: str) -> Any:
        return self._encoded(prompt, self.settings.min_text_tokens)

    def _phrase(self, phrase: str) -> Any:
        return self._encoded(phrase, min_tokens=1)  # beside a prompt that is padded already

    def _encoded(self, prompt: str, min_tokens: int) -> Any:
        return self._cache.get(("prompt", prompt, min_tokens, self.backend.text_key),
                               lambda: self.backend.encode_prompt(prompt, min_tokens))

    def _reference(self, picture: torch.Tensor) -> torch.Tensor:
        area = self.settings.reference_area
        return self._cache.get(
            ("reference", references.picture_key(picture), area),
            lambda: self.backend.encode_picture(references.fit_reference(picture, area)))

    def _guide(self, guide: Guide) -> GuideLatents:
        """A checked guide: pixels to latents, eight by eight."""
        picture = guide.picture.detach().to("cpu", torch.float32).clamp(0, 1).contiguous()
        clean = self._cache.get(("guide", references.picture_key(picture)),
                                lambda: self.backend.encode_picture(picture))
        certain = torch.nn.functional.avg_pool2d(guide.certain.to("cpu", torch.float32)[None, None], 8)
        return GuideLatents(clean, certain, float(guide.until))


def _phrases(request: EditRequest) -> list[str]:
    """What is said of single regions."""
    return [region.phrase for region in request.regions.regions] if request.regions else []

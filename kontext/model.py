"""KontextModel: a request in, a picture out."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from . import prompts, references
from .backends import transformer as backend
from .placement import Placement, Resident
from .request import EditRequest, StepInfo, check_numbers
from .sampling import Schedule, denoise, make_noise, pack
from .settings import ModelSettings
from .sizes import MULTIPLE

_CACHE_ENTRIES = 32  # prompts: 4 MB each for FLUX in bf16; references of 1 MP: 1 MB each


class KontextModel:
    """A loaded FLUX.1 Kontext (or a smaller model of its shape). Made by `load_folder`.

    Attributes:
        name: what to call it.
        components: "text_encoders" (ModuleDict clip, t5), "transformer", "vae"; what a Placement moves.
        placement: decides where they are; assign another one at any time.
        settings: native size, reference area, text padding, preview colours.
        schedule: how noise levels are spread.
    """

    def __init__(
        self,
        *,
        name: str,
        components: dict[str, nn.Module],
        clip_tokenizer,
        t5_tokenizer,
        schedule: Schedule,
        settings: ModelSettings,
        placement: Placement | None = None,
    ):
        self.name = name
        self.components = components
        self.placement = placement or Resident(self.components, "cpu")
        self.settings = settings
        self.schedule = schedule
        self._clip_tokenizer = clip_tokenizer
        self._t5_tokenizer = t5_tokenizer
        self._prompt_cache = _Recent(_CACHE_ENTRIES)
        self._reference_cache = _Recent(_CACHE_ENTRIES)

    def token_count(self, prompt: str) -> int:
        """T5 tokens of a prompt, the end mark included; at most 512 can be used."""
        return prompts.t5_token_count(self._t5_tokenizer, prompt)

    def t5_pieces(self, prompt: str) -> list[prompts.Piece]:
        """The T5 tokens of a prompt, without the end mark: Piece(start, end, known); unknown ones cannot be read."""
        return prompts.t5_pieces(self._t5_tokenizer, prompt)

    def clip_token_count(self, prompt: str) -> int:
        """CLIP tokens of a prompt, both marks included; the first 77 are read."""
        return prompts.t5_token_count(self._clip_tokenizer, prompt)

    def check(self, request: EditRequest) -> None:
        """Raise every InputError that can be known before sampling. Looks at no weights and moves nothing.

        Raises:
            InputError: prompt empty or over 512 T5 tokens; size, steps, guidance, seed or reference method out of
                range; a reference with a wrong shape, dtype or values.
        """
        prompts.check_prompt(self._t5_tokenizer, request.prompt, request.where)
        check_numbers(request)
        references.check_references(request.references, request.where)

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
            InputError: see `check`.
            RuntimeError: the model computed NaN (float16 overflows with FLUX).
        """
        self.check(request)
        embeds, pooled = self._prompt(request.prompt)
        latents_of_references = [self._reference(picture) for picture in request.references]
        sizes = [(z.shape[2] // 2, z.shape[3] // 2) for z in latents_of_references]
        ids = references.reference_ids(sizes, request.reference_method)
        rows, columns = request.height // MULTIPLE, request.width // MULTIPLE

        transformer = self.components["transformer"]
        tokens = embeds.shape[1] + rows * columns + sum(r * c for r, c in sizes)
        device = self.placement.use("transformer", backend.activation_bytes(transformer, tokens))
        velocity = backend.make_velocity(
            transformer, embeds, pooled,
            target_ids=references.token_ids(rows, columns),
            references=[(pack(z), i) for z, i in zip(latents_of_references, ids, strict=True)],
            guidance=request.guidance,
            device=device,
        )
        channels = transformer.config.in_channels // 4
        noise = make_noise(channels, rows * 2, columns * 2, request.seed).to(device)
        latents = denoise(velocity, noise, self.schedule, request.steps, on_step)
        return self._decode(latents)

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

    def _prompt(self, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        def encode():
            encoders = self.components["text_encoders"]
            device = self.placement.use("text_encoders", prompts.activation_bytes(encoders, prompts.MAX_TOKENS))
            return prompts.encode_prompt(encoders, self._clip_tokenizer, self._t5_tokenizer, prompt,
                                         self.settings.min_text_tokens, device)

        return self._prompt_cache.get((prompt, self.settings.min_text_tokens), encode)

    def _reference(self, picture: torch.Tensor) -> torch.Tensor:
        """Scaled latents float32 [1, 16, h, w] on the CPU: the mode of the VAE's distribution, (z - shift) * scale."""
        def encode():
            fitted = references.fit_reference(picture, self.settings.reference_area)
            vae = self.components["vae"]
            device = self.placement.use("vae", self._vae_bytes(*fitted.shape[:2]))
            pixels = (fitted * 2 - 1).permute(2, 0, 1).unsqueeze(0).to(device, vae.dtype)
            z = vae.encode(pixels).latent_dist.mode().float()
            return ((z - vae.config.shift_factor) * vae.config.scaling_factor).cpu()

        return self._reference_cache.get((references.picture_key(picture), self.settings.reference_area), encode)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.components["vae"]
        height, width = latents.shape[2] * MULTIPLE // 2, latents.shape[3] * MULTIPLE // 2
        device = self.placement.use("vae", self._vae_bytes(height, width))
        z = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(z.to(device, vae.dtype), return_dict=False)[0].float()
        if not torch.isfinite(pixels).all():
            raise RuntimeError(f"{self.name} computed NaN or infinite pixels in {vae.dtype}; "
                               "load it with dtype bfloat16 or float32")
        return (pixels * 0.5 + 0.5).clamp(0, 1).cpu()[0].permute(1, 2, 0).contiguous()

    def _vae_bytes(self, height: int, width: int) -> int:
        """Bytes a VAE pass needs beside the weights: about 8 tensors of its second width at full resolution."""
        vae = self.components["vae"]
        channels = vae.config.block_out_channels[:2][-1]
        return 8 * height * width * channels * vae.dtype.itemsize


class _Recent:
    """The last few results by key."""

    def __init__(self, entries: int):
        self._entries = entries
        self._values: OrderedDict = OrderedDict()

    def get(self, key, make: Callable[[], object]):
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._entries:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

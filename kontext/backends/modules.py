"""The backend on modules of torch: our own transformer and autoencoder, transformers' CLIP and T5."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from .. import text
from ..fast.accelerator import Edit
from ..fast.stack import accelerators, installed
from ..flux import activation_bytes
from ..lora import Branches, Lora
from ..memory.between_edits import BetweenEdits
from ..memory.offload import prefetcher_bytes
from ..memory.placement import Placement, Resident
from ..memory.plan import encoder_blocks_away, needs_tiles
from ..memory.vae import TILE, vae_bytes
from ..networks import Autoencoder, FluxTransformer
from ..sampling import Conditions, Velocity
from .transformer import make_velocity


class ModuleBackend:
    """See `Backend`.

    Args:
        components: "text_encoders" (ModuleDict clip, t5), "transformer", "vae".
        clip_tokenizer, t5_tokenizer: of transformers.
        placement: where they run; without one on the CPU.

    Attributes:
        branches: the LoRAs it runs with. Whatever runs the text encoders or the transformer has them on.
        between_edits: where the weights are and what keeps them there; shared with the copies of `adapted`.
    """

    def __init__(self, components: Mapping[str, nn.Module], clip_tokenizer, t5_tokenizer,
                 placement: Placement | None = None):
        self.components = components
        self.clip_tokenizer = clip_tokenizer
        self.t5_tokenizer = t5_tokenizer
        self.placement: Placement = placement or Resident(components, "cpu")
        self.latent_channels = self._transformer.config.in_channels // 4
        self.between_edits = BetweenEdits()
        self.branches = Branches()

    @property
    def dtype(self) -> torch.dtype:
        return self._transformer.dtype

    @property
    def text_key(self) -> tuple:
        return self.branches.text_key

    def adapted(self, loras: Sequence[tuple[Lora, float]]) -> "ModuleBackend":
        backend = copy.copy(self)
        backend.branches = self.branches.plus(loras, self.components)
        return backend

    def encode_prompt(self, prompt: str, min_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(T5 states [1, n, width], pooled CLIP vector [1, width]), see `text.encode_prompt`."""
        encoders = cast(nn.ModuleDict, self.components["text_encoders"])
        work = text.activation_bytes(encoders, text.MAX_T5_TOKENS)
        work += self.branches.bytes("text_encoders", torch.float32)
        blocks = encoder_blocks_away(encoders, self.placement.room(), work)
        away = {"away": blocks} if blocks else {}
        device = self.placement.use("text_encoders", work + prefetcher_bytes(blocks), **away)
        prefetcher = self.between_edits.prefetchers.get("text", blocks, device)
        with self.branches.on(self.components, "text_encoders"), prefetcher, prefetcher.attached():
            return text.encode_prompt(encoders, self.clip_tokenizer, self.t5_tokenizer, prompt, min_tokens, device)

    def check_attention(self, where: str) -> None:
        """Any plan will do."""

    def text_tokens(self, encoded: tuple[torch.Tensor, torch.Tensor]) -> int:
        return encoded[0].shape[1]

    def encode_picture(self, picture: torch.Tensor) -> torch.Tensor:
        vae, device, tile = self._place_vae(picture.shape[1], picture.shape[0])
        pixels = (picture * 2 - 1).permute(2, 0, 1).unsqueeze(0).to(device, vae.dtype)
        z = vae.encode(pixels, tile).float()
        return ((z - vae.config.shift_factor) * vae.config.scaling_factor).cpu()

    def sample(self, conditions: Conditions, noise: torch.Tensor,
               loop: Callable[[Velocity, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        transformer = self._transformer
        tokens = sum(map(self.text_tokens, (conditions.prompt, *conditions.phrases)))
        tokens += sum(z.shape[2] * z.shape[3] // 4 for z in (noise, *conditions.references))
        stack, edit = accelerators(self.branches, self.between_edits), Edit(self.components, conditions)
        work = activation_bytes(transformer, tokens) + sum(accelerator.bytes(edit) for accelerator in stack)
        device = self.between_edits.place(transformer, self.placement, edit.steps, work)
        with installed(stack, replace(edit, residency=self.between_edits.residency, device=device)):
            return loop(make_velocity(transformer, conditions, noise.shape[2:], device), noise.to(device))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae, device, tile = self._place_vae(latents.shape[3] * 8, latents.shape[2] * 8)
        z = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(z.to(device, vae.dtype), tile).float()
        return (pixels * 0.5 + 0.5).cpu()[0].permute(1, 2, 0).contiguous()

    @property
    def _transformer(self) -> FluxTransformer:
        return cast(FluxTransformer, self.components["transformer"])

    def _place_vae(self, width: int, height: int) -> tuple[Autoencoder, torch.device, int | None]:
        """The VAE, its device with room for a picture of this size, and the size of tiles if there is not enough."""
        vae = cast(Autoencoder, self.components["vae"])
        tiled = needs_tiles(vae, width, height, self.placement.room())
        device = self.placement.use("vae", vae_bytes(vae, width, height, tiled=tiled))
        return vae, device, TILE if tiled else None

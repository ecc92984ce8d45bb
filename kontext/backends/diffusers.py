"""The backend on diffusers' and transformers' own modules: AutoencoderKL, FluxTransformer2DModel, CLIP and T5."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from .. import prompts
from ..placement import Placement, Resident
from ..sampling import Velocity
from . import Conditions
from .transformer import activation_bytes, make_velocity


class DiffusersBackend:
    """See `Backend`.

    Args:
        components: "text_encoders" (ModuleDict clip, t5), "transformer", "vae".
        clip_tokenizer, t5_tokenizer: of transformers.
        placement: where they run; without one on the CPU.
    """

    def __init__(self, components: Mapping[str, nn.Module], clip_tokenizer, t5_tokenizer,
                 placement: Placement | None = None):
        self.components = components
        self.clip_tokenizer = clip_tokenizer
        self.t5_tokenizer = t5_tokenizer
        self.placement = placement or Resident(components, "cpu")
        self.latent_channels = components["transformer"].config.in_channels // 4

    @property
    def dtype(self) -> torch.dtype:
        return self.components["transformer"].dtype

    def token_ids(self, prompt: str, min_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(CLIP ids, T5 ids), see `prompts.text_token_ids`."""
        positions = self.components["text_encoders"]["clip"].config.max_position_embeddings
        return prompts.text_token_ids(self.clip_tokenizer, self.t5_tokenizer, prompt, min_tokens, positions)

    def encode_ids(self, clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(T5 states [1, n, width], pooled CLIP vector [1, width]), see `prompts.encode_ids`."""
        encoders = self.components["text_encoders"]
        device = self.placement.use("text_encoders", prompts.activation_bytes(encoders, prompts.MAX_TOKENS))
        return prompts.encode_ids(encoders, clip_ids, t5_ids, device)

    def encode_prompt(self, prompt: str, min_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encode_ids(*self.token_ids(prompt, min_tokens))

    def encode_picture(self, picture: torch.Tensor) -> torch.Tensor:
        vae = self.components["vae"]
        device = self.placement.use("vae", self._vae_bytes(*picture.shape[:2]))
        pixels = (picture * 2 - 1).permute(2, 0, 1).unsqueeze(0).to(device, vae.dtype)
        z = vae.encode(pixels).latent_dist.mode().float()
        return ((z - vae.config.shift_factor) * vae.config.scaling_factor).cpu()

    def sample(self, conditions: Conditions, noise: torch.Tensor,
               loop: Callable[[Velocity, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        states, _ = conditions.prompt
        tokens = states.shape[1] + sum(z.shape[2] * z.shape[3] // 4 for z in (noise, *conditions.references))
        device = self.place_transformer(tokens)
        return loop(self.velocity(conditions, noise.shape[2:], device), noise.to(device))

    def place_transformer(self, tokens: int) -> torch.device:
        """Bring the transformer in, for sequences of so many tokens (text, picture and references)."""
        return self.placement.use("transformer", activation_bytes(self.components["transformer"], tokens))

    def velocity(self, conditions: Conditions, size: Sequence[int], device: torch.device) -> Velocity:
        """The transformer, already on `device`, bound to its conditions; `size` is (height, width) of the latents."""
        return make_velocity(self.components["transformer"], conditions, size, device)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.components["vae"]
        device = self.placement.use("vae", self._vae_bytes(latents.shape[2] * 8, latents.shape[3] * 8))
        z = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(z.to(device, vae.dtype), return_dict=False)[0].float()
        return (pixels * 0.5 + 0.5).cpu()[0].permute(1, 2, 0).contiguous()

    def _vae_bytes(self, height: int, width: int) -> int:
        """Bytes a VAE pass needs beside the weights: about 8 tensors of its second width at full resolution."""
        vae = self.components["vae"]
        channels = vae.config.block_out_channels[:2][-1]
        return 8 * height * width * channels * vae.dtype.itemsize

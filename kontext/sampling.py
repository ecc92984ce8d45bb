"""The one denoise loop: sigmas, noise, Euler steps; and latents as tokens. Every backend goes through it.

Formulas: flow matching with Euler steps as in diffusers' `FlowMatchEulerDiscreteScheduler` and `FluxKontextPipeline`.
Latents, sigmas and ids are float32 whatever the model's dtype.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from .attention.plan import AttentionPlan
from .request import StepInfo

# velocity(latents float32 [1, c, h, w], timestep [1] in 0..1) -> float32 [1, c, h, w]
Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """How noise levels are spread over the steps: the fields of a `scheduler_config.json` that matter here.

    The defaults are those of diffusers' scheduler, and FLUX.1's but for the two that `FLUX_SCHEDULE` names.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    time_shift_type: str = "exponential"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Schedule":
        """Take the known fields of a scheduler's config; the others (already checked) play no part."""
        names = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in config.items() if name in names and value is not None})

    def mu(self, image_tokens: int) -> float:
        """The log of the shift: a line through (256 tokens, 0.5) and (4096 tokens, 1.15) for FLUX."""
        slope = (self.max_shift - self.base_shift) / (self.max_image_seq_len - self.base_image_seq_len)
        return image_tokens * slope + (self.base_shift - slope * self.base_image_seq_len)

    def sigmas(self, steps: int, image_tokens: int) -> torch.Tensor:
        """Noise levels, from 1 down to 0.

        Args:
            steps: how many Euler steps.
            image_tokens: tokens of the picture being made, WITHOUT its references (as in training).

        Returns:
            float32 [steps + 1] on the CPU, the last one 0; bit for bit diffusers' own.
        """
        t = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
        if not self.use_dynamic_shifting:
            t = self.shift * t / (1 + (self.shift - 1) * t)
        else:
            mu = self.mu(image_tokens)
            factor = math.exp(mu) if self.time_shift_type == "exponential" else mu
            t = factor / (factor + (1 / t - 1))
        return torch.from_numpy(np.append(t, np.float32(0.0)).astype(np.float32))


FLUX_SCHEDULE = Schedule(shift=3.0, use_dynamic_shifting=True)  # as in FLUX.1 Kontext dev's scheduler_config.json


@dataclass(frozen=True)
class Conditions:
    """What stays the same over the steps of one edit.

    Attributes:
        prompt: what this backend's `encode_prompt` made.
        references: scaled latents float32 [1, c, h, w] of each, on the CPU, h and w even.
        reference_method: where their tokens sit, see `references.reference_ids`.
        guidance: the value of FLUX's guidance embedding; None: the embedding is left out.
        sigmas: noise levels float32 [steps + 1] on the CPU, from 1 to 0.
        phrases: what is said of single regions, each what `encode_prompt` made; their tokens follow the prompt's.
        attention: who looks at what; None: all at all.
    """

    prompt: Any
    references: tuple[torch.Tensor, ...]
    reference_method: str
    guidance: float | None
    sigmas: torch.Tensor
    phrases: tuple[Any, ...] = ()
    attention: AttentionPlan | None = None


@dataclass(frozen=True)
class GuideLatents:
    """A guide (see request.Guide) as the denoise loop takes it.

    Attributes:
        clean: scaled latents float32 [1, c, h, w] of the picture.
        certain: float32 [1, 1, h, w] in 0..1.
        until: noise level 0..1.
    """

    clean: torch.Tensor
    certain: torch.Tensor
    until: float

    @property
    def is_whole(self) -> bool:
        """Whether all of the picture counts, so that what the model makes of the guided steps plays no part."""
        return bool((self.certain == 1).all())

    def guided_steps(self, sigmas: torch.Tensor) -> int:
        """How many of the steps begin on the guide."""
        return int((sigmas[:-1] > self.until).sum())

    def on(self, x: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Latents at this noise level, brought onto the guide where it is certain."""
        clean, certain = self.clean.to(x.device), self.certain.to(x.device)
        return torch.lerp(x, (1 - sigma) * clean + sigma * noise, certain)


def make_noise(channels: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Start noise float32 [1, channels, height, width]; drawn on the CPU so that a seed means the same everywhere."""
    generator = torch.Generator("cpu").manual_seed(int(seed))
    return torch.randn((1, channels, height, width), generator=generator, dtype=torch.float32)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents [1, c, h, w] (h, w even) to tokens [1, h/2 * w/2, 4c]: each token a 2 x 2 patch, row by row."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(batch, (height // 2) * (width // 2), channels * 4)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Tokens [1, h/2 * w/2, 4c] back to latents [1, c, h, w]; `height` and `width` in latent pixels, even."""
    batch, _, channels = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(batch, channels // 4, height, width)


def timesteps_of(sigmas: torch.Tensor, num_train_timesteps: int = 1000) -> torch.Tensor:
    """What a velocity is called with at these noise levels, float32 as they are.

    sigma * 1000 / 1000 is not always sigma in float32; diffusers' pipeline takes this road, and so do we.
    """
    return sigmas * num_train_timesteps / 1000


def denoise(
    velocity: Velocity,
    noise: torch.Tensor,
    sigmas: torch.Tensor,
    on_step: Callable[[StepInfo], None] | None = None,
    num_train_timesteps: int = 1000,
    guide: GuideLatents | None = None,
) -> torch.Tensor:
    """Euler steps from noise to clean latents: x += (next sigma - sigma) * velocity(x, sigma).

    Args:
        velocity: the model, see `Velocity`; the timestep it gets is sigma.
        noise: float32 [1, c, h, w] on the device to sample on.
        sigmas: float32 [steps + 1] on the CPU, see `Schedule.sigmas`.
        on_step: called after each step; what it raises ends sampling and propagates unchanged.
        num_train_timesteps: of the schedule.
        guide: what the first steps begin on. Of one that counts everywhere only the last of these is computed: the
            others would leave no trace, and `on_step` is not called for them.

    Returns:
        float32 [1, c, h, w], scaled latents.
    """
    x, steps = noise, len(sigmas) - 1
    timesteps = timesteps_of(sigmas, num_train_timesteps).to(noise.device)
    guided = guide.guided_steps(sigmas) if guide else 0
    for i in range(max(0, guided - 1) if guide and guide.is_whole else 0, steps):
        if guide and i < guided:
            x = guide.on(x, noise, sigmas[i])
        v = velocity(x, timesteps[i : i + 1])
        if on_step is not None:
            clean = x - sigmas[i] * v  # x = (1 - sigma) * clean + sigma * noise and v = noise - clean
        x = x + (sigmas[i + 1] - sigmas[i]) * v
        if on_step is not None:
            on_step(StepInfo(i + 1, steps, clean))
    return x

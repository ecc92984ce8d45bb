"""What runs the networks. `KontextModel` asks in this order: prompt, pictures, the denoise loop, decode."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from ..lora import Lora
from ..memory.placement import Placement
from ..sampling import Conditions, Velocity


class Backend(Protocol):
    """The networks behind a KontextModel. It brings their weights to where they run before it uses them.

    Attributes:
        components: "text_encoders", "transformer" and "vae", what `placement` moves; empty if somebody else moves them.
        placement: decides where they are; assign another one at any time.
        clip_tokenizer, t5_tokenizer: of transformers; count a prompt's tokens.
        latent_channels: 16 for FLUX.
        dtype: the transformer computes in it.
        text_key: with another one, `encode_prompt` makes something else of the same prompt.
    """

    clip_tokenizer: Any
    t5_tokenizer: Any
    latent_channels: int

    @property
    def components(self) -> Mapping[str, nn.Module]: ...

    @property
    def placement(self) -> Placement | None: ...

    @placement.setter
    def placement(self, placement: Placement) -> None: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def text_key(self) -> Hashable: ...

    def adapted(self, loras: Sequence[tuple[Lora, float]]) -> "Backend":
        """The same networks with more LoRAs; this backend stays as it is.

        Raises:
            InputError: a LoRA does not fit, or a strength is no finite number.
        """
        ...

    def encode_prompt(self, prompt: str, min_tokens: int) -> Any:
        """What the transformer reads of a checked prompt, on the CPU; kept in a cache, used in `Conditions` only.

        Which tokens that are is `text.text_token_ids`, for every backend the same.
        """
        ...

    def check_attention(self, where: str) -> None:
        """Refuse attention plans if what runs the networks takes none.

        Raises:
            InputError: `where` is who asks.
        """
        ...

    def text_tokens(self, encoded: Any) -> int:
        """How many tokens the transformer reads of what `encode_prompt` made."""
        ...

    def encode_picture(self, picture: torch.Tensor) -> torch.Tensor:
        """A fitted picture (float32 [H, W, 3], multiples of 16) to scaled latents float32 [1, c, H/8, W/8] on the CPU:
        the mode of the VAE's distribution, (z - shift) * scale."""
        ...

    def sample(self, conditions: Conditions, noise: torch.Tensor,
               loop: Callable[[Velocity, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Bring the transformer in, bind the conditions, and run `loop(velocity, noise on its device)`.

        Returns:
            what the loop returns: scaled latents float32 [1, c, h, w]. What it raises passes through, and the backend
            stays usable.
        """
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents [1, c, h, w] to a picture float32 [h * 8, w * 8, 3] on the CPU, not yet cut to 0..1."""
        ...

"""diffusers' FluxTransformer2DModel as a velocity for the denoise loop."""

from collections.abc import Sequence

import torch
from torch import nn

from ..sampling import Velocity


def make_velocity(
    transformer: nn.Module,
    prompt_embeds: torch.Tensor,
    pooled: torch.Tensor,
    target_ids: torch.Tensor,
    references: Sequence[tuple[torch.Tensor, torch.Tensor]],
    guidance: float,
    device: torch.device,
) -> Velocity:
    """Bind everything that stays the same over the steps.

    The tokens and embeddings go in with the transformer's own dtype; timestep, guidance and ids are handed over as
    float32 (diffusers itself rounds timestep and guidance to the tokens' dtype), and the velocity comes back float32.

    Args:
        transformer: a FluxTransformer2DModel on `device`.
        prompt_embeds: [1, n, joint_attention_dim] of T5.
        pooled: [1, pooled_projection_dim] of CLIP.
        target_ids: [tokens, 3] of the picture being made.
        references: (tokens [1, m, 64], ids [m, 3]) of each reference.
        guidance: goes in as an embedding, only if the transformer has one.
        device: where to run.
    """
    dtype = transformer.dtype
    prompt_embeds, pooled = prompt_embeds.to(device, dtype), pooled.to(device, dtype)
    reference_tokens = [tokens.to(device, dtype) for tokens, _ in references]
    img_ids = torch.cat([target_ids, *(ids for _, ids in references)]).to(device, torch.float32)
    txt_ids = torch.zeros(prompt_embeds.shape[1], 3, device=device)
    guided = transformer.config.guidance_embeds
    embedded = torch.full([1], float(guidance), device=device, dtype=torch.float32) if guided else None

    def velocity(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        out = transformer(
            hidden_states=torch.cat([x.to(dtype), *reference_tokens], dim=1),
            timestep=timestep,
            guidance=embedded,
            pooled_projections=pooled,
            encoder_hidden_states=prompt_embeds,
            txt_ids=txt_ids,
            img_ids=img_ids,
            return_dict=False,
        )[0]
        return out[:, : x.shape[1]].float()

    return velocity


def activation_bytes(transformer: nn.Module, tokens: int) -> int:
    """Bytes one forward pass needs beside the weights, a generous estimate.

    A single block holds about 20 tensors of the hidden width at once (residual, q, k, v, rotated q and k in float32,
    the 4x MLP and its output side, attention and their concatenation). Attention itself is fused and adds no square.

    Args:
        tokens: text + picture + references.
    """
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    return 20 * tokens * width * transformer.dtype.itemsize

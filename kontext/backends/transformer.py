"""The transformer as a velocity for the denoise loop."""

from collections.abc import Sequence

import torch

from ..networks import FluxTransformer, plain_attention
from ..references import reference_ids, token_ids
from ..sampling import Conditions, Velocity, pack, unpack


def make_velocity(
    transformer: FluxTransformer, conditions: Conditions, size: Sequence[int], device: torch.device
) -> Velocity:
    """Bind everything that stays the same over the steps.

    The tokens and embeddings go in with the transformer's own dtype; timestep, guidance and ids are handed over as
    float32 (it rounds timestep and guidance to the tokens' dtype itself), and the velocity comes back float32.

    Args:
        transformer: on `device`.
        conditions: its prompt and phrases are (T5 states [1, n, joint_attention_dim], pooled CLIP
            [1, pooled_projection_dim]); only the prompt's pooled vector counts. guidance goes in as an embedding, only
            if it is given and the transformer has one.
        size: (height, width) of the latents being made, even.
        device: where to run.
    """
    dtype = transformer.dtype
    embeds = torch.cat([states for states, _ in (conditions.prompt, *conditions.phrases)], dim=1).to(device, dtype)
    pooled = conditions.prompt[1].to(device, dtype)
    height, width = size
    reference_tokens = [pack(z).to(device, dtype) for z in conditions.references]
    sizes = [(z.shape[2] // 2, z.shape[3] // 2) for z in conditions.references]
    img_ids = torch.cat([token_ids(height // 2, width // 2), *reference_ids(sizes, conditions.reference_method)])
    img_ids = img_ids.to(device)
    txt_ids = torch.zeros(embeds.shape[1], 3, device=device)
    guidance = None
    if transformer.config.guidance_embeds and conditions.guidance is not None:
        guidance = torch.full([1], float(conditions.guidance), device=device)

    def velocity(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        tokens = pack(x)
        planned = conditions.attention and conditions.attention.at(float(timestep), device)
        out = transformer(
            hidden_states=torch.cat([tokens.to(dtype), *reference_tokens], dim=1),
            timestep=timestep,
            guidance=guidance,
            pooled_projections=pooled,
            encoder_hidden_states=embeds,
            txt_ids=txt_ids,
            img_ids=img_ids,
            attend=planned or plain_attention,
        )
        return unpack(out[:, : tokens.shape[1]].float(), height, width)

    return velocity

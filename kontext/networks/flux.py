"""FLUX.1's transformer: double blocks with weights of their own for text and picture, then single blocks for both.

The architecture is that of Black Forest Labs' repository (github.com/black-forest-labs/flux, src/flux/model.py), the
names of parameters and of the config's fields are those of diffusers' FluxTransformer2DModel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .network import Network

ROPE_BASE = 10_000
_TIME_CHANNELS = 256  # sines and cosines that stand for a timestep or a guidance
_FLOAT16_MAX = 65504.0
Rotation = tuple[torch.Tensor, torch.Tensor]  # cosines and sines, float32 [tokens, head dimension] each
# query, key, value -> what the queries see, each [batch, heads, tokens, head dimension]
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
plain_attention: Attend = F.scaled_dot_product_attention


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a transformer; the defaults are FLUX.1's, but for `guidance_embeds`, which dev and Kontext have."""

    patch_size: int = 1
    in_channels: int = 64
    out_channels: int | None = None
    num_layers: int = 19
    num_single_layers: int = 38
    attention_head_dim: int = 128
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096
    pooled_projection_dim: int = 768
    guidance_embeds: bool = False
    axes_dims_rope: tuple[int, ...] = (16, 56, 56)


class FluxTransformer(Network):
    """Text, picture and reference tokens to a velocity for each picture token.

    Args:
        config: its sizes.

    Attributes:
        inner_dim: width of the tokens inside.

    Raises:
        ValueError: the axes of the rotation do not share a head's dimensions out.
    """

    config_type = TransformerConfig

    def __init__(self, config: TransformerConfig):
        super().__init__()
        if sum(config.axes_dims_rope) != config.attention_head_dim or any(n % 2 for n in config.axes_dims_rope):
            raise ValueError(f"axes_dims_rope {list(config.axes_dims_rope)} must be even and add up to "
                             f"attention_head_dim {config.attention_head_dim}")
        self.config = config
        self.inner_dim = dim = config.num_attention_heads * config.attention_head_dim
        self.time_text_embed: nn.Module = TimeTextEmbedding(dim, config.pooled_projection_dim, config.guidance_embeds)
        self.context_embedder = nn.Linear(config.joint_attention_dim, dim)
        self.x_embedder = nn.Linear(config.in_channels, dim)
        heads, size = config.num_attention_heads, config.attention_head_dim
        self.transformer_blocks = nn.ModuleList(DoubleBlock(dim, heads, size) for _ in range(config.num_layers))
        self.single_transformer_blocks = nn.ModuleList(
            SingleBlock(dim, heads, size) for _ in range(config.num_single_layers))
        self.norm_out = FinalNorm(dim)
        self.proj_out = nn.Linear(dim, config.patch_size**2 * (config.out_channels or config.in_channels))

    def forward(self, hidden_states: torch.Tensor, *, encoder_hidden_states: torch.Tensor,
                pooled_projections: torch.Tensor, timestep: torch.Tensor, img_ids: torch.Tensor,
                txt_ids: torch.Tensor, guidance: torch.Tensor | None = None,
                attend: Attend = plain_attention) -> torch.Tensor:
        """
        Args:
            hidden_states: [batch, tokens, in_channels], the picture's tokens, then those of references.
            encoder_hidden_states: [batch, text tokens, joint_attention_dim] of T5.
            pooled_projections: [batch, pooled_projection_dim] of CLIP.
            timestep: [batch], 1 (noise) .. 0.
            img_ids, txt_ids: [tokens, axes], where the tokens sit.
            guidance: [batch]; only for a transformer with an embedding for it.
            attend: who sees what; plain attention lets all tokens see all.

        Returns:
            [batch, tokens, patch_size^2 * out_channels].
        """
        image = self.x_embedder(hidden_states)
        conditions = [timestep.to(image.dtype) * 1000]
        if guidance is not None:
            conditions.append(guidance.to(image.dtype) * 1000)
        embedding = self.time_text_embed(*conditions, pooled_projections)
        text = self.context_embedder(encoder_hidden_states)
        rotation = rotations(torch.cat([txt_ids, img_ids]), self.config.axes_dims_rope)
        for block in self.transformer_blocks:
            text, image = block(text, image, embedding, rotation, attend)
        both, words = torch.cat([text, image], dim=1), text.shape[1]
        for block in self.single_transformer_blocks:
            both = block(both, embedding, rotation, attend)
        return self.proj_out(self.norm_out(both[:, words:], embedding))


# Blocks ------------------------------------------------------------------------------------------------------------


class DoubleBlock(nn.Module):
    """Attention over text and picture together; everything else of each has weights of its own."""

    def __init__(self, dim: int, heads: int, head_dim: int):
        super().__init__()
        self.norm1 = ModulatedNorm(dim, 6)
        self.norm1_context = ModulatedNorm(dim, 6)
        self.attn = JointAttention(dim, heads, head_dim)
        self.norm2 = _norm(dim)
        self.ff = FeedForward(dim)
        self.norm2_context = _norm(dim)
        self.ff_context = FeedForward(dim)

    def forward(self, text: torch.Tensor, image: torch.Tensor, embedding: torch.Tensor, rotation: Rotation,
                attend: Attend) -> tuple[torch.Tensor, torch.Tensor]:
        image_in, image_gate, *image_mlp = self.norm1(image, embedding)
        text_in, text_gate, *text_mlp = self.norm1_context(text, embedding)
        text_out, image_out = self.attn(text_in, image_in, rotation, attend)
        del text_in, image_in  # what is not wanted any more would count in the peak
        image = image + image_gate * image_out
        del image_out
        image = image + self._feed_forward(image, self.norm2, self.ff, *image_mlp)
        text = text + text_gate * text_out
        text = text + self._feed_forward(text, self.norm2_context, self.ff_context, *text_mlp)
        return _finite(text), image

    @staticmethod
    def _feed_forward(x: torch.Tensor, norm: nn.Module, net: nn.Module, shift: torch.Tensor, scale: torch.Tensor,
                      gate: torch.Tensor) -> torch.Tensor:
        return gate * net(norm(x) * (1 + scale) + shift)


class SingleBlock(nn.Module):
    """Attention and feed-forward side by side, over text and picture tokens alike."""

    def __init__(self, dim: int, heads: int, head_dim: int):
        super().__init__()
        self.norm = ModulatedNorm(dim, 3)
        self.proj_mlp = nn.Linear(dim, 4 * dim)
        self.proj_out = nn.Linear(5 * dim, dim)
        self.attn = SelfAttention(dim, heads, head_dim)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor, rotation: Rotation,
                attend: Attend) -> torch.Tensor:
        normed, gate = self.norm(x, embedding)
        mlp = F.gelu(self.proj_mlp(normed), approximate="tanh")
        attended = self.attn(normed, rotation, attend)
        return _finite(x + gate * self.proj_out(torch.cat([attended, mlp], dim=2)))


def _finite(x: torch.Tensor) -> torch.Tensor:
    """float16 overflows in the residual of some blocks: what is beyond becomes its largest number.

    As ComfyUI's `ldm/flux/layers.py` does it, at the same two places; infinity times a gate of 0 is no number: then 0.
    """
    if x.dtype != torch.float16:
        return x
    return torch.nan_to_num(x, nan=0.0, posinf=_FLOAT16_MAX, neginf=-_FLOAT16_MAX)


# Attention ---------------------------------------------------------------------------------------------------------


class SelfAttention(nn.Module):
    """Attention without a layer behind it."""

    def __init__(self, dim: int, heads: int, head_dim: int):
        super().__init__()
        self.head_dim = head_dim
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-6)
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-6)
        self.to_q = nn.Linear(dim, heads * head_dim)
        self.to_k = nn.Linear(dim, heads * head_dim)
        self.to_v = nn.Linear(dim, heads * head_dim)

    def forward(self, x: torch.Tensor, rotation: Rotation, attend: Attend) -> torch.Tensor:
        query = rotate(self.norm_q(self._split(self.to_q(x))), rotation)
        key = rotate(self.norm_k(self._split(self.to_k(x))), rotation)
        return attention(query, key, self._split(self.to_v(x)), attend)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, heads * head_dim] to [batch, tokens, heads, head_dim]."""
        return x.unflatten(-1, (-1, self.head_dim))


class JointAttention(SelfAttention):
    """Text and picture tokens look at all of both."""

    def __init__(self, dim: int, heads: int, head_dim: int):
        super().__init__(dim, heads, head_dim)
        self.to_out = nn.ModuleList([nn.Linear(heads * head_dim, dim)])
        self.norm_added_q = nn.RMSNorm(head_dim, eps=1e-6)
        self.norm_added_k = nn.RMSNorm(head_dim, eps=1e-6)
        self.add_q_proj = nn.Linear(dim, heads * head_dim)
        self.add_k_proj = nn.Linear(dim, heads * head_dim)
        self.add_v_proj = nn.Linear(dim, heads * head_dim)
        self.to_add_out = nn.Linear(heads * head_dim, dim)

    def forward(self, text: torch.Tensor, image: torch.Tensor, rotation: Rotation,
                attend: Attend) -> tuple[torch.Tensor, torch.Tensor]:
        query = rotate(torch.cat([self.norm_added_q(self._split(self.add_q_proj(text))),
                                  self.norm_q(self._split(self.to_q(image)))], dim=1), rotation)
        key = rotate(torch.cat([self.norm_added_k(self._split(self.add_k_proj(text))),
                                self.norm_k(self._split(self.to_k(image)))], dim=1), rotation)
        value = torch.cat([self._split(self.add_v_proj(text)), self._split(self.to_v(image))], dim=1)
        attended = attention(query, key, value, attend)
        words = text.shape[1]
        return self.to_add_out(attended[:, :words].contiguous()), self.to_out[0](attended[:, words:].contiguous())


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attend: Attend) -> torch.Tensor:
    """Scaled dot-product attention.

    Args:
        query, key, value: [batch, tokens, heads, head_dim]; the first two rotated by their tokens' places (`rotate`).
        attend: which of them see which.

    Returns:
        [batch, tokens, heads * head_dim].
    """
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return attend(query, key, value).transpose(1, 2).flatten(2)


def rotations(ids: torch.Tensor, axes: tuple[int, ...]) -> Rotation:
    """The angles of rotary position embedding (Su et al. 2021, arXiv 2104.09864), one stretch of a head an axis.

    Args:
        ids: [tokens, axes], the tokens' places.
        axes: even numbers of a head's dimensions.

    Returns:
        Cosines and sines, float32 [tokens, sum(axes)], each twice in a row.
    """
    wide = torch.float32 if ids.device.type in ("mps", "npu") else torch.float64  # these have no float64
    angles = []
    for axis, size in enumerate(axes):
        frequencies = 1.0 / ROPE_BASE ** (torch.arange(0, size, 2, dtype=wide, device=ids.device) / size)
        angles.append(torch.outer(ids[:, axis].float(), frequencies))
    together = torch.cat(angles, dim=-1)
    return together.cos().repeat_interleave(2, dim=1).float(), together.sin().repeat_interleave(2, dim=1).float()


def rotate(x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Turn each pair of neighbouring numbers of [batch, tokens, heads, head_dim] by its token's angle, in float32."""
    cosines, sines = (part[None, :, None, :] for part in rotation)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-second, first], dim=-1).flatten(3)
    return (x.float() * cosines + turned.float() * sines).to(x.dtype)


# Conditions --------------------------------------------------------------------------------------------------------


class TimeTextEmbedding(nn.Module):
    """Timestep, guidance (if the model knows it) and pooled text as one vector, the sum of theirs."""

    def __init__(self, dim: int, pooled: int, guided: bool):
        super().__init__()
        self.timestep_embedder = TwoLayers(_TIME_CHANNELS, dim)
        if guided:
            self.guidance_embedder = TwoLayers(_TIME_CHANNELS, dim)
        self.text_embedder = TwoLayers(pooled, dim)

    def forward(self, timestep: torch.Tensor, *guidance_and_pooled: torch.Tensor) -> torch.Tensor:
        """timestep [batch] times 1000, guidance [batch] times 1000 if it has an embedder, pooled text [batch, n]."""
        *guidance, pooled = guidance_and_pooled
        embedding = self.timestep_embedder(sinusoids(timestep).to(pooled.dtype))
        if guidance:
            embedding = embedding + self.guidance_embedder(sinusoids(guidance[0]).to(pooled.dtype))
        return embedding + self.text_embedder(pooled)


def sinusoids(values: torch.Tensor) -> torch.Tensor:
    """[batch] to [batch, 256] in float32: cosines, then sines, of falling frequency (Ho et al. 2020)."""
    half = _TIME_CHANNELS // 2
    exponents = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values[:, None].float() * torch.exp(exponents)[None, :]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class TwoLayers(nn.Module):
    """Linear, SiLU, Linear."""

    def __init__(self, inputs: int, dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(inputs, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class FeedForward(nn.Module):
    """Linear, GELU, Linear, four times as wide inside."""

    def __init__(self, dim: int):
        super().__init__()
        # net.1 is a dropout in diffusers
        self.net = nn.ModuleList([Widening(dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[2](self.net[0](x))


class Widening(nn.Module):
    """Linear, GELU: to four times the width."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, 4 * dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


def _norm(dim: int) -> nn.LayerNorm:
    return nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)


class ModulatedNorm(nn.Module):
    """A layer norm shifted and scaled by the embedding (adaLN-Zero: Peebles and Xie 2022, arXiv 2212.09748).

    Returns:
        The normed tokens, then what else the embedding says as [batch, 1, dim] each: the gate of the attention, and
        with six parts shift, scale and gate of the feed-forward.
    """

    def __init__(self, dim: int, parts: int):
        super().__init__()
        self.parts = parts
        self.silu = nn.SiLU()
        self.linear = nn.Linear(dim, parts * dim)
        self.norm = _norm(dim)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> tuple[torch.Tensor, ...]:
        modulation = self.linear(self.silu(embedding))
        shift, scale, *others = (part[:, None] for part in modulation.chunk(self.parts, dim=1))
        return (self.norm(x) * (1 + scale) + shift, *others)


class FinalNorm(nn.Module):
    """The norm before the last layer; scale comes first here."""

    def __init__(self, dim: int):
        super().__init__()
        self.silu = nn.SiLU()
        self.linear = nn.Linear(dim, 2 * dim)
        self.norm = _norm(dim)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        scale, shift = (part[:, None] for part in self.linear(self.silu(embedding).to(x.dtype)).chunk(2, dim=1))
        return self.norm(x) * (1 + scale) + shift

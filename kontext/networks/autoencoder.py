"""FLUX.1's autoencoder: pictures to latents of an eighth of their size, and back.

The architecture is that of Stable Diffusion's VAE (Rombach et al. 2022, arXiv 2112.10752) with 16 channels, as in Black
Forest Labs' repository (github.com/black-forest-labs/flux, src/flux/modules/autoencoder.py); the names of parameters
and of the config's fields are those of diffusers' AutoencoderKL.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .network import Network

_OVERLAP = 4  # neighbouring tiles share one part in so many


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of an autoencoder; the defaults are those of FLUX.1.

    Latents that a transformer sees are (z - shift_factor) * scaling_factor.
    """

    in_channels: int = 3
    out_channels: int = 3
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 16
    norm_num_groups: int = 32
    scaling_factor: float = 0.3611
    shift_factor: float = 0.1159
    use_quant_conv: bool = False
    use_post_quant_conv: bool = False
    mid_block_add_attention: bool = True
    act_fn: str = "silu"
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)


class Autoencoder(Network):
    """Pictures [batch, 3, height, width] in -1..1 to latents and back, whole or in overlapping tiles.

    Args:
        config: its sizes.

    Raises:
        ValueError: blocks or activations that FLUX.1's does not have.
    """

    config_type = AutoencoderConfig

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        for field, values, known in (("act_fn", (config.act_fn,), "silu"),
                                     ("down_block_types", config.down_block_types, "DownEncoderBlock2D"),
                                     ("up_block_types", config.up_block_types, "UpDecoderBlock2D")):
            if set(values) != {known}:
                raise ValueError(f"{field} is {', '.join(values)}; FLUX.1 has {known} only")
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        channels = config.latent_channels
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(channels, channels, 1) if config.use_post_quant_conv else None

    @property
    def factor(self) -> int:
        """Pixels along the side of a latent."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, pixels: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """The mean (the mode) of each latent's distribution.

        Args:
            pixels: [batch, 3, height, width] in -1..1, multiples of `factor`.
            tile: work in tiles of so many pixels where the picture is larger; None: in one piece.

        Returns:
            [batch, latent_channels, height / factor, width / factor], not scaled.
        """
        return _in_tiles(self._encode, pixels, tile, tile and tile // self.factor)

    def decode(self, latents: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """What `encode` made, back to about -1..1; see there."""
        return _in_tiles(self._decode, latents, tile and tile // self.factor, tile)

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        moments = self.encoder(pixels)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        return moments.chunk(2, dim=1)[0]

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)


class Encoder(nn.Module):
    """Ever smaller and wider; mean and log variance of the latents come out, [batch, 2 * channels, ...]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            block = Level(widths[max(i - 1, 0)], width, config.layers_per_block, groups)
            if i < len(widths) - 1:
                block.downsamplers.append(Downsample(width))
            self.down_blocks.append(block)
        self.mid_block = MiddleBlock(widths[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = _norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Ever larger and narrower."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MiddleBlock(widths[0], groups, config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            block = Level(widths[max(i - 1, 0)], width, config.layers_per_block + 1, groups)
            if i < len(widths) - 1:
                block.upsamplers.append(Upsample(width))
            self.up_blocks.append(block)
        self.conv_norm_out = _norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class Level(nn.Module):
    """Resnet blocks at one size, then the way to the next size, if there is a next."""

    def __init__(self, inputs: int, width: int, count: int, groups: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(inputs if i == 0 else width, width, groups) for i in range(count))
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class ResnetBlock(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, width: int, groups: int):
        super().__init__()
        self.norm1 = _norm(inputs, groups)
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.norm2 = _norm(width, groups)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, width, 1) if inputs != width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + inner


class MiddleBlock(nn.Module):
    """Two resnet blocks, with attention over all places between them if the model has it."""

    def __init__(self, width: int, groups: int, attend: bool):
        super().__init__()
        self.attentions = nn.ModuleList([PlaceAttention(width, groups)] if attend else [])
        self.resnets = nn.ModuleList(ResnetBlock(width, width, groups) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.resnets
        x = first(x)
        for attention in self.attentions:
            x = attention(x)
        return second(x)


class PlaceAttention(nn.Module):
    """Attention with one head over the places of [batch, channels, height, width]."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.group_norm = _norm(width, groups)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.group_norm(x.flatten(2)).transpose(1, 2)
        query, key, value = (layer(places)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        attended = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return self.to_out[0](attended).transpose(1, 2).reshape(x.shape) + x


class Downsample(nn.Module):
    """Half the size by a convolution; one row and column of zeros is added at the bottom and at the right."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Each place four times, then a convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() > 2**30:
            x = x.contiguous()  # PyTorch's kernel for channels last counts in 32 bits (pytorch#141831)
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


# Tiles -------------------------------------------------------------------------------------------------------------


def _in_tiles(work: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, size: int | None,
              made: int | None) -> torch.Tensor:
    """`work` on tiles of x of `size` (which become `made`), blended where they overlap; on x as a whole if it is small.

    Each tile fades in over the one above it and the one at its left, as in diffusers' AutoencoderKL.
    """
    if size is None or made is None or max(x.shape[2:]) <= size:
        return work(x)
    step, fade = size - size // _OVERLAP, made // _OVERLAP
    keep, rows, above = made - fade, [], []
    for top in range(0, x.shape[2], step):
        tiles = [work(x[:, :, top : top + size, left : left + size]) for left in range(0, x.shape[3], step)]
        for i, tile in enumerate(tiles):
            if above:
                _fade_in(tile, above[i], fade, dim=2)
            if i > 0:
                _fade_in(tile, tiles[i - 1], fade, dim=3)
        rows.append(torch.cat([tile[:, :, :keep, :keep] for tile in tiles], dim=3))
        above = tiles
    return torch.cat(rows, dim=2)


def _fade_in(tile: torch.Tensor, before: torch.Tensor, length: int, dim: int) -> None:
    """Let the beginning of a tile go over from the end of the one before, in place."""
    length = min(length, tile.shape[dim], before.shape[dim])
    shape = [1, 1, 1, 1]
    shape[dim] = length
    share = (torch.arange(length, device=tile.device, dtype=torch.float32) / length).to(tile.dtype).view(shape)
    begin = tile.narrow(dim, 0, length)
    begin.copy_(before.narrow(dim, before.shape[dim] - length, length) * (1 - share) + begin * share)

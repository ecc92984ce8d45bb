"""The VAE: its memory, and working in tiles where a picture is too large for one piece."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

TILE = 512  # pixels


def vae_bytes(vae: nn.Module, width: int, height: int, *, tiled: bool = False) -> int:
    """Bytes encoding or decoding needs beside the weights.

    Decoding holds three tensors of the VAE's second width at full resolution at once; the convolutions' own workspace
    takes more than these. Eight of them is about what ComfyUI reserves (4.6 GB at 1024 x 1024 in bf16).

    Args:
        vae: an AutoencoderKL.
        width, height: of the picture in pixels.
        tiled: in tiles of 512 pixels.
    """
    channels, itemsize = vae.config.block_out_channels[:2][-1], vae.dtype.itemsize
    if tiled:
        # beside one tile's work: the result, its tiles, and rows of them while they are put together
        return 8 * min(width, TILE) * min(height, TILE) * channels * itemsize + 4 * 3 * width * height * itemsize
    return 8 * width * height * channels * itemsize


@contextmanager
def tiling(vae: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, an AutoencoderKL works in overlapping tiles of 512 pixels, blended (diffusers' own tiling)."""
    if not wanted:
        yield
        return
    before = vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    try:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = True, TILE, TILE // factor
        yield
    finally:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = before

"""The VAE: its memory, and the tiles it works in where a picture is too large for one piece."""

from ..networks import Autoencoder

TILE = 512  # pixels


def vae_bytes(vae: Autoencoder, width: int, height: int, *, tiled: bool = False) -> int:
    """Bytes encoding or decoding needs beside the weights.

    Decoding holds three tensors of the VAE's second width at full resolution at once; the convolutions' own workspace
    takes more than these. Eight of them is about what ComfyUI reserves (4.6 GB at 1024 x 1024 in bf16).

    Args:
        vae: an Autoencoder.
        width, height: of the picture in pixels.
        tiled: in tiles of 512 pixels.
    """
    channels, itemsize = vae.config.block_out_channels[:2][-1], vae.dtype.itemsize
    if tiled:
        # beside one tile's work: the result, its tiles, and rows of them while they are put together
        return 8 * min(width, TILE) * min(height, TILE) * channels * itemsize + 4 * 3 * width * height * itemsize
    return 8 * width * height * channels * itemsize

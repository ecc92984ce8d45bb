"""The linear codec that fixes the latent space: PCA of 8x8 patches to 16 channels. The VAE learns to agree with it,
so the transformer can start training before the VAE is done."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from .examples import random_picture, to_signal

PATCH, CHANNELS = 8, 16
_FILE = Path(__file__).with_name("pca.safetensors")


class PatchPCA:
    """``encode``: ``[N, 3, H, W]`` in -1..1 to latents ``[N, 16, H/8, W/8]``; ``decode`` back.

    Channels are the first 16 principal components, each divided by the square root of its standard deviation
    (half-whitened: large components stay larger), then all by one number so that the mean variance is 1.
    """

    def __init__(self, mean: torch.Tensor, basis: torch.Tensor, scale: torch.Tensor):
        self.mean, self.basis, self.scale = mean, basis, scale  # [192], [192, 16], [16]

    @classmethod
    def fit(cls, pictures: int = 3000, size: int = 128, seed: int = 0) -> PatchPCA:
        """Components of random pictures; the sign of each is fixed (largest entry positive)."""
        rng = random.Random(seed)
        signal = torch.from_numpy(to_signal(np.stack([random_picture(rng, size) for _ in range(pictures)])))
        patches = _patches(signal).flatten(0, 2).double()
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        values, vectors = values.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        scale = values**0.25  # square root of the standard deviation
        scale = scale * (values / scale**2).mean().sqrt()
        return cls(mean.float(), vectors.float().contiguous(), scale.float())

    @classmethod
    def load(cls) -> PatchPCA:
        """The codec of the shipped model. It is kept beside this file: with another one, no trained weight would fit
        any more."""
        return cls(**load_file(_FILE))

    def to(self, device) -> PatchPCA:
        return PatchPCA(self.mean.to(device), self.basis.to(device), self.scale.to(device))

    def encode(self, signal: torch.Tensor) -> torch.Tensor:
        latents = (_patches(signal) - self.mean) @ self.basis / self.scale
        return latents.permute(0, 3, 1, 2).contiguous()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        patches = (latents.permute(0, 2, 3, 1) * self.scale) @ self.basis.T + self.mean
        n, h, w, _ = patches.shape
        patches = patches.view(n, h, w, 3, PATCH, PATCH).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(n, 3, h * PATCH, w * PATCH)


def _patches(signal: torch.Tensor) -> torch.Tensor:
    n, c, h, w = signal.shape
    signal = signal.view(n, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return signal.permute(0, 2, 4, 1, 3, 5).reshape(n, h // PATCH, w // PATCH, c * PATCH * PATCH)

"""The networks of FLUX.1: the transformer and the autoencoder in plain torch, and the published shapes of all four.

They are our own, because the libraries that have them move packages that ComfyUI stands on
(docs/decisions/engine_without_diffusers.md). Parameters are named as diffusers names them; diffusers is what the tests
hold both against.
"""

from .autoencoder import Autoencoder, AutoencoderConfig
from .flux import FluxTransformer, TransformerConfig
from .shapes import flux_kontext, text_encoders, transformer, vae

__all__ = ["Autoencoder", "AutoencoderConfig", "FluxTransformer", "TransformerConfig", "flux_kontext", "text_encoders",
           "transformer", "vae"]

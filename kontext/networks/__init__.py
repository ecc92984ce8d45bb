"""The networks of FLUX.1 in plain torch: the transformer and the autoencoder.

They are our own, because the libraries that have them move packages that ComfyUI stands on
(docs/decisions/engine_without_diffusers.md). Parameters are named as diffusers names them; diffusers is what the tests
hold both against.
"""

from .autoencoder import Autoencoder, AutoencoderConfig
from .flux import Attend, FluxTransformer, TransformerConfig, plain_attention

__all__ = ["Attend", "Autoencoder", "AutoencoderConfig", "FluxTransformer", "TransformerConfig", "plain_attention"]

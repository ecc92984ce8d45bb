"""A Kontext model as ComfyUI's MODEL, CLIP and VAE: modules without weights in the place of ComfyUI's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import comfy.hooks
import comfy.latent_formats
import comfy.ldm.common_dit
import comfy.model_base
import comfy.model_management as memory
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sd
import comfy.supported_models
import torch
from torch import nn

from ...common import InputError
from ...kontext import Conditions, KontextModel, ModelSettings, Velocity

log = logging.getLogger("kontinuity")

TO_TITLE = "Kontext to MODEL, CLIP, VAE"
ORIGIN = "kontinuity"  # key of what we leave on a MODEL of ours: its name, schedule and settings
PLAN = "kontinuity_attention"  # key of an attention plan among the options of a transformer
MIN_TOKENS = "kontinuity_min_tokens"  # key of what T5 is padded to, beside the tokens of our own tokenizer


def as_native(model: KontextModel) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE that run a Kontext model's own networks; no weight is copied, its Placement moves them."""
    return _native_model(model), _native_clip(model), KontextVae(model.backend)


def _native_model(model: KontextModel) -> Any:
    config: Any = comfy.supported_models.Flux({"image_model": "flux", "guidance_embed": True, "in_channels": 16,
                                          "out_channels": 16, "disable_unet_model_creation": True})
    config.latent_format = KontextLatents(model.backend.components["vae"].config, model.settings)
    base: Any = comfy.model_base.Flux(config)
    base.diffusion_model = KontextTransformer(model.backend)
    patcher = _weightless(base)
    patcher.set_attachments(ORIGIN, (model.name, model.schedule, model.settings))
    return patcher


def _weightless(module: nn.Module) -> Any:
    """A ModelPatcher of a module that holds no weights. On the CPU, so that it is never evicted from a full card while
    the Placement brings the true weights in; the latents that pass through it are small."""
    return comfy.model_patcher.ModelPatcher(module, torch.device("cpu"), torch.device("cpu"))


class KontextLatents(comfy.latent_formats.Flux):
    """How the samplers' latents relate to those of this model's VAE."""

    def __init__(self, vae_config: Any, settings: ModelSettings):
        super().__init__()
        self.scale_factor, self.shift_factor = vae_config.scaling_factor, vae_config.shift_factor
        if settings.latent_rgb is not None:
            self.latent_rgb_factors = settings.latent_rgb["factors"]
            self.latent_rgb_factors_bias = settings.latent_rgb["bias"]
            self.taesd_decoder_name = None  # it would draw FLUX's colours


class KontextTransformer(nn.Module):
    """A backend's transformer in the place of ComfyUI's `diffusion_model`. Holds no weights itself."""

    dtype = torch.float32  # of the latents that come in; the backend casts to its own
    patch_size = 2

    def __init__(self, backend: Any):
        super().__init__()
        self.backend = backend
        self._said = False

    def forward(self, x, timestep, context, y=None, guidance=None, ref_latents=None, control=None,
                transformer_options=None, **kwargs) -> torch.Tensor:
        """Latents [b, 16, h, w] at timesteps [b] -> their velocity, as ComfyUI's own `Flux.forward`."""
        options = transformer_options or {}
        wrappers = comfy.patcher_extension.get_all_wrappers(
            comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, options)
        executor = comfy.patcher_extension.WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        return executor.execute(x, timestep, context, y, guidance, ref_latents, control, options, **kwargs)

    def _forward(self, x, timestep, context, y, guidance, ref_latents, control, transformer_options,
                 ref_latents_method="offset", **_):
        if control is not None:
            raise InputError(TO_TITLE, "model", "ControlNet", "cannot be applied to this MODEL",
                             "load FLUX.1 Kontext with Load Diffusion Model for it")
        if not self._said and any(transformer_options.get(key) for key in ("patches", "patches_replace")):
            self._said = True
            log.warning("%s: a patch of FLUX's layers is on this MODEL (attention or block patches); it has no such "
                        "layers, so the patch has no effect. Load FLUX.1 Kontext with Load Diffusion Model for it",
                        TO_TITLE)
        if ref_latents_method not in ("offset", "index"):
            raise InputError(TO_TITLE, "model", ref_latents_method, "is no way this MODEL places references",
                             "choose offset or index in FluxKontextMultiReferenceLatentMethod")
        height, width = x.shape[-2:]
        padded, references = _even(x), [_even(z) for z in ref_latents or ()]
        velocities = []
        for i in range(len(x)):  # a batch, or positive and negative at once
            now = timestep[i : i + 1]
            conditions = Conditions(
                prompt=(_item(context, i), _item(y, i)),
                references=tuple(_item(z, i) for z in references),
                reference_method=ref_latents_method,
                guidance=float(_item(guidance, i)) if guidance is not None else None,
                sigmas=torch.cat([now, torch.zeros_like(now)]),  # of this one step: the sampler is ComfyUI's
                attention=transformer_options.get(PLAN),
            )
            velocities.append(self.backend.sample(conditions, padded[i : i + 1], _one_step(now)))
        return torch.cat(velocities)[..., :height, :width].to(x.device)


def _one_step(sigma: torch.Tensor) -> Callable[[Velocity, torch.Tensor], torch.Tensor]:
    timestep = sigma * 1000 / 1000  # rounds as in `sampling.denoise`
    return lambda velocity, latents: velocity(latents, timestep.to(latents.device))


def _even(latents: torch.Tensor) -> torch.Tensor:
    return comfy.ldm.common_dit.pad_to_patch_size(latents, (2, 2))


def _item(batch: torch.Tensor, i: int) -> torch.Tensor:
    """The i-th of a batch, or the only one."""
    return batch[i : i + 1] if len(batch) > 1 else batch


def _native_clip(model: KontextModel) -> Any:
    clip = comfy.sd.CLIP(no_init=True)
    clip.cond_stage_model = KontextTextEncoders(model.backend, model.settings.min_text_tokens)
    clip.tokenizer = KontextTokenizer(model.backend)
    clip.patcher = _weightless(clip.cond_stage_model)
    clip.patcher.hook_mode = comfy.hooks.EnumHookMode.MinVram
    clip.patcher.is_clip = True
    clip.layer_idx = clip.apply_hooks_to_conds = None
    clip.use_clip_schedule = False
    clip.tokenizer_options = {}
    return clip


class KontextTokenizer:
    """In the place of ComfyUI's FLUX tokenizer: a whole prompt is one token, since the backend tokenizes it itself.

    So nothing in a prompt is syntax: no (weights:1.2), no embeddings.
    """

    def __init__(self, backend: Any):
        self.t5xxl = SimpleNamespace(tokenizer=backend.t5_tokenizer)
        self.clip_l = SimpleNamespace(tokenizer=backend.clip_tokenizer)

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_) -> dict[str, list]:
        """One chunk with one (token, weight) for either encoder."""
        chunk = [(text, 1.0, 0)] if return_word_ids else [(text, 1.0)]
        return {"l": [chunk], "t5xxl": [chunk]}

    def state_dict(self) -> dict:
        """Nothing to save."""
        return {}


class KontextTextEncoders(nn.Module):
    """A backend's text encoders in the place of ComfyUI's. Holds no weights itself."""

    def __init__(self, backend: Any, min_tokens: int):
        super().__init__()
        self.backend, self.min_tokens = backend, min_tokens

    def set_clip_options(self, options: dict) -> None:
        """No option of ComfyUI's (another layer, another projection) is known."""

    def reset_clip_options(self) -> None:
        """See `set_clip_options`."""

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """(T5 states [1, n, width], pooled CLIP vector [1, width]); CLIPTextEncodeFlux gives either its own text."""
        for_clip, for_t5 = tokens["l"][0][0][0], tokens["t5xxl"][0][0][0]
        min_tokens = tokens.get(MIN_TOKENS, self.min_tokens)
        states, pooled = self.backend.encode_prompt(for_t5, min_tokens)
        if for_clip != for_t5:
            _, pooled = self.backend.encode_prompt(for_clip, min_tokens)
        device = memory.intermediate_device()
        return states.to(device), pooled.to(device)


class KontextVae(comfy.sd.VAE):
    """A backend's VAE in the place of ComfyUI's. Its own LATENTs, not scaled, as everywhere in ComfyUI."""

    latent_channels = 16
    latent_dim = 2
    downscale_ratio = upscale_ratio = 8
    downscale_index_formula = upscale_index_formula = extra_1d_channel = None

    def __init__(self, backend: Any):
        # comfy.sd.VAE builds a network from a state dict, which we have not
        self.backend = backend
        self.first_stage_model = backend.components["vae"]
        self.output_device = memory.intermediate_device()
        config = self.first_stage_model.config
        self._scale, self._shift = config.scaling_factor, config.shift_factor

    def get_ram_usage(self) -> int:
        """Counted where the Kontext model is."""
        return 0

    def encode(self, pixel_samples: torch.Tensor) -> torch.Tensor:
        """IMAGE [b, H, W, 3] -> LATENT samples [b, 16, H/8, W/8]; what is over a multiple of 8 is cut off evenly."""
        height, width = (side // 8 * 8 for side in pixel_samples.shape[1:3])
        top, left = (pixel_samples.shape[1] - height) // 2, (pixel_samples.shape[2] - width) // 2
        pictures = pixel_samples[:, top : top + height, left : left + width, :3]
        scaled = torch.cat([self.backend.encode_picture(picture) for picture in pictures])
        return (scaled / self._scale + self._shift).to(self.output_device)

    def decode(self, samples_in: torch.Tensor, vae_options: dict | None = None) -> torch.Tensor:
        """LATENT samples [b, 16, h, w] -> IMAGE [b, h * 8, w * 8, 3]."""
        scaled = (samples_in.float() - self._shift) * self._scale
        pictures = [self.backend.decode(scaled[i : i + 1]) for i in range(len(scaled))]
        return torch.stack(pictures).clamp(0, 1).to(self.output_device)

    def encode_tiled(self, pixel_samples: torch.Tensor, *_, **__) -> torch.Tensor:
        """The same as `encode`: how much memory that takes is the backend's business."""
        return self.encode(pixel_samples)

    def decode_tiled(self, samples: torch.Tensor, *_, **__) -> torch.Tensor:
        """The same as `decode`."""
        return self.decode(samples)

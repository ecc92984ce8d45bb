"""ComfyUI's own MODEL, CLIP and VAE as a Kontext model, and a Kontext model as MODEL, CLIP and VAE.

Beside host.py the only file of the pack that touches `comfy.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import comfy.hooks
import comfy.latent_formats
import comfy.ldm.common_dit
import comfy.model_base
import comfy.model_management as memory
import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import comfy.sd
import comfy.supported_models
import comfy.utils
import torch
from torch import nn

from ..kontext import (
    Conditions,
    InputError,
    KontextModel,
    Lora,
    ModelSettings,
    Schedule,
    Velocity,
    text_token_ids,
)
from . import host

FROM_TITLE = "Kontext from MODEL, CLIP, VAE"
TO_TITLE = "Kontext to MODEL, CLIP, VAE"
ORIGIN = "kontinuity"  # key of what we leave on a MODEL of ours: its name, schedule and settings

# Of FLUX.1 Kontext dev's scheduler_config.json; a MODEL has no such file
FLUX_SCHEDULE = Schedule(shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15,
                         base_image_seq_len=256, max_image_seq_len=4096)
# image_model and input channels of what looks like FLUX.1 and is another model (64: Fill as nunchaku declares it)
_OTHER_MODELS = {"flux2": "FLUX.2", "chroma": "Chroma", "chroma_radiance": "Chroma Radiance"}
_OTHER_CHANNELS = {96: "FLUX.1 Fill", 64: "FLUX.1 Fill", 32: "FLUX.1 Canny or Depth"}
_LOAD_MODEL = ("load flux1-dev-kontext with Load Diffusion Model, Unet Loader (GGUF) or the Nunchaku FLUX loader, "
               "and connect its MODEL")
_LOAD_CLIP = "load clip_l and t5xxl with DualCLIPLoader, type flux, and connect its CLIP"
_LOAD_VAE = "load FLUX.1's ae.safetensors with Load VAE and connect its VAE"


# From MODEL, CLIP, VAE -------------------------------------------------------------------------------------------


def from_native(model: Any, clip: Any, vae: Any) -> KontextModel:
    """A Kontext model that samples with ComfyUI's own classes: patches, LoRAs, hooks and quantisation stay as they are.

    Args:
        model, clip, vae: values of the sockets MODEL, CLIP and VAE. None of them is changed.

    Raises:
        InputError: one of them is not of FLUX.1 Kontext; names the socket and the loader to use.
    """
    _check_model(model)
    _check_clip(clip)
    _check_vae(vae)
    origin = model.get_attachment(ORIGIN)
    if origin is not None:
        name, schedule, settings = origin
    else:
        latent_format = model.model.latent_format
        rgb = {"factors": latent_format.latent_rgb_factors, "bias": latent_format.latent_rgb_factors_bias}
        name, schedule, settings = "native MODEL", FLUX_SCHEDULE, ModelSettings(latent_rgb=rgb)
    return KontextModel(name=name, backend=NativeBackend(model, clip, vae), schedule=schedule, settings=settings)


def _check_model(model: Any) -> None:
    base = getattr(model, "model", None)
    config = getattr(getattr(base, "model_config", None), "unet_config", {})
    image_model = config.get("image_model", "flux")
    if not isinstance(base, comfy.model_base.Flux) or image_model != "flux":
        kind = _OTHER_MODELS.get(image_model, type(base).__name__)
        raise InputError(FROM_TITLE, "model", kind, "is not FLUX.1 Kontext", _LOAD_MODEL)
    channels, own = config.get("in_channels", 16), config.get("out_channels", 16)
    if channels > own:
        kind = _OTHER_CHANNELS.get(channels, f"FLUX.1 with {channels} input channels")
        raise InputError(FROM_TITLE, "model", kind, f"is not FLUX.1 Kontext: it takes more than {own} channels",
                         _LOAD_MODEL)
    if not config.get("guidance_embed", True):
        raise InputError(FROM_TITLE, "model", "FLUX.1 schnell", "is not FLUX.1 Kontext: it has no guidance",
                         _LOAD_MODEL)


def _check_clip(clip: Any) -> None:
    if clip is None:
        raise InputError(FROM_TITLE, "clip", "nothing", "came out of the loader: its file has no text encoders",
                         _LOAD_CLIP)
    tokenizer = getattr(clip, "tokenizer", None)
    missing = [part for part in ("clip_l", "t5xxl") if not hasattr(tokenizer, part)]
    if missing or hasattr(tokenizer, "clip_g"):  # with clip_g: SD3, HiDream
        raise InputError(FROM_TITLE, "clip", type(tokenizer).__name__, "is not FLUX.1's pair of text encoders",
                         _LOAD_CLIP)


def _check_vae(vae: Any) -> None:
    if getattr(vae, "first_stage_model", None) is None:
        raise InputError(FROM_TITLE, "vae", "nothing", "came out of the loader: its file has no VAE", _LOAD_VAE)
    channels, dimensions = getattr(vae, "latent_channels", 16), getattr(vae, "latent_dim", 2)
    if channels != 16 or dimensions != 2:
        kind = "a video VAE" if dimensions == 3 else f"a VAE with {channels} channels"
        raise InputError(FROM_TITLE, "vae", kind, "is not FLUX.1's, which has 16 channels", _LOAD_VAE)


class NativeBackend:
    """kontext's `Backend` on ComfyUI's classes. They place their weights themselves, so there is no Placement."""

    components: dict[str, nn.Module] = {}
    placement = None
    latent_channels = 16

    def __init__(self, model: Any, clip: Any, vae: Any):
        self.model, self.clip, self.vae = model, clip, vae
        self.t5_tokenizer = clip.tokenizer.t5xxl.tokenizer

    @property
    def dtype(self) -> torch.dtype:
        return self.model.model_dtype()

    @property
    def text_key(self) -> Any:
        return self.clip.patcher.patches_uuid

    def adapted(self, loras: Sequence[tuple[Lora, float]]) -> NativeBackend:
        """The same MODEL and CLIP with ComfyUI's own patches of the LoRAs' files on them."""
        model, clip = self.model, self.clip
        for lora, strength in loras:
            tensors = comfy.utils.load_torch_file(lora.where, safe_load=True)
            patched, clip = comfy.sd.load_lora_for_models(model, clip, tensors, strength, strength)
            if _patches(patched) == _patches(model) and any(
                    layer.target.component == "transformer" for layer in lora.layers):
                raise InputError(lora.where, "lora", lora.name, "finds none of its layers in this MODEL",
                                 "use the LoRA node that belongs to the MODEL's loader, before "
                                 f"'{FROM_TITLE}', or Load Kontext LoRA directly after Load Kontext Model")
            model = patched
        return NativeBackend(model, clip, self.vae)

    def encode_prompt(self, prompt: str, min_tokens: int) -> list:
        """A CONDITIONING. The tokens are made here, since ComfyUI's would read (weights:1.2) and embeddings in it."""
        host.stop_if_cancelled()
        tokenizer = self.clip.tokenizer
        if isinstance(tokenizer, KontextTokenizer):
            tokens = tokenizer.tokenize_with_weights(prompt)
        else:
            tokens = _weighted(*text_token_ids(tokenizer.clip_l.tokenizer, self.t5_tokenizer, prompt, min_tokens))
        return self.clip.encode_from_tokens_scheduled(tokens)

    def encode_picture(self, picture: torch.Tensor) -> torch.Tensor:
        host.stop_if_cancelled()
        latents = self.vae.encode(picture.unsqueeze(0)).to("cpu", torch.float32)
        return self.model.model.process_latent_in(latents)

    def sample(self, conditions: Conditions, noise: torch.Tensor,
               loop: Callable[[Velocity, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """ComfyUI's guider does all it does for its own samplers; only the sampler inside it is our loop."""
        host.stop_if_cancelled()
        bound: dict[str, Any] = {"guidance": conditions.guidance}
        if conditions.references:
            bound["reference_latents"] = [self.model.model.process_latent_out(z) for z in conditions.references]
            bound["reference_latents_method"] = conditions.reference_method
        guider = comfy.samplers.CFGGuider(self.model)
        guider.inner_set_conds({"positive": [[states, {**options, **bound}] for states, options in conditions.prompt]})
        latents = guider.sample(noise, torch.zeros_like(noise), _Loop(loop), conditions.sigmas, disable_pbar=True)
        return self.model.model.process_latent_in(latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        host.stop_if_cancelled()
        return self.vae.decode(self.model.model.process_latent_out(latents))[0].to("cpu", torch.float32)


def _patches(model: Any) -> int:
    return sum(len(patches) for patches in model.patches.values())


class _Loop(comfy.samplers.Sampler):
    """A denoise loop as a ComfyUI sampler."""

    def __init__(self, loop: Callable[[Velocity, torch.Tensor], torch.Tensor]):
        self._loop = loop

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, *_, **__) -> torch.Tensor:
        def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return (x - model_wrap(x, sigma, **extra_args)) / sigma  # the model gives x - sigma * velocity

        return self._loop(velocity, noise)


def _weighted(clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> dict[str, list]:
    """Token ids [1, n] as ComfyUI's tokenizer of FLUX gives them, every weight 1."""
    return {name: [[(token, 1.0) for token in ids[0].tolist()]] for name, ids in (("l", clip_ids), ("t5xxl", t5_ids))}


# To MODEL, CLIP, VAE ---------------------------------------------------------------------------------------------


def to_native(model: KontextModel) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE that run a Kontext model's own networks; no weight is copied, its Placement moves them.

    Core samplers, guiders, conditioning nodes and VAE nodes work. What reaches into FLUX's layers (LoRA loaders, block
    patches, ControlNet) finds no layers there.
    """
    backend = model.backend
    if isinstance(backend, NativeBackend):
        return backend.model, backend.clip, backend.vae
    return _native_model(model), _native_clip(model), KontextVae(backend)


def _native_model(model: KontextModel) -> Any:
    config = comfy.supported_models.Flux({"image_model": "flux", "guidance_embed": True, "in_channels": 16,
                                          "out_channels": 16, "disable_unet_model_creation": True})
    config.latent_format = KontextLatents(model.backend.components["vae"].config, model.settings)
    base = comfy.model_base.Flux(config)
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
        if ref_latents_method not in ("offset", "index"):
            raise InputError(TO_TITLE, "model", ref_latents_method, "is no way this MODEL places references",
                             "choose offset or index in FluxKontextMultiReferenceLatentMethod")
        height, width = x.shape[-2:]
        padded, references = _even(x), [_even(z) for z in ref_latents or ()]
        found = []
        for i in range(len(x)):  # a batch, or positive and negative at once
            now = timestep[i : i + 1]
            conditions = Conditions(
                prompt=(_item(context, i), _item(y, i)),
                references=tuple(_item(z, i) for z in references),
                reference_method=ref_latents_method,
                guidance=float(_item(guidance, i)) if guidance is not None else 0.0,
                sigmas=torch.cat([now, torch.zeros_like(now)]),  # of this one step: the sampler is ComfyUI's
            )
            found.append(self.backend.sample(conditions, padded[i : i + 1], _one_step(now)))
        return torch.cat(found)[..., :height, :width].to(x.device)


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
        self.clip_l = None

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

    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[torch.Tensor, torch.Tensor]:
        """(T5 states [1, n, width], pooled CLIP vector [1, width]); CLIPTextEncodeFlux gives either its own text."""
        for_clip, for_t5 = tokens["l"][0][0][0], tokens["t5xxl"][0][0][0]
        states, pooled = self.backend.encode_prompt(for_t5, self.min_tokens)
        if for_clip != for_t5:
            _, pooled = self.backend.encode_prompt(for_clip, self.min_tokens)
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

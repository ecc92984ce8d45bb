"""ComfyUI's own MODEL, CLIP and VAE as a Kontext model, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import comfy.model_base
import comfy.model_sampling
import comfy.samplers
import torch
from torch import nn

from ...common import InputError
from ...kontext import (
    FLUX_SCHEDULE,
    Conditions,
    KontextModel,
    Lora,
    ModelSettings,
    Placement,
    Schedule,
    Velocity,
    text_token_ids,
)
from .native_attention import FollowedPlan, check_attention, with_attention
from .native_loras import with_loras
from .native_out import MIN_TOKENS, ORIGIN, KontextTokenizer, as_native
from .progress import stop_if_cancelled

FROM_TITLE = "Kontext from MODEL, CLIP, VAE"

# image_model and input channels of what looks like FLUX.1 and is another model (64: Fill as nunchaku declares it)
_OTHER_MODELS = {"flux2": "FLUX.2", "chroma": "Chroma", "chroma_radiance": "Chroma Radiance"}
_OTHER_CHANNELS = {96: "FLUX.1 Fill", 64: "FLUX.1 Fill", 32: "FLUX.1 Canny or Depth"}
_LOAD_MODEL = ("load flux1-dev-kontext with Load Diffusion Model, Unet Loader (GGUF) or the Nunchaku FLUX loader, "
               "and connect its MODEL")
_LOAD_CLIP = "load clip_l and t5xxl with DualCLIPLoader, type flux, and connect its CLIP"
_LOAD_VAE = "load FLUX.1's ae.safetensors with Load VAE and connect its VAE"
_FOR_NEGATIVES = {  # entries of a MODEL's options that act where a negative prompt is sampled beside the prompt
    "sampler_cfg_function": "a way to mix prompt and negative prompt (RescaleCFG, CFG-Zero and the like)",
    "sampler_pre_cfg_function": "a correction of the negative prompt's part (APG, TCFG and the like)",
    "sampler_calc_cond_batch_function": "a way to sample prompt and negative prompt together (Perp-Neg and the like)",
    "disable_cfg1_optimization": "guidance by a negative prompt (NAG and the like)",
}


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
    schedule = _patched_schedule(model) or schedule
    backend: Any = NativeBackend(model, clip, vae)  # its properties are attributes in the protocol
    return KontextModel(name=name, backend=backend, schedule=schedule, settings=settings)


def without_effect(model: Any) -> list[str]:
    """What is on a MODEL and has no effect in our sampling, in words: we sample no negative prompt."""
    return [f"{what} is on this MODEL; Kontinuity samples no negative prompt, so it has no effect here"
            for key, what in _FOR_NEGATIVES.items() if model.model_options.get(key)]


def _patched_schedule(model: Any) -> Schedule | None:
    """The noise levels a sampling node (ModelSamplingFlux, ModelSamplingAuraFlow) asks for on this MODEL; None: none
    does, so that they follow the size of each picture as in FLUX's own scheduler.

    Raises:
        InputError: the node is for other models.
    """
    sampling: Any = model.object_patches.get("model_sampling")
    if sampling is None:
        return None
    kinds: Any = comfy.model_sampling
    same_time = isinstance(sampling, kinds.CONST) and float(sampling.timestep(torch.tensor(0.5))) == 0.5
    if same_time and isinstance(sampling, kinds.ModelSamplingFlux):
        return Schedule(use_dynamic_shifting=True, base_shift=sampling.shift, max_shift=sampling.shift)
    if same_time and isinstance(sampling, kinds.ModelSamplingDiscreteFlow):
        return Schedule(shift=sampling.shift)
    names = " + ".join(kind.__name__ for kind in type(sampling).__bases__)
    raise InputError(FROM_TITLE, "model", names, "is a sampling patch on this MODEL that is not for FLUX",
                     "take the node that made it out, or use ModelSamplingFlux")


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

    components: Mapping[str, nn.Module] = {}
    placement: Placement | None = None
    latent_channels = 16

    def __init__(self, model: Any, clip: Any, vae: Any):
        self.model, self.clip, self.vae = model, clip, vae
        self._bare, self._choices = (model, clip), ()  # without the LoRAs of `adapted`, and these
        self.clip_tokenizer = clip.tokenizer.clip_l.tokenizer
        self.t5_tokenizer = clip.tokenizer.t5xxl.tokenizer

    @property
    def dtype(self) -> torch.dtype:
        return self.model.model_dtype()

    @property
    def text_key(self) -> Any:
        return self.clip.patcher.patches_uuid

    def adapted(self, loras: Sequence[tuple[Lora, float]]) -> NativeBackend:
        """The same MODEL and CLIP with the LoRAs as patches on them."""
        choices = (*self._choices, *loras)
        model, clip = with_loras(*self._bare, choices)
        if not any(lora.changes_text and strength for lora, strength in loras):
            clip = self.clip  # the same one, so that prompts which are encoded stay so
        adapted = NativeBackend(model, clip, self.vae)
        adapted._bare, adapted._choices = self._bare, choices
        return adapted

    def encode_prompt(self, prompt: str, min_tokens: int) -> list:
        """A CONDITIONING. The tokens are made here, since ComfyUI's would read (weights:1.2) and embeddings in it."""
        stop_if_cancelled()
        tokenizer = self.clip.tokenizer
        if isinstance(tokenizer, KontextTokenizer):
            tokens: dict[str, Any] = {**tokenizer.tokenize_with_weights(prompt), MIN_TOKENS: min_tokens}
        else:
            tokens = _weighted(*text_token_ids(tokenizer.clip_l.tokenizer, self.t5_tokenizer, prompt, min_tokens))
        return self.clip.encode_from_tokens_scheduled(tokens)

    def check_attention(self, where: str) -> None:
        check_attention(self.model, where)

    def text_tokens(self, encoded: list) -> int:
        return encoded[0][0].shape[1]

    def encode_picture(self, picture: torch.Tensor) -> torch.Tensor:
        stop_if_cancelled()
        latents = self.vae.encode(picture.unsqueeze(0)).to("cpu", torch.float32)
        return self.model.model.process_latent_in(latents)

    def sample(self, conditions: Conditions, noise: torch.Tensor,
               loop: Callable[[Velocity, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """ComfyUI's guider does all it does for its own samplers; only the sampler inside it is our loop."""
        stop_if_cancelled()
        bound: dict[str, Any] = {"guidance": conditions.guidance}
        if conditions.references:
            bound["reference_latents"] = [self.model.model.process_latent_out(z) for z in conditions.references]
            bound["reference_latents_method"] = conditions.reference_method
        model, followed = self.model, None
        if conditions.attention is not None:
            model, followed = with_attention(model, conditions.attention)
        phrases = [encoded[0][0] for encoded in conditions.phrases]
        guider = comfy.samplers.CFGGuider(model)
        guider.inner_set_conds({"positive": [[torch.cat([states, *phrases], dim=1), {**options, **bound}]
                                             for states, options in conditions.prompt]})
        latents = guider.sample(noise, torch.zeros_like(noise), _Loop(loop, followed), conditions.sigmas,
                                disable_pbar=True)
        return self.model.model.process_latent_in(latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        stop_if_cancelled()
        return self.vae.decode(self.model.model.process_latent_out(latents))[0].to("cpu", torch.float32)


class _Loop(comfy.samplers.Sampler):
    """A denoise loop as a ComfyUI sampler; `followed` is told of each step."""

    def __init__(self, loop: Callable[[Velocity, torch.Tensor], torch.Tensor], followed: FollowedPlan | None):
        self._loop, self._followed = loop, followed

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, *_, **__) -> torch.Tensor:
        def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            if self._followed is not None:
                self._followed.begin_step(sigma)
            return (x - model_wrap(x, sigma, **extra_args)) / sigma  # the model gives x - sigma * velocity

        return self._loop(velocity, noise)


def _weighted(clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> dict[str, list]:
    """Token ids [1, n] as ComfyUI's tokenizer of FLUX gives them, every weight 1."""
    return {name: [[(token, 1.0) for token in ids[0].tolist()]] for name, ids in (("l", clip_ids), ("t5xxl", t5_ids))}


# To MODEL, CLIP, VAE ---------------------------------------------------------------------------------------------


def to_native(model: KontextModel) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of a Kontext model: those it was made of, else such as run its own networks.

    Core samplers, guiders, conditioning nodes and VAE nodes work. What reaches into FLUX's layers (LoRA loaders, block
    patches, ControlNet) finds no layers in the latter.
    """
    backend = model.backend
    if isinstance(backend, NativeBackend):
        return backend.model, backend.clip, backend.vae
    return as_native(model)

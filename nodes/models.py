"""The nodes that load a Kontext model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from comfy_api.latest import io

from ..common import InputError
from ..kontext import PRESETS, KontextModel, load_folder, load_parts
from . import host
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY, KontextModelSocket

TITLE = "Load Kontext Model"
FILES_TITLE = "Load Kontext Files"
IN_THE_CHECKPOINT = "in the checkpoint"


class LoadModel(io.ComfyNode):
    """Loads a diffusers folder and hands its memory to ComfyUI."""

    validate_inputs = own_choices("model")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_LoadModel",
            display_name=TITLE,
            category=CATEGORY,
            description="Loads a FLUX.1 Kontext model: the small demo model that comes with the pack, or a diffusers "
                        "folder under models/diffusers.",
            inputs=[
                io.Combo.Input("model", options=folders.model_names(), default=folders.DEMO_MODEL,
                               tooltip="The demo model comes with the pack and draws its own cartoon world only. "
                                       "Others: diffusers folders (with a model_index.json) in models/diffusers."),
                memory_input(),
            ],
            outputs=[KontextModelSocket.Output(display_name="model",
                                               tooltip="For Render Storyboard and Kontext Edit.")],
        )

    @classmethod
    def execute(cls, model: str, memory: str = "auto") -> io.NodeOutput:
        limit = memory_limit(memory, TITLE)
        folder = folders.model_folder(model, TITLE)
        loaded = load_folder(folder, dtype=host.weight_dtype(), may_map=host.may_map_files())
        return io.NodeOutput(_hosted(loaded, limit))


class LoadModelFiles(io.ComfyNode):
    """Loads Kontext from the files people have for ComfyUI and hands its memory to ComfyUI."""

    validate_inputs = own_choices("transformer", "clip", "t5", "vae")

    @classmethod
    def define_schema(cls) -> io.Schema:
        transformers = folders.weight_files("diffusion_models", "checkpoints") or [folders.NO_WEIGHTS]
        encoders = [IN_THE_CHECKPOINT, *folders.weight_files("text_encoders"), *folders.weight_files("checkpoints")]
        vaes = [IN_THE_CHECKPOINT, *folders.weight_files("vae"), *folders.weight_files("checkpoints")]
        return io.Schema(
            node_id="Kontinuity_LoadModelFiles",
            display_name=FILES_TITLE,
            category=CATEGORY,
            description="Loads FLUX.1 Kontext from single files: bf16, fp16, fp8, nvfp4, int8, nf4 or GGUF, in parts "
                        "or as an all-in-one checkpoint. They stay packed in memory.",
            inputs=[
                io.Combo.Input("transformer", options=transformers, default=transformers[0],
                               tooltip="FLUX.1 Kontext's transformer (models/diffusion_models or unet), or a "
                                       "checkpoint with all parts (models/checkpoints)."),
                io.Combo.Input("clip", options=encoders, default=IN_THE_CHECKPOINT,
                               tooltip="CLIP-L, such as clip_l.safetensors, in models/text_encoders or clip; or the "
                                       "CLIP-L of another checkpoint."),
                io.Combo.Input("t5", options=encoders, default=IN_THE_CHECKPOINT,
                               tooltip="T5-XXL, such as t5xxl_fp8_e4m3fn_scaled.safetensors or a T5 GGUF, in "
                                       "models/text_encoders or clip; or the T5-XXL of another checkpoint."),
                io.Combo.Input("vae", options=vaes, default=IN_THE_CHECKPOINT,
                               tooltip="FLUX.1's VAE, ae.safetensors, in models/vae; or the VAE of another checkpoint "
                                       "of FLUX.1."),
                memory_input(),
            ],
            outputs=[KontextModelSocket.Output(display_name="model",
                                               tooltip="For Render Storyboard and Kontext Edit.")],
        )

    @classmethod
    def fingerprint_inputs(cls, transformer: str, clip: str, t5: str, vae: str, memory: str = "auto") -> str:
        return folders.weight_stamp(transformer, clip, t5, vae)

    @classmethod
    def execute(cls, transformer: str, clip: str, t5: str, vae: str, memory: str = "auto") -> io.NodeOutput:
        limit = memory_limit(memory, FILES_TITLE)

        def path(name: str, field: str) -> Path | None:
            return None if name == IN_THE_CHECKPOINT else folders.weight_path(name, FILES_TITLE, field)

        others = path(clip, "clip"), path(t5, "t5"), path(vae, "vae")
        return io.NodeOutput(_hosted(load_parts(
            folders.weight_path(transformer, FILES_TITLE, "transformer"), clip=others[0], t5=others[1], vae=others[2],
            tokenizers=folders.tokenizer_folders(), dtype=host.weight_dtype(), may_map=host.may_map_files()), limit))


def memory_input() -> io.Combo.Input:
    """The widget of all loaders. Optional, so that API workflows made before it was there still run."""
    return io.Combo.Input("memory", options=list(PRESETS), default="auto", optional=True,
                          tooltip="How much of the graphics card the model may take. auto uses what is free. On a "
                                  "smaller card part of the weights comes from main memory while it computes; the "
                                  "pictures stay the same. Without a card it plays no part.")


def memory_limit(memory: str, where: str) -> int | None:
    """Bytes behind a choice of `memory_input`; None: no limit, as on a machine without a card."""
    if memory not in PRESETS:
        raise InputError(where, "memory", memory, "is no choice", f"choose one of: {', '.join(PRESETS)}")
    return None if host.card_room() is None else PRESETS[memory]  # nothing to save where all memory is main memory


def _hosted(model: KontextModel, limit: int | None) -> KontextModel:
    """ComfyUI decides where its weights are; previews in FLUX's colours if it brings none."""
    model.placement = host.ComfyPlacement(model.components, limit)
    if model.settings.latent_rgb is None:
        model.settings = replace(model.settings, latent_rgb=host.flux_latent_rgb())
    return model

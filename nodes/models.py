"""The node that loads a Kontext model."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..kontext import PRESETS, InputError, load_folder
from . import host
from .sockets import CATEGORY, KontextModelSocket

TITLE = "Load Kontext Model"


class LoadModel(io.ComfyNode):
    """Loads a diffusers folder and hands its memory to ComfyUI."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_LoadModel",
            display_name=TITLE,
            category=CATEGORY,
            description="Loads a FLUX.1 Kontext model: the small demo model that comes with the pack, or a diffusers "
                        "folder under models/diffusers.",
            inputs=[
                io.Combo.Input("model", options=host.model_names(), default=host.DEMO_MODEL,
                               tooltip="The demo model comes with the pack and draws its own cartoon world only. "
                                       "Others: diffusers folders (with a model_index.json) in models/diffusers."),
                io.Combo.Input("memory", options=list(PRESETS), default="auto",
                               tooltip="How much of the graphics card the model may take. auto uses what is free. A "
                                       "smaller card brings part of the weights from main memory while it computes; "
                                       "the pictures are the same."),
            ],
            outputs=[KontextModelSocket.Output(display_name="model",
                                               tooltip="For Render Storyboard and Kontext Edit.")],
        )

    @classmethod
    def execute(cls, model: str, memory: str = "auto") -> io.NodeOutput:
        if memory not in PRESETS:
            raise InputError(TITLE, "memory", memory, "is no choice", f"choose one of: {', '.join(PRESETS)}")
        loaded = load_folder(host.model_folder(model, TITLE), dtype=host.weight_dtype())
        loaded.placement = host.ComfyPlacement(loaded.components, PRESETS[memory])
        if loaded.settings.latent_rgb is None:
            loaded.settings = replace(loaded.settings, latent_rgb=host.flux_latent_rgb())
        return io.NodeOutput(loaded)

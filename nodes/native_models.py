"""The nodes between ComfyUI's own MODEL, CLIP, VAE and a Kontext model."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui

from ..kontext import KontextModel
from .host import native_in as native
from .host.native_out import TO_TITLE
from .sockets import CATEGORY, KontextModelSocket

log = logging.getLogger("kontinuity")


class FromNative(io.ComfyNode):
    """Makes a Kontext model of what ComfyUI's own loaders give."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_FromNative",
            display_name=native.FROM_TITLE,
            category=CATEGORY,
            description="Lets the storyboard and edit nodes use FLUX.1 Kontext as ComfyUI's own loaders, GGUF or "
                        "nunchaku loaders, LoRA loaders and model patches give it.",
            inputs=[
                io.Model.Input("model", tooltip="FLUX.1 Kontext dev, from Load Diffusion Model, a GGUF or nunchaku "
                                                "loader, with any LoRA or patch on it."),
                io.Clip.Input("clip", tooltip="From DualCLIPLoader with clip_l and t5xxl, type flux."),
                io.Vae.Input("vae", tooltip="From Load VAE with FLUX.1's ae.safetensors."),
            ],
            outputs=[KontextModelSocket.Output(display_name="kontext model",
                                               tooltip="For Render Storyboard and Kontext Edit.")],
        )

    @classmethod
    def execute(cls, model, clip, vae) -> io.NodeOutput:
        kontext = native.from_native(model, clip, vae)
        remarks = native.without_effect(model)
        for remark in remarks:
            log.warning("%s: %s", native.FROM_TITLE, remark)
        return io.NodeOutput(kontext, ui=ui.PreviewText("\n".join(remarks))) if remarks else io.NodeOutput(kontext)


class ToNative(io.ComfyNode):
    """Makes ComfyUI's own types of a Kontext model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_ToNative",
            display_name=TO_TITLE,
            category=CATEGORY,
            description="Lets ComfyUI's own samplers and nodes use a Kontext model, such as the demo model. It takes "
                        "no further memory: the weights are shared.",
            inputs=[KontextModelSocket.Input("model", tooltip="From Load Kontext Model.")],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For KSampler and other samplers and guiders."),
                io.Clip.Output(display_name="clip", tooltip="For CLIP Text Encode."),
                io.Vae.Output(display_name="vae", tooltip="For VAE Encode and VAE Decode."),
            ],
        )

    @classmethod
    def execute(cls, model: KontextModel) -> io.NodeOutput:
        return io.NodeOutput(*native.to_native(model))

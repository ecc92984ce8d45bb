"""The node that adds a LoRA to a Kontext model."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..kontext import KontextModel, read_lora
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY, KontextModelSocket

TITLE = "Load Kontext LoRA"


class LoadLora(io.ComfyNode):
    """Adds a LoRA's branches to a model; the model that comes in stays as it is."""

    validate_inputs = own_choices("lora")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.lora_names()
        return io.Schema(
            node_id="Kontinuity_LoadLora",
            display_name=TITLE,
            category=CATEGORY,
            description="Adds a LoRA for FLUX.1 Kontext or FLUX.1 dev to a Kontext model. Several in a row add up.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model or another Load Kontext LoRA."),
                io.Combo.Input("lora", options=names, default=names[0],
                               tooltip="A safetensors file in models/loras. It must be for FLUX.1. The built-in one is "
                                       "for the demo model."),
                io.Float.Input("strength", default=1.0, min=-4.0, max=4.0, step=0.05,
                               tooltip="1 is what the LoRA was trained for, 0 nothing at all, below 0 the opposite. "
                                       "Some LoRAs name another usual strength."),
            ],
            outputs=[KontextModelSocket.Output("adapted", display_name="model",
                                               tooltip="The model with the LoRA; the one that came in is unchanged.")],
        )

    @classmethod
    def fingerprint_inputs(cls, lora: str, **_) -> str:
        return folders.weight_stamp(f"loras/{lora}")

    @classmethod
    def execute(cls, model: KontextModel, lora: str, strength: float) -> io.NodeOutput:
        loaded = read_lora(folders.lora_path(lora, TITLE))
        return io.NodeOutput(model.adapted([(loaded, strength)]), ui=ui.PreviewText(loaded.report))

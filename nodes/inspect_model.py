"""The node that tells what a model file is."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..kontext import Identity, identify, plan_flux
from . import host
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY

TITLE = "Inspect Model"
FLUX_PARAMETERS = 11_900_000_000  # of the transformer


class InspectModel(io.ComfyNode):
    """Names a file or folder of ComfyUI's model folders: what it is, in which precision, and what it is good for."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.weight_names()
        return io.Schema(
            node_id="Kontinuity_InspectModel",
            display_name=TITLE,
            category=CATEGORY,
            description="Tells what a model file or folder is (FLUX.1 Kontext, dev, Fill, a LoRA, a VAE ...), in which "
                        "precision, and what this pack's loaders say to it. Reads the header only.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="The demo model, and files and diffusers folders in ComfyUI's model folders. "
                                       "Only the header is read, so it is quick for files of any size."),
            ],
            outputs=[io.String.Output("report", display_name="report", tooltip="The findings as text.")],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return folders.weight_stamp(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        found = identify(folders.weight_path(file, TITLE), folders.tokenizer_folders())
        needed = found.loaded_bytes(host.weight_dtype().itemsize) / 2**30
        report = (f"{file}\n{found.report}\nmemory: its weights take {needed:.2f} GiB as this pack or ComfyUI loads "
                  f"them here ({host.card_memory()})")
        if prediction := _on_the_card(found, host.card_room()):
            report += f"\n{prediction}"
        return io.NodeOutput(report, ui=ui.PreviewText(report))


def _on_the_card(found: Identity, room: int | None) -> str | None:
    """What an edit with this FLUX.1 takes of a card with so much room; None without a card or for another model."""
    if room is None or not found.flavour.startswith("FLUX.1") or found.parameters < FLUX_PARAMETERS:
        return None
    itemsize = host.weight_dtype().itemsize
    alone = found.kind == "transformer"
    transformer = found.loaded_bytes(itemsize) if alone else FLUX_PARAMETERS * itemsize
    return ("an edit of 1024 x 1024 with one reference of that size, computed for this card as it is now: "
            f"{plan_flux(transformer, room).summary}")

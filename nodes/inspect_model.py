"""The node that tells what a model file is."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..kontext import identify
from . import host
from .sockets import CATEGORY

TITLE = "Inspect Model"


class InspectModel(io.ComfyNode):
    """Names a file or folder of ComfyUI's model folders: what it is, its precision, and what it is good for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = host.weight_names()
        return io.Schema(
            node_id="Kontinuity_InspectModel",
            display_name=TITLE,
            category=CATEGORY,
            description="Tells what a model file or folder is (FLUX.1 Kontext, dev, Fill, a LoRA, a VAE ...), in which "
                        "precision, and what to do with it. Reads the header only.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="Files and diffusers folders in ComfyUI's model folders. Only the header is "
                                       "read, so it is quick for files of any size."),
            ],
            outputs=[io.String.Output("report", display_name="report", tooltip="The findings as text.")],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return host.weight_stamp(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        report = f"{file}\n{identify(host.weight_path(file, TITLE)).report}"
        return io.NodeOutput(report, ui=ui.PreviewText(report))

"""Learnt models for motion, and the inputs of the nodes that motion is estimated in."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from .. import flow
from . import host
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY, FlowModelSocket, InBetweenModelSocket, NativeFlowModelSocket

LOAD_TITLE = "Load Flow Model"
LOAD_IN_BETWEEN_TITLE = "Load In-Between Model"
GPU = "gpu"


def quality_input() -> io.Combo.Input:
    """How motion is looked for without a model."""
    return io.Combo.Input("quality", options=[*flow.QUALITIES, GPU], default="normal",
                          tooltip="How finely motion is looked for. best is about ten times slower than normal; gpu "
                                  "works on the graphics card, in place of OpenCV's DIS.")


def flow_model_input() -> io.Input:
    """A learnt flow model, ours or ComfyUI's own."""
    return io.MultiType.Input(
        "flow_model", [FlowModelSocket, NativeFlowModelSocket], optional=True,
        tooltip="A learnt flow model instead of DIS, from Load Flow Model; quality is not used then.")


def estimator_of(where: str, quality: str, flow_model=None) -> flow.Estimator:
    """The flow estimator that a node's inputs ask for; Cancel stops before each estimate."""
    if flow_model is not None:
        estimate = host.flow_estimator(flow_model, where)
    else:
        estimate = flow.PyramidFlow(host.work_device) if quality == GPU else flow.DisFlow(quality)

    def cancellable(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        host.stop_if_cancelled()
        return estimate(a, b)
    return cancellable


class LoadFlowModel(io.ComfyNode):
    """Loads RAFT from a file."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.motion_model_names(folders.FLOW_MODELS)
        return io.Schema(
            node_id="Kontinuity_LoadFlowModel",
            display_name=LOAD_TITLE,
            category=CATEGORY,
            description="Loads RAFT, a learnt optical flow, from models/optical_flow. Nothing is downloaded; without "
                        "this node motion is found by DIS, which needs no file.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="torchvision's raft_large or raft_small, as .safetensors, .pth or .pt."),
            ],
            outputs=[FlowModelSocket.Output(display_name="flow_model",
                                            tooltip="For Interpolate Frames, Estimate Motion and Clip Score.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = folders.motion_model_path(folders.FLOW_MODELS, file, LOAD_TITLE, "torchvision's RAFT weights")
        with torch.inference_mode(False):  # else its weights could never be moved
            network = flow.load_raft(path, LOAD_TITLE)
        return io.NodeOutput(flow.RaftFlow(network, host.device_for(network)))


class LoadInBetweenModel(io.ComfyNode):
    """Loads RIFE or FILM from a file."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.motion_model_names(folders.IN_BETWEEN_MODELS)
        return io.Schema(
            node_id="Kontinuity_LoadInBetweenModel",
            display_name=LOAD_IN_BETWEEN_TITLE,
            category=CATEGORY,
            description="Loads RIFE (4.25 or later) or FILM, learnt models for pictures in between, from "
                        "models/frame_interpolation. Nothing is downloaded; without this node pictures are made from "
                        "motion, which needs no file.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="rife_v4.26.safetensors or film_net_fp16.safetensors as ComfyUI itself uses "
                                       "them, or Practical-RIFE's flownet.pkl."),
            ],
            outputs=[InBetweenModelSocket.Output(display_name="in_between_model", tooltip="For Interpolate Frames.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = folders.motion_model_path(folders.IN_BETWEEN_MODELS, file, LOAD_IN_BETWEEN_TITLE,
                                         "rife_v4.26.safetensors or film_net_fp16.safetensors")
        with torch.inference_mode(False):  # else its weights could never be moved
            network = flow.load_in_between(path, LOAD_IN_BETWEEN_TITLE)
        return io.NodeOutput(flow.InBetweenModel(network, host.device_for(network)))

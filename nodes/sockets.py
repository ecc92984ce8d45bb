"""The pack's own socket types and the values that travel along them. All values are immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from comfy_api.latest import io

from ..kontext import ReferenceStrength
from ..storyboard import Board

KontextModelSocket = io.Custom("KONTINUITY_MODEL")  # a kontext.KontextModel
CharactersSocket = io.Custom("KONTINUITY_CHARACTERS")  # a mapping of name, or name/role, to picture: see Characters
FlowModelSocket = io.Custom("KONTINUITY_FLOW_MODEL")  # a flow.Estimator
NativeFlowModelSocket = io.Custom("OPTICAL_FLOW")  # of later ComfyUI: a ModelPatcher of torchvision's RAFT
InBetweenModelSocket = io.Custom("KONTINUITY_IN_BETWEEN_MODEL")  # a flow.InBetweenModel
NativeInBetweenModelSocket = io.Custom("INTERP_MODEL")  # of later ComfyUI: a ModelPatcher of RIFE or FILM
StorySocket = io.Custom("KONTINUITY_STORY")  # a Storyboard
FlowSocket = io.Custom("KONTINUITY_FLOW")  # a flow.Motion; OPTICAL_FLOW is a model in later ComfyUI
ScorerSocket = io.Custom("KONTINUITY_SCORER")  # a kontext.Scorer
KeyframesSocket = io.Custom("KONTINUITY_KEYFRAMES")  # a publish.Handoff

CATEGORY = "Kontinuity"


class Characters(dict[str, torch.Tensor]):
    """Pictures by name, or name/role, as every mapping of them; and how strongly some of them are looked at, which who
    knows nothing of strengths need not know."""

    def __init__(self, pictures: Mapping[str, torch.Tensor], strengths: Mapping[str, ReferenceStrength] | None = None):
        super().__init__(pictures)
        self.strengths: Mapping[str, ReferenceStrength] = (
            getattr(pictures, "strengths", {}) if strengths is None else strengths)


@dataclass(frozen=True)
class Storyboard:
    """A checked story with its pictures. `originals` are the prompts as they were written, by panel id, of panels that
    Translate Prompts changed."""

    board: Board
    originals: Mapping[str, str] = field(default_factory=dict)

"""The ComfyUI nodes of Kontinuity."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .characters import Character, DemoCharacter
from .edit import Edit
from .inspect_model import InspectModel
from .models import LoadModel
from .motion import (
    ClipScore,
    EstimateMotion,
    InBetweenKeyframe,
    InterpolateFrames,
    LoadFlowModel,
    MotionScore,
    ShowMotion,
)
from .publish import SaveClip, Sticker
from .story import ContactSheet, LoadStoryboard, RenderStoryboard


class KontinuityExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The node classes, in the order of a storyboard's data flow."""
        return [LoadModel, DemoCharacter, Character, LoadStoryboard, RenderStoryboard, ContactSheet, Edit,
                InspectModel, InBetweenKeyframe, InterpolateFrames, EstimateMotion, ShowMotion, MotionScore, ClipScore,
                LoadFlowModel, Sticker, SaveClip]

"""The ComfyUI nodes of Kontinuity."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .characters import Character, CharacterSheet, CropCharacter, DemoCharacter
from .edit import Edit
from .flow_models import LoadFlowModel, LoadInBetweenModel
from .inspect_model import InspectModel
from .interpolate import InBetweenKeyframe, InterpolateFrames
from .loras import LoadLora
from .models import LoadModel, LoadModelFiles
from .motion import ClipScore, EstimateMotion, MotionScore, ShowMotion
from .native_models import FromNative, ToNative
from .prompts import CheckPrompts, TranslatePrompts
from .publish import SaveClip, Sticker
from .scores import LoadScorer, PickCandidate, ScorePanels
from .start_end_frames import StartEndFrames
from .story import ContactSheet, LoadStoryboard, RenderStoryboard
from .video import JoinClips, KeyframesForVideo


class KontinuityExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The node classes, in the order of a storyboard's data flow."""
        return [
            LoadModel, LoadModelFiles, LoadLora, FromNative, ToNative, InspectModel,
            DemoCharacter, CropCharacter, Character, CharacterSheet, LoadStoryboard, CheckPrompts, TranslatePrompts,
            LoadScorer, RenderStoryboard, ScorePanels, PickCandidate, ContactSheet, Edit,
            StartEndFrames, InBetweenKeyframe, InterpolateFrames, EstimateMotion, ShowMotion, MotionScore, ClipScore,
            LoadFlowModel, LoadInBetweenModel, KeyframesForVideo, JoinClips, Sticker, SaveClip,
        ]

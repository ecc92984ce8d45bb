"""The ComfyUI nodes of Kontinuity."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .characters import Character, DemoCharacter
from .edit import Edit
from .inspect_model import InspectModel
from .loras import LoadLora
from .models import LoadModel, LoadModelFiles
from .native_models import FromNative, ToNative
from .story import ContactSheet, LoadStoryboard, RenderStoryboard


class KontinuityExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The node classes, in the order of a storyboard's data flow."""
        return [LoadModel, LoadModelFiles, LoadLora, DemoCharacter, Character, LoadStoryboard, RenderStoryboard,
                ContactSheet, Edit, InspectModel, FromNative, ToNative]

"""The nodes that bring characters: one drawn for trying out, and the name that binds a picture to a story."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy_api.latest import io

from ..kontext import InputError
from .pictures import as_image, one_picture
from .sockets import CATEGORY, CharactersSocket

TITLE = "Character"
MAX_SEED = 0xFFFF_FFFF_FFFF_FFFF


class DemoCharacter(io.ComfyNode):
    """Draws a reference picture of a character of the demo model's world."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_DemoCharacter",
            display_name="Draw Demo Character",
            category=CATEGORY,
            description="Draws a cartoon character of the demo model's world, so that a workflow runs without any "
                        "file. With a real Kontext model put Load Image in its place.",
            inputs=[
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True,
                             tooltip="Which character: every seed is another one, the same seed always the same."),
            ],
            outputs=[io.Image.Output(display_name="picture",
                                     tooltip="The character, standing, full body, before a plain backdrop.")],
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        from ..demo_model import toonworld

        drawn = toonworld.draw(toonworld.Character.from_seed(seed), toonworld.REFERENCE_SHOT)
        return io.NodeOutput(as_image(torch.from_numpy(drawn).float() / 255))


class Character(io.ComfyNode):
    """Gives a picture the name under which a story knows it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_Character",
            display_name=TITLE,
            category=CATEGORY,
            description="Names a picture of a character for Load Storyboard. Chain several for more characters.",
            inputs=[
                io.String.Input("name", default="mia",
                                tooltip="The character's name exactly as the story writes it."),
                io.Image.Input("picture",
                               tooltip="One picture of the character, best full body before a plain background."),
                CharactersSocket.Input("characters", optional=True,
                                       tooltip="More characters, from another Character node."),
            ],
            outputs=[CharactersSocket.Output(display_name="characters",
                                             tooltip="All so far, for Load Storyboard or one more Character.")],
        )

    @classmethod
    def execute(cls, name: str, picture: torch.Tensor,
                characters: Mapping[str, torch.Tensor] | None = None) -> io.NodeOutput:
        name, others = name.strip(), characters or {}
        if not name:
            raise InputError(TITLE, "name", "", "is empty", "write the character's name as in the story: mia")
        if name in others:
            raise InputError(TITLE, "name", name, "is already taken by another Character node in this chain",
                             "give each character its own name")
        return io.NodeOutput({**others, name: one_picture(picture, f"{TITLE} '{name}'", "picture")})

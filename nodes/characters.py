"""The nodes that bring characters: one drawn for trying out, and the name that binds a picture to a story."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy_api.latest import io

from ..kontext import InputError, KontextModel
from ..storyboard import ROLES, character_sheet
from . import host
from .pictures import as_image, one_picture
from .sockets import CATEGORY, CharactersSocket, KontextModelSocket

TITLE = "Character"
SHEET_TITLE = "Character Sheet"
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
                io.Combo.Input("role", options=list(ROLES), default=ROLES[0], optional=True,
                               tooltip="What the picture shows. Panels use the body, close-ups the face if there is "
                                       "one, and the others where a panel asks for them."),
            ],
            outputs=[CharactersSocket.Output(display_name="characters",
                                             tooltip="All so far, for Load Storyboard or one more Character.")],
        )

    @classmethod
    def execute(cls, name: str, picture: torch.Tensor,
                characters: Mapping[str, torch.Tensor] | None = None, role: str = ROLES[0]) -> io.NodeOutput:
        name, others = name.strip(), characters or {}
        if not name:
            raise InputError(TITLE, "name", "", "is empty", "write the character's name as in the story: mia")
        key = name if role == ROLES[0] else f"{name}/{role}"
        if key in others:
            raise InputError(TITLE, "name", name, "is already taken by another Character node in this chain",
                             "give each character its own name, or each of its pictures another role")
        return io.NodeOutput({**others, key: one_picture(picture, f"{TITLE} '{name}'", "picture")})


class CharacterSheet(io.ComfyNode):
    """Makes views of a character from one picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_CharacterSheet",
            display_name=SHEET_TITLE,
            category=CATEGORY,
            description="Shows a character from the front, the side and the back, before a plain background. Each view "
                        "can serve as a further reference.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model."),
                io.Image.Input("picture", tooltip="One picture of the character, best full body."),
                io.String.Input("traits", default="", multiline=False,
                                tooltip="What the character looks like, in a few words: a woman with short black hair "
                                        "and a red coat. Empty says 'the character'."),
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True,
                             tooltip="Another seed gives other views; the same seed the same."),
                io.Int.Input("steps", default=20, min=1, max=200,
                             tooltip="Sampling steps for each view. More is slower and sometimes finer."),
                io.Float.Input("guidance", default=2.5, min=0.0, max=30.0, step=0.1,
                               tooltip="How strictly the instruction is followed. 2.5 suits FLUX.1 Kontext; the demo "
                                       "model ignores it."),
            ],
            outputs=[
                io.Image.Output(display_name="front", tooltip="Facing the viewer: for the role body."),
                io.Image.Output(display_name="side", tooltip="In profile: for the role side."),
                io.Image.Output(display_name="back", tooltip="From behind: for the role back."),
            ],
        )

    @classmethod
    def execute(cls, model: KontextModel, picture: torch.Tensor, traits: str, seed: int, steps: int,
                guidance: float) -> io.NodeOutput:
        reference = one_picture(picture, SHEET_TITLE, "picture")
        views = character_sheet(reference, model, traits=traits, seed=seed, steps=steps, guidance=guidance,
                                where=SHEET_TITLE)
        progress = host.Progress(steps * len(views))
        return io.NodeOutput(*(
            as_image(model.edit(request, lambda info: progress.advance(model.preview(info))))
            for request in views.values()))

"""The nodes that bring characters: one drawn for trying out, and the name that binds a picture to a story."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy_api.latest import io

from ..common import Box, InputError
from ..demo_model import figure_finder
from ..kontext import FaceFinder, KontextModel, ReferenceStrength, check_strengths
from ..publish import check_visible, key_border, visible_share
from ..storyboard import ROLES, Sampling, character_sheet, crop_picture
from . import host
from .host import folders
from .inputs import guidance_input, own_choices, seed_input, steps_input, strength_input
from .pictures import as_image, one_picture
from .sockets import CATEGORY, Characters, CharactersSocket, KontextModelSocket

TITLE = "Character"
SHEET_TITLE = "Character Sheet"
CROP_TITLE = "Crop Character"
FIGURE = "figure, before a plain background"
DRAWN_FIGURE = "figure, drawn world (built in)"
FACE = "face, by "
KEEP, NEUTRAL = "keep", "light grey, in place of a plain one"
_GREY = 0.85
_TOLERANCE = 0.1  # of a plain background's own pixels: above JPEG's noise


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
                seed_input("Which character: every seed is another one, the same seed always the same."),
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
                strength_input(" A strength that the story gives goes before it."),
            ],
            outputs=[CharactersSocket.Output(display_name="characters",
                                             tooltip="All so far, for Load Storyboard or one more Character.")],
        )

    @classmethod
    def execute(cls, name: str, picture: torch.Tensor,
                characters: Mapping[str, torch.Tensor] | None = None, role: str = ROLES[0],
                strength: float = 1.0) -> io.NodeOutput:
        name, others = name.strip(), Characters(characters or {})
        if not name:
            raise InputError(TITLE, "name", "", "is empty", "write the character's name as in the story: mia")
        key = name if role == ROLES[0] else f"{name}/{role}"
        if key in others:
            raise InputError(TITLE, "name", name, "is already taken by another Character node in this chain",
                             "give each character its own name, or each of its pictures another role")
        where, looked_at = f"{TITLE} '{name}'", ReferenceStrength(strength)
        check_strengths([looked_at], 1, where)
        return io.NodeOutput(Characters({**others, key: one_picture(picture, where, "picture")},
                                        {**others.strengths, key: looked_at}))


class CropCharacter(io.ComfyNode):
    """Cuts the figure or the face out of a picture, so that a reference shows the character and nothing else."""

    validate_inputs = own_choices("find")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_CropCharacter",
            display_name=CROP_TITLE,
            category=CATEGORY,
            description="Crops a picture to one figure, or to one face, for use as a reference.",
            inputs=[
                io.Image.Input("picture", tooltip="One picture with the character."),
                io.Combo.Input("find", default=FIGURE,
                               options=[FIGURE, DRAWN_FIGURE, *(FACE + name for name in folders.face_models())],
                               tooltip="What to crop to. Faces need a YuNet detector (*.onnx) in models/identity."),
                io.Int.Input("number", default=1, min=1, max=100,
                             tooltip="Which one, when there are several: 1 is the leftmost."),
                io.Combo.Input("background", options=[KEEP, NEUTRAL], default=KEEP,
                               tooltip="A plain background can be made light grey, so that no colour of it gets into "
                                       "the panels."),
            ],
            outputs=[io.Image.Output(display_name="picture", tooltip="The part of the picture, for Character.")],
        )

    @classmethod
    def execute(cls, picture: torch.Tensor, find: str, number: int, background: str) -> io.NodeOutput:
        whole = one_picture(picture, CROP_TITLE, "picture")
        cropped = _crop(whole, find, number)
        if background == NEUTRAL:
            cut = key_border(cropped, _TOLERANCE, CROP_TITLE, "background")
            check_visible([visible_share(cut)], CROP_TITLE, "background", NEUTRAL,
                          f"choose '{KEEP}', or use a picture whose background has another colour than the figure")
            colour, alpha = cut[..., :3], cut[..., 3:]
            cropped = colour * alpha + _GREY * (1 - alpha)
        return io.NodeOutput(as_image(cropped))


def _crop(picture: torch.Tensor, find: str, number: int) -> torch.Tensor:
    """The part of a picture that `find` names."""
    if find == FIGURE:
        if number > 1:
            raise InputError(CROP_TITLE, "number", str(number), "asks for one of several, and all that stands before "
                             "the plain background is one figure", "set it to 1, or choose what finds each figure")
        return crop_picture(picture, "auto", CROP_TITLE, "find")
    finder = figure_finder() if find == DRAWN_FIGURE else FaceFinder(
        folders.identity_path(str(find).removeprefix(FACE), CROP_TITLE, "find"), CROP_TITLE)
    found = sorted(finder.find(picture))
    if number > len(found):
        raise InputError(CROP_TITLE, "number", str(number), f"is more than were found: {len(found)}",
                         "lower it, use a larger picture, or crop by hand with Image Crop")
    height, width = picture.shape[:2]
    figure = found[number - 1]
    left, top = int(figure.left * width), int(figure.top * height)
    box = Box(left, top, max(left + 1, round(figure.right * width)), max(top + 1, round(figure.bottom * height)))
    return crop_picture(picture, box, CROP_TITLE, "find")


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
                seed_input("Another seed gives other views; the same seed the same."),
                steps_input("Sampling steps for each view. More is slower and sometimes finer."),
                guidance_input("instruction"),
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
        views = character_sheet(reference, model, Sampling(steps, guidance), traits=traits, seed=seed,
                                where=SHEET_TITLE)
        progress = host.Progress(steps * len(views))
        return io.NodeOutput(*(
            as_image(model.edit(request, lambda info: progress.advance(model.preview(info))))
            for request in views.values()))

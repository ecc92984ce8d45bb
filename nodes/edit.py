"""The node for one edit of one picture."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..kontext import MIN_SIDE, EditRequest, KontextModel, ReferenceStrength, nearest_side, whole_size
from ..storyboard import prompts
from . import host
from .inputs import guidance_input, seed_input, side_input, steps_input, strength_input
from .pictures import as_image, one_picture
from .prompts import advice_for
from .sockets import CATEGORY, KontextModelSocket

TITLE = "Kontext Edit"


class Edit(io.ComfyNode):
    """Changes one picture by an instruction."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_Edit",
            display_name=TITLE,
            category=CATEGORY,
            description="Changes a picture by an instruction and keeps the character in it.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model."),
                io.Image.Input("picture", tooltip="The picture to start from: one, not a batch."),
                io.String.Input("instruction", multiline=True, dynamic_prompts=False,
                                default="Change the background to a beach, the character is waving, full body. "
                                        "Keep the same face, hair and clothes.",
                                tooltip="What to change and what to keep, in English, at most 512 tokens."),
                seed_input("Another seed gives another variant; the same seed the same picture."),
                steps_input("Sampling steps. More is slower and sometimes finer."),
                guidance_input("instruction"),
                side_input("width", "height"),
                side_input("height", "width"),
                strength_input(),
                _part_of_steps("strength_start", 0.0, "begins"),
                _part_of_steps("strength_end", 1.0, "ends"),
            ],
            outputs=[io.Image.Output(display_name="result", tooltip="The changed picture.")],
        )

    @classmethod
    def execute(cls, model: KontextModel, picture: torch.Tensor, instruction: str, seed: int, steps: int,
                guidance: float, width: int, height: int, strength: float = 1.0, strength_start: float = 0.0,
                strength_end: float = 1.0) -> io.NodeOutput:
        reference = one_picture(picture, TITLE, "picture")
        width, height = _result_size(reference, model.settings.width * model.settings.height, width, height)
        request = EditRequest(prompt=instruction, references=(reference,), width=width, height=height, seed=seed,
                              steps=steps, guidance=guidance, where=TITLE,
                              strengths=(ReferenceStrength(strength, strength_start, strength_end),))
        model.check(request)
        remarks = prompts.check_before_sampling([prompts.PromptToCheck(TITLE, instruction)], model, advice_for(model))
        progress = host.Progress(steps)
        result = model.edit(request, lambda info: progress.advance(model.preview(info)))
        return io.NodeOutput(as_image(result), ui={"text": [remarks]})


def _part_of_steps(name: str, default: float, happens: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.05, optional=True,
                          tooltip=f"The part of all steps at which the strength {happens}; outside it is 1. The first "
                                  "steps settle what is where, the last ones the details.")


def _result_size(picture: torch.Tensor, area: int, width: int, height: int) -> tuple[int, int]:
    """Width and height; a 0 is filled in from the picture's shape, two zeros also from the model's native area."""
    tall, wide = picture.shape[:2]
    if not width and not height:
        return whole_size(wide, tall, area, MIN_SIDE)
    return width or nearest_side(height * wide / tall), height or nearest_side(width * tall / wide)

"""The node that makes the pictures between a start frame and an end frame."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..kontext import KontextModel, Scorer
from ..storyboard import MAX_CANDIDATES, MAX_FRAMES, MIN_FRAMES, InBetweens, Sampling, make_in_betweens, prompts
from . import host
from .flow_models import estimator_of, flow_model_input
from .inputs import guidance_input, seed_input, steps_input
from .pictures import one_picture
from .prompts import advice_for
from .sockets import CATEGORY, KontextModelSocket, ScorerSocket

TITLE = "Start and End Frames"


class StartEndFrames(io.ComfyNode):
    """Makes a series of pictures from a start frame to an end frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_StartEndFrames",
            display_name=TITLE,
            category=CATEGORY,
            description="Makes the pictures between two given ones: the one half-way first, then those half-way again, "
                        "by Kontext, and by motion where that is enough. Both given pictures come out as they are.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model, with an in-between LoRA from Load "
                                                          "Kontext LoRA: Kontext was not taught this."),
                io.Image.Input("start", tooltip="The first picture: one, not a batch."),
                io.Image.Input("end", tooltip="The last picture, of the same size."),
                io.Int.Input("frames", default=7, min=MIN_FRAMES, max=MAX_FRAMES,
                             tooltip="How many pictures come out, both given ones included."),
                io.Int.Input("made", default=0, min=0, max=MAX_FRAMES,
                             tooltip="The most that Kontext makes; motion fills the rest. 0: as many as are needed."),
                io.String.Input("prompts", multiline=True, dynamic_prompts=False, default="",
                                tooltip="What happens on the way, in English, one line for each phase: the hand goes "
                                        "up, the hand waves. May be empty."),
                io.Int.Input("candidates", default=1, min=1, max=MAX_CANDIDATES,
                             tooltip="How many pictures Kontext makes for each place. Those that go together best are "
                                     "kept: by motion, and by identity with a scorer."),
                seed_input("Another seed gives another series; one noise is used for all of its pictures."),
                steps_input("Sampling steps of each picture that Kontext makes."),
                guidance_input("prompt"),
                ScorerSocket.Input("scorer", optional=True,
                                   tooltip="From Load Identity Scorer: of several candidates the figure that is most "
                                           "like that of both ends is preferred."),
                flow_model_input(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The series, one batch, the two given pictures first "
                                                               "and last as they are."),
                io.String.Output(display_name="report", tooltip="Where each picture came from and what it scored."),
            ],
        )

    @classmethod
    def execute(cls, model: KontextModel, start: torch.Tensor, end: torch.Tensor, frames: int, made: int,
                prompts: str, candidates: int, seed: int, steps: int, guidance: float, scorer: Scorer | None = None,
                flow_model=None) -> io.NodeOutput:
        phases = tuple(line.strip() for line in prompts.splitlines() if line.strip())
        remarks = _looked_through(phases, model)
        series = make_in_betweens(
            one_picture(start, TITLE, "start"), one_picture(end, TITLE, "end"), model, Sampling(steps, guidance),
            host.RunProgress(), InBetweens(frames=frames, made=made, prompts=phases, candidates=candidates, seed=seed),
            scorer=scorer, estimator=estimator_of(TITLE, "normal", flow_model), where=TITLE)
        images = torch.stack([frame.picture for frame in series.frames])
        report = "\n".join([*series.remarks, *filter(None, [remarks])])
        return io.NodeOutput(images, report, ui=ui.PreviewText(report))


def _looked_through(phases: tuple[str, ...], model: KontextModel) -> str:
    """Remarks on the prompts. Raises InputError for those that the model cannot read."""
    checked = [prompts.PromptToCheck(f"{TITLE}, phase {number}", phase) for number, phase in enumerate(phases, 1)]
    return prompts.check_before_sampling(checked, model, advice_for(model))

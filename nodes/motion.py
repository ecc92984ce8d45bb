"""The nodes that look at motion: found between two pictures, drawn, and scored."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from .. import flow
from . import host
from .flow_models import estimator_of, flow_model_input, quality_input
from .pictures import Frames, as_image, one_picture
from .sockets import CATEGORY, FlowSocket

ESTIMATE_TITLE = "Estimate Motion"
SHOW_TITLE = "Show Motion"
SCORE_TITLE = "Motion Score"
CLIP_TITLE = "Clip Score"
WHEEL, ARROWS = "colour wheel", "arrows"


class EstimateMotion(io.ComfyNode):
    """The motion from one picture to another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_EstimateMotion",
            display_name=ESTIMATE_TITLE,
            category=CATEGORY,
            description="Finds where each part of a picture is in another one, and how much of it can be believed.",
            inputs=[
                io.Image.Input("first", tooltip="The picture before: one, not a batch."),
                io.Image.Input("second", tooltip="The picture after, of the same size."),
                quality_input(),
                flow_model_input(),
            ],
            outputs=[
                FlowSocket.Output(display_name="motion", tooltip="For Show Motion and Motion Score."),
                io.Float.Output(display_name="coverage",
                                tooltip="Share of the pictures, 0 to 1, where the motion there and back agrees."),
            ],
        )

    @classmethod
    def execute(cls, first: torch.Tensor, second: torch.Tensor, quality: str, flow_model=None) -> io.NodeOutput:
        a, b = one_picture(first, ESTIMATE_TITLE, "first"), one_picture(second, ESTIMATE_TITLE, "second")
        motion = flow.estimate_motion(a, b, estimator_of(ESTIMATE_TITLE, quality, flow_model), where=ESTIMATE_TITLE)
        return io.NodeOutput(motion, motion.coverage)


class ShowMotion(io.ComfyNode):
    """Draws a motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_ShowMotion",
            display_name=SHOW_TITLE,
            category=CATEGORY,
            description="Draws a motion in colours (hue: direction, white: still) or as arrows.",
            inputs=[
                FlowSocket.Input("motion", tooltip="From Estimate Motion."),
                io.Combo.Input("style", options=[WHEEL, ARROWS], default=WHEEL,
                               tooltip="colour wheel: every pixel, right is red. arrows: where each part goes."),
                io.Float.Input("longest", default=0.0, min=0.0, max=4096.0, step=1.0,
                               tooltip="The length in pixels that gets the full colour, to compare several motions. "
                                       "0 takes the longest one there is."),
                io.Image.Input("picture", optional=True,
                               tooltip="What to draw arrows on: the first picture of Estimate Motion."),
            ],
            outputs=[io.Image.Output(display_name="drawn", tooltip="The motion as a picture.")],
        )

    @classmethod
    def execute(cls, motion: flow.Motion, style: str, longest: float,
                picture: torch.Tensor | None = None) -> io.NodeOutput:
        if style == ARROWS:
            ground = None if picture is None else one_picture(picture, SHOW_TITLE, "picture")
            return io.NodeOutput(as_image(flow.arrows(motion.forward, ground, longest, SHOW_TITLE)))
        return io.NodeOutput(as_image(flow.colour_wheel(motion.forward, longest, SHOW_TITLE)))


class MotionScore(io.ComfyNode):
    """Compares an edit's motion with a wanted one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_MotionScore",
            display_name=SCORE_TITLE,
            category=CATEGORY,
            description="How much of a wanted motion an edit made: estimate the motion from the original to the edited "
                        "picture, and from the original to the target.",
            inputs=[
                FlowSocket.Input("found", tooltip="Motion from the original to the edited picture."),
                FlowSocket.Input("wanted", tooltip="Motion from the original to the target picture."),
                io.Combo.Input("form", options=list(flow.FORMS), default="paper",
                               tooltip="Which of MotionEdit's two forms alignment and reward use: as printed, or as in "
                                       "the released code."),
            ],
            outputs=[
                io.Float.Output(display_name="score",
                                tooltip="0: no better than doing nothing. 100: the wanted motion. Only what moves or "
                                        "should move counts."),
                io.Float.Output(display_name="progress",
                                tooltip="How much of the wanted motion was made: 1 all, 0 none, below 0 the opposite."),
                io.Float.Output(display_name="alignment",
                                tooltip="MotionEdit's alignment over the whole picture, 0 to 100, with this pack's "
                                        "constants and estimator: not comparable with published values."),
                io.Float.Output(display_name="reward", tooltip="MotionNFT's reward, 0 to 1 in steps of 0.2."),
                io.String.Output(display_name="report", tooltip="All of it as text."),
            ],
        )

    @classmethod
    def execute(cls, found: flow.Motion, wanted: flow.Motion, form: str) -> io.NodeOutput:
        region = flow.moving_region(found.forward, wanted.forward, SCORE_TITLE)
        terms = flow.motion_terms(found.forward, wanted.forward, form, SCORE_TITLE)
        alignment, reward = flow.motion_alignment(terms), flow.motion_reward(terms)
        report = (f"moving region: score {region.score:.1f}, progress {region.progress:.2f}, "
                  f"background drift {region.background_shift:.1f} pixels\n"
                  f"MotionEdit ({form} form, DIS flow): alignment {alignment:.1f}, reward {reward:.1f}; magnitude "
                  f"{terms.magnitude:.3f}, direction {terms.direction:.3f}, movement {terms.movement:.3f}\n"
                  f"coverage: found {found.coverage:.0%}, wanted {wanted.coverage:.0%}")
        return io.NodeOutput(region.score, region.progress, alignment, reward, report, ui=ui.PreviewText(report))


class ClipScore(io.ComfyNode):
    """How steadily a clip moves."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_ClipScore",
            display_name=CLIP_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Measures how smoothly a clip moves and how much it flickers.",
            inputs=[
                io.Image.Input("frames", tooltip="Three pictures or more of one size, as a batch or a list."),
                quality_input(),
                flow_model_input(),
            ],
            outputs=[
                io.Float.Output(display_name="smoothness",
                                tooltip="1: everything keeps its speed. 0: it goes back and forth."),
                io.Float.Output(display_name="flicker",
                                tooltip="Mean change of colour that motion does not explain, 0 to 1. Lower is "
                                        "steadier."),
                io.Float.Output(display_name="coverage", tooltip="The lowest coverage of all neighbours, 0 to 1."),
                io.String.Output(display_name="report", tooltip="All of it as text."),
            ],
        )

    @classmethod
    def execute(cls, frames: list[torch.Tensor], quality: list[str], flow_model: list | None = None) -> io.NodeOutput:
        given = Frames(frames, CLIP_TITLE, "frames", at_least=3)
        progress = host.Progress(len(given) - 1)
        estimator = estimator_of(CLIP_TITLE, quality[0], flow_model and flow_model[0])
        scores = flow.clip_scores(given, estimator, progress.advance, CLIP_TITLE)
        report = (f"{len(given)} pictures: smoothness {scores.smoothness:.3f}, flicker {scores.flicker:.4f}, "
                  f"lowest coverage {scores.coverage:.0%}" + (given.note and f"\n{given.note}"))
        return io.NodeOutput(scores.smoothness, scores.flicker, scores.coverage, report, ui=ui.PreviewText(report))

"""The nodes for motion: pictures in between, keyframes for what is too far apart, motions shown and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from comfy_api.latest import io, ui

from .. import flow
from ..kontext import MAX_SEED, EditRequest, KontextModel
from . import host
from .host import folders
from .inputs import guidance_input, own_choices, seed_input, steps_input
from .pictures import Frames, as_image, mask_for_each, one_picture, resized
from .sockets import (
    CATEGORY,
    FlowModelSocket,
    FlowSocket,
    InBetweenModelSocket,
    KontextModelSocket,
    NativeFlowModelSocket,
    NativeInBetweenModelSocket,
)

LOAD_TITLE = "Load Flow Model"
LOAD_IN_BETWEEN_TITLE = "Load In-Between Model"
INTERPOLATE_TITLE = "Interpolate Frames"
ESTIMATE_TITLE = "Estimate Motion"
SHOW_TITLE = "Show Motion"
SCORE_TITLE = "Motion Score"
CLIP_TITLE = "Clip Score"
KEYFRAME_TITLE = "In-Between Keyframe"
WHEEL, ARROWS = "colour wheel", "arrows"
GPU = "gpu"
QUALITIES = [*flow.QUALITIES, GPU]
QUALITY_TOOLTIP = ("How finely motion is looked for. best is about ten times slower than normal; gpu works on the "
                   "graphics card, in place of OpenCV's DIS.")


def _flow_model_input() -> io.Input:
    return io.MultiType.Input(
        "flow_model", [FlowModelSocket, NativeFlowModelSocket], optional=True,
        tooltip="A learnt flow model instead of DIS, from Load Flow Model; quality is not used then.")


def _estimator(quality: str, flow_model=None, where: str = "") -> flow.Estimator:
    """The flow estimator; Cancel stops before each estimate."""
    if flow_model is not None:
        estimate = host.flow_estimator(flow_model, where)
    else:
        estimate = flow.PyramidFlow(host.work_device) if quality == GPU else flow.DisFlow(quality)

    def cancellable(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        host.stop_if_cancelled()
        return estimate(a, b)
    return cancellable


class LoadFlowModel(io.ComfyNode):
    """Loads RAFT from a file."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.motion_model_names(folders.FLOW_MODELS)
        return io.Schema(
            node_id="Kontinuity_LoadFlowModel",
            display_name=LOAD_TITLE,
            category=CATEGORY,
            description="Loads RAFT, a learnt optical flow, from models/optical_flow. Nothing is downloaded; without "
                        "this node motion is found by DIS, which needs no file.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="torchvision's raft_large or raft_small, as .safetensors, .pth or .pt."),
            ],
            outputs=[FlowModelSocket.Output(display_name="flow_model",
                                            tooltip="For Interpolate Frames, Estimate Motion and Clip Score.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = folders.motion_model_path(folders.FLOW_MODELS, file, LOAD_TITLE, "torchvision's RAFT weights")
        with torch.inference_mode(False):  # else its weights could never be moved
            network = flow.load_raft(path)
        return io.NodeOutput(flow.RaftFlow(network, host.device_for(network)))


class LoadInBetweenModel(io.ComfyNode):
    """Loads RIFE or FILM from a file."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = folders.motion_model_names(folders.IN_BETWEEN_MODELS)
        return io.Schema(
            node_id="Kontinuity_LoadInBetweenModel",
            display_name=LOAD_IN_BETWEEN_TITLE,
            category=CATEGORY,
            description="Loads RIFE (4.25 or later) or FILM, learnt models for pictures in between, from "
                        "models/frame_interpolation. Nothing is downloaded; without this node pictures are made from "
                        "motion, which needs no file.",
            inputs=[
                io.Combo.Input("file", options=names, default=names[0],
                               tooltip="rife_v4.26.safetensors or film_net_fp16.safetensors as ComfyUI itself uses "
                                       "them, or Practical-RIFE's flownet.pkl."),
            ],
            outputs=[InBetweenModelSocket.Output(display_name="in_between_model", tooltip="For Interpolate Frames.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = folders.motion_model_path(folders.IN_BETWEEN_MODELS, file, LOAD_IN_BETWEEN_TITLE,
                                         "rife_v4.26.safetensors or film_net_fp16.safetensors")
        with torch.inference_mode(False):  # else its weights could never be moved
            network = flow.load_in_between(path)
        return io.NodeOutput(flow.InBetweenModel(network, host.device_for(network)))


class InterpolateFrames(io.ComfyNode):
    """Makes pictures between the pictures of a clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_InterpolateFrames",
            display_name=INTERPOLATE_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Makes new pictures between the given ones, without a model unless one is connected. Given "
                        "pictures are handed on as they are; cuts and pictures too far apart are found and said.",
            inputs=[
                io.Image.Input("frames", tooltip="Two pictures or more of one size, as a batch or a list. Alpha moves "
                                                 "with the colours."),
                io.Int.Input("multiplier", default=2, min=1, max=flow.MAX_MULTIPLIER,
                             tooltip="Each gap gets this many pictures less one: 2 doubles the frame rate. Not used "
                                     "with a target_fps."),
                io.Float.Input("source_fps", default=24.0, min=flow.MIN_RATE, max=flow.MAX_RATE, step=0.001,
                               tooltip="Frames a second of the given pictures."),
                io.Float.Input("target_fps", default=0.0, min=0.0, max=flow.MAX_RATE, step=0.001,
                               tooltip="Frames a second of the result: any rate, 24 to 60 too, at most 64 times the "
                                       "source's. 0 uses the multiplier."),
                io.Combo.Input("mode", options=list(flow.MODES), default="auto",
                               tooltip="auto decides for each gap: project for shaded pictures, splat for flat "
                                       "drawings, dissolve where the motion is not understood, hold at a cut."),
                io.Combo.Input("quality", options=QUALITIES, default="normal", tooltip=QUALITY_TOOLTIP),
                io.Combo.Input("easing", options=list(flow.EASINGS), default="linear",
                               tooltip="How the motion between two given pictures starts and stops. linear for "
                                       "video, ease in and out between two poses."),
                _flow_model_input(),
                io.MultiType.Input("in_between_model", [InBetweenModelSocket, NativeInBetweenModelSocket],
                                   optional=True,
                                   tooltip="RIFE or FILM from Load In-Between Model makes the pictures in mode auto, "
                                           "except at cuts."),
                io.Combo.Input("cadence", options=list(flow.CADENCES), default="on ones", optional=True,
                                tooltip="on ones: every frame of the result is a new picture. on twos, on threes: each "
                                        "is held for two or three frames, as drawn animation does."),
                io.Combo.Input("holds", options=list(flow.HOLDS), default="keep", optional=True,
                                tooltip="Drawings that the given clip holds for two to four frames. keep: the motion "
                                        "waits with them. remove: it goes on evenly. Longer holds stay."),
                io.Mask.Input("masks", optional=True,
                              tooltip="Where the figure is, white, one mask for each picture: it is moved by itself "
                                      "before a still background. Without masks it is looked for in flat drawings."),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The clip with the new pictures, one batch."),
                io.Float.Output(display_name="fps", tooltip="Frames a second at which the clip keeps its speed."),
                io.String.Output(display_name="report", tooltip="What was decided for each gap, and why."),
            ],
        )

    @classmethod
    def execute(cls, frames: list[torch.Tensor], multiplier: list[int], source_fps: list[float],
                target_fps: list[float], mode: list[str], quality: list[str], easing: list[str],
                flow_model: list | None = None, in_between_model: list | None = None,
                cadence: Sequence[str] = ("on ones",), holds: Sequence[str] = ("keep",),
                masks: list[torch.Tensor] | None = None) -> io.NodeOutput:
        given = Frames(frames, INTERPOLATE_TITLE, "frames", at_least=2, alpha=True)
        figures = mask_for_each(masks, given, INTERPOLATE_TITLE, "masks")
        model = in_between_model and host.in_between_model(in_between_model[0], INTERPOLATE_TITLE)
        if target_fps[0]:
            times, fps = flow.frame_times(len(given), source_fps[0], target_fps[0]), target_fps[0]
        else:
            times, fps = flow.frame_times(len(given), 1, multiplier[0]), source_fps[0] * multiplier[0]
        times = flow.on_cadence(times, cadence[0])
        result = host.new_images(len(times), given.height, given.width, INTERPOLATE_TITLE, "frames", given.channels)
        progress, reports = host.Progress(len(times)), {}
        estimator = _estimator(quality[0], flow_model and flow_model[0], INTERPOLATE_TITLE)
        made = flow.pictures_at(given, times, easing[0], mode[0], estimator, model, holds[0], figures)
        for index, item in enumerate(made):
            result[index] = item.picture
            if item.report:
                reports[item.between] = item.report
            progress.advance()
        report = _interpolation_report(len(given), len(times), reports)
        return io.NodeOutput(result, fps, report, ui=ui.PreviewText(report))


def _interpolation_report(given: int, made: int, reports: dict[tuple[int, int], flow.Report]) -> str:
    counts = Counter(report.decision for report in reports.values())
    summary = ", ".join(f"{decision} {count}" for decision, count in counts.most_common())
    lines = [f"{given} pictures became {made}. Gaps: {summary or 'none was needed'}."]
    for (before, after), report in reports.items():
        covered = "" if report.coverage is None else f", {report.coverage:.0%} covered"
        lines.append(f"{before + 1}-{after + 1}: {report.decision}{covered} ({report.reason})")
    return "\n".join(lines)


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
                io.Combo.Input("quality", options=QUALITIES, default="normal", tooltip=QUALITY_TOOLTIP),
                _flow_model_input(),
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
        motion = flow.estimate_motion(a, b, _estimator(quality, flow_model, ESTIMATE_TITLE))
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
            return io.NodeOutput(as_image(flow.arrows(motion.forward, ground, longest)))
        return io.NodeOutput(as_image(flow.colour_wheel(motion.forward, longest)))


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
        region = flow.moving_region(found.forward, wanted.forward)
        terms = flow.motion_terms(found.forward, wanted.forward, form)
        alignment, reward = flow.motion_alignment(terms), flow.motion_reward(terms)
        report = (f"moving region: score {region.score:.1f}, progress {region.progress:.2f}, "
                  f"background drift {region.drift:.1f} pixels\n"
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
                io.Combo.Input("quality", options=QUALITIES, default="normal", tooltip=QUALITY_TOOLTIP),
                _flow_model_input(),
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
        estimator = _estimator(quality[0], flow_model and flow_model[0], CLIP_TITLE)
        scores = flow.clip_scores(given, estimator, progress.advance)
        report = (f"{len(given)} pictures: smoothness {scores.smoothness:.3f}, flicker {scores.flicker:.4f}, "
                  f"lowest coverage {scores.coverage:.0%}" + (given.note and f"\n{given.note}"))
        return io.NodeOutput(scores.smoothness, scores.flicker, scores.coverage, report, ui=ui.PreviewText(report))


class InBetweenKeyframe(io.ComfyNode):
    """Asks Kontext for the pose half-way where two pictures are too far apart."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_InBetweenKeyframe",
            display_name=KEYFRAME_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Before Interpolate Frames: where the motion between two pictures is not understood, the model "
                        "draws the pose half-way. It is kept only if both new gaps are understood better.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model."),
                io.Image.Input("frames", tooltip="Two pictures or more of one size, as a batch or a list."),
                io.String.Input("instruction", multiline=True, dynamic_prompts=False,
                                default="The character is half-way between standing and waving, the hand at the "
                                        "height of the chest. Keep the same face, hair, clothes and background.",
                                tooltip="The pose half-way, in words. It is asked of the picture before the gap."),
                io.Float.Input("threshold", default=0.3, min=0.0, max=1.0, step=0.01,
                               tooltip="A keyframe is asked for where motion explains less than this share of what "
                                       "changed. 0 never asks, 1 nearly always."),
                seed_input("Another seed gives another variant; gaps count on from it."),
                steps_input("Sampling steps of each keyframe."),
                guidance_input("instruction"),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The pictures with the new keyframes, one batch."),
                io.String.Output(display_name="report", tooltip="What was found for each gap."),
            ],
        )

    @classmethod
    def execute(cls, model: list[KontextModel], frames: list[torch.Tensor], instruction: list[str],
                threshold: list[float], seed: list[int], steps: list[int], guidance: list[float]) -> io.NodeOutput:
        given = Frames(frames, KEYFRAME_TITLE, "frames", at_least=2)
        width, height = (max(16, round(side / 16) * 16) for side in (given.width, given.height))
        progress = host.Progress((len(given) - 1) * (steps[0] + 1))

        def request(gap: int, reference: torch.Tensor) -> EditRequest:
            return EditRequest(prompt=instruction[0], references=(reference,), width=width, height=height,
                               seed=(seed[0] + gap) % (MAX_SEED + 1), steps=steps[0], guidance=guidance[0],
                               where=KEYFRAME_TITLE)

        def ask(gap: int, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
            made = model[0].edit(request(gap, before), lambda info: progress.advance(model[0].preview(info)))
            return resized(made, given.width, given.height)

        if threshold[0]:
            model[0].check(request(0, given[0]))
        kept, notes = [], []
        for item in flow.insert_keyframes(given, ask, threshold[0], _estimator("normal")):
            kept.append(item.picture)
            if item.note:
                notes.append(f"gap {len(notes) + 1}: {item.note}")
                progress.reach(len(notes) * (steps[0] + 1))
        report = "\n".join([*notes, *filter(None, [given.note])])
        return io.NodeOutput(torch.stack(kept), report, ui=ui.PreviewText(report))

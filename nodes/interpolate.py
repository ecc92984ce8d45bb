"""The nodes for pictures in between: made from motion or by a learnt model, and keyframes where that is not enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from comfy_api.latest import io, ui

from .. import flow
from ..kontext import MAX_SEED, EditRequest, KontextModel, nearest_side
from . import host
from .flow_models import estimator_of, flow_model_input, quality_input
from .inputs import guidance_input, seed_input, steps_input
from .pictures import Frames, mask_for_each, resized
from .sockets import CATEGORY, InBetweenModelSocket, KontextModelSocket, NativeInBetweenModelSocket

INTERPOLATE_TITLE = "Interpolate Frames"
KEYFRAME_TITLE = "In-Between Keyframe"


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
                quality_input(),
                io.Combo.Input("easing", options=list(flow.EASINGS), default="linear",
                               tooltip="How the motion between two given pictures starts and stops. linear for "
                                       "video, ease in and out between two poses."),
                flow_model_input(),
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
        model = host.in_between_model(in_between_model[0], INTERPOLATE_TITLE) if in_between_model else None
        fps, rates = source_fps[0] * multiplier[0], (1, multiplier[0])
        if target_fps[0]:
            fps, rates = target_fps[0], (source_fps[0], target_fps[0])
        times = flow.frame_times(len(given), *rates, INTERPOLATE_TITLE)
        times = flow.on_cadence(times, cadence[0], INTERPOLATE_TITLE)
        result = host.new_images(len(times), given.height, given.width, INTERPOLATE_TITLE, "frames", given.channels)
        progress, reports = host.Progress(len(times)), {}
        estimator = estimator_of(INTERPOLATE_TITLE, quality[0], flow_model and flow_model[0])
        clip = flow.pictures_at(given, times, easing[0], mode[0], estimator, model, holds[0], figures,
                                INTERPOLATE_TITLE)
        for index, item in enumerate(clip):
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
        width, height = nearest_side(given.width), nearest_side(given.height)
        progress = host.Progress((len(given) - 1) * (steps[0] + 1))

        def request(gap: int, reference: torch.Tensor) -> EditRequest:
            return EditRequest(prompt=instruction[0], references=(reference,), width=width, height=height,
                               seed=(seed[0] + gap) % (MAX_SEED + 1), steps=steps[0], guidance=guidance[0],
                               where=KEYFRAME_TITLE)

        def ask(gap: int, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
            pose = model[0].edit(request(gap, before), lambda info: progress.advance(model[0].preview(info)))
            return resized(pose, given.width, given.height)

        if threshold[0]:
            model[0].check(request(0, given[0]))
        kept, notes = [], []
        estimator = estimator_of(KEYFRAME_TITLE, "normal")
        for item in flow.insert_keyframes(given, ask, threshold[0], estimator, KEYFRAME_TITLE):
            kept.append(item.picture)
            if item.note:
                notes.append(f"gap {len(notes) + 1}: {item.note}")
                progress.reach(len(notes) * (steps[0] + 1))
        report = "\n".join([*notes, *filter(None, [given.note])])
        return io.NodeOutput(torch.stack(kept), report, ui=ui.PreviewText(report))

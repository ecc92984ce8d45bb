"""The nodes around ComfyUI's own video nodes: keyframes handed to a video model, and its clips joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from comfy_api.latest import io, ui

from .. import flow, publish
from ..common import InputError, scaled
from ..kontext import Scorer
from ..storyboard import characters_judge
from . import host
from .inputs import own_choices
from .pictures import Frames, as_image, as_pictures
from .sockets import CATEGORY, CharactersSocket, KeyframesSocket, ScorerSocket

KEYFRAMES_TITLE = "Keyframes for Video"
JOIN_TITLE = "Join Clips"
VACE = next(name for name, rules in publish.VIDEO_MODELS.items() if rules.takes_control)
LIKE_KEYFRAMES, LIKE_CLIPS = "keyframes", "clips"
MOST_SECONDS = 60.0


class KeyframesForVideo(io.ComfyNode):
    """Turns pictures into what ComfyUI's nodes for video models take."""

    validate_inputs = own_choices("model", "resolution", "fit")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_KeyframesForVideo",
            display_name=KEYFRAMES_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Turns two panels, or all panels of a story, into the inputs of ComfyUI's own video nodes, by "
                        "the rules of the chosen model: frame count, grid, shape, rate. Of a story it makes lists, and "
                        "one graph makes a clip from each panel to the next.",
            inputs=[
                io.Image.Input("first_frame", tooltip="The picture that the clip begins with; or all pictures of a "
                                                      "story, as a list or a batch: a clip goes from each to the "
                                                      "next. They may have different sizes."),
                io.Combo.Input("model", options=list(publish.VIDEO_MODELS), default=next(iter(publish.VIDEO_MODELS)),
                               tooltip="Whose rules are kept. HunyuanVideo takes no last frame: its clips only begin "
                                       "with a picture."),
                io.Float.Input("seconds", default=3.0, min=0.1, max=MOST_SECONDS, step=0.1,
                               tooltip="How long a clip takes from its first picture to its last, brought to the "
                                       "nearest length that the model makes. One for all, one for each clip, or one "
                                       "for each picture, such as durations from Render Storyboard."),
                io.String.Input("prompt", multiline=True, dynamic_prompts=False, default="The character waves.",
                                tooltip="What happens in the clip. One for all, one for each clip, or one for each "
                                        "picture: a clip then takes that of the picture it goes to."),
                io.Combo.Input("resolution", options=list(publish.RESOLUTIONS), default=publish.RESOLUTIONS[0],
                               tooltip="small is quicker and needs less memory, large is what most models were made "
                                       "for."),
                io.Combo.Input("fit", options=list(publish.FITS), default=publish.FITS[0],
                               tooltip="Pictures whose shape is not the first one's, and shapes that the model does "
                                       "not make: pad keeps all of them and puts black bars beside them, crop keeps "
                                       "the middle. The report says what was done."),
                io.Image.Input("last_frame", optional=True,
                               tooltip="The picture that the (last) clip ends with. Not needed when first_frame is a "
                                       "story."),
            ],
            outputs=[
                io.Image.Output(display_name="start_image", is_output_list=True,
                                tooltip="The first picture of each clip, at its size."),
                io.Image.Output(display_name="end_image", is_output_list=True,
                                tooltip="The last picture of each clip; for models that take none, nothing that is "
                                        "connected to it runs."),
                io.Int.Output(display_name="width", tooltip="Of the clips, in pixels."),
                io.Int.Output(display_name="height", tooltip="Of the clips, in pixels."),
                io.Int.Output(display_name="length", is_output_list=True, tooltip="Frames of each clip."),
                io.Float.Output(display_name="fps", tooltip="Frames a second that the model was made for."),
                io.String.Output(display_name="prompt", is_output_list=True, tooltip="The prompt of each clip."),
                KeyframesSocket.Output(display_name="keyframes", tooltip="For Join Clips."),
                io.Image.Output(display_name="control_video", is_output_list=True,
                                tooltip="For Wan VACE: the two pictures with grey between them. Other models have "
                                        "none, and nothing that is connected to it runs."),
                io.Mask.Output(display_name="control_masks", is_output_list=True,
                               tooltip="For Wan VACE: black at the two pictures, white where frames are to be made."),
                io.String.Output(display_name="report", tooltip="Sizes and lengths, and what was done to the pictures; "
                                                                "also shown on the node."),
            ],
        )

    @classmethod
    def execute(cls, first_frame: list[torch.Tensor], model: list[str], seconds: list[float], prompt: list[str],
                resolution: list[str], fit: list[str], last_frame: list[torch.Tensor] | None = None) -> io.NodeOutput:
        pictures = [picture for field, images in (("first_frame", first_frame), ("last_frame", last_frame or ()))
                    for image in images for picture in as_pictures(image, KEYFRAMES_TITLE, field)]
        made = publish.hand_off(pictures, model[0], seconds, prompt, resolution[0], fit[0], KEYFRAMES_TITLE)
        clips = range(len(made.clips))
        frames = [as_image(made.frame(index)) for index in range(len(made.keyframes))]
        no_end = host.blocked(f"{made.model} takes no last frame: leave end_image unconnected")
        ends = [frames[clip + 1] if made.rules.holds_end else no_end for clip in clips]
        videos, masks = _control(made)
        report = _handoff_report(made)
        return io.NodeOutput(
            [frames[clip] for clip in clips], ends, *made.size, [clip.length for clip in made.clips], made.rules.fps,
            [clip.prompt for clip in made.clips], made, videos, masks, report, ui=ui.PreviewText(report))


def _control(made: publish.Handoff) -> tuple[list, list]:
    """Control videos and masks, for the model that takes them only: they are as large as the clips."""
    if not made.rules.takes_control:
        none = host.blocked(f"{made.model} takes no control video: choose {VACE} in {KEYFRAMES_TITLE}")
        return [none], [none]
    videos, masks = [], []
    for clip in range(len(made.clips)):
        video, mask = made.control(clip)
        videos.append(video)
        masks.append(mask)
        host.stop_if_cancelled()
    return videos, masks


def _handoff_report(made: publish.Handoff) -> str:
    lengths = ", ".join(f"{clip.length} frames ({(clip.length - 1) / made.rules.fps:.2f} s)" for clip in made.clips)
    lines = [f"{made.model} ({made.rules.node}): {len(made.clips)} clip{'s' * (len(made.clips) > 1)} of "
             f"{made.size[0]}x{made.size[1]} at {made.rules.fps:g} fps: {lengths}"]
    if not made.rules.holds_end:
        lines.append("it takes no last frame: each clip begins with its picture and goes where the prompt leads")
    return "\n".join([*lines, *made.remarks])


class JoinClips(io.ComfyNode):
    """Brings clips of a video model back to their keyframes and joins them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_JoinClips",
            display_name=JOIN_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Brings the clips of a video model back to their keyframes (first and last frame exact, "
                        "colours matched, jumps beside them settled by motion) and joins them to one clip.",
            inputs=[
                io.Image.Input("clips", tooltip="The decoded clips: one batch, or a list with a batch for each clip. "
                                                "They may have been scaled up on the way."),
                KeyframesSocket.Input("keyframes", tooltip="From Keyframes for Video, which the clips were made from."),
                io.Combo.Input("size", options=[LIKE_KEYFRAMES, LIKE_CLIPS], default=LIKE_KEYFRAMES,
                               tooltip="keyframes: every frame at the size of the first picture, and the keyframes are "
                                       "the pictures to the last bit. clips: as the clips came, the pictures scaled to "
                                       "it. Bars are cut off in both."),
                io.Boolean.Input("match_colour", default=True,
                                 tooltip="Bring the colours at both ends of a clip back to its keyframes, and what is "
                                         "between them in proportion."),
                io.Int.Input("settle", default=flow.SETTLING_FRAMES, min=0, max=32,
                             tooltip="Over how many frames beside a keyframe what stands aside or is softer there is "
                                     "brought to it. 0 leaves the jump."),
                ScorerSocket.Input("scorer", optional=True,
                                   tooltip="From Load Identity Scorer: how like the characters some frames of each "
                                           "clip are, in the report."),
                CharactersSocket.Input("characters", optional=True,
                                       tooltip="From Character nodes: whom the scorer looks for. Without them: who is "
                                               "in the keyframes."),
                io.Int.Input("samples", default=5, min=1, max=100, optional=True,
                             tooltip="How many frames of each clip are scored."),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The joined clip, one batch."),
                io.Float.Output(display_name="fps", tooltip="Frames a second that the model was made for, for Save "
                                                            "Clip."),
                io.String.Output(display_name="report", tooltip="What was found and done at each end of each clip; "
                                                                "also shown on the node."),
            ],
        )

    @classmethod
    def execute(cls, clips: list[torch.Tensor], keyframes: list[publish.Handoff], size: list[str],
                match_colour: list[bool], settle: list[int], scorer: list[Scorer] | None = None,
                characters: list[Mapping[str, torch.Tensor]] | None = None,
                samples: Sequence[int] = (5,)) -> io.NodeOutput:
        made = keyframes[0]
        if len(clips) != len(made.clips):
            raise InputError(JOIN_TITLE, "clips", f"{len(clips)} clips", f"came, and {len(made.clips)} were handed to "
                             f"{made.model}", "connect the decoded clips of these keyframes, one batch for each")
        shown = [_Shown(clip, made, number) for number, clip in enumerate(clips, 1)]
        if size[0] == LIKE_KEYFRAMES:
            height, width = made.keyframes[0].shape[:2]
        else:
            width, height = shown[0].own_size
        for clip in shown:
            clip.size = width, height
        ends = [(scaled(first, width, height), None if last is None else scaled(last, width, height))
                for first, last in map(made.ends, range(len(clips)))]
        count = flow.joined_length(shown, ends)
        result = host.new_images(count, height, width, JOIN_TITLE, "clips")
        progress, repaired, places = host.Progress(count), [], []
        joined = flow.join_clips(shown, ends, colour=match_colour[0], settling=settle[0], where=JOIN_TITLE)
        for index, item in enumerate(joined):
            result[index] = item.picture
            if item.clip == len(repaired):
                repaired.append(item.repaired)
                places.append(index)
            progress.advance()
        lines = [f"{len(clips)} clip{'s' * (len(clips) > 1)} became {count} frames of {width}x{height}."]
        for number, (clip, plan) in enumerate(zip(repaired, made.clips, strict=True), 1):
            lines += [f"clip {number}: {words}" for words in _repair_report(clip, plan.length)]
        if scorer:
            lines += _identity_report(result, places, scorer[0], characters[0] if characters else _people(made),
                                      samples[0])
        report = "\n".join(lines)
        return io.NodeOutput(result, made.rules.fps, report, ui=ui.PreviewText(report))


class _Shown(Sequence):
    """A clip without bars at another `size` (width, height), each picture made when it is asked for."""

    def __init__(self, clip: torch.Tensor, made: publish.Handoff, number: int):
        self._frames = Frames([clip], JOIN_TITLE, f"clip {number}", at_least=2)
        self._made = made
        made.check_clip(self._frames[0], number, JOIN_TITLE)
        height, width = made.picture(self._frames[0]).shape[:2]
        self.own_size = self.size = width, height

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> torch.Tensor:
        return scaled(self._made.picture(self._frames[index]), *self.size)


def _repair_report(clip: flow.RepairedClip, planned: int) -> list[str]:
    lines = [] if len(clip) == planned else [f"{len(clip)} frames came, {planned} were planned"]
    for name, end in (("start", clip.start), ("end", clip.end)):
        if end is None:
            lines.append(f"{name}: not held to a keyframe, left as it came")
            continue
        colours = f"colours moved by {end.colours.change:.1%}" if end.colours else "colours left as they were"
        if end.is_reached:
            rest = f"up to {end.aside:.1f} pixels aside, settled over {clip.settling} frames" if clip.settling \
                else f"up to {end.aside:.1f} pixels aside, left so"
        else:
            rest = f"it does not show its keyframe ({end.coverage:.0%} of it is found again): a cut"
        lines.append(f"{name}: {colours}; {rest}")
    return lines


def _people(made: publish.Handoff) -> dict[str, torch.Tensor]:
    """Who is in the keyframes, as one character of several pictures."""
    return {f"keyframes/{number}": picture for number, picture in enumerate(made.keyframes, 1)}


def _identity_report(frames: torch.Tensor, places: list[int], scorer: Scorer,
                     characters: Mapping[str, torch.Tensor], samples: int) -> list[str]:
    """How like the characters some frames of each clip are; `places` are the clips' first frames."""
    judge, lines = characters_judge(characters, scorer), []
    for number, (begin, end) in enumerate(zip(places, [*places[1:], len(frames)], strict=True), 1):
        likeness = {}
        for part in range(1, samples + 1):
            index = begin + round((end - begin - 1) * part / (samples + 1))
            if (score := judge("", frames[index])) is not None:
                likeness[index] = sum(one.likeness for one in score.figures.values()) / max(1, len(score.figures))
            host.stop_if_cancelled()
        lowest = min(likeness, key=likeness.__getitem__)
        each = ", ".join(f"{index} {value:.2f}" for index, value in likeness.items())
        lines.append(f"clip {number}: likeness at frames {each}; lowest {likeness[lowest]:.2f} at {lowest}")
    return lines

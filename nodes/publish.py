"""The nodes that write moving pictures: stickers and clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy_api.latest import io

from .. import publish
from ..common import InputError, complete_file
from ..flow import MAX_RATE, MIN_RATE, frame_rate, frame_times, pictures_at
from . import host
from .inputs import filename_prefix_input
from .pictures import Frames, masks_of, resized
from .sockets import CATEGORY

STICKER_TITLE = "Sticker"
CLIP_TITLE = "Save Clip"
MOST_FPS = float(publish.MAX_CLIP_RATE)
KEEP, CUT_OUT = "keep", "cut out plain background"


class Sticker(io.ComfyNode):
    """Saves a short loop as GIF, WebP or APNG."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_Sticker",
            display_name=STICKER_TITLE,
            category=CATEGORY,
            is_output_node=True,
            is_input_list=True,
            description="Saves pictures as a sticker that loops: GIF, animated WebP or APNG, cut out if you like, and "
                        "no larger than you allow.",
            inputs=[
                io.Image.Input("frames", tooltip="The pictures of one size, as a batch or a list; alpha is kept."),
                io.Float.Input("fps", default=12.0, min=MIN_RATE, max=MAX_RATE, step=0.001,
                               tooltip="Frames a second. GIF goes up to 50, WebP and APNG to 100."),
                io.Combo.Input("format", options=list(publish.STICKER_FORMATS), default="GIF",
                               tooltip="GIF goes everywhere, with 256 colours and hard edges. WebP is smallest. "
                                       "APNG is lossless."),
                io.Int.Input("loops", default=0, min=0, max=1000, tooltip="How often it is played; 0 for ever."),
                io.Boolean.Input("ping_pong", default=False, tooltip="Play it forwards, then backwards."),
                io.Combo.Input("background", options=[KEEP, CUT_OUT], default=KEEP,
                               tooltip="cut out plain background makes what has the border's colour transparent. Not "
                                       "used with a mask, nor for pictures that have transparent parts."),
                io.Float.Input("tolerance", default=0.08, min=0.0, max=0.5, step=0.01,
                               tooltip="How different the background's own pixels may be, for cutting out."),
                io.Combo.Input("dither", options=list(publish.DITHERS), default="ordered",
                               tooltip="How colours are mixed from few. ordered stands still, diffusion is finer and "
                                       "crawls, none suits flat drawings."),
                io.Int.Input("longest_side", default=0, min=0, max=4096,
                             tooltip="Width or height of the sticker in pixels, whichever is longer. 0 keeps the "
                                     "pictures' size."),
                io.Int.Input("max_kilobytes", default=0, min=0, max=1_000_000,
                             tooltip="The largest file, in thousands of bytes: colours or quality are reduced first, "
                                     "then the size. 0 sets no limit."),
                filename_prefix_input("sticker"),
                io.Mask.Input("mask", optional=True,
                              tooltip="What to keep: white stays, black becomes transparent. One for all pictures, or "
                                      "one for each."),
            ],
            outputs=[
                io.String.Output(display_name="file", tooltip="The saved file's full path."),
                io.String.Output(display_name="report", tooltip="Size, colours or quality, and length."),
            ],
        )

    @classmethod
    def execute(cls, frames: list[torch.Tensor], fps: list[float], format: list[str], loops: list[int],
                ping_pong: list[bool], background: list[str], tolerance: list[float], dither: list[str],
                longest_side: list[int], max_kilobytes: list[int], filename_prefix: list[str],
                mask: list[torch.Tensor] | None = None) -> io.NodeOutput:
        given = Frames(frames, STICKER_TITLE, "frames", alpha=True)
        rate = frame_rate(fps[0], STICKER_TITLE)
        masks = _masks(mask, len(given))
        scale = longest_side[0] / max(given.width, given.height) if longest_side[0] else 1
        width, height = max(1, round(given.width * scale)), max(1, round(given.height * scale))
        names = host.output_names(filename_prefix[0], STICKER_TITLE)
        progress = host.Progress(2 * len(given))  # cutting out and encoding; a size limit encodes more than once

        def encoding() -> None:
            if progress.done < progress.total:
                progress.advance()
            host.stop_if_cancelled()

        pixels, shares = [], []
        for index, picture in enumerate(given):
            if masks:
                picture = publish.with_mask(picture, masks[index % len(masks)])
            elif background[0] == CUT_OUT and publish.visible_share(picture) == 1:  # else it is cut out already
                picture = publish.key_border(given.opaque(index), tolerance[0], STICKER_TITLE, f"picture {index + 1}")
            shares.append(publish.visible_share(picture))
            pixels.append((resized(picture, width, height) * 255).round().byte().numpy())
            progress.advance()
        if background[0] == CUT_OUT and not masks:
            publish.check_visible(shares, STICKER_TITLE, "background", CUT_OUT, "lower the tolerance, ask for a "
                                  "background of another colour than the subject's, or connect a mask")
        if ping_pong[0]:
            pixels += pixels[-2:0:-1]
        sticker = publish.encode_sticker(
            pixels, format[0], rate, loops=loops[0], dither=dither[0],
            max_bytes=1000 * max_kilobytes[0], where=STICKER_TITLE, on_try=encoding)
        file_name = names.numbered(publish.STICKER_SUFFIXES[format[0]])
        with complete_file(names.folder / file_name) as file:
            file.write(sticker.data)
        report = _sticker_report(sticker, format[0]) + _visible_report(shares)
        shown = {"images": [host.saved_image(names, file_name)], "text": (report,)}
        if format[0] != "GIF":  # the canvas would try to play a GIF as a video
            shown["animated"] = (len(pixels) > 1,)
        return io.NodeOutput(str(names.folder / file_name), report, ui=shown)


def _masks(mask: list[torch.Tensor] | None, count: int) -> list[torch.Tensor]:
    masks = masks_of(mask or [], STICKER_TITLE, "mask")
    if len(masks) not in (0, 1, count):
        raise InputError(STICKER_TITLE, "mask", f"{len(masks)} masks", f"do not match the {count} pictures",
                         "connect one mask for all, or one for each picture")
    if masks and not any(mask.any() for mask in masks):  # what Load Image gives for a picture without alpha
        raise InputError(STICKER_TITLE, "mask", "all black", "keeps nothing of the pictures",
                         "put Invert Mask before it, or connect the mask of the subject")
    return masks


def _sticker_report(sticker: publish.EncodedSticker, file_format: str) -> str:
    level = f"quality {sticker.level}" if file_format == "WebP" else f"{sticker.level or 'all'} colours"
    scaled = "" if sticker.scale == 1 else f" (scaled to {sticker.scale:.0%} for the size limit)"
    return (f"{file_format}, {sticker.width} x {sticker.height}{scaled}, {sticker.frames} frames, "
            f"{sticker.milliseconds / 1000:g} s, {level}, {len(sticker.data) / 1000:.0f} KB")


def _visible_report(shares: list[float]) -> str:
    """What can be seen of cut-outs, as one more line."""
    if min(shares) == 1:
        return ""
    empty = [str(number) for number, share in enumerate(shares, 1) if share < publish.LEAST_VISIBLE]
    line = f"\n{sum(shares) / len(shares):.1%} of the pictures can be seen, the rest is transparent"
    return f"{line}; nothing of picture {', '.join(empty)}" if empty else line


class SaveClip(io.ComfyNode):
    """Saves pictures and sound as a video file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_SaveClip",
            display_name=CLIP_TITLE,
            category=CATEGORY,
            is_output_node=True,
            is_input_list=True,
            description="Saves pictures as MP4 (H.264) or WebM (VP9) with sound, at exactly the frame rate asked for.",
            inputs=[
                io.Image.Input("frames", tooltip="The pictures of one size, as a batch or a list."),
                io.Float.Input("fps", default=24.0, min=MIN_RATE, max=MOST_FPS, step=0.001,
                               tooltip="Frames a second. 23.976, 29.97 and 59.94 are taken as the broadcast fractions "
                                       "they mean."),
                io.Combo.Input("container", options=list(publish.CLIP_CONTAINERS), default="MP4",
                               tooltip="MP4 plays everywhere. WebM is free of patents."),
                io.Combo.Input("quality", options=list(publish.CLIP_QUALITIES), default="good",
                               tooltip="best is hardly to be told from the pictures, small is for sending."),
                filename_prefix_input("clip"),
                io.Audio.Input("audio", optional=True,
                               tooltip="Sound from the clip's beginning; what is longer than the pictures is cut."),
                io.Float.Input("target_fps", default=0.0, min=0.0, max=MOST_FPS, step=0.001, optional=True,
                               tooltip="0: the pictures as they are. Another rate than fps: pictures between them are "
                                       "made while the clip is written, as by Interpolate Frames, without keeping "
                                       "them in memory."),
                io.Float.Input("durations", optional=True, force_input=True, min=0.0, max=publish.MAX_HELD_SECONDS,
                               tooltip="How many seconds each picture is held, such as durations from Render "
                                       "Storyboard: one for all, or one for each. Not connected: one frame each."),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The saved file, for nodes that take a video."),
                io.String.Output(display_name="file", tooltip="The saved file's full path."),
            ],
        )

    @classmethod
    def execute(cls, frames: list[torch.Tensor], fps: list[float], container: list[str], quality: list[str],
                filename_prefix: list[str], audio: list[dict] | None = None,
                target_fps: Sequence[float] = (0.0,), durations: list[float] | None = None) -> io.NodeOutput:
        given = Frames(frames, CLIP_TITLE, "frames")
        pictures, count, rate = given, len(given), fps[0]
        if target_fps[0]:
            times, rate = frame_times(count, rate, target_fps[0], CLIP_TITLE), target_fps[0]
            pictures, count = (item.picture for item in pictures_at(given, times, where=CLIP_TITLE)), len(times)
        if durations:
            held = _frames_held(durations, len(given), rate, target_fps[0])
            pictures = (picture for picture, number in zip(given, held, strict=True) for _ in range(number))
            count = sum(held)
        sound = _audio(audio[0]) if audio and audio[0] else None  # Get Video Components sends None for a silent clip
        names = host.output_names(filename_prefix[0], CLIP_TITLE)
        file_name = names.numbered("." + container[0].lower())
        progress = host.Progress(count)
        publish.write_clip(
            names.folder / file_name, pictures, (given.width, given.height), frame_rate(rate, CLIP_TITLE),
            container=container[0], quality=quality[0], audio=sound, metadata=host.png_text(cls.hidden),
            where=CLIP_TITLE, on_frame=progress.advance)
        shown = {"images": [host.saved_image(names, file_name)], "animated": (True,)}
        return io.NodeOutput(host.video_of(names.folder / file_name), str(names.folder / file_name), ui=shown)


def _frames_held(durations: list[float], pictures: int, rate: float, target_fps: float) -> list[int]:
    if target_fps:
        raise InputError(CLIP_TITLE, "target_fps", f"{target_fps:g}", "asks for pictures in between, and durations for "
                         "pictures that stand still", "set it to 0, or disconnect durations")
    if len(durations) not in (1, pictures):
        raise InputError(CLIP_TITLE, "durations", f"{len(durations)} durations",
                         f"do not match the {pictures} pictures", "connect one for all, or one for each")
    each = durations * pictures if len(durations) == 1 else durations
    return publish.frames_held(each, frame_rate(rate, CLIP_TITLE), CLIP_TITLE)


def _audio(audio: dict) -> publish.Audio:
    waveform = audio["waveform"]
    if waveform.ndim != 3 or waveform.shape[0] != 1:
        raise InputError(CLIP_TITLE, "audio", f"{list(waveform.shape)}", "is a batch of sounds, and one is needed",
                         "connect one AUDIO")
    return publish.Audio(waveform[0], int(audio["sample_rate"]))

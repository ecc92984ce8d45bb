"""Panels that become a series of pictures: their frames opened, their jobs."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ...common import InputError, Picture, open_beside
from ..prompts.instruction import series_prompts
from ..story.fields import NAME
from ..story.models import Panel, Story
from ..story.resolved import ResolvedPanel
from .board import Board, Sampling
from .jobs import SeriesJob, frame_ids

FRAMES = 7  # where a panel says nothing


def frame_files(panel: Panel) -> dict[str, str]:
    """The start and end frame of a series that are files, by field."""
    frames = {"start_frame": panel.start_frame, "end_frame": panel.end_frame} if panel.is_series else {}
    return {field: frame for field, frame in frames.items() if frame and not NAME.fullmatch(frame)}


def story_frames(story: Story, folder: str | Path, where: str) -> dict[str, Picture]:
    """Open the start and end frames of a story's series that are files, from the story's folder, by file name.

    Raises InputError (where = `where:line`) for a missing, unreadable or outside file.
    """
    home, frames = Path(folder).resolve(), {}
    for index, panel in enumerate(story.panels):
        for field, name in frame_files(panel).items():
            line = story.line("panels", index, field)
            if name not in frames:
                frames[name] = open_beside(home, name, f"{where}:{line}" if line else where,
                                           f"panel '{panel.id}' {field}")
    return frames


def picture_names(story: Story) -> dict[str, str]:
    """The names of all pictures of a story in its order, with the id of the panel of each: the panels' ids, of a series
    walk_00, walk_01, ..."""
    return {name: panel.id for panel in story.panels
            for name in (frame_ids(panel.id, panel.frames or FRAMES) if panel.is_series else (panel.id,))}


def series_job(resolved: ResolvedPanel, board: Board, sampling: Sampling, number: int, wanted: bool,
               size_of: Callable[[Panel], tuple[int, int]]) -> SeriesJob:
    """The job of a panel with a start and an end frame; `size_of` says how large a panel's picture is.

    Raises InputError for a frame that is not in the board, frames of different sizes, and a picture of the series whose
    name is another panel's.
    """
    panel, story = resolved.panel, board.story
    files = frame_files(panel)
    ends, sizes = {}, {}
    for field, frame in (("start_frame", panel.start_frame or ""), ("end_frame", panel.end_frame or "")):
        if field in files and frame not in board.frames:
            raise InputError(resolved.where, field, frame, "is not opened", "give the board what story_frames opens")
        ends[field] = board.frames[frame] if field in files else frame
        sizes[field] = frame_size(frame, board.frames, story, size_of)
    (width, height), end = sizes["start_frame"], sizes["end_frame"]
    if end != (width, height):
        raise InputError(resolved.where, "end_frame", f"{end[0]}x{end[1]}",
                         f"is not of the start_frame's size {width}x{height}", "scale or crop one to the other's size")
    frames = panel.frames or FRAMES
    taken = {other.id.casefold() for other in story.panels}
    if name := next((name for name in frame_ids(panel.id, frames) if name.casefold() in taken), None):
        raise InputError(resolved.where, "id", name, "is a panel, and the name of a picture of this series",
                         "give one of the two another id")
    return SeriesJob(panel.id, number, resolved.characters, ends["start_frame"], ends["end_frame"], frames,
                     series_prompts(panel), panel.candidates, resolved.seed, sampling, wanted)


def frame_size(frame: str, files: Mapping[str, Picture], story: Story,
               size_of: Callable[[Panel], tuple[int, int]]) -> tuple[int, int]:
    """Width and height of a start or end frame: a file's, or that of a panel."""
    if NAME.fullmatch(frame):
        return size_of(story.panel(frame))
    return files[frame].shape[1], files[frame].shape[0]

"""The storyboard's nodes: a story in, its panels rendered and saved, a contact sheet out."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io

from ..common import InputError
from ..kontext import KontextModel, Scorer
from ..publish import contact_sheet, panel_caption
from ..storyboard import (
    Board,
    Sampling,
    StoryText,
    frame_files,
    load_story,
    make_storyboard,
    mask_files,
    region_files,
    reserved_fields,
    save_panel,
    story_frames,
    story_masks,
    story_pictures,
    story_regions,
    story_text,
)
from . import host
from .host import folders
from .inputs import filename_prefix_input, guidance_input, own_choices, steps_input
from .pictures import as_image, as_pictures
from .prompts import advice_for
from .sockets import (
    CATEGORY,
    Characters,
    CharactersSocket,
    KontextModelSocket,
    ScorerSocket,
    Storyboard,
    StorySocket,
)

log = logging.getLogger("kontinuity")

LOAD_TITLE = "Load Storyboard"
RENDER_TITLE = "Render Storyboard"
SHEET_TITLE = "Contact Sheet"
USE_TEXT = "use the text"
SECONDS = 2.0  # of a panel in a clip where the story says nothing
FPS = 24.0
DEFAULT_STORY = """\
version: 1
title: A day out
seed: 7
characters:
  mia: {}   # her picture comes from a Character node
panels:
  - id: beach
    prompt: >-
      Change the background to a beach, the character is waving, full body.
      Keep the same face, hair and clothes.
  - id: forest
    prompt: >-
      Change the background to a forest, the character is walking, full body.
      Keep the same face, hair and clothes.
  - id: snow
    prompt: >-
      Change the background to snowy mountains, the character is jumping, full body.
      Keep the same face, hair and clothes.
  - id: kitchen
    prompt: >-
      Change the background to a kitchen, the character is pointing, half body.
      Keep the same face, hair and clothes.
"""


class LoadStoryboard(io.ComfyNode):
    """Reads and checks a story and brings the pictures of its characters together."""

    validate_inputs = own_choices("file")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_LoadStoryboard",
            display_name=LOAD_TITLE,
            category=CATEGORY,
            description="Reads a story, written here or in a file of the input folder, and checks all of it.",
            inputs=[
                io.String.Input("text", multiline=True, dynamic_prompts=False, default=DEFAULT_STORY,
                                tooltip="The story as YAML: characters, and panels with an id and a prompt each. "
                                        "Used when no file is chosen."),
                io.Combo.Input("file", options=[USE_TEXT, *folders.story_files()], default=USE_TEXT,
                               tooltip="A story in ComfyUI's input folder, instead of the text: *.yaml, *.json, a "
                                       "*.fountain screenplay, or a *.csv shot list."),
                CharactersSocket.Input("characters", optional=True,
                                       tooltip="Pictures from Character nodes. They go before a picture that the story "
                                               "itself names."),
            ],
            outputs=[
                StorySocket.Output(display_name="story", tooltip="For Render Storyboard."),
                io.String.Output(display_name="yaml",
                                 tooltip="The story as YAML, to be edited. That of an imported screenplay or shot list "
                                         "begins with what could not be imported."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, text: str, file: str, characters=None) -> str:
        """Changes when the chosen file or a picture that the story names does."""
        state = hashlib.sha256()
        try:
            loaded, folder = _story(text, file)
            state.update(loaded.yaml.encode())
            files = [reference.picture for character in loaded.story.characters.values()
                     for reference in character.pictures]
            files += [name for panel in loaded.story.panels
                      for files in (mask_files, region_files, frame_files) for name in files(panel).values()]
            for name in files:
                status = (folder / name).stat()
                state.update(f"{name} {status.st_mtime_ns} {status.st_size}\n".encode())
        except (InputError, OSError) as error:  # execute will tell the user
            state.update(str(error).encode())
        return state.hexdigest()

    @classmethod
    def execute(cls, text: str, file: str, characters: Mapping[str, torch.Tensor] | None = None) -> io.NodeOutput:
        loaded, folder = _story(text, file)
        story, source = loaded.story, "story text" if file == USE_TEXT else file
        left_out = [f"not imported: {line}" for line in loaded.left_out]
        for line in left_out:
            log.warning("%s: %s", source, line)
        if reserved := reserved_fields(story):
            log.info("%s: kept, but nothing uses it yet: %s", source, ", ".join(reserved))
        given = Characters(characters or {})
        board = Board(story, story_pictures(story, folder, source, given), story_masks(story, folder, source),
                      story_regions(story, folder, source), given.strengths, story_frames(story, folder, source))
        outputs = Storyboard(board), loaded.yaml
        return io.NodeOutput(*outputs, ui={"text": ["\n".join(left_out)]}) if left_out else io.NodeOutput(*outputs)


def _story(text: str, file: str) -> tuple[StoryText, Path]:
    """The story, and the folder its picture names start from."""
    if file == USE_TEXT:
        return story_text(text), folders.input_folder()
    if file not in folders.story_files():
        raise InputError(LOAD_TITLE, "file", file, f"is no story file under {folders.input_folder()}",
                         f"put a *.yaml file there and refresh, or choose '{USE_TEXT}'")
    path = folders.input_folder() / file
    return load_story(path), path.parent


class RenderStoryboard(io.ComfyNode):
    """Renders the panels one by one and saves each the moment it is finished."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_RenderStoryboard",
            display_name=RENDER_TITLE,
            category=CATEGORY,
            is_output_node=True,
            description="Renders every panel of a story. All panels are checked before the first is rendered, and "
                        "each is saved to the output folder the moment it is finished.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model."),
                StorySocket.Input("story", tooltip="From Load Storyboard."),
                io.String.Input("panels", default="", multiline=False,
                                tooltip="Which panels to render: ids with commas between them. Empty renders all. A "
                                        "panel looks the same whether it is rendered alone or with the others."),
                steps_input("Sampling steps for each panel. More is slower and sometimes finer."),
                guidance_input("prompt"),
                filename_prefix_input("board", "the panels go", "A counter for the run and the panel's id are"),
                ScorerSocket.Input("scorer", optional=True,
                                   tooltip="From Load Identity Scorer. Needed for panels with candidates or min_score: "
                                           "the picture most like its characters is kept."),
                io.Int.Input("reroll", default=0, min=0, max=9999, optional=True,
                             tooltip="0 is the story's own picture of each panel rendered; 1, 2, ... are others, made "
                                     "from other seeds. Name the panels to roll again in panels."),
                io.Int.Input("budget", default=0, min=0, max=100000, optional=True,
                             tooltip="The most pictures of a run, candidates included; every panel gets one anyway. "
                                     "0 is no limit."),
                io.Boolean.Input("resume", default=False, optional=True,
                                 tooltip="Take over what earlier runs have saved under this filename_prefix, as far as "
                                         "it would come out the same, and make only the rest: after a crash, or after "
                                         "changes to some panels."),
            ],
            outputs=[
                io.Image.Output(display_name="pictures", is_output_list=True,
                                tooltip="One picture for each panel, and all pictures of a panel that is a series."),
                io.String.Output(display_name="ids", is_output_list=True,
                                 tooltip="The panels' ids in the same order; of a series walk_00, walk_01, ..."),
                io.Image.Output(display_name="candidates", is_output_list=True,
                                tooltip="Every picture that was made, panel by panel, for Pick Candidate."),
                io.Float.Output(display_name="candidate_scores", is_output_list=True,
                                tooltip="The score of each candidate, 0 to 1; 0 without a scorer."),
                io.String.Output(display_name="captions", is_output_list=True,
                                 tooltip="Each panel's id and below it its captions, for Contact Sheet."),
                io.Float.Output(display_name="durations", is_output_list=True,
                                tooltip="How many seconds each panel is shown, for Save Clip; 2 where the story says "
                                        "nothing."),
                io.Float.Output(display_name="fps", tooltip="The story's fps, for Save Clip; 24 if it says nothing."),
            ],
        )

    @classmethod
    def execute(cls, model: KontextModel, story: Storyboard, panels: str, steps: int, guidance: float,
                filename_prefix: str, scorer: Scorer | None = None, reroll: int = 0,
                budget: int = 0, resume: bool = False) -> io.NodeOutput:
        board, output = story.board, _OutputFolder(filename_prefix, cls.hidden)
        result = make_storyboard(board, model, Sampling(steps, guidance), host.RunProgress(), output,
                                 only=panels.replace(",", " ").split(), scorer=scorer, first=reroll, budget=budget,
                                 resume=resume, originals=story.originals, advice=advice_for(model),
                                 where=RENDER_TITLE)
        shown = Counter(made.panel.id for made in result.panels)  # a series shares its panel's time
        candidates = [candidate for made in result.panels for candidate in made.candidates]
        return io.NodeOutput(
            [as_image(made.picture) for made in result.panels], [made.name for made in result.panels],
            [as_image(candidate.picture) for candidate in candidates], [candidate.total for candidate in candidates],
            [panel_caption(board.story, made.panel, made.name) for made in result.panels],
            [(made.panel.duration or SECONDS) / shown[made.panel.id] for made in result.panels], board.story.fps or FPS,
            ui={"images": [output.shown(made.path) for made in result.panels], "text": ["\n".join(result.remarks)]})


class _OutputFolder:
    """A run's store: ComfyUI's output folder, where a counter for the run is part of every name."""

    def __init__(self, filename_prefix: str, hidden):
        self._prefix, self._hidden = filename_prefix, hidden

    def claim(self) -> None:
        """See Store."""
        self._names = host.output_names(self._prefix, RENDER_TITLE)
        self._text_chunks = host.png_text(self._hidden)

    def earlier(self) -> dict[str, list[Path]]:
        """See Store."""
        return self._names.earlier()

    def save(self, panel_id: str, picture: torch.Tensor, record: Mapping[str, Any]) -> Path:
        """See Store."""
        path = self._names.folder / self._names.file_name(panel_id)
        save_panel(path, picture, record if host.keeps_metadata() else {}, self._text_chunks)
        return path

    def shown(self, path: Path) -> dict[str, str]:
        """A saved panel as ComfyUI's frontend wants to hear of it."""
        return host.saved_image(self._names, path.name)


class ContactSheet(io.ComfyNode):
    """Lays all pictures out on one sheet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_ContactSheet",
            display_name=SHEET_TITLE,
            category=CATEGORY,
            is_input_list=True,
            description="Lays pictures out on one sheet, with a caption under each and a title on top.",
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures, as a list or a batch, of any sizes."),
                io.String.Input("captions", optional=True, force_input=True,
                                tooltip="One caption for each picture: captions or ids from Render Storyboard."),
                io.Int.Input("columns", default=0, min=0, max=32, tooltip="Pictures in a row. 0 finds a good number."),
                io.String.Input("title", default="", tooltip="A line on top of the sheet. Empty leaves it out."),
            ],
            outputs=[io.Image.Output(display_name="sheet", tooltip="The whole sheet as one picture.")],
        )

    @classmethod
    def execute(cls, pictures: list[torch.Tensor], columns: list[int], title: list[str],
                captions: list[str] | None = None) -> io.NodeOutput:
        flat = [picture for batch in pictures for picture in as_pictures(batch, SHEET_TITLE, "pictures")]
        sheet = contact_sheet(flat, captions or (), columns=columns[0], title=title[0])
        return io.NodeOutput(as_image(sheet))

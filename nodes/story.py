"""The storyboard's nodes: a story in, its panels rendered and saved, a contact sheet out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io

from ..common import InputError
from ..kontext import KontextModel, Scorer
from ..publish import contact_sheet, panel_caption
from ..storyboard import (
    PanelJob,
    Shortlist,
    StoryText,
    finished_panels,
    load_story,
    mask_files,
    plan_panels,
    record,
    render,
    save_panel,
    story_judge,
    story_masks,
    story_pictures,
    story_text,
    unused_fields,
)
from . import host
from .host import folders
from .inputs import filename_prefix_input, guidance_input, own_choices, steps_input
from .pictures import as_image, as_pictures
from .prompts import check_before_sampling, traits
from .sockets import CATEGORY, CharactersSocket, KontextModelSocket, ScorerSocket, Storyboard, StorySocket

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
            files += [name for panel in loaded.story.panels for name in mask_files(panel).values()]
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
        if unused := unused_fields(story):
            log.info("%s: kept, but nothing uses it yet: %s", source, ", ".join(unused))
        board = Storyboard(story, story_pictures(story, folder, source, characters),
                           masks=story_masks(story, folder, source))
        return io.NodeOutput(board, loaded.yaml, ui={"text": ["\n".join(left_out)]} if left_out else None)


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
                io.Image.Output(display_name="pictures", is_output_list=True, tooltip="One picture for each panel."),
                io.String.Output(display_name="ids", is_output_list=True, tooltip="The panels' ids in the same order."),
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
        only = panels.replace(",", " ").split()
        jobs = plan_panels(story.story, story.pictures, model, only=only, steps=steps, guidance=guidance,
                           where=RENDER_TITLE, masks=story.masks)
        remarks = check_before_sampling(
            ((one.request.where, one.request.prompt,
              traits(story.story, [one.character] if one.character else job.characters))
             for job in jobs for one in job.passes), model)
        judge = story_judge(story.story, story.pictures, scorer) if scorer else None
        said = [remarks] if remarks else []
        if judge is None and (idle := [job.panel_id for job in jobs if job.wish.chooses]):
            said.append(f"One picture is made of {', '.join(idle)}: candidates and min_score need a scorer. Connect "
                        "Load Identity Scorer.")
            log.warning("%s: %s", RENDER_TITLE, said[-1])
        names = host.output_names(filename_prefix, RENDER_TITLE)
        text_chunks = host.png_text(cls.hidden)
        done = finished_panels(jobs, names.earlier(), model.name, judged=judge is not None, first=reroll) \
            if resume else {}
        if done:
            said.append(f"Taken over from earlier runs: {', '.join(done)}.")
        progress = host.Progress(sum(job.steps * (job.wish.most if judge else 1) for job in jobs
                                     if job.panel_id not in done))
        shortlist = Shortlist()
        made = {}  # by the panel's number: a panel that is made from a later one comes after it
        rendered = render(jobs, model, lambda _, info: progress.advance(model.preview(info)), judge=judge,
                          budget=budget, first=reroll, done={name: panel.picture for name, panel in done.items()})
        for job, picture in rendered:
            if job.panel_id in done:
                path = done[job.panel_id].path
            else:
                path = names.folder / names.file_name(job.panel_id)
                save_panel(path, picture, _history(job, model, story), text_chunks)
            scores = [f"panel '{job.panel_id}', {one}" + (" - kept" if one.number == job.chosen else "")
                      for one in job.tried if one.score]
            made[job.number] = (as_image(picture), job.panel_id, host.saved_image(names, path.name), scores,
                                shortlist.of(job.panel_id, job.tried, job.chosen))
        progress.reach(progress.total)  # candidates that were not needed
        pictures, ids, saved, scored, tried = map(list, zip(*(made[number] for number in sorted(made)), strict=True))
        said += [line for lines in scored for line in lines]
        if shortlist.without:
            said.append(f"Of {', '.join(shortlist.without)} only the picture kept is handed out: all candidates would "
                        "take too much memory. To choose by hand, name a few panels in panels.")
        tried = [one for panel in tried for one in panel]
        shown = [story.story.panel(name) for name in ids]
        captions = [panel_caption(story.story, panel) for panel in shown]
        durations = [panel.duration or SECONDS for panel in shown]
        return io.NodeOutput(pictures, ids, [as_image(one.picture) for one in tried], [one.total for one in tried],
                             captions, durations, story.story.fps or FPS,
                             ui={"images": saved, "text": ["\n".join(said)]})


def _history(job: PanelJob, model: KontextModel, story: Storyboard) -> dict[str, Any]:
    """What is written into a panel's file; nothing if ComfyUI keeps no metadata."""
    if not host.keeps_metadata():
        return {}
    original = story.originals.get(job.panel_id)
    return record(job, model.name) | ({} if original is None else {"prompt_as_written": original})


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

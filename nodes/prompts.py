"""The nodes for prompts: looked through, and translated."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import replace

from comfy_api.latest import io, ui

from ..common import InputError
from ..demo_model import NAME as DEMO_NAME
from ..kontext import KontextModel
from ..storyboard import panel_prompt, prompts
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY, KontextModelSocket, Storyboard, StorySocket

CHECK_TITLE = "Check Prompts"
TRANSLATE_TITLE = "Translate Prompts"

log = logging.getLogger("kontinuity")


def advice_for(model: KontextModel) -> prompts.Advice | None:
    """What only we know of a model's words, for check_before_sampling: the demo model was taught few."""
    return _not_taught if model.name == DEMO_NAME else None


def _not_taught(asked: Sequence[prompts.PromptToCheck]) -> list[str]:
    """A line on the prompts that the demo model was never taught; none if it knows all."""
    from ..demo_model.toonworld import is_instruction

    # a panel made in passes asks several times
    strange = dict.fromkeys(prompt.where for prompt in asked if prompt.whole and not is_instruction(prompt.prompt))
    if not strange:
        return []
    line = (f"The demo model was not taught the words of {', '.join(strange)}: the picture will hardly show what they "
            "say. It follows sentences like those of the templates; your own words need FLUX.1 Kontext.")
    log.info("%s", line)
    return [line]


class CheckPrompts(io.ComfyNode):
    """Looks prompts through without sampling anything."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_CheckPrompts",
            display_name=CHECK_TITLE,
            category=CATEGORY,
            is_output_node=True,
            description="Looks prompts through before a long run: words the model cannot read, prompts that are too "
                        "long, and wordings that Kontext follows badly, each with a better one.",
            inputs=[
                KontextModelSocket.Input("model", tooltip="From Load Kontext Model. Its own tokenizer is asked; its "
                                                          "weights are not used."),
                StorySocket.Input("story", optional=True, tooltip="From Load Storyboard: all its panels are checked."),
                io.String.Input("text", multiline=True, dynamic_prompts=False, default="", optional=True,
                                tooltip="One more prompt to check. Empty checks the story only."),
            ],
            outputs=[io.String.Output("report", display_name="report",
                                      tooltip="One line for each finding, also shown on the node.")],
        )

    @classmethod
    def execute(cls, model: KontextModel, story: Storyboard | None = None, text: str = "") -> io.NodeOutput:
        asked = []
        if story is not None:
            told = story.board.story
            asked = [prompts.PromptToCheck(f"panel '{panel.id}'", prompt, told.traits(told.cast(panel)))
                     for panel in told.panels if (prompt := panel_prompt(told, panel)) or not panel.is_series]
            asked += [said for panel in told.panels for said in prompts.said_apart(told, panel)
                      if (panel.together or told.together) in ("passes", "regions") and not panel.is_series]
        if text.strip():
            asked.append(prompts.PromptToCheck("text", text))
        if not asked:
            raise InputError(CHECK_TITLE, "text", "", "is empty and no story is connected",
                             "connect Load Storyboard, or write a prompt")
        report = prompts.report((prompt.where, prompt.findings(model)) for prompt in asked)
        return io.NodeOutput(report, ui=ui.PreviewText(report))


class TranslatePrompts(io.ComfyNode):
    """Turns a story's prompts, or one text, into English, with what the user has on disk."""

    validate_inputs = own_choices("translator")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_TranslatePrompts",
            display_name=TRANSLATE_TITLE,
            category=CATEGORY,
            is_output_node=True,
            description="Turns prompts into English with your own dictionary or a translation model on this computer. "
                        "Kontext reads English only. Nothing is sent or downloaded.",
            inputs=[
                io.Combo.Input("translator", options=[folders.NO_TRANSLATION, *folders.translators()],
                               default=folders.NO_TRANSLATION,
                               tooltip="A *.dictionary.yaml file of the input folder, or a Marian or NLLB folder in "
                                       "models/translation."),
                io.String.Input("language", default="",
                                tooltip="What the text is written in, as the model calls it: zho_Hans for NLLB, zh for "
                                        "M2M100. Empty for Marian models and dictionaries."),
                StorySocket.Input("story", optional=True, tooltip="From Load Storyboard."),
                io.String.Input("source", multiline=True, dynamic_prompts=False, default="", optional=True,
                                tooltip="A text to translate, for Kontext Edit. Empty translates the story only."),
            ],
            outputs=[
                StorySocket.Output("translated", display_name="translated",
                                   tooltip="The story in English, for Render Storyboard."),
                io.String.Output("text", display_name="text", tooltip="The text in English, for Kontext Edit."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, translator: str, **_) -> str:
        return folders.translator_stamp(translator)

    @classmethod
    def execute(cls, translator: str, language: str, story: Storyboard | None = None,
                source: str = "") -> io.NodeOutput:
        if story is None and not source.strip():
            raise InputError(TRANSLATE_TITLE, "source", "", "is empty and no story is connected",
                             "connect Load Storyboard, or write a text")
        translate = _translator(translator, language.strip())
        lines, english = [], translate(source) if source.strip() else ""
        if story is not None:
            translated, originals = prompts.translate_story(story.board.story, translate)
            story = Storyboard(replace(story.board, story=translated), {**originals, **story.originals})
            lines = [f"{panel.id}: {panel_prompt(translated, panel)}" for panel in translated.panels]
        return io.NodeOutput(story, english, ui=ui.PreviewText("\n".join([*lines, *([english] if english else [])])))


def _translator(name: str, language: str) -> prompts.Translate:
    if name == folders.NO_TRANSLATION:
        return str
    path = folders.translator_path(name, TRANSLATE_TITLE)
    return _model(str(path), language) if path.is_dir() else prompts.read_dictionary(path)


@functools.lru_cache(maxsize=1)
def _model(folder: str, language: str) -> prompts.ModelTranslator:
    """The last translation model used stays in main memory."""
    return prompts.ModelTranslator(folder, language)

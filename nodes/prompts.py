"""The nodes for prompts, looked through and translated, and the look that every sampling node takes first."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from dataclasses import replace

from comfy_api.latest import io, ui

from ..common import InputError
from ..demo_model import NAME as DEMO_NAME
from ..kontext import KontextModel
from ..storyboard import Story, panel_prompt, prompts
from .host import folders
from .inputs import own_choices
from .sockets import CATEGORY, KontextModelSocket, Storyboard, StorySocket

CHECK_TITLE = "Check Prompts"
TRANSLATE_TITLE = "Translate Prompts"

log = logging.getLogger("kontinuity")


def check_before_sampling(said: Iterable[tuple[str, str, dict[str, str]]], model: KontextModel) -> str:
    """Look prompts through: (who asks, prompt, visible traits by character name) each.

    Errors stop with an InputError, the rest is logged and comes back as text for the node, "" if there is nothing.
    """
    said = list(said)
    checked = [(who, prompts.check_prompt(prompt, model, cast)) for who, prompt, cast in said]
    for who, findings in checked:
        prompts.raise_errors(findings, who)
    for who, findings in checked:
        for item in findings:
            log.log(logging.WARNING if item.severity == "warning" else logging.INFO, "%s: %s", who, item)
    remarks = [prompts.report(checked)] if any(findings for _, findings in checked) else []
    if model.name == DEMO_NAME:
        remarks += _not_taught((who, prompt) for who, prompt, _ in said)
    return "\n".join(remarks)


def _not_taught(said: Iterable[tuple[str, str]]) -> list[str]:
    """A line on the prompts, (who asks, prompt) each, that the demo model was never taught; none if it knows all."""
    from ..demo_model.toonworld import is_instruction

    # a panel made in passes asks several times
    strange = dict.fromkeys(who for who, prompt in said if not is_instruction(prompt))
    if not strange:
        return []
    line = (f"The demo model was not taught the words of {', '.join(strange)}: the picture will hardly show what they "
            "say. It follows sentences like those of the templates; your own words need FLUX.1 Kontext.")
    log.info("%s", line)
    return [line]


def traits(story: Story, names: Iterable[str]) -> dict[str, str]:
    """Visible traits of characters of a story by name, "" where the story says none."""
    return {name: story.characters[name].traits for name in names}


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
        said = []
        if story is not None:
            board = story.story
            said = [(f"panel '{panel.id}'", panel_prompt(board, panel), traits(board, board.cast(panel)))
                    for panel in board.panels]
        if text.strip():
            said.append(("text", text, {}))
        if not said:
            raise InputError(CHECK_TITLE, "text", "", "is empty and no story is connected",
                             "connect Load Storyboard, or write a prompt")
        report = prompts.report((who, prompts.check_prompt(prompt, model, cast)) for who, prompt, cast in said)
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
            board, originals = prompts.translate_story(story.story, translate)
            story = replace(story, story=board, originals={**originals, **story.originals})
            lines = [f"{panel.id}: {panel_prompt(board, panel)}" for panel in board.panels]
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

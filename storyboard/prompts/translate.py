"""Prompts in another language become English: by a user's dictionary, or by a translation model on the user's disk.

Never touches the network.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from os.path import commonprefix
from pathlib import Path
from typing import Any

from ...common import InputError
from ...kontext import into_memory
from ..story.change import Change
from ..story.models import Panel, Story
from ..story.reading import MAX_BYTES, read_yaml
from .folded import Folded, is_in_word, is_unspaced
from .instruction import panel_prompt

Translate = Callable[[str], str]

MAX_PHRASES = 10_000
_ENGLISH = ("eng_Latn", "en_XX", "__en__")  # NLLB's, mBART's, M2M100's token for "answer in English"


@dataclass(frozen=True)
class Dictionary:
    """Phrase -> English; at each place of a text the longest phrase that fits is replaced.

    Capitals make no difference, nor does the way an accent is written (with its letter or after it), nor do ligatures
    and full-width letters. A capital I may stand for i or ı; the small ones are two letters. Of phrases that differ in
    no more than this, the one written like the text is taken.

    A phrase of letters with spaces between words (Russian, French) is only found as whole words; one that is written
    without spaces (Chinese, Japanese, Thai) anywhere; neither begins or ends between a letter and its marks.
    """

    phrases: Mapping[str, str]

    def __call__(self, text: str) -> str:
        """The text with all phrases replaced, on one line; of what the dictionary lacks every letter stays as it is."""
        parts, last = [""], 0
        for start, end, english in self._replacements(Folded(text)):
            unspaced = is_unspaced(text[start:end])
            ends_in_word = is_in_word((text[last:start] or parts[-1])[-1:])
            parts += text[last:start], " " if unspaced and ends_in_word else "", english
            last = end
            if last < len(text) and (is_unspaced(text[last]) or unspaced and text[last].isalnum()):
                parts.append(" ")
        on_one_line = " ".join("".join([*parts, text[last:]]).split())
        return " ".join(_SPACE_BEFORE_MARK.sub("", on_one_line).translate(_FULL_WIDTH).split())

    @cached_property
    def _entries(self) -> dict[str, list[tuple[Folded, str]]]:
        """The phrases as written and their English, by the phrases' folded letters."""
        entries: dict[str, list[tuple[Folded, str]]] = {}
        for phrase, english in self.phrases.items():
            folded = Folded(" ".join(phrase.split()))
            if folded.letters:
                entries.setdefault(folded.letters, []).append((folded, english))
        return entries

    @cached_property
    def _sorted(self) -> list[str]:
        """The phrases' folded letters: the last that is not behind a text begins with all that the text begins with."""
        return sorted(self._entries)

    @cached_property
    def _shorter(self) -> dict[str, str]:
        """Of each phrase the longest other one that it begins with; "" if there is none."""
        shorter: dict[str, str] = {}
        before = ""
        for letters in self._sorted:
            while not letters.startswith(before):
                before = shorter[before]
            shorter[letters], before = before, letters
        return shorter

    @cached_property
    def _most(self) -> int:
        return max(map(len, self._entries), default=0)

    def _replacements(self, text: Folded) -> Iterator[tuple[int, int, str]]:
        """What is replaced: where it starts and ends in the text as written, and its English."""
        start = 0
        while start < len(text.letters):
            end, english = self._longest(text, start)
            if english is not None:
                yield text.place(start), text.place(end), english
            start = end

    def _longest(self, text: Folded, start: int) -> tuple[int, str | None]:
        """The end and the English of the longest phrase that begins here; the next letter and None if there is none."""
        if text.may_start(start):
            letters = text.letters[start:start + self._most]
            place = bisect_right(self._sorted, letters)
            phrase = self._sorted[place - 1] if place else ""
            fitting = len(commonprefix([phrase, letters]))
            while phrase:
                end = start + len(phrase)
                if len(phrase) <= fitting and text.may_end(end) and (
                        english := _best(self._entries[phrase], text, start, end)) is not None:
                    return end, english
                phrase = self._shorter[phrase]
        return start + 1, None


def _best(entries: list[tuple[Folded, str]], text: Folded, start: int, end: int) -> str | None:
    """The English of the phrase that is written as the text is, else of one with ı where the text has I."""
    written = " ".join(text.written[text.place(start):text.place(end)].split())
    fitting = [(phrase.written == written, dotless, english) for phrase, english in entries
               if (dotless := text.dotless(phrase, start, end)) is not None]
    return max(fitting, key=lambda match: match[:2])[2] if fitting else None


_FULL_WIDTH = str.maketrans({"，": ", ", "。": ". ", "、": ", ", "！": "! ", "？": "? ", "：": ": ", "；": "; ",
                             "（": " (", "）": ") ", "「": " '", "」": "' ", "　": " "})
_SPACE_BEFORE_MARK = re.compile(" (?=[，。、！？：；）」])")


def read_dictionary(path: str | Path) -> Dictionary:
    """Read a dictionary: a YAML mapping of phrase to English, at most 1 MiB and 10,000 phrases. Raises InputError."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise InputError("dictionary", "file", path.name, f"cannot be read ({error.strerror})",
                         "put it into the input folder") from None
    except UnicodeDecodeError:
        raise InputError("dictionary", "file", path.name, "is not UTF-8 text",
                         "save the file with the encoding UTF-8") from None
    data, lines = read_yaml(text, path.name)
    if not isinstance(data, dict):
        raise InputError(f"{path.name}:1", "text", "", "is no dictionary", "write one `phrase: English` on each line")
    if len(data) > MAX_PHRASES:
        raise InputError(path.name, "phrases", len(data), f"are more than {MAX_PHRASES}", "keep those you need")
    for phrase, english in data.items():
        if not isinstance(english, str) or not phrase.strip():
            raise InputError(f"{path.name}:{lines.get((phrase,), 1)}", phrase, english, "is not `phrase: English`",
                             "write text on both sides of the colon")
    return Dictionary(data)


class ModelTranslator:
    """A translation model of transformers in a folder: Marian (OPUS-MT), NLLB, M2M100, mBART. On the CPU.

    Args:
        folder: config.json, the tokenizer's files and safetensors weights. Nothing else is opened, nothing downloaded,
            no code of the folder is run.
        language: the source language as the model calls it ("zho_Hans" for NLLB, "zh" for M2M100); "" for Marian,
            which knows one.

    Raises:
        InputError: the folder cannot be loaded, or does not know the language.
    """

    def __init__(self, folder: str | Path, language: str = ""):
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise InputError("translation model", "folder", folder.name, "holds no config.json",
                             "put a Marian or NLLB folder of transformers there")
        if not list(folder.glob("*.safetensors")):
            raise InputError("translation model", "folder", folder.name, "holds no safetensors weights",
                             "save it with model.save_pretrained; pytorch_model.bin could run any code")
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self._model: Any = into_memory(AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)).eval()
        except Exception as error:  # transformers raises nearly anything on a folder that is not what it says
            raise InputError("translation model", "folder", folder.name,
                             f"cannot be loaded ({' '.join(str(error).split())[:160] or type(error).__name__})",
                             "use a whole Marian or NLLB folder with safetensors weights") from error
        known = self._tokenizer.get_vocab()
        self._options = {}
        english = next((token for token in _ENGLISH if token in known), None)
        if english:
            if not {language, f"__{language}__"} & set(known):
                raise InputError("translation model", "language", language, "is not a language of this model",
                                 "write its name for the source language, such as zho_Hans (NLLB) or zh (M2M100)")
            self._tokenizer.src_lang = language
            self._options["forced_bos_token_id"] = known[english]

    def __call__(self, text: str) -> str:
        """The text in English, on one line. The same text always gives the same English (beam search, no sampling)."""
        import torch

        tokens = self._tokenizer([text], return_tensors="pt", truncation=True, max_length=512)
        with torch.inference_mode():
            outputs = self._model.generate(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, num_beams=4, do_sample=False,
                max_new_tokens=256, **self._options)
        return " ".join(self._tokenizer.decode(outputs[0], skip_special_tokens=True).split())


def translate_change(change: Change, translate: Translate) -> Change:
    """A change with every part in English; parts are translated one by one."""
    translated = {}
    for field in fields(change):
        value = getattr(change, field.name)
        if field.name == "text":
            continue  # lettering stays as it is written
        if isinstance(value, str):
            translated[field.name] = translate(value) if value else value
        elif isinstance(value, Mapping):
            translated[field.name] = {translate(key): translate(item) for key, item in value.items()}
        else:
            translated[field.name] = tuple(translate(item) for item in value)
    return replace(change, **translated)


def translate_story(story: Story, translate: Translate) -> tuple[Story, dict[str, str]]:
    """A story whose prompts, and all that becomes part of prompts, are in English.

    Returns it, and the instructions as they were written, by panel id, of the panels whose instruction changed.
    """
    def words(text: str) -> str:
        return translate(text) if text else text

    def panel_of(panel: Panel) -> Panel:
        translated: dict[str, Any] = {"prompt": words(panel.prompt), "shot": words(panel.shot),
                                      "angle": words(panel.angle)}
        if panel.is_series:
            translated["transition"] = words(panel.transition)
        if panel.change is not None:
            translated["change"] = translate_change(panel.change, translate)
        if isinstance(panel.characters, Mapping):
            translated["characters"] = {name: appearance.model_copy(update={"action": words(appearance.action)})
                                  for name, appearance in panel.characters.items()}
        return panel.model_copy(update=translated)

    translated = {name: getattr(story, name) for name in Story.model_fields} | {
        "style": story.style.model_copy(update={"text": words(story.style.text)}),
        "characters": {name: character.model_copy(update={"traits": words(character.traits)})
                       for name, character in story.characters.items()},
        "locations": {name: location.model_copy(update={"description": words(location.description)})
                      for name, location in story.locations.items()},
        "panels": tuple(panel_of(panel) for panel in story.panels),
    }
    english = Story(**translated)
    english._lines = story._lines
    written = {panel.id: panel_prompt(story, panel) for panel in story.panels}
    return english, {panel.id: written[panel.id] for panel in english.panels
                     if panel_prompt(english, panel) != written[panel.id]}

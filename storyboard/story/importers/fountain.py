"""Fountain, the plain-text screenplay format (fountain.io/syntax, version 1.1).

A scene heading becomes a scene and a location, an action paragraph a panel, dialogue captions of the panel before it.
"""

import re
from typing import Any

from ..fields import MAX_LINE
from .headings import read_heading
from .imported import Draft, Imported, line, spells
from .screenplay import read_screenplay
from .screenplay_rows import Element
from .speakers import is_somebody, read_cue

# MIRA & TOM, if each of them speaks alone too
_BETWEEN_SPEAKERS = re.compile(r"\s*(?:[&+/]|\b(?:AND|UND|ET|Y|E)\b)\s*")
_ENDS = ".!?…。！？:\"'”’»"  # need no full stop
_NOBODY = "The place, with nobody in it."


def import_fountain(text: str, source: str) -> Imported:
    """Make a story from a screenplay. Raises InputError for one without any panel, or with more than 1000."""
    draft = Draft(source)
    elements = read_screenplay(text, draft)
    cues = {read_cue(element.text).name: element.at for element in elements if element.kind == "character"}
    alone = {name.casefold() for name in cues}
    names: dict[str, tuple[str, ...]] = {}
    for name, at in cues.items():  # all of them before the first panel: action names who speaks later
        draft.at = at
        speakers = _BETWEEN_SPEAKERS.split(name)
        if len(speakers) == 1 or not alone.issuperset(part.casefold() for part in speakers):
            speakers = [name]
        names[name.casefold()] = tuple(filter(None, map(draft.character, filter(is_somebody, speakers))))
    _FountainImport(draft, names).add(elements)
    return draft.finished()


class _FountainImport:
    """Goes through the elements and keeps where it is."""

    def __init__(self, draft: Draft, names: dict[str, tuple[str, ...]]):
        self.draft = draft
        self.names = names  # without capitals -> the ids of who that is
        words = sorted(map(re.escape, self.names), key=len, reverse=True)
        self.mentions = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.I) if words else None
        self.scene: str | None = None
        self.setting = ""
        self.count = 0  # panels of the scene
        self.panel: dict[str, Any] | None = None
        self.speaker, self.unseen = "", False
        self.spoken_in: dict[str, Any] = {}  # the panel in which the speaker speaks
        self.pending: list[Element] = []  # notes before the first panel of a scene

    def add(self, elements: list[Element]) -> None:
        """Make scenes, panels and captions of the elements, in order."""
        for element in elements:
            self.draft.at = element.at
            getattr(self, f"_{element.kind}")(element)
        for note in self.pending:
            self.draft.at = note.at
            self.draft.leave_out(f"line {note.line}: note '{note.text}' after the last panel")

    def _heading(self, element: Element) -> None:
        heading = read_heading(self.draft.at_most(MAX_LINE, element.text, f"the heading on line {element.line}"))
        described = ", ".join(filter(None, [heading.place, heading.inside]))
        location = self.draft.location(heading.place, description=described) if heading.place else None
        self.scene = self.draft.scene(heading.number or f"s{len(self.draft.scenes) + 1}", f"{element.line}",
                                      heading=heading.text, location=location)
        if self.scene and not spells(self.scene, heading.number):
            self.draft.add_note(self.draft.scenes[self.scene], f"number: {heading.number}")
        self.setting = ", ".join(filter(None, [heading.place, heading.time.lower(), heading.inside]))
        self.count, self.panel = 0, None

    def _action(self, element: Element) -> None:
        self.panel = self._new_panel(element.text)
        for mention in self.mentions.finditer(element.text) if self.mentions else ():
            if not mention.group()[0].islower():  # WILL speaks; "he will" is not he
                _show(self.panel, self.names.get(mention.group().casefold(), ()))

    def _character(self, element: Element) -> None:
        cue = read_cue(element.text)
        self.speaker, self.unseen = cue.name, cue.unseen
        if cue.dual:
            self.draft.leave_out(f"line {element.line}: that {cue.name} speaks at the same time as the one before")
        if self.panel is None:
            self.panel = self._new_panel(_NOBODY if cue.unseen else f"{cue.name} speaks.")
        self.spoken_in = self.panel
        if not cue.unseen:
            _show(self.panel, self.names[cue.name.casefold()])
        for extension in cue.extensions:
            self.draft.add_note(self.panel, f"{cue.name} ({extension})")

    def _dialogue(self, element: Element) -> None:
        self.draft.add_caption(self.spoken_in, element.text, self.speaker, "narration" if self.unseen else "speech")

    def _lyrics(self, element: Element) -> None:
        """Sung by nobody who is named."""
        if self.panel is None:
            self.panel = self._new_panel(_NOBODY)
        self.draft.add_caption(self.panel, element.text, kind="narration")

    def _parenthetical(self, element: Element) -> None:
        self.draft.add_note(self.spoken_in, f"{self.speaker} {element.text}")

    def _transition(self, element: Element) -> None:
        transition = element.text.rstrip(":. ").lower()
        if self.draft.panels:  # which may have one already: FADE OUT. after it, FADE IN: before the next
            panel = self.draft.panels[-1]
            transition = ", ".join(filter(None, [panel.get("transition"), transition]))
            self.draft.set_line(panel, "transition", transition)
        else:
            self.draft.leave_out(f"line {element.line}: transition '{transition}' before the first panel")

    def _section(self, element: Element) -> None:
        self.draft.leave_out(f"line {element.line}: section '{element.text}'")

    def _synopsis(self, element: Element) -> None:
        if self.scene:
            self.draft.add_note(self.draft.scenes[self.scene], element.text)
        else:
            self.draft.leave_out(f"line {element.line}: synopsis '{element.text}' outside a scene")

    def _note(self, element: Element) -> None:
        if self.panel is None:
            self.pending.append(element)
        else:
            self.draft.add_note(self.panel, element.text)

    def _new_panel(self, prompt: str) -> dict[str, Any]:
        self.count += 1
        prompt = line(prompt)
        if self.setting:
            prompt += f"{'' if prompt[-1:] in _ENDS else '.'} Setting: {self.setting}."
        panel = self.draft.panel(f"{self.scene or 's0'}-{self.count}", prompt, scene=self.scene)
        for note in self.pending:
            self.draft.add_note(panel, note.text)
        self.pending = []
        return panel


def _show(panel: dict[str, Any], characters: tuple[str, ...]) -> None:
    """Put characters into a panel, each once."""
    panel["characters"] += [name for name in characters if name not in panel["characters"]]

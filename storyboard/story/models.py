"""The story: characters with their references, locations, scenes, and panels with stable ids; version 1 of the format.

What each field means for people is in docs/story_file.md. Reading a file is file.py.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from ...common import did_you_mean
from .appearance import TWICE, Appearance, Cast, Entry, Role, Share, WrittenStrength
from .change import Change
from .fields import (
    NAME,
    OR_NOTHING,
    Aspect,
    Crop,
    FileName,
    Frame,
    Line,
    Name,
    Prompt,
    Seed,
    Shorthand,
    Size,
    Text,
    Written,
    fault,
    nothing_is_empty,
    one_line,
)
from .reading import EntryPath

MAX_PANELS = 1000
MAX_CHARACTERS = 100
MOST_FIGURES = 3  # in one picture that the model keeps apart; nobody has seen more work
MAX_PLACES = 500  # locations, and scenes
MAX_REFERENCES = 10  # of one character
MAX_CAPTIONS = 50  # of one panel
MAX_CANDIDATES = 16
MAX_SECONDS = 3600.0
MAX_TITLE = 200  # characters
MIN_FRAMES, MAX_FRAMES = 3, 33  # of a series
_NOT_IN_A_SERIES = ("from_", "change", "together", "masks", "size", "min_score", "stop_score")
REFERENCE = "reference"  # what `from` says when a panel is made from its characters' references

Together = Literal["auto", "stitch", "offset", "passes", "regions"]


class Reference(Entry):
    """A picture of a character. `picture` is a path relative to the story's folder with `/` between folders; `crop` is
    (left, top, width, height) in pixels, "auto" (the figure before a plain background) or None (all of it)."""

    picture: FileName
    role: Role = "body"
    crop: Crop = None


class Character(Entry):
    """Somebody who appears in panels.

    `reference` is the short form of one reference, and `references` the long form of several; none at all means that
    Character nodes bring the pictures. `traits` are visible ones, in the prompt's language. `strength` is that of its
    references in panels which say none; None: as whoever brings the picture says. `voice` says how it sounds.
    """

    reference: FileName | None = None
    name: Line = ""
    traits: Line = ""
    references: Annotated[tuple[Annotated[Reference, Shorthand("picture")], ...],
                          Field(max_length=MAX_REFERENCES)] = ()
    strength: WrittenStrength | None = None
    voice: Line = ""

    @model_validator(mode="after")
    def _one_form(self) -> "Character":
        if self.reference is not None and self.references:
            raise fault(self.reference, "is written beside references", "put it among them", "reference")
        return self

    @property
    def pictures(self) -> tuple[Reference, ...]:
        """All references, in the story's order."""
        return self.references if self.reference is None else (Reference(picture=self.reference),)


class Style(Entry):
    """How everything is drawn: in words, which every panel's prompt gets, and as an example."""

    text: Line = ""
    picture: FileName | None = None


class Location(Entry):
    """A place. `description` is what a panel's `change` says as its scene if it says none itself."""

    description: Line = ""
    picture: FileName | None = None


class Scene(Entry):
    """Panels that belong together; `location` is that of its panels."""

    heading: Line = ""
    location: Name | None = None
    notes: Text = ""


class Masks(Entry):
    """Pictures, white where something may change (`edit`) or must stay (`keep`)."""

    edit: FileName | None = None
    keep: FileName | None = None


class Caption(Entry):
    """Lettering on a panel."""

    text: Text
    speaker: Line = ""
    kind: Literal["speech", "thought", "narration", "sound"] = "speech"
    position: Line = ""


class Voice(Entry):
    """What is spoken during a panel, or a sound file beside the story."""

    text: Text = ""
    file: FileName | None = None


class Panel(Entry):
    """One picture of the story.

    It is made from `prompt` (one line; white space is normalised) or from `change`. `characters` iterates over names:
    None means the story's only character, or those of the panel it is made `from_`; empty means nobody. `seed`
    (0 .. 2**64-1) None means `panel_seed(story.seed, id)`. `size` is (width, height) in pixels, multiples of 16; None
    means the story's size. `duration` is in seconds.

    A panel with a start and an end frame is a series: `frames` pictures (None: as many as is usual) from one to the
    other, with `transition` saying what happens on the way. It needs no prompt, and its picture is the last one.
    """

    id: Name
    prompt: Prompt = ""
    change: Change | None = None
    from_: Name = Field(REFERENCE, alias="from")
    characters: Cast | None = None
    together: Together | None = None
    scene: Name | None = None
    location: Name | None = None
    shot: Line = ""
    angle: Line = ""
    seed: Seed | None = None
    size: Size | None = None
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    min_score: Share | None = None
    stop_score: Share | None = None
    masks: Masks | None = None
    captions: Annotated[tuple[Annotated[Caption, Shorthand("text")], ...], Field(max_length=MAX_CAPTIONS)] = ()
    voice: Annotated[Voice, Shorthand("text")] | None = None
    duration: Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)] | None = None
    start_frame: Frame | None = None
    end_frame: Frame | None = None
    transition: Line = ""
    frames: Annotated[int, Field(ge=MIN_FRAMES, le=MAX_FRAMES)] | None = None
    notes: Text = ""

    @model_validator(mode="after")
    def _says_what_to_show(self) -> "Panel":
        if self.is_series:
            for field in _NOT_IN_A_SERIES:
                if field in self.model_fields_set and getattr(self, field) is not None:
                    raise fault("", "is not for a panel with a start and an end frame", "leave it out, or one of the "
                                "two frames", field.rstrip("_"))
            if self.start_frame == self.end_frame:
                raise fault(self.end_frame, "is the start frame too", "give two different pictures", "end_frame")
            return self
        if self.frames is not None:
            raise fault(self.frames, "is for a panel with start_frame and end_frame", "add both, or leave it out",
                        "frames")
        if not self.prompt and self.change is None:
            raise fault("", "is missing", "add `prompt: ...`", "prompt")
        if self.prompt and self.change is not None:
            raise fault(self.prompt, "is written beside change", "keep one of the two", "prompt")
        return self

    @property
    def is_series(self) -> bool:
        """Whether it is a series of pictures from a start frame to an end frame."""
        return self.start_frame is not None and self.end_frame is not None

    @property
    def needs(self) -> dict[str, str]:
        """The ids of the panels whose pictures it is made from, by the field that names them."""
        if self.is_series:
            frames = {"start_frame": self.start_frame or "", "end_frame": self.end_frame or ""}
            return {field: frame for field, frame in frames.items() if NAME.fullmatch(frame)}  # a file has a dot
        return {} if self.from_ == REFERENCE else {"from": self.from_}

    def appearance(self, name: str) -> Appearance:
        """How a character of this panel is in it."""
        return self.characters[name] if isinstance(self.characters, dict) else Appearance()


class Story(Entry):
    """A whole storyboard; what is wrong with it is known when it has been made.

    `seed` is the board seed (0 .. 2**64-1); `size` is (width, height) in pixels, multiples of 16; without it pictures
    have the model's native size, in the shape `aspect` (width / height) if that is given.
    """

    version: int
    title: Annotated[str, Field(max_length=MAX_TITLE), BeforeValidator(one_line), BeforeValidator(nothing_is_empty),
                     Written({"type": ["string", "number", "boolean", "null"], "maxLength": MAX_TITLE})] = ""
    language: Line = ""
    seed: Seed = 0
    size: Size | None = None
    aspect: Aspect | None = None
    fps: Annotated[float, Field(gt=0, le=240, allow_inf_nan=False)] | None = None
    style: Annotated[Style, Shorthand("text"), OR_NOTHING] = Style()
    together: Together = "auto"
    characters: Annotated[dict[Name, Annotated[Character, OR_NOTHING]],
                          Field(max_length=MAX_CHARACTERS), OR_NOTHING] = Field(default_factory=dict)
    locations: Annotated[dict[Name, Annotated[Location, Shorthand("description"), OR_NOTHING]],
                         Field(max_length=MAX_PLACES), OR_NOTHING] = Field(default_factory=dict)
    scenes: Annotated[dict[Name, Annotated[Scene, Shorthand("heading"), OR_NOTHING]],
                      Field(max_length=MAX_PLACES), OR_NOTHING] = Field(default_factory=dict)
    panels: tuple[Panel, ...] = Field(min_length=1, max_length=MAX_PANELS)
    _lines: dict[EntryPath, int] = PrivateAttr(default_factory=dict)
    _places: dict[str, int] = PrivateAttr(default_factory=dict)  # panel id -> index

    @field_validator("version")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value != 1:
            raise fault(value, "is not a version this Kontinuity reads", "write version: 1, or update Kontinuity")
        return value

    @field_validator("style", mode="before")
    @classmethod
    def _may_be_left_open(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("characters", "locations", "scenes", mode="before")
    @classmethod
    def _a_name_alone_is_enough(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, dict):
            return {name: {} if entry is None else entry for name, entry in value.items()}
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Story":
        if self.size is not None and self.aspect is not None:
            raise fault(f"{self.aspect:.4g}", "is written beside size", "keep one of the two", "aspect")
        for name, scene in self.scenes.items():
            self._check_known(scene.location, self.locations, "location", "scenes", name, "location")
        seen: dict[str, int] = {}
        for index, panel in enumerate(self.panels):
            first = seen.setdefault(panel.id.casefold(), index)
            if first != index:
                raise fault(panel.id, f"is also the id of panel {first + 1} (capitals make no difference: ids become "
                            "file names)", "give each panel an id of its own", "panels", index, "id")
            self._places[panel.id] = index
        for index, panel in enumerate(self.panels):
            self._check_panel(index, panel)
        self._check_circles()
        return self

    def _check_known(self, name: str | None, known: dict, kind: str, *inside: str | int) -> None:
        if name is not None and name not in known:
            raise fault(name, f"is not a {kind} of this story", did_you_mean(name, known), *inside)

    def _check_panel(self, index: int, panel: Panel) -> None:
        path: EntryPath = ("panels", index)
        self._check_known(panel.location, self.locations, "location", *path, "location")
        self._check_known(panel.scene, self.scenes, "scene", *path, "scene")
        if panel.from_ != REFERENCE:
            self._check_known(panel.from_, self._places, "panel", *path, "from")
        for field in ("start_frame", "end_frame"):
            frame = getattr(panel, field)
            if frame is not None and NAME.fullmatch(frame):
                self._check_known(frame, self._places, "panel", *path, field)
        if panel.characters is None and panel.from_ == REFERENCE and len(self.characters) > 1 and not panel.is_series:
            raise fault("", f"is missing, and the story has {len(self.characters)} characters",
                        f"name those in the panel, such as [{next(iter(self.characters))}], or [] for nobody",
                        *path, "characters")
        before: set[str] = set()
        for place, name in enumerate(panel.characters or ()):
            entry = (*path, "characters", name if isinstance(panel.characters, dict) else place)
            self._check_known(name, self.characters, "character", *entry)
            if name in before:
                raise fault(name, *TWICE, *entry)
            before.add(name)

    def _check_circles(self) -> None:
        """Following what panels are made from ends, or comes back to where it has been."""
        done: set[str] = set()
        for index, first in enumerate(self.panels):
            chain = {first.id: iter(first.needs.values())}  # a panel, one it is made from, and so on; what is to follow
            while chain:
                panel_id = next(reversed(chain))
                needed = next((name for name in chain[panel_id] if name not in done), None)
                if needed is None:
                    done.add(panel_id)
                    del chain[panel_id]
                elif needed in chain:
                    circle = [*list(chain)[list(chain).index(needed):], needed]
                    field, name = next((field, name) for field, name in first.needs.items() if name in (*chain, needed))
                    raise fault(name, f"goes round in a circle: {' from '.join(circle[:12])}",
                                "make one of them from reference", "panels", index, field)
                else:
                    chain[needed] = iter(self.panel(needed).needs.values())

    def panel(self, panel_id: str) -> Panel:
        """The panel of that id. Raises KeyError."""
        return self.panels[self._places[panel_id]]

    def sources(self, panel: Panel) -> Iterator[Panel]:
        """The panels a panel is made from: the nearest first, back to one that is made from references."""
        while panel.from_ != REFERENCE:
            panel = self.panel(panel.from_)
            yield panel

    def cast(self, panel: Panel) -> tuple[str, ...]:
        """The names of the characters in a panel of this story."""
        for shown in (panel, *self.sources(panel)) if panel.characters is None else (panel,):
            if shown.characters is not None:
                return tuple(shown.characters)
            if shown.is_series:
                return self.cast(self.panel(shown.needs["start_frame"])) if "start_frame" in shown.needs else ()
        return tuple(self.characters)

    def traits(self, names: Iterable[str]) -> dict[str, str]:
        """Visible traits of some characters by name, "" where the story says none."""
        return {name: self.characters[name].traits for name in names}

    def location(self, panel: Panel) -> Location:
        """Where a panel plays: its own location, or its scene's; an empty one if neither is given."""
        name = panel.location or (self.scenes[panel.scene].location if panel.scene else None)
        return self.locations[name] if name else Location()

    def line(self, *path: str | int) -> int | None:
        """The line of an entry in the text this story was read from, such as line("panels", 0, "prompt")."""
        return self._lines.get(path)

"""A panel with all that it takes over: from its story, its scene, and the panel it is made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from .appearance import Strength
from .models import REFERENCE, Panel, Story
from .seeds import panel_seed


@dataclass(frozen=True)
class ResolvedPanel:
    """What there is to know of one panel; whoever has it need not ask the story again.

    Attributes:
        panel: as it is written.
        traits: of each character in it by name, "" where the story says none.
        newcomers: those of them that the panel it is made from does not show; of one made from references all.
        place: the description of where it plays, "" if nothing says where.
        style: the story's, "" without one.
        strengths: of each newcomer by name, the panel's word before the story's; None: nothing is said.
        combine: how several references are to be combined, the panel's word before the story's.
        seed: the panel's own, or the one from its id.
        source: the id of the panel it is made from; None: made from references.
        size: (width, height) in pixels; None: as the model likes it.
        aspect: width / height where no size is given; None: as the model likes it.
    """

    panel: Panel
    traits: Mapping[str, str]
    newcomers: tuple[str, ...]
    strengths: Mapping[str, Strength | None]
    place: str
    style: str
    combine: str
    seed: int
    source: str | None
    size: tuple[int, int] | None
    aspect: float | None

    @property
    def where(self) -> str:
        """How error messages name the panel."""
        return f"panel '{self.panel.id}'"

    @property
    def characters(self) -> tuple[str, ...]:
        """The names of those in it."""
        return tuple(self.traits)


def resolve(story: Story, panel: Panel) -> ResolvedPanel:
    """Fill in what a panel of this story takes over."""
    characters = story.cast(panel)
    source = None if panel.from_ == REFERENCE else story.panel(panel.from_)
    there = story.cast(source) if source else ()
    newcomers = tuple(name for name in characters if name not in there)
    return ResolvedPanel(
        panel=panel,
        traits=story.traits(characters),
        newcomers=newcomers,
        strengths={name: panel.appearance(name).strength or story.characters[name].strength for name in newcomers},
        place=story.location(panel).description,
        style=story.style.text,
        combine=panel.together or story.together,
        seed=panel_seed(story.seed, panel.id) if panel.seed is None else panel.seed,
        source=source and source.id,
        size=panel.size or story.size,
        aspect=story.aspect,
    )

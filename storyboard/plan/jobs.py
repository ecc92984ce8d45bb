"""Jobs: what is to be made of a panel, as data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...common import Box, Picture
from ...kontext import EditRequest, ReferenceStrength
from ..story.seeds import panel_seed
from .board import Sampling
from .candidate_policy import CandidatePolicy, candidate_seed
from .masks import PanelMasks


@dataclass(frozen=True)
class Pass:
    """One sampling. With `on_picture` the panel's picture so far is its first reference, before those of `request`.
    With a `box` its result goes into that box of the picture so far, else it is the picture. `character` is who it
    adds."""

    request: EditRequest
    on_picture: bool = False
    box: Box | None = None
    character: str = ""

    def on(self, picture: Picture) -> "Pass":
        """The pass with the picture it begins from as its first reference."""
        request = self.request
        strengths = (ReferenceStrength(), *request.strengths) if request.strengths else ()
        return replace(self, request=replace(request, references=(picture, *request.references), strengths=strengths))

    def with_seed(self, seed: int) -> "Pass":
        """The pass with the seed that it has in a panel of this one."""
        seed = panel_seed(seed, self.character) if self.character else seed
        return replace(self, request=replace(self.request, seed=seed))


@dataclass(frozen=True)
class PanelJob:
    """One panel to make.

    `number` is its 1-based position in the story, `characters` are the names of those in it. `passes` are made in
    order; most panels have one. `source` is the id of the panel whose picture they start from. `combine` says how
    several references are combined: "stitch", "offset", "passes", "regions", or "". A job that is not `wanted`
    is made only because another one starts from it. `seed` is the panel's, `policy` says how many candidates are made
    to choose from. `masks` say where the picture may differ from the one it is made from: the source's, or its only
    reference.
    """

    panel_id: str
    number: int
    characters: tuple[str, ...]
    passes: tuple[Pass, ...]
    source: str | None = None
    combine: str = ""
    wanted: bool = True
    seed: int = 0
    policy: CandidatePolicy = CandidatePolicy()
    masks: PanelMasks = field(default_factory=dict, compare=False, repr=False)

    @property
    def request(self) -> EditRequest:
        """The request of the first pass, for most panels the only one."""
        return self.passes[0].request

    @property
    def steps(self) -> int:
        """Sampling steps of all passes."""
        return sum(pass_.request.steps for pass_ in self.passes)

    @property
    def sources(self) -> tuple[str, ...]:
        """The ids of the panels whose pictures it begins with."""
        return (self.source,) if self.source else ()

    def candidate(self, number: int) -> "PanelJob":
        """The same job with the seed of another candidate; 0 is the job itself."""
        if number == 0:
            return self
        seed = candidate_seed(self.seed, number)
        return replace(self, seed=seed, passes=tuple(pass_.with_seed(seed) for pass_ in self.passes))


@dataclass(frozen=True)
class SeriesJob:
    """A panel to make as a series of pictures from one to another.

    `start` and `end` are pictures, or the ids of the panels whose pictures they are. `frames` is how many pictures it
    has, both included, `prompts` say what happens on the way, and of `candidates` pictures for each place the best path
    through all is kept. `number`, `characters` and `wanted` are those of a PanelJob.
    """

    panel_id: str
    number: int
    characters: tuple[str, ...]
    start: str | Picture
    end: str | Picture
    frames: int
    prompts: tuple[str, ...]
    candidates: int
    seed: int
    sampling: Sampling
    wanted: bool = True

    @property
    def where(self) -> str:
        """How error messages name the panel."""
        return f"panel '{self.panel_id}'"

    @property
    def sources(self) -> tuple[str, ...]:
        """The ids of the panels whose pictures it begins with."""
        return tuple(frame for frame in (self.start, self.end) if isinstance(frame, str))

    @property
    def steps(self) -> int:
        """The most sampling steps of all its pictures."""
        return (self.frames - 2) * self.candidates * self.sampling.steps

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """The names of its pictures: walk_00, walk_01, ..."""
        return frame_ids(self.panel_id, self.frames)


def frame_ids(panel_id: str, frames: int) -> tuple[str, ...]:
    """The names of a series' pictures."""
    return tuple(f"{panel_id}_{number:02}" for number in range(frames))


Job = PanelJob | SeriesJob


def sources_first(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs in their order, each after those it is made from."""
    waiting = {job.panel_id: job for job in jobs}
    for job in jobs:
        chain = [job]  # a job, one it is made from, and so on
        while chain:
            needed = next((waiting[name] for name in chain[-1].sources if name in waiting), None)
            if needed is not None and chain[-1].panel_id in waiting:
                chain.append(needed)
            elif waiting.pop((done := chain.pop()).panel_id, None):
                yield done

"""Jobs: what is to be made of a panel, as data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...common import Box, Picture
from ...kontext import EditRequest, ReferenceStrength
from ..story.seeds import panel_seed
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

    def candidate(self, number: int) -> "PanelJob":
        """The same job with the seed of another candidate; 0 is the job itself."""
        if number == 0:
            return self
        seed = candidate_seed(self.seed, number)
        return replace(self, seed=seed, passes=tuple(pass_.with_seed(seed) for pass_ in self.passes))


def sources_first(jobs: Sequence[PanelJob]) -> Iterator[PanelJob]:
    """The jobs in their order, each after the one it is made from."""
    waiting = {job.panel_id: job for job in jobs}
    for job in jobs:
        chain = []  # a job, the one it is made from, and so on
        while job is not None and waiting.pop(job.panel_id, None):
            chain.append(job)
            job = waiting.get(job.source) if job.source else None
        yield from reversed(chain)

"""The use case: two pictures become a series, the ends as they are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...common import Picture, scaled
from ...flow import Estimator, FramePair, explained, prepare_pair
from ...kontext import EditRequest, KontextModel, Scorer
from ..observer import Observer
from ..plan.board import Sampling
from .asked import in_between_requests
from .ends import Ends, both_ends
from .scored import Candidate, Judge, smoothest
from .settings import InBetweens, check_settings


@dataclass(frozen=True)
class SeriesFrame:
    """A picture of a series.

    Attributes:
        picture: of the ends' size; the first and the last are the given tensors themselves.
        part: how far on the way, 0..1.
        origin: "given", "kontext" or "flow".
        said: where it came from and what it scored, in words.
    """

    picture: Picture
    part: float
    origin: str
    said: str


@dataclass(frozen=True)
class Series:
    """The frames in their order, and a line on each and on the whole."""

    frames: tuple[SeriesFrame, ...]
    remarks: tuple[str, ...]


def make_in_betweens(start: Picture, end: Picture, model: KontextModel, sampling: Sampling, observer: Observer,
                     settings: InBetweens, *, scorer: Scorer | None = None, estimator: Estimator | None = None,
                     where: str = "in-betweens") -> Series:
    """Make a series from a start frame to an end frame.

    Kontext makes the frame half-way, then those half-way again, first in the gap in which flow explains the least of
    what changes; flow fills a gap that it explains, and what is left when `settings.made` are made.

    Args:
        start, end: float32 [H, W, 3] in 0..1, of one size, at least 64 pixels a side. They are handed on as they are.
        model: with the in-between LoRA (docs/start_end_frames.md).
        scorer: compares the figure with that of both ends; without one candidates are told apart by their motion.
        estimator: of the motion, see flow.Estimator; flow's own by default.
        where: who asks, for error messages.

    Raises InputError for ends of different sizes, one picture twice, settings out of range, and all that model.check
    finds, before anything is sampled; and what the observer raises.
    """
    check_settings(settings, where)
    ends = both_ends(start, end, estimator, where)
    requests = {number: in_between_requests(ends, settings.part(number), model, sampling, settings, where)
                for number in range(1, settings.frames - 1)}
    for request in (request for several in requests.values() for request in several):
        model.check(request)
    most = min(settings.made or len(requests), len(requests))
    observer.begin(most * settings.candidates * sampling.steps)
    model.prepare([several[0] for several in requests.values()])
    judge = Judge(ends, scorer, estimator, settings.candidates > 1, where)
    gaps = _Gaps(ends, settings, estimator)
    made: dict[int, list[Candidate]] = {}
    while len(made) < most and (number := gaps.worst()) is not None:
        moved, *_ = requests[number][0].references
        answers = (_edit(model, request, ends, observer) for request in requests[number])
        made[number] = judge(settings.part(number), moved, answers)
        gaps.divide(number, min(made[number], key=lambda candidate: candidate.cost).picture)
    observer.end()
    chosen = dict(zip(sorted(made), smoothest([made[number] for number in sorted(made)]), strict=True))
    return _series(ends, chosen, settings, estimator)


def _edit(model: KontextModel, request: EditRequest, ends: Ends, observer: Observer) -> Picture:
    return scaled(model.edit(request, lambda info: observer.step(model.preview(info))), *ends.size)


class _Gaps:
    """Between which frames pictures are missing, and how much of the change there flow explains."""

    def __init__(self, ends: Ends, settings: InBetweens, estimator: Estimator | None):
        self._estimator, self._confident = estimator, settings.confident
        self._known = {0: ends.start, settings.frames - 1: ends.end}
        self._explained = {(0, settings.frames - 1): _explained(ends.pair)}

    def worst(self) -> int | None:
        """The frame in the middle of the gap that is explained the least; None if all are explained or closed."""
        open_ = [gap for gap, share in self._explained.items() if gap[1] - gap[0] > 1 and share < self._confident]
        return sum(min(open_, key=lambda gap: self._explained[gap])) // 2 if open_ else None

    def divide(self, number: int, picture: Picture) -> None:
        """A picture was made for a frame."""
        first, last = next(gap for gap in self._explained if gap[0] < number < gap[1])
        del self._explained[first, last]
        self._known[number] = picture
        for gap in ((first, number), (number, last)):
            wide = gap[1] - gap[0] > 1  # else there is nothing to make, and nothing to look for
            left, right = (self._known[end] for end in gap)
            self._explained[gap] = _explained(prepare_pair(left, right, estimator=self._estimator)) if wide else 1.0


def _explained(pair: FramePair) -> float:
    return 0.0 if pair.motion is None else explained(pair.a, pair.b, pair.motion)


def _series(ends: Ends, chosen: dict[int, Candidate], settings: InBetweens, estimator: Estimator | None) -> Series:
    """All frames: given, made, and by flow between these."""
    last = settings.frames - 1
    known = {0: SeriesFrame(ends.start, 0.0, "given", "given"), last: SeriesFrame(ends.end, 1.0, "given", "given")}
    for number, candidate in chosen.items():
        which = f", candidate {candidate.number + 1} of {settings.candidates}" if settings.candidates > 1 else ""
        said = f"made by Kontext{which}: {candidate}" if candidate.is_kontexts else \
            f"by flow: Kontext's picture is off by {candidate.off:.2f} where flow is sure (is its in-between LoRA on?)"
        origin = "kontext" if candidate.is_kontexts else "flow"
        known[number] = SeriesFrame(candidate.picture, candidate.part, origin, said)
    frames = sorted([*known.items(), *_filled(known, settings, estimator)])
    count = Counter(frame.origin for _, frame in frames)
    remarks = [f"{settings.frames} frames: 2 given, {count['kontext']} made by Kontext, {count['flow']} by flow. "
               f"Between the ends: {ends.pair.report.reason}.",
               *(f"frame {number + 1} ({frame.part:.0%}): {frame.said}" for number, frame in frames)]
    return Series(tuple(frame for _, frame in frames), tuple(remarks))


def _filled(known: dict[int, SeriesFrame], settings: InBetweens,
            estimator: Estimator | None) -> Iterator[tuple[int, SeriesFrame]]:
    """The frames that are not known, by flow between their neighbours that are."""
    places = sorted(known)
    for first, last in zip(places, places[1:], strict=False):
        if last - first == 1:
            continue
        pair = prepare_pair(known[first].picture, known[last].picture, estimator=estimator)
        for number in range(first + 1, last):
            yield number, SeriesFrame(pair.at((number - first) / (last - first)), settings.part(number), "flow",
                                      f"by flow between frames {first + 1} and {last + 1}: {pair.report.reason}")

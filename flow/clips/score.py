"""How good a motion is: an edit's motion against a wanted one, and a clip's steadiness.

The terms and the reward are those of MotionEdit (Wan et al., "MotionEdit: Benchmarking and Learning Motion-Centric
Image Editing", arXiv 2512.10284, section 4), in two forms: "paper" as printed, "released" as in
github.com/elainew728/motion-edit, `train/flow_grpo/motionedit_scorer.py`; the two differ. Over the whole picture a
still background vouches for the edit: where a tenth of the picture moves, doing nothing earns 0.8 of 1.0.
`moving_region` is this package's own score without that weakness.

All scores depend on the flow estimator; compare only scores made with the same one, and none with published figures
(those are from UniMatch, and the constants of the published alignment score are not published).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from ...common import InputError
from ..between.estimate import estimate_motion
from ..checks import WHERE, check_choice, check_count, check_flow
from ..motion import Estimator, Motion
from ..occlusion import consistent
from ..warp import warp

FORMS = ("paper", "released")
_Q, _EPSILON = 0.4, 1e-6
_MOVES = 0.002  # of the diagonal: from here on the wanted motion has a direction (tau_m)
_MOVEMENT = 0.01  # of the diagonal (tau)
_REWARD_WEIGHTS = 0.7, 0.2, 0.1  # magnitude, direction, movement (alpha, beta, lambda)
_STILL_SHARE = 0.05  # fewer still pixels than this are no background


@dataclass(frozen=True)
class MotionTerms:
    """How far a found motion is from a wanted one; lengths are shares of the picture's diagonal.

    Attributes:
        magnitude: D_mag, mean of the differences to the power of 0.4; 0.004 (equal) up.
        direction: D_dir, mean angle error where the wanted motion moves, 0 (same direction) .. 1 (opposite).
        movement: M_move, by how much the mean motion falls short of 0.01 plus half the wanted one.
        mean_found, mean_wanted: mean lengths.
    """

    magnitude: float
    direction: float
    movement: float
    mean_found: float
    mean_wanted: float


@dataclass(frozen=True)
class MovingRegion:
    """Attributes: score: 0 (no better than doing nothing) .. 100 (the wanted motion); progress: how much of the wanted
    motion was made, 1 all of it, 0 none, negative the opposite; background_shift: how far the background slid along
    with it, in pixels (it is taken off before scoring)."""

    score: float
    progress: float
    background_shift: float


@dataclass(frozen=True)
class ClipScores:
    """Attributes: smoothness: 1 (constant speed along every path) .. 0 (back and forth); None for fewer than three
    pictures; flicker: mean change of colour that motion does not explain, 0..1, lower is steadier; coverage: the
    lowest of all pairs."""

    smoothness: float | None
    flicker: float
    coverage: float


def motion_terms(found: Tensor, wanted: Tensor, form: str = "paper", where: str = WHERE) -> MotionTerms:
    """MotionEdit's terms.

    Args:
        found: flow from the original to the edited picture, ``[H, W, 2]`` pixels.
        wanted: flow from the original to the target picture.
        form: "paper" (L1 norm per pixel; directions weighted by the wanted length) or "released" (each component on its
            own; directions unweighted).
        where: for messages.
    Raises:
        InputError: flows of different sizes, not finite, or an unknown form.
    """
    check_choice(form, FORMS, where, "form")
    found, wanted = _shares_of_diagonal(found, wanted, where)
    difference, released = (found - wanted).abs(), form == "released"
    magnitude = ((difference if released else difference.sum(2)) + _EPSILON).pow(_Q).mean().item()
    length_found, length_wanted = found.norm(dim=2), wanted.norm(dim=2)
    lengths = length_found.clamp_min(_EPSILON) * length_wanted.clamp_min(_EPSILON)
    error = (1 - ((found * wanted).sum(2) / lengths).clamp(-1, 1)) / 2
    weight = (length_wanted > _MOVES).double()
    if released:
        direction = (error * weight).sum() / weight.sum().clamp_min(1)
    else:
        weight = weight * length_wanted / length_wanted.max().clamp_min(_EPSILON)
        direction = (error * weight).sum() / (weight.sum() + _EPSILON)
    mean_found, mean_wanted = length_found.mean().item(), length_wanted.mean().item()
    movement = max(0.0, _MOVEMENT + mean_wanted / 2 - mean_found)
    return MotionTerms(magnitude, direction.item(), movement, mean_found, mean_wanted)


def motion_reward(terms: MotionTerms, levels: int | None = 5) -> float:
    """MotionNFT's reward, 0..1, with the released constants; rounded to steps of 1/``levels``, or not if None."""
    distance = sum(weight * term for weight, term in
                   zip(_REWARD_WEIGHTS, (terms.magnitude, terms.direction, terms.movement), strict=True))
    least = _EPSILON**_Q
    reward = 1 - min(1.0, max(0.0, (distance - least) / (1 - least)))
    return round(levels * reward) / levels if levels else reward


def motion_alignment(
    terms: MotionTerms, alpha: float = 0.7, d_min: float = _EPSILON**_Q, d_max: float = 1.0, rho_min: float = 0.01
) -> float:
    """The paper's motion alignment score, 0..100; 0 if less than ``rho_min`` of the wanted motion was made.

    alpha, d_min and d_max are not published; the defaults are this package's choice. Say so beside every value.
    """
    if terms.mean_found < rho_min * terms.mean_wanted:
        return 0.0
    distance = alpha * terms.magnitude + (1 - alpha) * terms.direction
    return 100 * (1 - min(1.0, max(0.0, (distance - d_min) / (d_max - d_min))))


def moving_region(found: Tensor, wanted: Tensor, where: str = WHERE) -> MovingRegion:
    """How much of the wanted motion an edit made, counted only where something moves or should.

    The score is 100 (1 - sum |found - wanted| / sum |wanted|), not below 0, so that doing nothing is 0 and so is the
    opposite. Differences up to 0.2 % of the diagonal, at least one pixel, do not count: they are the estimator's noise.
    The found flow's median where nothing should move is taken off first: an edit that redraws the picture a few pixels
    aside is not motion.

    Args and errors as ``motion_terms``; ``InputError`` also if nothing is wanted to move.
    """
    _shares_of_diagonal(found, wanted, where)  # checks
    noise = max(1.0, _MOVES * math.hypot(*found.shape[:2]))
    found, wanted = found.double(), wanted.double()

    def length(flow: Tensor) -> Tensor:
        return (flow.norm(dim=2) - noise).clamp_min(0).sum()

    whole = length(wanted)
    if not whole:
        raise InputError(where, "wanted motion", "none", "there is none",
                         "give a target picture in which something moves")
    still = wanted.norm(dim=2) <= noise
    background = found.new_zeros(2)
    if still.double().mean() > _STILL_SHARE:
        background = found[still].median(0).values
    found = found - background
    progress = (found * wanted).sum() / (wanted * wanted).sum()
    score = 100 * (1 - length(found - wanted) / whole).clamp_min(0)
    return MovingRegion(score.item(), progress.item(), background.norm().item())


def flicker(a: Tensor, b: Tensor, motion: Motion) -> float | None:
    """Mean change of colour between two pictures along the motion, 0..1; None where no motion can be believed.

    The warping error of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, as a mean absolute
    difference over the pixels that are consistent.
    """
    seen = consistent(motion.forward, motion.backward)
    return (warp(b, motion.forward) - a).abs()[seen].double().mean().item() if seen.any() else None


def jerk(first: Motion, second: Motion) -> tuple[float, float]:
    """The change of velocity from one gap to the next, along every path that can be followed.

    Returns:
        ``(sum of |change|, sum of the lengths before and after)``, pixels; their quotient is 0 at constant velocity
        and 1 where everything turns round.
    """
    seen = consistent(first.forward, first.backward)
    before, after = first.forward[seen].double(), warp(second.forward, first.forward)[seen].double()
    change = ((after - before).norm(dim=1) - 1).clamp_min(0)  # less than a pixel is noise
    return change.sum().item(), (before.norm(dim=1) + after.norm(dim=1)).sum().item()


def clip_scores(
    pictures: Iterable[Tensor],
    estimator: Estimator | None = None,
    on_pair: Callable[[], None] | None = None,
    where: str = WHERE,
) -> ClipScores:
    """Smoothness and flicker of a clip; two pictures are held at a time.

    Args:
        pictures: at least two of one size.
        estimator: see ``Estimator``.
        on_pair: called after each pair; what it raises stops the work.
        where: for messages.
    Raises:
        InputError: fewer than two pictures, or pictures that cannot be used.
    """
    previous, motion = None, None
    flickers, coverages, changes, paths = [], [], 0.0, 0.0
    count = 0
    for picture in pictures:
        count += 1
        if previous is not None:
            last, motion = motion, estimate_motion(previous, picture, estimator, where=where)
            coverages.append(motion.coverage)
            flickers.append(flicker(previous, picture, motion))
            if last is not None:
                change, path = jerk(last, motion)
                changes, paths = changes + change, paths + path
            if on_pair:
                on_pair()
        previous = picture
    check_count(count, where)
    known = [value for value in flickers if value is not None]
    smooth = None if count < 3 else 1 - changes / paths if paths else 1.0
    return ClipScores(smooth, sum(known) / len(known) if known else 1.0, min(coverages))


def _shares_of_diagonal(found: Tensor, wanted: Tensor, where: str) -> tuple[Tensor, Tensor]:
    check_flow(found, where, "found motion")
    check_flow(wanted, where, "wanted motion")
    if found.shape != wanted.shape:
        sizes = [f"{flow.shape[1]}x{flow.shape[0]}" for flow in (found, wanted)]
        raise InputError(where, "wanted motion", f"{sizes[1]} pixels", f"is not for the found motion's {sizes[0]}",
                         "estimate both from the same picture")
    diagonal = math.hypot(*found.shape[:2])
    return found.double() / diagonal, wanted.double() / diagonal

"""A drawn figure before a still background: which pixels are the figure, and where each of them goes.

What changed between the two pictures is either the figure or background that it covers in the other picture. The
figure's motion as a whole wins a vote of all changed pixels for all displacements; then its colour pieces (flat areas
within outlines) are matched one to one, as AnimeInterp does (Siyao et al., "Deep Animation Video Interpolation in the
Wild", CVPR 2021, segment-guided matching), so that limbs may turn; the estimator finds the rest with the background
painted over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..checks import WHERE
from ..motion import Estimator, estimated
from ..splat import fill_holes

_CHANGED = 10 / 255
_LINE = 5 / 255  # a step between neighbours from which on it ends a colour piece
_SAME = 0.06  # mean colour difference up to which a place fits
_VOTE_SIDE = 160  # pixels; the vote is taken at this size
_VOTE_COLOUR = 0.15  # colours this far apart hardly vote together
_VOTE_FEATURES = 24
_PIECE_COLOUR, _PIECE_MOVE = 0.05, 0.06  # differences that count as much as an area e times as large
_PIECE_PIXELS, _PIECE_COST = 12, 3.0
_PIECE_SIZE, _PIECE_STILL = 0.5, 0.9  # log of the areas' ratio; share of unchanged pixels
_NEAR = 0.04  # of the width: the estimator alone finds a figure that goes less far; later it finds other things
_STILL = 0.5  # share of a picture that must not have changed
_EXPLAINED = 0.5  # share of the change that the figure must account for
_GREY = np.float32(0.5)
_MARGIN = 24  # pixels around what changed
_SHORTEST, _LONGEST = 128, 364  # pixels; with fewer DIS lacks a level of its pyramid, and loses limbs that turn far


@dataclass(frozen=True)
class Figure:
    """Masks of the figure in A and B, ``bool [H, W]``, and the flows of both, ``[H, W, 2]``, 0 on the background."""

    mask_a: Tensor
    mask_b: Tensor
    forward: Tensor
    backward: Tensor


def find_figure(
    a: Tensor,
    b: Tensor,
    estimator: Estimator,
    masks: tuple[Tensor, Tensor] | None = None,
    whole: bool = False,
    where: str = WHERE,
) -> Figure | None:
    """The figure that moves between two flat drawings.

    Args:
        a, b: pictures of one size.
        estimator: finds what the two matchings leave; asked once for each, both ways, and for small motion as the
            pictures are.
        masks: the figure in ``a`` and in ``b`` where it is known, ``bool [H, W]``.
        whole: look at the whole pictures, not only around what changed; slower, the reference.
        where: for messages.
    Returns:
        None if the background moves as well, nothing moves, or what moves does not explain what changed; never None
        with ``masks``.
    """
    changed = ((a - b).abs().amax(2) > _CHANGED if masks is None else masks[0] | masks[1]).numpy()
    if not changed.any():
        return None if masks is None else Figure(*masks, *torch.zeros(2, *a.shape[:2], 2))
    if masks is None and changed.mean() > 1 - _STILL:
        return None
    box = (slice(None), slice(None)) if whole else _box(changed)
    known = None if masks is None else [mask.numpy()[box] for mask in masks]

    def estimate(here: np.ndarray, other: np.ndarray) -> np.ndarray:
        return estimated(estimator, torch.from_numpy(here), torch.from_numpy(other), where).numpy()

    sides = _find((a.numpy(), b.numpy()), changed, box, estimate, known)
    if sides is None:
        return None
    figures, flows = torch.zeros(2, *a.shape[:2], dtype=torch.bool), torch.zeros(2, *a.shape[:2], 2)
    for side, (figure, flow) in enumerate(sides):
        figures[side][box] = torch.from_numpy(figure)
        flows[side][box] = torch.from_numpy(np.where(figure[..., None], flow, np.float32(0)))
    return Figure(*figures, *flows)


def _find(pictures: tuple[np.ndarray, np.ndarray], changed: np.ndarray, box, estimate, known):
    """Mask and flow of the figure in the box, of both pictures; ``known`` are the masks where they are given."""
    width = changed.shape[1]
    step = -(-max(changed.shape) // _VOTE_SIDE)
    pixels, changed = [np.ascontiguousarray(picture[box]) for picture in pictures], changed[box]
    region = _filled(changed, width)
    move = _vote(pixels, changed, step)
    near = np.linalg.norm(move) < _NEAR * width
    pieces = _Pieces.of(pictures[0], box, region, changed), _Pieces.of(pictures[1], box, region, changed)
    pairs = _match(*pieces, move, width)
    if known is None:
        pieces, pairs = _without_gaps(pieces, pairs)
        keep = [region & ~picture.ground for picture in pieces]
    else:
        keep = [_filled(mask, width) for mask in known]
    painted = [np.where(area[..., None], picture, _GREY) for area, picture in zip(keep, pixels, strict=True)]
    still = _mismatch(*pixels)
    sides = []
    for side in (0, 1):
        here, other = pixels[side], pixels[1 - side]
        flows = [estimate(here, other)] if near else []
        starts = [np.full((*region.shape, 2), np.array(move, np.float32) * (-1) ** side)]
        if len(pairs):
            starts.append(_piece_flow(pieces[side], pieces[1 - side], pairs[:, [side, 1 - side]]))
        for start in starts:
            moved = _fetched(painted[1 - side], start, "cubic").clip(0, 1)
            rest = estimate(painted[side], moved)
            flows.append(rest + _fetched(start, rest))
        fit, flow = _best(here, other, flows, region)
        figure = known[side] if known is not None else _figure(fit, still, pieces[side], pairs[:, side], region)
        sides.append((figure, flow))
    if known is None and (sides[0][0] | sides[1][0])[changed].mean() < _EXPLAINED:
        return None
    return sides


def _box(changed: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold what changed, with a margin, and large enough for large motion."""
    height, width = changed.shape
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    rows, columns = _widened(rows, _SHORTEST, height, width), _widened(columns, _SHORTEST, width, width)
    if rows.stop - rows.start < _LONGEST:
        columns = _widened(np.flatnonzero(changed.any(0)), _LONGEST, width, width)
    return rows, columns


def _widened(places: np.ndarray, least: int, most: int, width: int) -> slice:
    """From the first to the last place with a margin, at least so many of 0 .. ``most`` - 1."""
    margin, least = max(_MARGIN, width // 40), min(least, most)
    first, end = max(0, int(places[0]) - margin), min(most, int(places[-1]) + 1 + margin)
    if end - first < least:
        first = min(max(0, (first + end - least) // 2), most - least)
        end = first + least
    return slice(first, end)


def _fetched(values: np.ndarray, flow: np.ndarray, filtering: str = "linear") -> np.ndarray:
    """``values(p + flow[p])`` to 1/32 pixel, several times as fast as ``warp``: "linear" is 0 outside, "cubic"
    continues the edge, "nearest" is 0 outside."""
    import cv2

    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    filters = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
    border = cv2.BORDER_REPLICATE if filtering == "cubic" else cv2.BORDER_CONSTANT
    return cv2.remap(values, x, y, filters[filtering], borderMode=border)


def _figure(moving: np.ndarray, still: np.ndarray, pieces: _Pieces, matched: np.ndarray, region: np.ndarray):
    """The mask: what fits better moving than still, and the matched pieces with their outlines."""
    import cv2

    figure = (moving < still) & (moving < _SAME)
    sure = np.isin(pieces.labels, pieces.numbers[matched]).astype(np.uint8)
    figure |= cv2.dilate(sure, np.ones((5, 5), np.uint8)) > 0
    figure &= region & ~pieces.ground
    return cv2.morphologyEx(figure.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0


def _filled(changed: np.ndarray, width: int) -> np.ndarray:
    """The changed area without small gaps and holes, a little wider, ``bool [h, w]``; ``width`` of the picture."""
    import cv2

    radius = max(2, width // 100)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    area = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    outside = np.pad(1 - area, 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    area = (outside[1:-1, 1:-1] != 2).astype(np.uint8)
    return cv2.dilate(area, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))) > 0


def _vote(pixels: list[np.ndarray], changed: np.ndarray, cell: int) -> tuple[int, int]:
    """The displacement (x, y) along which most changed pixels of A find their colour among the changed ones of B, in
    whole cells of ``cell`` pixels.

    A correlation for a Gaussian kernel of colours (random Fourier features: Rahimi and Recht, NIPS 2007), by FFT.
    """
    import cv2

    size = (-(-changed.shape[1] // cell), -(-changed.shape[0] // cell))
    dice = np.random.default_rng(0)
    waves = dice.normal(size=(3, _VOTE_FEATURES)) / _VOTE_COLOUR
    phases = dice.uniform(0, 2 * np.pi, _VOTE_FEATURES)
    weight = cv2.resize(changed.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    said = [np.cos(cv2.resize(picture, size, interpolation=cv2.INTER_AREA) @ waves + phases) for picture in pixels]
    usual = sum((values * weight).sum((0, 1)) for values in said) / (2 * weight.sum())
    room = (2 * size[1], 2 * size[0])
    first, second = (np.fft.rfft2((values - usual) * weight, room, (0, 1)) for values in said)
    votes = np.fft.irfft2((first.conj() * second).sum(2), room)
    y, x = divmod(int(votes.argmax()), room[1])
    return (x - room[1] * (x >= size[0])) * cell, (y - room[0] * (y >= size[1])) * cell


@dataclass(frozen=True)
class _Pieces:
    """Flat areas of a picture, seen in a box. ``numbers`` are those of the moving ones in ``labels`` ``[h, w]``, with
    area, centre (x, y), mean colour, and share of unchanged pixels of each; ``ground`` marks the pixels of areas that
    mostly lie outside of the region or did not change, ``behind`` are the colours ``[M, 3]`` of those that reach into
    it."""

    labels: np.ndarray
    numbers: np.ndarray
    areas: np.ndarray
    centres: np.ndarray
    colours: np.ndarray
    still: np.ndarray
    solid: np.ndarray
    ground: np.ndarray
    behind: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray, box, region: np.ndarray, changed: np.ndarray) -> _Pieces:
        """``region`` and ``changed`` are those in the box; outside of it nothing is true."""
        import cv2

        pixels = torch.from_numpy(picture)
        flat = np.ones(picture.shape[:2], np.uint8)
        right = ((pixels[:, 1:] - pixels[:, :-1]).abs().amax(2) > _LINE).numpy()
        lower = ((pixels[1:] - pixels[:-1]).abs().amax(2) > _LINE).numpy()
        for part, step in ((flat[:, 1:], right), (flat[:, :-1], right), (flat[1:], lower), (flat[:-1], lower)):
            part[step] = 0
        count, labels, stats, centres = cv2.connectedComponentsWithStats(flat, connectivity=4)
        areas = stats[:, cv2.CC_STAT_AREA]  # of the whole pieces, also beyond the box
        width = picture.shape[1]
        picture, flat, labels = picture[box], flat[box], np.ascontiguousarray(labels[box])
        where = labels.reshape(-1)

        def total(values):
            return np.bincount(where, values.reshape(-1), count)

        near, new, seen = total(region), total(changed), np.bincount(where, minlength=count)
        inside = near >= 0.5 * areas
        moving = inside & (areas >= _PIECE_PIXELS) & (new > 0)
        ground = ~inside | (areas >= _PIECE_PIXELS) & (new == 0)
        moving[0] = ground[0] = False  # the lines
        numbers = np.flatnonzero(moving)
        colours = np.stack([total(picture[..., channel]) for channel in range(3)], 1) / np.maximum(seen, 1)[:, None]
        still = 1 - new[numbers] / areas[numbers]
        deep = cv2.distanceTransform(flat, cv2.DIST_L2, 3) > max(2, width / 160)
        solid = total(deep)[numbers] > 0
        behind = colours[ground & (near >= _PIECE_PIXELS)]
        return cls(labels, numbers, areas[numbers], centres[numbers], colours[numbers], still, solid, ground[labels],
                   behind)


def _match(a: _Pieces, b: _Pieces, whole: tuple[int, int], width: int) -> np.ndarray:
    """Pairs ``[N, 2]`` of pieces that are each other's best match in colour, area and place."""
    if not len(a.numbers) or not len(b.numbers):
        return np.zeros((0, 2), int)
    cost = np.abs(a.colours[:, None] - b.colours).max(2) / _PIECE_COLOUR
    cost += np.abs(np.log(a.areas[:, None] / b.areas))
    cost += np.linalg.norm(b.centres - a.centres[:, None] - whole, axis=2) / (_PIECE_MOVE * width)
    there, back = cost.argmin(1), cost.argmin(0)
    first = np.arange(len(there))
    good = (back[there] == first) & (cost[first, there] < _PIECE_COST)
    return np.stack([first[good], there[good]], 1)


def _without_gaps(pieces: tuple[_Pieces, _Pieces], pairs: np.ndarray) -> tuple[tuple[_Pieces, _Pieces], np.ndarray]:
    """Pieces and pairs without the background that shows between limbs: it has a colour of the background, and no
    partner, or one of quite another size."""
    a, b = pieces
    alike = np.abs(np.log(a.areas[pairs[:, 0]] / b.areas[pairs[:, 1]])) < _PIECE_SIZE
    loose = [~np.isin(np.arange(len(piece.numbers)), pairs[alike, side]) for side, piece in enumerate(pieces)]
    known = [piece.colours[free & (piece.still > _PIECE_STILL)] for piece, free in zip(pieces, loose, strict=True)]
    known = np.concatenate([a.behind, b.behind, *known])
    cleared = []
    for side, piece in enumerate(pieces):
        if len(known) and len(piece.numbers):
            far = np.abs(piece.colours[:, None] - known).max(2).min(1)
            gap = loose[side] & piece.solid & (far < _PIECE_COLOUR / 3)
            pairs = pairs[~gap[pairs[:, side]]]
            piece = replace(piece, ground=piece.ground | np.isin(piece.labels, piece.numbers[gap]))
        cleared.append(piece)
    return tuple(cleared), pairs


def _piece_flow(pieces: _Pieces, other: _Pieces, pairs: np.ndarray) -> np.ndarray:
    """The motion of the matched pieces' centres, smoothly continued between them, ``[h, w, 2]``."""
    moves = np.zeros((pieces.labels.max() + 1, 3), np.float32)
    moves[pieces.numbers[pairs[:, 0]], :2] = other.centres[pairs[:, 1]] - pieces.centres[pairs[:, 0]]
    moves[pieces.numbers[pairs[:, 0]], 2] = 1
    spread = torch.from_numpy(moves[pieces.labels])
    return fill_holes(spread[..., :2].contiguous(), spread[..., 2], full=1.0).numpy()


def _best(here: np.ndarray, other: np.ndarray, flows: list[np.ndarray], region: np.ndarray):
    """Per pixel the flow that fits best among those that stay in the region: its mismatch, and it."""
    inside = region.astype(np.uint8)
    costs = [np.where(_fetched(inside, flow, "nearest") > 0, _mismatch(here, _fetched(other, flow)), np.float32(1))
             for flow in flows]
    fit, best = costs[0], flows[0]
    for cost, flow in zip(costs[1:], flows[1:], strict=True):
        best = np.where((cost < fit)[..., None], flow, best)
        fit = np.minimum(cost, fit)
    return fit, best


def _mismatch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Colour difference, clamped and blurred, ``[h, w]``."""
    import cv2

    difference = cv2.absdiff(a, b)
    cost = np.minimum((difference[..., 0] + difference[..., 1] + difference[..., 2]) / 3, np.float32(0.2))
    return cv2.GaussianBlur(cost, (0, 0), 2)

"""A drawn figure before a still background: which pixels are the figure, and where each of them goes.

What changed between the two pictures is either the figure or background that it covers in the other picture. The
figure's motion as a whole wins a vote of all changed pixels for all displacements; then its colour pieces (flat areas
within outlines) are matched one to one, as AnimeInterp does (Siyao et al., "Deep Animation Video Interpolation in the
Wild", CVPR 2021, segment-guided matching), so that limbs may turn; the estimator finds the rest with the background
painted over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .splat import fill_holes
from .warp import warp, warp_bicubic

_CHANGED = 10 / 255
_LINE = 5 / 255  # a step between neighbours from which on it ends a colour piece
_SAME = 0.06  # mean colour difference up to which a place fits
_VOTE_SIDE = 160  # pixels; the vote is taken at this size
_VOTE_COLOUR = 0.15  # colours this far apart hardly vote together
_VOTE_FEATURES = 24
_PIECE_COLOUR, _PIECE_WAY = 0.05, 0.06  # differences that count as much as an area e times as large
_PIECE_PIXELS, _PIECE_COST = 12, 3.0
_PIECE_SIZE, _PIECE_STILL = 0.5, 0.9  # log of the areas' ratio; share of unchanged pixels
_STILL = 0.5  # share of a picture that must not have changed
_EXPLAINED = 0.5  # share of the change that the figure must account for
_GREY = np.float32(0.5)

Estimator = Callable[[Tensor, Tensor], Tensor]


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
    plain: tuple[Tensor, Tensor],
    estimator: Estimator,
    masks: tuple[Tensor, Tensor] | None = None,
) -> Figure | None:
    """The figure that moves between two flat drawings.

    Args:
        a, b: pictures of one size.
        plain: the estimator's flows from ``a`` to ``b`` and back; used where they fit best.
        estimator: finds what the matching of pieces leaves.
        masks: the figure in ``a`` and in ``b`` where it is known, ``bool [H, W]``.
    Returns:
        None if the background moves as well, nothing moves, or what moves does not explain what changed; never None
        with ``masks``.
    """

    pixels = a.numpy(), b.numpy()
    changed = np.abs(pixels[0] - pixels[1]).max(2) > _CHANGED
    if masks is not None:
        changed = (masks[0] | masks[1]).numpy()
        if not changed.any():
            return Figure(*masks, *(torch.zeros_like(flow) for flow in plain))
    elif not 0 < changed.mean() < 1 - _STILL:
        return None
    region = _filled(changed)
    whole = _vote(pixels, changed)
    pieces = tuple(_Pieces.of(picture, region, changed) for picture in pixels)
    pairs = _match(*pieces, whole, a.shape[1])
    if masks is None:
        pieces, pairs = _without_gaps(pieces, pairs)
        keep = [region & ~picture.ground for picture in pieces]
    else:
        keep = [_filled(mask.numpy()) for mask in masks]
    painted = [torch.from_numpy(np.where(area[..., None], picture, _GREY))
               for area, picture in zip(keep, pixels, strict=True)]
    found, flows = [], []
    for side in (0, 1):
        one, other = pixels[side], pixels[1 - side]
        way = np.float32(whole) * (-1) ** side
        starts = [torch.from_numpy(way).expand(*a.shape[:2], 2)]
        if len(pairs):
            starts.append(_piece_flow(pieces[side], pieces[1 - side], pairs[:, [side, 1 - side]]))
        candidates = [plain[side]]
        for start in starts:
            moved = warp_bicubic(painted[1 - side], start).clamp(0, 1)
            rest = estimator(painted[side], moved).float()
            candidates.append(rest + warp(start, rest))
        best, flow = _best(one, other, candidates, region)
        figure = masks[side].numpy() if masks is not None else _figure(
            best, _mismatch(one, other, torch.zeros_like(plain[side])), pieces[side], pairs[:, side], region)
        found.append(torch.from_numpy(figure))
        flows.append(torch.from_numpy(np.where(figure[..., None], flow, np.float32(0))))
    if masks is None and (found[0] | found[1]).numpy()[changed].mean() < _EXPLAINED:
        return None
    return Figure(*found, *flows)


def _figure(moving: np.ndarray, still: np.ndarray, pieces: _Pieces, matched: np.ndarray, region: np.ndarray):
    """The mask: what fits better moving than still, and the matched pieces with their outlines."""
    import cv2

    figure = (moving < still) & (moving < _SAME)
    sure = np.isin(pieces.labels, pieces.numbers[matched]).astype(np.uint8)
    figure |= cv2.dilate(sure, np.ones((5, 5), np.uint8)) > 0
    figure &= region & ~pieces.ground
    return cv2.morphologyEx(figure.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0


def _filled(changed: np.ndarray) -> np.ndarray:
    """The changed area without small gaps and holes, a little wider, ``bool [H, W]``."""
    import cv2

    radius = max(2, changed.shape[1] // 100)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    area = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    outside = np.pad(1 - area, 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    area = (outside[1:-1, 1:-1] != 2).astype(np.uint8)
    return cv2.dilate(area, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))) > 0


def _vote(pixels: tuple[np.ndarray, np.ndarray], changed: np.ndarray) -> tuple[int, int]:
    """The displacement (x, y) along which most changed pixels of A find their colour among the changed ones of B.

    A correlation for a Gaussian kernel of colours (random Fourier features: Rahimi and Recht, NIPS 2007), by FFT.
    """
    import cv2

    cell = -(-max(changed.shape) // _VOTE_SIDE)
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
    """Flat areas of a picture. ``numbers`` are those of the moving ones in ``labels`` ``[H, W]``, with area, centre
    (x, y), mean colour, and share of unchanged pixels of each; ``ground`` marks the pixels of areas that mostly lie
    outside of the region or did not change, ``behind`` are the colours ``[M, 3]`` of those that reach into it."""

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
    def of(cls, picture: np.ndarray, region: np.ndarray, changed: np.ndarray) -> _Pieces:
        import cv2

        flat = np.ones(region.shape, np.uint8)
        right = np.abs(np.diff(picture, axis=1)).max(2) > _LINE
        lower = np.abs(np.diff(picture, axis=0)).max(2) > _LINE
        for part, step in ((flat[:, 1:], right), (flat[:, :-1], right), (flat[1:], lower), (flat[:-1], lower)):
            part[step] = 0
        count, labels, stats, centres = cv2.connectedComponentsWithStats(flat, connectivity=4)
        areas = stats[:, cv2.CC_STAT_AREA]

        def total(values):
            return np.bincount(labels.reshape(-1), values.reshape(-1), count)

        near, new = total(region), total(changed)
        inside = near >= 0.5 * areas
        moving = inside & (areas >= _PIECE_PIXELS) & (new > 0)
        ground = ~inside | (areas >= _PIECE_PIXELS) & (new == 0)
        moving[0] = ground[0] = False  # the lines
        numbers = np.flatnonzero(moving)
        colours = np.stack([total(picture[..., channel]) for channel in range(3)], 1) / np.maximum(areas, 1)[:, None]
        still = 1 - new[numbers] / areas[numbers]
        deep = cv2.distanceTransform(flat, cv2.DIST_L2, 3) > max(2, region.shape[1] / 160)
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
    cost += np.linalg.norm(b.centres - a.centres[:, None] - whole, axis=2) / (_PIECE_WAY * width)
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


def _piece_flow(one: _Pieces, other: _Pieces, pairs: np.ndarray) -> Tensor:
    """The motion of the matched pieces' centres, smoothly continued between them, ``[H, W, 2]``."""
    ways = np.zeros((one.labels.max() + 1, 3), np.float32)
    ways[one.numbers[pairs[:, 0]], :2] = other.centres[pairs[:, 1]] - one.centres[pairs[:, 0]]
    ways[one.numbers[pairs[:, 0]], 2] = 1
    spread = torch.from_numpy(ways[one.labels])
    return fill_holes(spread[..., :2].contiguous(), spread[..., 2], full=1.0)


def _best(one: np.ndarray, other: np.ndarray, flows: list[Tensor], region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel the flow that fits best among those that stay in the region: its mismatch, and it."""
    import cv2

    height, width = region.shape
    place = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32)
    costs = []
    for flow in flows:
        lands = cv2.remap(region.astype(np.uint8), place + flow.numpy(), None, cv2.INTER_NEAREST)
        costs.append(np.where(lands > 0, _mismatch(one, other, flow), np.float32(1)))
    best = np.argmin(costs, 0)
    flow = np.choose(best[..., None], [flow.numpy() for flow in flows])
    return np.min(costs, 0), flow


def _mismatch(one: np.ndarray, other: np.ndarray, flow: Tensor) -> np.ndarray:
    """Colour difference along a flow, clamped and blurred, ``[H, W]``."""
    import cv2

    cost = (torch.from_numpy(one) - warp(torch.from_numpy(other), flow)).abs().mean(2).clamp(max=0.2)
    return cv2.GaussianBlur(cost.numpy(), (0, 0), 2)

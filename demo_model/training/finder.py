"""Train the drawn world's finder: where the heads are and how far the figures reach. The truth is the drawing's own."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F

from ..finder import HEIGHT, STRIDE, HeatMap, overlap, read_heat
from ..toonworld import Shot, backdrop, draw, random_edit, random_shot
from ..toonworld.figure import figure_box, pose_of, transform
from .examples import random_character, to_signal
from .state import Run, arguments, learning_rate

BATCH = 16
_CELLS = HEIGHT // STRIDE
_HEAD = 0.335  # height of the head's centre on a figure (figure.py)


def random_scene(rng: random.Random, held_out: bool = False) -> tuple[np.ndarray, Shot | None]:
    """A square picture with one figure, two, or nobody, ``uint8 [128, 128, 3]``, and its shot; None: nobody."""
    share = rng.random()
    cast = tuple(random_character(rng, held_out) for _ in range(2))
    if share < 0.4:
        shot = random_edit("two", rng, cast).after.shot
    else:
        cast, shot = cast[:1], random_shot(rng, props=rng.randrange(3))
    if share > 0.95:
        return backdrop(shot.scene, HEIGHT, shot.variation, shot.style), None
    picture = draw(cast, shot, HEIGHT)
    if rng.random() < 0.4:
        import cv2

        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.5))
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 10), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return picture, shot


def heads(shot: Shot) -> list[tuple[float, float]]:
    """The centre of each figure's head, parts of a square picture."""
    places = []
    for stance in shot.stances:
        pose = pose_of(stance)
        scale, (x, y) = transform(stance, pose, shot.framing, 1.0)
        lean = pose.lean * (-1 if stance.facing == "left" else 1)
        places.append((x + scale * (0.5 + lean), y + scale * _HEAD))
    return places


def truth(shots: list[Shot | None]) -> tuple[torch.Tensor, torch.Tensor]:
    """Heat ``[N, 1, rows, columns]`` 0..1, and the edges' distances ``[N, 4, rows, columns]`` where the heat is over
    0.5, else NaN."""
    centres = (torch.arange(_CELLS) + 0.5) / _CELLS
    heat, edges = torch.zeros(len(shots), 1, _CELLS, _CELLS), torch.full((len(shots), 4, _CELLS, _CELLS), torch.nan)
    for one, shot in enumerate(shots):
        for number, (x, y) in enumerate(heads(shot) if shot else ()):
            assert shot
            far = ((centres[None] - x) ** 2 + (centres[:, None] - y) ** 2) * _CELLS**2
            # The head's own cell is 1 exactly, as the focal loss wants.
            spot = torch.exp(-far / 2)
            spot[min(_CELLS - 1, max(0, int(y * _CELLS))), min(_CELLS - 1, max(0, int(x * _CELLS)))] = 1
            nearer = (spot > heat[one, 0]) & (spot > 0.5)
            heat[one, 0] = torch.maximum(heat[one, 0], spot)
            left, top, right, bottom = figure_box(shot, number, 1.0)
            reach = torch.stack([(centres[None] - left).expand(_CELLS, -1), (centres[:, None] - top).expand(-1, _CELLS),
                                 (right - centres[None]).expand(_CELLS, -1),
                                 (bottom - centres[:, None]).expand(-1, _CELLS)])
            edges[one] = torch.where(nearer, reach, edges[one])
    return heat, edges


def loss_of(maps: torch.Tensor, heat: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """CenterNet's focal loss of the heat, and L1 of the edges."""
    logit = maps[:, :1]
    sure = logit.sigmoid()
    at_head = heat == 1
    wins = F.logsigmoid(logit) * (1 - sure) ** 2 * at_head
    losses = F.logsigmoid(-logit) * sure**2 * (1 - heat) ** 4 * ~at_head
    known = ~edges.isnan()
    far = (maps[:, 1:] - edges.nan_to_num()).abs()[known].mean() if known.any() else 0.0
    return -(wins + losses).sum() / at_head.sum().clamp(min=1) + 5 * far


@torch.no_grad()
def accuracy(net: HeatMap, pictures: int = 60) -> tuple[float, float]:
    """On unseen characters: share of pictures with the right number of figures; mean overlap (intersection over union)
    of the true boxes with the nearest found."""
    rng = random.Random("finder accuracy")
    scenes = [random_scene(rng, held_out=True) for _ in range(pictures)]
    device = next(net.parameters()).device
    maps = net(torch.from_numpy(to_signal(np.stack([picture for picture, _ in scenes]))).to(device)).cpu()
    right, overlaps = 0, []
    for one, (_, shot) in zip(maps, scenes, strict=True):
        found = read_heat(one)
        wanted = [figure_box(shot, number, 1.0) for number in range(len(shot.stances))] if shot else []
        right += len(found) == len(wanted)
        overlaps += [max((overlap(box, other) for other in found), default=0.0) for box in wanted]
    return right / pictures, float(np.mean(overlaps))


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], minutes=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    net = HeatMap().to(options.device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    run = Run(options.state, "finder", options.minutes, {"module": net, "optimiser": optimiser})
    rng = random.Random(f"{options.seed}/{run.step}")
    going = True
    while going:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, 3e-3 * min(1.0, (run.step + 1) / 50))
        pictures, shots = zip(*(random_scene(rng) for _ in range(BATCH)), strict=True)
        heat, edges = (part.to(options.device) for part in truth(list(shots)))
        loss = loss_of(net(torch.from_numpy(to_signal(np.stack(pictures))).to(options.device)), heat, edges)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        going = run.tick(BATCH)
        if run.step % 100 == 0 or not going:
            counted, overlapping = accuracy(net)
            run.log(loss=loss.detach(), counted=counted, overlap=overlapping)


if __name__ == "__main__":
    main()

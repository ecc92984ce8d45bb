"""Train the drawn world's identity encoder: a small ResNet whose vector says who a figure is, wherever and however it
stands.

Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362) over two views of each character; every second
character differs from another one of the batch in a single attribute. A linear head that reads the attributes off the
vector teaches it what matters; it is not kept.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from ..toonworld import (
    COLOURED,
    FACINGS,
    FRAMINGS,
    KINDS,
    REFERENCE_SHOT,
    Character,
    draw,
    random_edit,
    random_shot,
)
from ..toonworld.figure import figure_box
from .examples import random_character, to_signal
from .state import Run, arguments, learning_rate

SIDE, WIDTH = 96, 128  # pixels of a crop; numbers of a vector
CHARACTERS = 24  # of a batch, two views each
TEMPERATURE = 0.1


def build_encoder():
    """The untrained network; its `pooler_output` is the vector."""
    from transformers import ResNetConfig, ResNetModel

    return ResNetModel(
        ResNetConfig(
            embedding_size=24,
            hidden_sizes=[32, 64, 96, WIDTH],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            downsample_in_first_stage=False,
        )
    )


def crop(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a picture inside a box (left, top, right, bottom; fractions), made square by its longer side, edges
    repeated, ``uint8 [SIDE, SIDE, 3]``."""
    import cv2

    height, width = picture.shape[:2]
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(right - left, bottom - top) / 2
    x, y, scale = (left + right) / 2, (top + bottom) / 2, SIDE / (2 * side)
    move = np.array([[scale, 0, SIDE / 2 - x * scale], [0, scale, SIDE / 2 - y * scale]])
    return cv2.warpAffine(picture, move, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def random_view(rng: random.Random, who: Character, other: Character) -> np.ndarray:
    """The figure of ``who`` cut out of some picture, one in four beside ``other``; sometimes blurred or noisy, as a
    model's are."""
    share, number, cast = rng.random(), 0, (who,)
    if share < 0.3:
        shot = REFERENCE_SHOT
    elif share < 0.55:
        cast, number = ((who, other), 0) if rng.random() < 0.5 else ((other, who), 1)
        shot = random_edit("two", rng, cast).after.shot
    else:
        shot = replace(random_shot(rng, rng.choice(FRAMINGS[:2]), props=rng.randrange(2)), style="cartoon")
        shot = shot.turned(rng.choice(("front", "front", "front", *FACINGS[:3])))
    box = figure_box(shot, number, 1.0)
    jitter = [rng.uniform(-0.03, 0.03) for _ in range(4)]
    made = crop(draw(cast, shot), tuple(b + j for b, j in zip(box, jitter, strict=True)))
    if rng.random() < 0.5:
        import cv2

        made = cv2.GaussianBlur(made, (0, 0), rng.uniform(0.3, 1.2))
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 8), made.shape)
        made = np.clip(made + noise, 0, 255).astype(np.uint8)
    return made


def random_people(rng: random.Random, count: int, held_out: bool = False) -> list[Character]:
    """Characters of which every second one differs from the one before in one attribute."""
    people: list[Character] = []
    while len(people) < count:
        one = random_character(rng, held_out)
        name = rng.choice((*KINDS, *COLOURED))
        people += [one, one.with_(**{name: getattr(random_character(rng, held_out), name)})]
    return people[:count]


def targets(people: list[Character]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the head learns to read: the kinds as numbers ``[N, kinds]``; the colours in 0..1 ``[N, 3 * colours]``."""
    kinds = [[KINDS[name].index(getattr(who, name)) for name in KINDS] for who in people]
    colours = [[c / 255 for name in COLOURED for c in getattr(who, name)] for who in people]
    return torch.tensor(kinds), torch.tensor(colours)


def contrastive_loss(vectors: torch.Tensor) -> torch.Tensor:
    """``vectors [2N, d]``: row i and row N + i are the same character."""
    unit = F.normalize(vectors, dim=1)
    likeness = unit @ unit.T / TEMPERATURE
    likeness.fill_diagonal_(-1e9)
    n = len(unit) // 2
    return F.cross_entropy(likeness, torch.arange(2 * n).roll(n).to(unit.device))


@torch.no_grad()
def separation(model, people: int = 100) -> float:
    """Area under the ROC curve of cosine likeness, same against different unseen characters."""
    rng = random.Random("separation")
    who = [random_character(rng, held_out=True) for _ in range(people)]
    views = [np.stack([random_view(rng, one, who[i - 1]) for i, one in enumerate(who)]) for _ in range(2)]
    model.eval()
    a, b = (F.normalize(_vectors(model, view), dim=1) for view in views)
    model.train()
    likeness = a @ b.T
    same, different = likeness.diagonal(), likeness[~torch.eye(people, dtype=torch.bool)]
    return float((same[:, None] > different[None]).float().mean())


def _vectors(model, pictures: np.ndarray) -> torch.Tensor:
    device = next(model.parameters()).device
    return model(torch.from_numpy(to_signal(pictures)).to(device)).pooler_output.flatten(1)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], minutes=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    model = build_encoder().to(options.device)
    sizes = [len(values) for values in KINDS.values()]
    head = torch.nn.Linear(WIDTH, sum(sizes) + 3 * len(COLOURED)).to(options.device)
    both = torch.nn.ModuleDict({"model": model, "head": head})
    optimiser = torch.optim.AdamW(both.parameters(), lr=2e-3, weight_decay=1e-2)
    run = Run(options.state, "encoder", options.minutes, {"module": both, "optimiser": optimiser})
    rng = random.Random(f"{options.seed}/{run.step}")
    model.train()
    going = True
    while going:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, 2e-3 * min(1.0, (run.step + 1) / 50))
        people = random_people(rng, CHARACTERS)
        views = np.stack([random_view(rng, one, people[i - 2]) for _ in range(2) for i, one in enumerate(people)])
        vectors = _vectors(model, views)
        kinds, colours = (t.repeat(2, 1).to(options.device) for t in targets(people))
        *logits, shades = head(vectors).split([*sizes, 3 * len(COLOURED)], 1)
        reading = sum(F.cross_entropy(logit, kinds[:, i]) for i, logit in enumerate(logits)) / len(sizes)
        loss = contrastive_loss(vectors) + reading + 10 * F.mse_loss(shades, colours)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        going = run.tick(len(views))
        if run.step % 100 == 0 or not going:
            run.log(loss=loss, reading=reading, auc=separation(model))


if __name__ == "__main__":
    main()

"""Train the drawn world's identity encoder: a small ResNet whose vector says who a figure is, wherever and however it
stands.

The cosine of two vectors is taught to be the share of attributes that two figures have in common (``agreement``), so
that it falls a little when a colour drifts a little. Each batch holds families in two views: a character, the same one
slightly wrong in several attributes as a model draws it, and one that differs in a single attribute. A linear head that
reads the attributes off the vector teaches it what matters; it is not kept.
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
    KINDS,
    REFERENCE_SHOT,
    Character,
    distance,
    draw,
    random_edit,
    random_shot,
)
from ..toonworld.figure import figure_box
from .examples import random_character, to_signal
from .state import Run, arguments, learning_rate

SIDE, WIDTH = 96, 128  # pixels of a crop; numbers of a vector
CHARACTERS = 24  # of a batch, two views each
FAMILY = 3
_COLOUR_RANGE = 48  # of 255: colours this far apart have nothing in common; half of it is the meter's tolerance


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
    """The figure of ``who`` cut out of some picture, one in five beside ``other``; sometimes soft, mixed with another
    figure, or noisy, as a model's pictures are."""
    share, number, cast = rng.random(), 0, (who,)
    if share < 0.3:
        shot = REFERENCE_SHOT
    elif share < 0.5:
        cast, number = ((who, other), 0) if rng.random() < 0.5 else ((other, who), 1)
        shot = random_edit("two", rng, cast).after.shot
    else:
        shot = replace(random_shot(rng, props=rng.randrange(2)), style="cartoon")
        shot = shot.turned(rng.choice(("front", "front", "front", *FACINGS)))
    picture = draw(cast, shot)
    soft = rng.random() < 0.6
    if soft and rng.random() < 0.5:  # a model that is not sure draws a little of both
        mixed = list(cast)
        mixed[number] = slightly_wrong(rng, who, 0.5)
        part = rng.uniform(0, 0.35)
        picture = (picture * (1 - part) + draw(tuple(mixed), shot) * part).astype(np.uint8)
    box = figure_box(shot, number, 1.0)
    jitter = [rng.gauss(0, 0.02) for _ in range(4)]  # as the finder's boxes have
    made = crop(picture, tuple(b + j for b, j in zip(box, jitter, strict=True)))  # pyright: ignore[reportArgumentType]
    if soft:
        import cv2

        made = cv2.GaussianBlur(made, (0, 0), rng.uniform(0.3, 2.0))
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 8), made.shape)
        made = np.clip(made + noise, 0, 255).astype(np.uint8)
    return made


def slightly_wrong(rng: random.Random, who: Character, share: float) -> Character:
    """``who`` with ``share`` of its colours shifted up to half of the way to others, and fewer of its kinds changed."""
    other, changes = random_character(rng), {}
    for name in COLOURED:
        if rng.random() < share:
            part = rng.uniform(0, 0.5)
            pairs = zip(getattr(who, name), getattr(other, name), strict=True)
            changes[name] = tuple(round(a + (b - a) * part) for a, b in pairs)
    for name in KINDS:
        if rng.random() < share / 3:
            changes[name] = getattr(other, name)
    return who.with_(**changes)


def random_people(rng: random.Random, count: int, held_out: bool = False) -> list[Character]:
    """Families of three: a character, the same slightly wrong, and the same with one attribute of another."""
    people: list[Character] = []
    while len(people) < count:
        one = random_character(rng, held_out)
        name = rng.choice((*KINDS, *COLOURED))
        people += [
            one,
            slightly_wrong(rng, one, 0.4),
            one.with_(**{name: getattr(random_character(rng, held_out), name)}),
        ]
    return people[:count]


def wears(who: Character, colour: str) -> bool:
    """Is there something of that colour: a hat for the hat's?"""
    return getattr(who, colour.removesuffix("_colour"), "") != "none"


def agreement(a: Character, b: Character) -> float:
    """The share of attributes two characters have in common, 0..1: 1 for each equal kind, 1 to 0 for a colour as it
    drifts away. Colours of what neither wears do not count, of what one wears they differ."""
    hits = [float(getattr(a, name) == getattr(b, name)) for name in KINDS]
    for name in COLOURED:
        worn = wears(a, name), wears(b, name)
        if any(worn):
            far = distance(getattr(a, name), getattr(b, name)) / _COLOUR_RANGE
            hits.append(max(0.0, 1 - far) if all(worn) else 0.0)
    return sum(hits) / len(hits)


def agreement_loss(vectors: torch.Tensor, people: list[Character]) -> torch.Tensor:
    """How far cosines are from the agreement. ``vectors [2N, d]``: row i and row N + i show ``people[i]``; pairs of one
    family count as much as all others together."""
    share = torch.tensor([[agreement(a, b) for b in people] for a in people]).repeat(2, 2).to(vectors)
    unit = F.normalize(vectors, dim=1)
    error = (unit @ unit.T - share) ** 2
    family = torch.arange(len(people)).div(FAMILY, rounding_mode="floor").repeat(2).to(vectors.device)
    same = family[:, None] == family
    return error[same].mean() + error[~same].mean()


def reading_loss(read: torch.Tensor, people: list[Character]) -> torch.Tensor:
    """How far the head's answers ``[N, kinds' values + 3 * colours]`` are from the ``people``: cross entropy of the
    kinds, squared error of the colours (in 0..1) of what they wear."""
    *kinds, colours = read.split([*map(len, KINDS.values()), 3 * len(COLOURED)], 1)
    loss = 0.0
    for name, logits in zip(KINDS, kinds, strict=True):
        truth = torch.tensor([KINDS[name].index(getattr(who, name)) for who in people], device=read.device)
        loss = loss + F.cross_entropy(logits, truth) / len(KINDS)
    truth = torch.tensor([[getattr(who, name) for name in COLOURED] for who in people]).to(read) / 255
    shown = torch.tensor([[wears(who, name) for name in COLOURED] for who in people], device=read.device)
    return loss + 20 * F.mse_loss(colours.view_as(truth)[shown], truth[shown])


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
    signal = torch.from_numpy(to_signal(pictures)).to(device, memory_format=torch.channels_last)
    return model(signal).pooler_output.flatten(1)


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], minutes=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    model = build_encoder().to(options.device)
    head = torch.nn.Linear(WIDTH, sum(map(len, KINDS.values())) + 3 * len(COLOURED)).to(options.device)
    both = torch.nn.ModuleDict({"model": model, "head": head})
    both = both.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(both.parameters(), lr=2e-3, weight_decay=1e-2)
    run = Run(options.state, "encoder", options.minutes, {"module": both, "optimiser": optimiser})
    rng = random.Random(f"{options.seed}/{run.step}")
    model.train()
    going = True
    while going:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, 2e-3 * min(1.0, (run.step + 1) / 50))
        people = random_people(rng, CHARACTERS)
        views = np.stack([random_view(rng, one, people[i - FAMILY]) for _ in range(2) for i, one in enumerate(people)])
        with torch.autocast(options.device, torch.bfloat16):
            vectors = _vectors(model, views)
        vectors = vectors.float()
        reading, agreed = reading_loss(head(vectors), people * 2), agreement_loss(vectors, people)
        loss = reading + 10 * agreed
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        going = run.tick(len(views))
        if run.step % 100 == 0 or not going:
            run.log(loss=loss, agreed=agreed, reading=reading, auc=separation(model))


if __name__ == "__main__":
    main()

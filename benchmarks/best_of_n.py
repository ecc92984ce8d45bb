"""Does the best of four, chosen by the identity encoder, keep a character better than one picture? The encoder sees the
reference and the answers; the drawn world's meter, which it never sees, is the judge. And how well each encoder tells
the same character from others (area under the ROC curve), with drawings for pictures."""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..demo_model import figure_finder, identity_folder, weights_folder
from ..demo_model.toonworld import (
    COLOURED,
    FRAMINGS,
    REFERENCE_SHOT,
    Character,
    Shot,
    distance,
    draw,
    random_shot,
    visible_attributes,
)
from ..demo_model.training.examples import random_character
from ..kontext import Scorer, load_encoder, load_folder
from ..storyboard import candidate_seed
from ._cases import as_picture, edit, judge, unseen_case

COUNT = 4
_FAR = 64  # of 255: a colour this far off is another colour


def changed_in_one(who: Character, shot: Shot, rng: random.Random) -> Character:
    """The same character but for one attribute that this shot shows."""
    seen = visible_attributes(who, shot)
    while True:
        name, other = rng.choice(seen), random_character(rng, held_out=True)
        mine, its = getattr(who, name), getattr(other, name)
        if (distance(mine, its) > _FAR) if name in COLOURED else mine != its:
            return who.with_(**{name: its})


def auc(same: list[float], different: list[float]) -> float:
    """The chance that a same pair scores above a different one; a tie is half."""
    a, b = np.array(same)[:, None], np.array(different)[None]
    return round(float((a > b).mean() + 0.5 * (a == b).mean()), 4)


def encoder_figures(scorer: Scorer, people: int) -> dict:
    """Unseen characters in their studio picture against other pictures of the same one, of random others, and of one
    that differs in a single visible attribute. `hard_pairs` is the share of characters whose own picture wins over
    that one in the same shot."""
    rng = random.Random("best_of_n encoders")
    same, others, hard, counted = [], [], [], []
    for _ in range(people):
        who, other = (random_character(rng, held_out=True) for _ in range(2))
        shot = replace(random_shot(rng, rng.choice(FRAMINGS[:2])), style="cartoon").turned("front")
        cast = scorer.cast({"who": [as_picture(draw(who, REFERENCE_SHOT))]})
        scores = [cast.score(as_picture(draw(one, shot))) for one in (who, other, changed_in_one(who, shot, rng))]
        for values, score in zip((same, others, hard), scores, strict=True):
            values.append(score.figures["who"].likeness)
        counted.append(scores[0].count_is_right)
    pairs = np.array(same) > np.array(hard)
    return {"encoder": scorer.encoder.name, "finder": scorer.finder.name if scorer.finder else None, "people": people,
            "auc": auc(same, others), "auc_hard": auc(same, hard), "hard_pairs": round(float(pairs.mean()), 4),
            "counted": None if scorer.finder is None else round(float(np.mean(counted)), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("?")[0])
    parser.add_argument("--characters", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--people", type=int, default=100, help="characters of the encoders' comparison")
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--encoder", type=Path, action="append", default=[], help="a transformers folder to compare")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scorer = Scorer(load_encoder(identity_folder(), "drawn world", "benchmark"), figure_finder())
    scorers = [scorer, *(Scorer(load_encoder(folder, folder.name, "benchmark"), scorer.finder)
                         for folder in options.encoder)]
    encoders = [encoder_figures(one, options.people) for one in scorers]
    print(encoders, file=sys.stderr)
    result = {"benchmark": "best_of_n", "encoders": encoders}
    if options.characters:
        result |= best_of_n(scorer, options)
    print(json.dumps(result))


def best_of_n(scorer: Scorer, options: argparse.Namespace) -> dict:
    """Identity, the share of visible attributes that the meter reads back right, of the first of four pictures, their
    mean, the encoder's choice, and the best that any choice could get."""
    model = load_folder(options.weights)
    kept, chosen = [], []
    for number in range(options.characters):
        case = unseen_case("shot", number)
        cast = scorer.cast({"who": [as_picture(case.reference)]})
        made = [edit(model, case.reference, case.edit.text, candidate_seed(case.seed, i), options.steps, case.size)
                for i in range(COUNT)]
        scores = [cast.score(as_picture(one)).total for one in made]
        kept.append([float(np.mean(list(judge(case, one)[1].values()))) for one in made])
        chosen.append(scores.index(max(scores)))
        print(f"\r{number + 1}/{options.characters}", end="", file=sys.stderr)
    print(file=sys.stderr)
    shares = np.array(kept)
    best = shares[np.arange(len(chosen)), chosen]
    margin = best - shares.mean(1)
    return {
        "characters": options.characters,
        "steps": options.steps,
        "candidates": COUNT,
        "identity": {"first": round(float(shares[:, 0].mean()), 4), "mean": round(float(shares.mean()), 4),
                     "chosen": round(float(best.mean()), 4), "best_possible": round(float(shares.max(1).mean()), 4)},
        "margin_over_mean": round(float(margin.mean()), 4),
        "margin_standard_error": round(float(margin.std(ddof=1) / len(margin) ** 0.5), 4) if len(margin) > 1 else None,
    }


if __name__ == "__main__":
    main()

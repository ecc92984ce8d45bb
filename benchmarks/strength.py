"""What does the strength of a reference do? Unseen characters, new shots from one picture of each: identity, and
whether the picture follows its prompt, at strengths from 0 to 2.

Beside the curve: the same bias for all queries but the reference's own, and strengths for one half of the steps only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from ..demo_model import weights_folder
from ..demo_model.toonworld import backdrop, draw
from ..kontext import KontextModel, ReferenceStrength, load_folder
from ..kontext.attention.groups import Groups, attention_plan
from ._cases import Case, answer, judge, squared_error, unseen_case
from .demo_model import psnr

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
KINDS = ("board", "shot")
PARTS = ("identity", "figure_db", "scene", "action", "framing")
SETS = {"tuning": 2000, "quoted": 1000}  # the first seed of each; a set is that many seeds of both kinds
HALVES = {"first_half": (0.0, 0.5), "second_half": (0.5, 1.0)}
SOME = (0.5, 1.5)  # strengths for one half of the steps
SPARED = (0.5, 1.5, 2.0)


@dataclass(frozen=True)
class Curve:
    """`values`: float [strengths, cases] for each of PARTS."""

    strengths: tuple[float, ...]
    values: dict[str, np.ndarray]

    def row(self, index: int) -> dict:
        """Mean and standard error over cases."""
        return {"strength": self.strengths[index]} | {part: {
            "mean": round(float(of[index].mean()), 4),
            "standard_error": round(float(of[index].std(ddof=1) / len(of[index]) ** 0.5), 4),
        } for part, of in self.values.items()}

    def falls(self, part: str) -> list[dict]:
        """Where a part falls from one strength to the next by more than twice the standard error of the difference,
        case by case."""
        found = []
        for i, j in pairwise(range(len(self.strengths))):
            change = self.values[part][j] - self.values[part][i]
            error = float(change.std(ddof=1) / len(change) ** 0.5)
            if change.mean() < -2 * error:
                found.append({"from": self.strengths[i], "to": self.strengths[j],
                              "by": round(-float(change.mean()), 4), "standard_error": round(error, 4)})
        return found


def measure(model: KontextModel, cases: Sequence[Case], strengths: Sequence[ReferenceStrength], steps: int) -> Curve:
    """Each case at each strength."""
    values = {part: np.zeros((len(strengths), len(cases))) for part in PARTS}
    for number, case in enumerate(cases):
        for index, strength in enumerate(strengths):
            made = answer(model, case, steps, strengths=(strength,))
            parts, attributes = judge(case, made)
            found = parts | {"identity": float(np.mean(list(attributes.values()))), "figure_db": figure_db(case, made)}
            for part in PARTS:
                values[part][index, number] = found[part]
        print(f"\r{number + 1}/{len(cases)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return Curve(tuple(strength.value for strength in strengths), values)


def figure_db(case: Case, made: np.ndarray) -> float:
    """PSNR of the figure's pixels to the truth, in dB: what a figure covers of its place's backdrop."""
    shot = case.truth(made)
    true, empty = draw(case.edit.after.cast, shot, case.size), backdrop(shot.scene, case.size, shot.variation)
    figure = (true != empty).any(2)
    return psnr([squared_error(made[figure], true[figure])])


@contextmanager
def sparing_the_references_own() -> Iterator[None]:
    """The bias for all queries but the reference's own."""
    own = Groups(0, 1).reference(0)

    def spared(*arguments, **named):
        plan = attention_plan(*arguments, **named)
        for table in plan.tables if plan else ():
            if table is not None:
                table[own, own] = 0.0
        return plan

    with patch("kontinuity.kontext.model.attention_plan", spared):
        yield


def differences(curve: Curve, other: Curve, strengths: Sequence[float]) -> list[dict]:
    """How much more the other one has at these strengths, case by case."""
    rows = []
    for strength in strengths:
        i, j = curve.strengths.index(strength), other.strengths.index(strength)
        change = {part: of[j] - curve.values[part][i][:len(of[j])] for part, of in other.values.items()}
        rows.append({"strength": strength} | {part: {
            "more": round(float(of.mean()), 4), "standard_error": round(float(of.std(ddof=1) / len(of) ** 0.5), 4),
        } for part, of in change.items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("?")[0])
    parser.add_argument("--per-kind", type=int, default=30, help="cases of each kind")
    parser.add_argument("--compared", type=int, default=15, help="of them, in the comparisons beside the curve")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--set", choices=SETS, default="quoted", help="of cases")
    parser.add_argument("--weights", type=Path, default=weights_folder())
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_folder(options.weights)
    cases = [unseen_case(kind, SETS[options.set] + i) for i in range(options.per_kind) for kind in KINDS]
    few = cases[:options.compared * len(KINDS)]
    curve = measure(model, cases, list(map(ReferenceStrength, STRENGTHS)), options.steps)
    with sparing_the_references_own():
        spared = measure(model, few, list(map(ReferenceStrength, SPARED)), options.steps)
    halves = {name: measure(model, few, [ReferenceStrength(value, *span) for value in SOME], options.steps)
              for name, span in HALVES.items()}
    falls = {part: curve.falls(part) for part in PARTS}
    result = {
        "benchmark": "strength",
        "cases": len(cases),
        "cases_compared": len(few),
        "case_set": f"{options.set}: seeds {SETS[options.set]}.. of {', '.join(KINDS)}",
        "steps": options.steps,
        "curve": [curve.row(i) for i in range(len(STRENGTHS))],
        "falls": falls,
        "bias_spares_the_references_own_queries": {
            "curve": [spared.row(i) for i in range(len(SPARED))],
            "more_than_as_built": differences(curve, spared, SPARED),
        },
        "ranges": {name: {"curve": [half.row(i) for i in range(len(SOME))],
                          "more_than_in_all_steps": differences(curve, half, SOME)}
                   for name, half in halves.items()},
        "goals": [{"name": "identity rises with strength", "goal": "no fall beyond 2 standard errors, 0..2",
                   "measured": falls["identity"], "met": not falls["identity"]}],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

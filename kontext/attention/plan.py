"""The attention plan of an edit: for each group of tokens, which groups it sees, with what bias, step by step.

What is added to the scores of a group's keys is one number for a whole group, so no matrix of all tokens by all tokens
is ever made: groups of queries that see the same run together, over the keys that they see, and a bias goes in as one
row for all queries, which fused attention takes as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

UNSEEN = -torch.inf


@dataclass(frozen=True)
class AttentionPlan:
    """What is added to the attention scores of an edit.

    Attributes:
        groups: int64 [tokens], the group of each token, counted from 0, in the order of the sequence: text, picture,
            references.
        tables: for each step float32 [groups, groups]: what is added where a token of the first group (query) looks at
            one of the second (key). 0 is plain attention, -inf: it does not see it. None: plain attention, all of it.
        sigmas: float32 [steps + 1], the noise levels at which the steps begin (and the end of the last one).
    """

    groups: torch.Tensor
    tables: tuple[torch.Tensor | None, ...]
    sigmas: torch.Tensor
    _ready: dict[tuple, "PlannedAttention"] = field(default_factory=dict, compare=False, repr=False)

    def at(self, sigma: float, device: torch.device) -> "PlannedAttention | None":
        """Attention in the step whose noise level is nearest; None: plain attention."""
        step = int((self.sigmas[:-1] - sigma).abs().argmin())
        table = self.tables[step]
        if table is None:
            return None
        key = (id(table), device)
        if key not in self._ready:
            self._ready[key] = PlannedAttention(self.groups, table, device)
        return self._ready[key]


class PlannedAttention:
    """An `Attend` (see networks/flux.py) that follows one table of a plan.

    Its plain twin adds `table[groups][:, groups]` to all scores.

    Args:
        groups, table: see AttentionPlan. Every group must see at least one group that has tokens.
        device: where it is used.
    """

    def __init__(self, groups: torch.Tensor, table: torch.Tensor, device: torch.device | str):
        self.tokens = len(groups)
        there = set(groups.unique().tolist())
        rows: dict[tuple[float, ...], list[int]] = {}  # what is added for each group's keys -> the groups that ask so
        for group in sorted(there):
            rows.setdefault(tuple(bias if key in there else 0.0 for key, bias in enumerate(table[group].tolist())),
                            []).append(group)
        self._parts = [_Part.of(groups, asking, torch.tensor(row), device) for row, asking in rows.items()]

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if query.shape[2] != self.tokens:
            raise RuntimeError(f"attention over {query.shape[2]} tokens, planned for {self.tokens}")
        if len(self._parts) == 1:
            return self._parts[0].attend(query, key, value)
        result = torch.empty_like(query)
        for part in self._parts:
            result[:, :, part.queries] = part.attend(query, key, value)
        return result


@dataclass(frozen=True)
class _Part:
    """Queries that see the same: `queries` and `keys` are places in the sequence, `bias` [1, 1, 1, keys] or None."""

    queries: slice | torch.Tensor
    keys: slice | torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def of(cls, groups: torch.Tensor, asking: Sequence[int], row: torch.Tensor, device: torch.device | str) -> "_Part":
        biases = row[groups]
        seen = biases > UNSEEN
        bias = biases[seen]
        return cls(_places(torch.isin(groups, torch.tensor(asking)), device), _places(seen, device),
                   bias[None, None, None].to(device) if bias.any() else None)

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(query.dtype)
        return F.scaled_dot_product_attention(query[:, :, self.queries], key[:, :, self.keys], value[:, :, self.keys],
                                              attn_mask=bias)


def _places(chosen: torch.Tensor, device: torch.device | str) -> slice | torch.Tensor:
    """Where `chosen` (bool [tokens]) is true: as a slice, which copies nothing, if that is one stretch."""
    places = chosen.nonzero()[:, 0]
    if len(places) and int(places[-1]) - int(places[0]) + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places.to(device)

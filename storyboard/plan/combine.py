"""How the characters of a panel come into one picture."""

import logging
from collections.abc import Callable, Mapping, Sequence

from ...common import InputError
from ...kontext import ReferenceStrength
from ..story.models import MOST_FIGURES, REFERENCE
from ..story.resolved import ResolvedPanel
from .regions import Area, areas_apart, check_apart

log = logging.getLogger("kontinuity")


def way_to_combine(resolved: ResolvedPanel, models: str, strengths: Sequence[ReferenceStrength],
                   areas: Mapping[str, Area], size: tuple[int, int], where: Callable[[str], str]) -> str:
    """How the references of the newcomers are combined, see PanelJob: as the panel or the story says, or the best way.

    Args:
        models: how the model takes several best, which `auto` means if it can be done.
        strengths: of the newcomers' references; empty: all 1.
        areas: where the panel says they are, see given_areas.
        size: width and height of the panel.
        where: see check_apart.

    Raises:
        InputError: what is asked for cannot be done.
    """
    panel, method, count = resolved.panel, resolved.combine, len(resolved.newcomers)
    _warn_of_many(resolved.where, count, method)
    if method == "regions" and resolved.source:
        if count and panel.together == "regions":
            raise InputError(resolved.where, "together", "regions", "is for a panel made from references: where nobody "
                             f"stands no reference is looked at, and panel '{resolved.source}' would be lost there",
                             "write `together: passes`, which keeps its pixels, or leave `from` out")
        method = "passes"  # the story's word, as far as it can be done
    if method == "regions" and (count > 1 or areas):  # of one alone the column would be all of the picture
        check_apart(areas_apart(resolved.newcomers, areas), size, where)
        return method
    if count < 2:
        # One character joins another panel, or the panel itself asks: only then is one a pass.
        alone = method == "passes" and count and (panel.from_ != REFERENCE or panel.together)
        return "passes" if alone else ""
    if method == "auto":
        return _best_way(resolved, models, strengths, areas, size)
    if method == "stitch" and _differ(strengths):
        raise InputError(resolved.where, "characters", "strength", "is not the same for all, and `together: stitch` "
                         "makes one picture of theirs", "give them one strength, or leave `together` out")
    return method


def _best_way(resolved: ResolvedPanel, models: str, strengths: Sequence[ReferenceStrength], areas: Mapping[str, Area],
              size: tuple[int, int]) -> str:
    if len(resolved.newcomers) > MOST_FIGURES:
        return "passes"
    if models == "stitch" and _differ(strengths):
        return "offset"  # each has a reference of its own
    if models == "regions":
        try:
            check_apart(areas_apart(resolved.newcomers, areas), size, lambda _: resolved.where)
        except InputError:
            return "passes"  # boxes may overlap there
        return "passes" if resolved.source else "regions"
    return models


def _differ(strengths: Sequence[ReferenceStrength]) -> bool:
    """Whether one picture of all references cannot have the strength of each; those that are left out do not count."""
    return len({None if strength.is_plain else strength for strength in strengths if not strength.is_absent}) > 1


def _warn_of_many(where: str, count: int, method: str) -> None:
    if count <= MOST_FIGURES or method == "passes":
        return
    if method == "regions":
        log.warning("%s: %d characters at once have little room side by side. Give each a region, or write "
                    "`together: passes`, and all but three stand behind.", where, count)
        return
    log.warning("%s: %d characters at once; Kontext mixes up more than %d. %s", where, count, MOST_FIGURES,
                "Each gets a pass of its own, the first three in front." if method == "auto" else
                "Leave `together` out, or write `together: passes`, and each gets a pass of its own.")

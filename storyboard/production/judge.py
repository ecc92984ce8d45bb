"""Who scores the candidates of a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...common import Picture
from ...kontext import PictureScore, Scorer
from ..cast.references import own_references
from ..plan.board import Board
from ..plan.regions import box_of, given_areas

Judge = Callable[[str, Picture], PictureScore | None]  # the panel's id, and a picture of it


def story_judge(board: Board, scorer: Scorer) -> Judge:
    """What scores the panels of a board: each figure against all reference pictures of its own character. A panel
    without characters has no score."""
    references = {name: own for name in board.story.characters if (own := own_references(name, board.pictures))}
    everybody = scorer.cast(references)

    def judge(panel_id: str, picture: Picture) -> PictureScore | None:
        panel = board.story.panel(panel_id)
        names = [name for name in board.story.cast(panel) if name in references]
        regions = given_areas(panel, panel.characters or (), board.regions.get(panel_id, {}))
        boxes = {name: box_of(area) for name, area in regions.items()}
        return everybody.only(names).score(picture, boxes) if names else None
    return judge


def characters_judge(pictures: Mapping[str, Picture], scorer: Scorer) -> Judge:
    """What scores pictures in which all these characters should be; `pictures` are their references, by name or
    "name/role"."""
    names = dict.fromkeys(key.split("/")[0] for key in pictures)
    everybody = scorer.cast({name: own_references(name, pictures) for name in names})
    return lambda _, picture: everybody.score(picture)

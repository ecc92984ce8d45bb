"""A character sheet: one picture of a character becomes views from the front, the side and the back."""

from ...common import Picture
from ...kontext import EditRequest, KontextModel
from ..story.seeds import panel_seed
from .board import Sampling

VIEWS = {"front": "from the front, facing the viewer", "side": "from the side, in profile",
         "back": "from behind, facing away from the viewer"}


def character_sheet(picture: Picture, model: KontextModel, sampling: Sampling, *, traits: str = "",
                    seed: int = 0, where: str = "character sheet") -> dict[str, EditRequest]:
    """The requests for the views "front", "side" and "back", each from the same picture, so that no view inherits
    another's mistakes.

    `traits` are visible ones, such as "a woman with short black hair and a red coat". Each view has a seed of its own,
    made from `seed` and the view. Raises InputError for all that model.check finds.
    """
    who = traits.strip() or "the character"
    requests = {view: EditRequest(
        prompt=f"Show {who} {seen}, standing, full body, before a plain light grey background. "
               "Keep the same face, hair and clothes.",
        references=(picture,), width=model.settings.width, height=model.settings.height, seed=panel_seed(seed, view),
        steps=sampling.steps, guidance=sampling.guidance, where=where) for view, seen in VIEWS.items()}
    for request in requests.values():
        model.check(request)
    return requests

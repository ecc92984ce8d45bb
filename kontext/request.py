"""What is asked of the model (EditRequest), what it reports on the way (StepInfo), and the checks of plain numbers."""

import math
from dataclasses import dataclass
from numbers import Real

import torch

from ..common import InputError
from .sizes import check_size, is_whole

MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class EditRequest:
    """One edit: an instruction, the pictures it speaks of, and how to sample.

    Attributes:
        prompt: the instruction, not empty, at most 512 T5 tokens.
        references: pictures (float32 [H, W, 3] in 0..1), any size; none means text to image.
        width, height: pixels of the result, multiples of 16.
        seed: 0..2**64-1. The same request gives the same picture on the same device.
        steps: 1..200 Euler steps.
        guidance: 0..30, the value of FLUX's guidance embedding (not classifier-free guidance); 2.5 suits Kontext.
        reference_method: where several references sit, see `references.reference_ids`: "offset" or "index".
        where: who asks, for error messages, e.g. "panel 'beach'".
    """

    prompt: str
    references: tuple[torch.Tensor, ...]
    width: int
    height: int
    seed: int
    steps: int = 20
    guidance: float = 2.5
    reference_method: str = "offset"
    where: str = "Kontext Edit"


@dataclass(frozen=True)
class StepInfo:
    """Where sampling is, handed to `on_step` after every step.

    Attributes:
        step: 1..steps, the step just finished.
        steps: how many there are.
        latents: float32 [1, 16, height/8, width/8] on the transformer's device, the model's present estimate of the
            clean latents (scaled as the transformer sees them). At the last step: the result before decoding.
    """

    step: int
    steps: int
    latents: torch.Tensor


def check_numbers(request: EditRequest) -> None:
    """Refuse a size, step count, guidance, seed or reference method outside its range.

    Raises:
        InputError: names the field, its value and the range.
    """
    where = request.where
    check_size(request.width, request.height, where)
    if not is_whole(request.steps) or not 1 <= request.steps <= MAX_STEPS:
        raise InputError(where, "steps", request.steps, f"is not a whole number in 1..{MAX_STEPS}", "20 is usual")
    guidance = request.guidance
    if (not isinstance(guidance, Real) or isinstance(guidance, bool) or not math.isfinite(guidance)
            or not 0 <= guidance <= MAX_GUIDANCE):
        raise InputError(where, "guidance", guidance, f"is not a number in 0..{MAX_GUIDANCE:g}", "2.5 is usual")
    if not is_whole(request.seed) or not 0 <= request.seed <= MAX_SEED:
        raise InputError(where, "seed", request.seed, "is not a whole number in 0..2**64-1",
                         "choose e.g. 0")
    if request.reference_method not in ("offset", "index"):
        raise InputError(where, "reference_method", request.reference_method, "is no known way to place references",
                         "choose 'offset' or 'index'")

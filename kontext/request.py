"""What is asked of the model (EditRequest), what it reports on the way (StepInfo), and the checks of plain numbers."""

from dataclasses import dataclass, replace

import torch

from ..common import InputError, check_shape, check_values
from .attention.regions import Regions, check_regions
from .attention.strength import ReferenceStrength, check_strengths, is_number
from .sizes import check_size, is_whole

MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Guide:
    """A picture that the first steps follow: what they decide, where things are, is taken from it.

    Attributes:
        picture: float32 [height, width, 3] in 0..1, as large as the result.
        certain: float32 [height, width] in 0..1: how much it counts at each place; at 0 the model is free.
        until: 0..1, a noise level: where the picture is certain, steps above it go on from the picture under as much
            noise as they have left (the noise of the request's seed), and those below from what came of that.
    """

    picture: torch.Tensor
    certain: torch.Tensor
    until: float


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
        strengths: how strongly each reference is looked at; none at all: all as the model was trained, 1.
        regions: who is where, each seeing its own words and references only; None: all see all.
        guide: a picture that the first steps follow; None: they begin from noise alone.
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
    strengths: tuple[ReferenceStrength, ...] = ()
    regions: Regions | None = None
    guide: Guide | None = None

    @property
    def plans_attention(self) -> bool:
        """Whether attention is to be another one than the plain one in some step."""
        return self.regions is not None or any(
            not strength.is_plain and not strength.is_absent for strength in self.strengths)

    def without_absent(self) -> "EditRequest":
        """The same request without the references that are left out in every step."""
        kept = [i for i, strength in enumerate(self.strengths) if not strength.is_absent]
        if len(kept) == len(self.strengths):
            return self
        regions = self.regions and replace(self.regions, regions=tuple(
            replace(region, references=tuple(kept.index(i) for i in region.references if i in kept))
            for region in self.regions.regions))
        return replace(self, references=tuple(self.references[i] for i in kept),
                       strengths=tuple(self.strengths[i] for i in kept), regions=regions)


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
    """Refuse what is outside its range: size, steps, guidance, seed, reference method, strengths, regions, guide.

    Raises:
        InputError: names the field, its value and the range.
    """
    where = request.where
    check_size(request.width, request.height, where)
    if not is_whole(request.steps) or not 1 <= request.steps <= MAX_STEPS:
        raise InputError(where, "steps", request.steps, f"is not a whole number in 1..{MAX_STEPS}", "20 is usual")
    guidance = request.guidance
    if not is_number(guidance) or not 0 <= guidance <= MAX_GUIDANCE:
        raise InputError(where, "guidance", guidance, f"is not a number in 0..{MAX_GUIDANCE:g}", "2.5 is usual")
    if not is_whole(request.seed) or not 0 <= request.seed <= MAX_SEED:
        raise InputError(where, "seed", request.seed, "is not a whole number in 0..2**64-1",
                         "choose e.g. 0")
    if request.reference_method not in ("offset", "index"):
        raise InputError(where, "reference_method", request.reference_method, "is no known way to place references",
                         "choose 'offset' or 'index'")
    check_strengths(request.strengths, len(request.references), where)
    if request.regions is not None:
        check_regions(request.regions, len(request.references), request.width, request.height, where)
    if request.guide is not None:
        _check_guide(request.guide, request)


def _check_guide(guide: Guide, request: EditRequest) -> None:
    where, size = request.where, (request.height, request.width)
    check_shape(guide.picture, where, "guide")
    if guide.picture.shape[:2] != size:
        raise InputError(where, "guide", f"{guide.picture.shape[1]}x{guide.picture.shape[0]}",
                         f"is not {request.width}x{request.height}, the size of the result", "scale it to that")
    check_values(guide.picture, where, "guide")
    certain = guide.certain
    if not certain.is_floating_point() or certain.shape != size or not bool(((certain >= 0) & (certain <= 1)).all()):
        raise InputError(where, "guide certain", f"{certain.dtype} {list(certain.shape)}",
                         f"is not a number in 0..1 for each pixel of {request.width}x{request.height}",
                         "give 1 where the guide counts and 0 where it does not")
    if not is_number(guide.until) or not 0 <= guide.until <= 1:
        raise InputError(where, "guide until", guide.until, "is not a noise level in 0..1", "0.8 is usual")

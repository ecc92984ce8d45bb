"""What a model folder says about itself beyond its weights: the optional `kontinuity.json`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..common import InputError
from .sizes import MAX_AREA, MIN_SIDE, check_size, is_whole
from .text import MAX_T5_TOKENS

FILE_NAME = "kontinuity.json"
_FIELDS = ("format", "name", "width", "height", "reference_area", "min_text_tokens", "together", "latent_rgb")

_COMBINE = ("stitch", "offset", "regions")

# {"factors": [[r, g, b] for each latent channel], "bias": [r, g, b]}; see `KontextModel.preview`
LatentRgb = Mapping[str, list]


@dataclass(frozen=True)
class ModelSettings:
    """The sizes a model was trained for. The defaults are those of FLUX.1 Kontext dev.

    Attributes:
        width, height: its native size in pixels.
        reference_area: width * height a reference picture is brought to.
        min_text_tokens: T5 is padded to at least this many tokens, 1..512.
        latent_rgb: linear map from scaled latents to colours in -1..1, or None: no preview.
        combine: how it takes two or three characters best: "stitch" (one picture, side by side) or "offset" (one
            reference each, see `references.reference_ids`) or "regions" (each in a region of its own, see
            `attention.regions`); "together" in the file.
    """

    width: int = 1024
    height: int = 1024
    reference_area: int = 1024 * 1024
    min_text_tokens: int = MAX_T5_TOKENS
    latent_rgb: LatentRgb | None = None
    combine: str = "stitch"


def parse_settings(data: Mapping[str, object], channels: int, where: str) -> tuple[ModelSettings, str | None]:
    """Check the content of a `kontinuity.json`.

    Args:
        data: the JSON object. "format" must be 1; every other field may be left out.
        channels: latent channels of the model, the number of "latent_rgb" factors.
        where: the file, for messages.

    Returns:
        (settings, the model's name or None).

    Raises:
        InputError: unknown field, wrong type, or a value out of range.
    """
    for field in data:
        if field not in _FIELDS:
            raise InputError(where, field, data[field], "is no field of this file", f"known: {', '.join(_FIELDS)}")
    if data.get("format") != 1:
        raise InputError(where, "format", data.get("format", "missing"), "is not format 1",
                         "set it to 1, or update Kontinuity")
    name = data.get("name")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InputError(where, "name", name, "is not a name", "give it some text or leave the field out")
    fields = ("width", "height", "reference_area", "min_text_tokens")
    values: dict[str, Any] = {field: data[field] for field in fields if field in data}
    if "together" in data:
        values["combine"] = data["together"]
    settings = ModelSettings(**values, latent_rgb=_latent_rgb(data.get("latent_rgb"), channels, where))
    check_size(settings.width, settings.height, where)
    ranges = (("reference_area", MIN_SIDE * MIN_SIDE, MAX_AREA), ("min_text_tokens", 1, MAX_T5_TOKENS))
    for field, low, high in ranges:
        value = getattr(settings, field)
        if not is_whole(value) or not low <= value <= high:
            raise InputError(where, field, value, f"is not a whole number in {low}..{high}", "correct it")
    if settings.combine not in _COMBINE:
        raise InputError(where, "together", settings.combine, "is no known way",
                         f"write one of {', '.join(_COMBINE)}")
    return settings, name


def _latent_rgb(data: object, channels: int, where: str) -> LatentRgb | None:
    if data is None:
        return None
    factors = data.get("factors") if isinstance(data, Mapping) else None
    bias = data.get("bias") if isinstance(data, Mapping) else None
    rows = factors if isinstance(factors, list) else []
    if len(rows) != channels or not isinstance(bias, list) or not all(map(_is_triple, [*rows, bias])):
        raise InputError(where, "latent_rgb", data, f"is not {{factors: {channels} x [r, g, b], bias: [r, g, b]}}",
                         "correct it or leave the field out")
    return {"factors": rows, "bias": bias}


def _is_triple(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(
        isinstance(v, Real) and not isinstance(v, bool) and math.isfinite(v) for v in row)

"""Motion between two pictures. Knows no model, no story and no ComfyUI; needs torch and OpenCV (when it is first used).

Conventions are in ``field.py``; pictures in between come from ``Between``, ``interpolate`` and ``in_betweens``.
"""

from .estimate import QUALITIES, DisFlow, Estimator, Motion, estimate_motion
from .field import FlowError, flat_share
from .interpolate import MODES, Between, Report, interpolate
from .occlusion import consistent, coverage, round_trip
from .sequence import EASINGS, MAX_MULTIPLIER, InBetween, in_betweens
from .splat import fill_holes, splat, splat_softmax
from .warp import warp, warp_bicubic

__all__ = [
    "EASINGS",
    "MAX_MULTIPLIER",
    "MODES",
    "QUALITIES",
    "Between",
    "DisFlow",
    "Estimator",
    "FlowError",
    "InBetween",
    "Motion",
    "Report",
    "consistent",
    "coverage",
    "estimate_motion",
    "fill_holes",
    "flat_share",
    "in_betweens",
    "interpolate",
    "round_trip",
    "splat",
    "splat_softmax",
    "warp",
    "warp_bicubic",
]

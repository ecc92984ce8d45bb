"""Motion between two pictures. Knows no model, no story and no ComfyUI; needs torch and OpenCV (when it is first used).

Conventions are in ``field.py``; pictures in between come from ``Between``, ``interpolate`` and ``in_betweens``.
"""

from .between.frame_pair import MODES, Between, Report, interpolate
from .between.learnt import InBetweenModel, load_in_between
from .clips.keyframes import Keyed, insert_keyframes
from .clips.retime import CADENCES, HOLDS, MAX_RATE, MIN_RATE, frame_rate, frame_times, on_cadence, pictures_at
from .clips.score import (
    FORMS,
    ClipScores,
    MotionTerms,
    MovingRegion,
    clip_scores,
    explained,
    flicker,
    jerk,
    motion_alignment,
    motion_reward,
    motion_terms,
    moving_region,
)
from .clips.sequence import EASINGS, MAX_MULTIPLIER, InBetween, in_betweens
from .clips.show import arrows, colour_wheel
from .cutout import multiplied, separated
from .estimators.pyramid import PyramidFlow, pyramid_flow
from .estimators.raft import RaftFlow, load_raft
from .field import FlowError, flat_share
from .motion import QUALITIES, DisFlow, Estimator, Motion, estimate_motion
from .occlusion import consistent, coverage, round_trip
from .splat import fill_holes, splat, splat_softmax
from .warp import warp, warp_bicubic

__all__ = [
    "CADENCES",
    "EASINGS",
    "FORMS",
    "HOLDS",
    "Keyed",
    "MAX_MULTIPLIER",
    "MAX_RATE",
    "MIN_RATE",
    "MODES",
    "QUALITIES",
    "Between",
    "ClipScores",
    "DisFlow",
    "Estimator",
    "FlowError",
    "InBetween",
    "InBetweenModel",
    "Motion",
    "MotionTerms",
    "MovingRegion",
    "PyramidFlow",
    "RaftFlow",
    "Report",
    "arrows",
    "clip_scores",
    "colour_wheel",
    "consistent",
    "coverage",
    "estimate_motion",
    "explained",
    "fill_holes",
    "flat_share",
    "flicker",
    "frame_rate",
    "frame_times",
    "in_betweens",
    "insert_keyframes",
    "interpolate",
    "jerk",
    "load_in_between",
    "load_raft",
    "motion_alignment",
    "motion_reward",
    "motion_terms",
    "moving_region",
    "multiplied",
    "on_cadence",
    "pictures_at",
    "pyramid_flow",
    "round_trip",
    "separated",
    "splat",
    "splat_softmax",
    "warp",
    "warp_bicubic",
]

"""Motion between two pictures. Knows no model, no story and no ComfyUI; needs torch and OpenCV (when it is first used).

Conventions are in ``field.py``; pictures in between come from ``prepare_pair``, whole clips from ``pictures_at``. Each
folder imports from those before it: the files here, ``estimators``, ``figures``, ``between``, ``clips``.
"""

from .between.choose import MODES, Report
from .between.estimate import estimate_motion
from .between.film import FILM_WORK_BYTES
from .between.frame_pair import FramePair, prepare_pair
from .between.learnt import InBetweenModel, load_in_between
from .clips.keyframes import insert_keyframes
from .clips.repair import SETTLING_FRAMES, ClipEnd, RepairedClip, join_clips, joined_length
from .clips.retime import (
    CADENCES,
    EASINGS,
    HOLDS,
    MAX_MULTIPLIER,
    MAX_RATE,
    MIN_RATE,
    frame_rate,
    frame_times,
    on_cadence,
    pictures_at,
)
from .clips.score import FORMS, clip_scores, motion_alignment, motion_reward, motion_terms, moving_region
from .clips.show import arrows, colour_wheel
from .cutout import multiplied, separated
from .estimators.dis import QUALITIES, DisFlow
from .estimators.pyramid import PyramidFlow
from .estimators.raft import RaftFlow, load_raft
from .figures.background import BackgroundShift
from .motion import Estimator, Motion
from .occlusion import consistent, explained

__all__ = [
    "CADENCES",
    "EASINGS",
    "FILM_WORK_BYTES",
    "FORMS",
    "HOLDS",
    "MAX_MULTIPLIER",
    "MAX_RATE",
    "MIN_RATE",
    "MODES",
    "QUALITIES",
    "SETTLING_FRAMES",
    "BackgroundShift",
    "ClipEnd",
    "DisFlow",
    "Estimator",
    "FramePair",
    "InBetweenModel",
    "Motion",
    "PyramidFlow",
    "RaftFlow",
    "RepairedClip",
    "Report",
    "arrows",
    "clip_scores",
    "colour_wheel",
    "consistent",
    "estimate_motion",
    "explained",
    "frame_rate",
    "frame_times",
    "insert_keyframes",
    "join_clips",
    "joined_length",
    "load_in_between",
    "load_raft",
    "motion_alignment",
    "motion_reward",
    "motion_terms",
    "moving_region",
    "multiplied",
    "on_cadence",
    "pictures_at",
    "prepare_pair",
    "separated",
]

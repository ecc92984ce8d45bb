"""What a plan is made of: the board, and how its panels are sampled."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ...common import Picture
from ...kontext import ReferenceStrength
from ..story.models import Story
from .masks import PanelMasks


@dataclass(frozen=True)
class Board:
    """A story with all the pictures that it names.

    `pictures` are the characters' reference pictures by character name, further ones by "name/role" (see
    story_pictures). `masks` are those of the panels, by panel id (see story_masks), and `regions` those that say where
    a character is, by panel id and name (see story_regions). `strengths` are those of pictures for which the story says
    none, by the same names as the pictures; without one it is 1. `frames` are the start and end frames of series that
    are files, by file name (see story_frames).
    """

    story: Story
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    masks: Mapping[str, PanelMasks] = field(default_factory=dict)
    regions: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict)
    strengths: Mapping[str, ReferenceStrength] = field(default_factory=dict)
    frames: Mapping[str, Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class Sampling:
    """How every pass of every panel is sampled: how many steps, and how strictly the prompt is followed."""

    steps: int = 20
    guidance: float = 2.5

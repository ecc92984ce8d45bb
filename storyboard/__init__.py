"""The storyboard: a story becomes panels, a panel becomes edits, what is kept of them lies on disk with its record."""

from .between.series import Series, SeriesFrame, make_in_betweens
from .between.settings import MAX_CANDIDATES, InBetweens
from .cast.crop import crop_picture
from .cast.references import story_pictures
from .observer import Observer
from .plan.board import Board, Sampling
from .plan.candidate_policy import CandidatePolicy, candidate_seed
from .plan.jobs import PanelJob
from .plan.masks import mask_files, region_files, story_masks, story_regions
from .plan.panels import plan_panels
from .plan.series import frame_files, picture_names, story_frames
from .plan.views import character_sheet
from .production.judge import characters_judge, story_judge
from .production.records import job_record, record, save_panel
from .production.render import render
from .production.results import Candidate, PanelResult, Shortlist
from .production.resume import finished_panels
from .production.run import SavedPanel, Store, StoryboardResult, make_storyboard
from .prompts import panel_prompt
from .story.appearance import ROLES
from .story.change import Change
from .story.file import STORY_SUFFIXES, StoryText, load_story, parse_story, read_story, story_text
from .story.models import MAX_FRAMES, MIN_FRAMES, Caption, Character, Panel, Story
from .story.reserved import reserved_fields
from .story.seeds import panel_seed

__all__ = [
    "MAX_CANDIDATES", "MAX_FRAMES", "MIN_FRAMES", "ROLES", "STORY_SUFFIXES", "Board", "Candidate", "CandidatePolicy",
    "Caption", "Change", "Character", "InBetweens", "Observer", "Panel", "PanelJob", "PanelResult", "Sampling",
    "SavedPanel", "Series", "SeriesFrame", "Shortlist", "Store", "Story", "StoryText", "StoryboardResult",
    "candidate_seed", "character_sheet", "characters_judge", "crop_picture", "finished_panels", "frame_files",
    "job_record", "load_story", "make_in_betweens", "make_storyboard", "mask_files", "panel_prompt", "panel_seed",
    "parse_story", "picture_names", "plan_panels", "read_story", "record", "region_files", "render", "reserved_fields",
    "save_panel", "story_frames", "story_judge", "story_masks", "story_pictures", "story_regions", "story_text",
]

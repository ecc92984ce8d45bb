"""The storyboard: a story becomes panels, a panel becomes edits, what is kept of them lies on disk with its record."""

from .cast.crop import crop_picture
from .cast.references import story_pictures
from .cast.views import character_sheet
from .plan.jobs import PanelJob, plan_panels, render
from .plan.masks import mask_files, story_masks
from .production.candidates import Candidate, Shortlist, Wish, candidate_seed, own_references, story_judge
from .production.records import record, save_panel
from .production.resume import finished_panels
from .prompts.instruction import panel_prompt
from .story.change import Change
from .story.file import STORY_SUFFIXES, StoryText, load_story, parse_story, read_story, story_text
from .story.models import ROLES, Caption, Character, Panel, Story
from .story.reserved import unused_fields
from .story.seeds import panel_seed

__all__ = [
    "ROLES", "STORY_SUFFIXES", "Candidate", "Caption", "Change", "Character", "Panel", "PanelJob", "Shortlist", "Story",
    "StoryText", "Wish", "candidate_seed", "character_sheet", "crop_picture", "finished_panels", "load_story",
    "mask_files", "own_references", "panel_prompt", "panel_seed", "parse_story", "plan_panels", "read_story", "record",
    "render", "save_panel", "story_judge", "story_masks", "story_pictures", "story_text", "unused_fields",
]

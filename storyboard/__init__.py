"""The storyboard: story files, panels and their seeds, records on disk, the contact sheet.

The queue client is `storyboard.queue`, a module of its own, because it needs aiohttp.
"""

from .candidates import Candidate, Shortlist, Wish, candidate_seed, own_references, story_judge
from .captions import panel_caption
from .change import Change
from .crop import crop_picture
from .finished import finished_panels
from .instruction import panel_prompt
from .masks import mask_files, story_masks
from .panels import PanelJob, plan, render
from .pictures import Picture, open_picture
from .records import record, save_panel
from .references import story_pictures
from .seeds import panel_seed
from .sheet import contact_sheet
from .story import ROLES, Character, Panel, Story
from .story_file import STORY_SUFFIXES, StoryText, load_story, parse_story, read_story, story_text
from .unused import unused_fields
from .views import character_sheet

__all__ = [
    "ROLES", "STORY_SUFFIXES", "Candidate", "Change", "Character", "Panel", "PanelJob", "Picture", "Shortlist",
    "Story", "StoryText", "Wish", "candidate_seed", "character_sheet", "contact_sheet", "crop_picture",
    "finished_panels", "load_story", "mask_files", "open_picture", "own_references", "panel_caption",
    "panel_prompt", "panel_seed", "parse_story", "plan", "read_story", "record", "render", "save_panel",
    "story_judge", "story_masks", "story_pictures", "story_text", "unused_fields",
]

"""The storyboard: story files, panels and their seeds, records on disk, the contact sheet.

The queue client is `storyboard.queue`, a module of its own, because it needs aiohttp.
"""

from .panels import PanelJob, plan, render
from .pictures import Picture, open_picture
from .records import record, save_panel
from .seeds import panel_seed
from .sheet import contact_sheet
from .story import Character, Panel, Story, parse_story, read_story, story_pictures

__all__ = [
    "Character", "Panel", "PanelJob", "Picture", "Story", "contact_sheet", "open_picture", "panel_seed", "parse_story",
    "plan", "read_story", "record", "render", "save_panel", "story_pictures",
]

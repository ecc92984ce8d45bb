"""Pictures to send on: stickers (GIF, animated WebP, APNG), clips (MP4, WebM), contact sheets. Knows no ComfyUI."""

from .motion.background import LITTLE, check_visible, key_border, visible_share, with_mask
from .motion.clips import CONTAINERS, MAX_SECONDS, QUALITIES, Audio, frames_held, write_clip
from .motion.stickers import DITHERS, FORMATS, SUFFIXES, EncodedSticker, encode_sticker
from .pages.captions import panel_caption
from .pages.sheet import contact_sheet

__all__ = [
    "CONTAINERS",
    "DITHERS",
    "FORMATS",
    "LITTLE",
    "MAX_SECONDS",
    "QUALITIES",
    "SUFFIXES",
    "Audio",
    "EncodedSticker",
    "check_visible",
    "contact_sheet",
    "encode_sticker",
    "frames_held",
    "key_border",
    "panel_caption",
    "visible_share",
    "with_mask",
    "write_clip",
]

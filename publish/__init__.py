"""Pictures to send on. Knows no ComfyUI.

motion: stickers (GIF, animated WebP, APNG), clips (MP4, WebM), subjects cut out of plain backgrounds; pages: contact
sheets and their captions; video: what video models take, and keyframes fitted to it.
"""

from .motion.clips import (
    CLIP_CONTAINERS,
    CLIP_QUALITIES,
    MAX_CLIP_RATE,
    MAX_HELD_SECONDS,
    Audio,
    frames_held,
    write_clip,
)
from .motion.cutout import LEAST_VISIBLE, check_visible, key_border, visible_share, with_mask
from .motion.stickers import DITHERS, STICKER_FORMATS, STICKER_SUFFIXES, EncodedSticker, encode_sticker
from .pages.captions import panel_caption
from .pages.sheet import contact_sheet
from .video.fit import FITS
from .video.handoff import Handoff, hand_off
from .video.models import RESOLUTIONS, VIDEO_MODELS, VideoModel

__all__ = [
    "CLIP_CONTAINERS",
    "CLIP_QUALITIES",
    "DITHERS",
    "FITS",
    "LEAST_VISIBLE",
    "MAX_CLIP_RATE",
    "MAX_HELD_SECONDS",
    "RESOLUTIONS",
    "STICKER_FORMATS",
    "STICKER_SUFFIXES",
    "VIDEO_MODELS",
    "Audio",
    "EncodedSticker",
    "Handoff",
    "VideoModel",
    "check_visible",
    "contact_sheet",
    "encode_sticker",
    "frames_held",
    "hand_off",
    "key_border",
    "panel_caption",
    "visible_share",
    "with_mask",
    "write_clip",
]

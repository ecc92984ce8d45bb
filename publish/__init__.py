"""Moving pictures as files to send on: stickers (GIF, animated WebP, APNG) and clips (MP4, WebM). Knows no ComfyUI."""

from .background import LITTLE, check_visible, key_border, visible_share, with_mask
from .clip import CONTAINERS, MAX_SECONDS, QUALITIES, Audio, frames_held, write_clip
from .sticker import DITHERS, FORMATS, SUFFIXES, EncodedSticker, encode_sticker

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
    "encode_sticker",
    "frames_held",
    "key_border",
    "visible_share",
    "with_mask",
    "write_clip",
]

"""The part of a picture that serves as a reference: a box that is given, or the figure before a plain background."""

import numpy as np

from ...common import Box, InputError, Picture, check_picture, to_bytes

_DIFFERENT = 24  # of 255, in the channel that differs most: above JPEG's noise
_PLAIN = 0.9  # share of the border that must have the background's colour
_SPECK = 0.001  # parts smaller than this share of the picture are no part of a figure
_MARGIN = 0.04  # kept around the figure, as a share of its longer side


def crop_picture(picture: Picture, crop: Box | str | None, where: str, field: str) -> Picture:
    """Crop a picture to a box in whole pixels, to its figure ("auto") or not at all (None).

    Raises InputError for a box that is not inside the picture, and for "auto" without a plain background.
    """
    if crop is None:
        return picture
    check_picture(picture, where, field)
    height, width = picture.shape[:2]
    if isinstance(crop, str):  # "auto"
        box = figure_box(picture)
        if box is None:
            raise InputError(where, field, "auto", "finds no figure before a plain background",
                             "write crop: [left, top, width, height] in pixels, or none")
    else:
        box = crop
        if box.right > width or box.bottom > height:
            raise InputError(where, field, f"[{box.left}, {box.top}, {box.width}, {box.height}]",
                             f"reaches out of the picture, which is {width}x{height}",
                             "write [left, top, width, height] in its pixels")
    return picture[box.top:box.bottom, box.left:box.right].contiguous()


def figure_box(picture: Picture) -> Box | None:
    """The box (in pixels) around what differs from the border's colour, with a small margin; None if the border has
    several colours (no plain background) or nothing differs from it."""
    import cv2

    pixels = to_bytes(picture).astype(np.int16)
    height, width = pixels.shape[:2]
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = np.median(border, axis=0)
    if (np.abs(border - background).max(axis=1) <= _DIFFERENT).mean() < _PLAIN:
        return None
    different = (np.abs(pixels - background).max(axis=2) > _DIFFERENT).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(different, connectivity=8)
    parts = parts[1:]  # the first is the background
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= max(2, _SPECK * width * height)]
    if not len(parts):
        return None
    left, top = parts[:, cv2.CC_STAT_LEFT].min(), parts[:, cv2.CC_STAT_TOP].min()
    right = (parts[:, cv2.CC_STAT_LEFT] + parts[:, cv2.CC_STAT_WIDTH]).max()
    bottom = (parts[:, cv2.CC_STAT_TOP] + parts[:, cv2.CC_STAT_HEIGHT]).max()
    margin = round(_MARGIN * max(right - left, bottom - top))
    left, top = max(0, int(left) - margin), max(0, int(top) - margin)
    return Box(left, top, min(width, int(right) + margin), min(height, int(bottom) + margin))

"""Colour profiles (ICC) of picture files: their colours brought to sRGB by Little CMS, which comes with Pillow."""

import io
import logging
from functools import lru_cache

import numpy as np
from PIL import Image

log = logging.getLogger("kontinuity")

_SAME = 2  # of 255: a profile that moves no pixel by more is one of sRGB, whose pixels stay as they are
_BLACK_POINT_COMPENSATION = 0x2000  # Little CMS's number; Pillow has a name for it since 10.3
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}  # Pillow's mode for a profile's colour space


def to_srgb(image: Image.Image, name: str) -> Image.Image:
    """An image without alpha (L, LA's L, RGB, CMYK, LAB) in sRGB, mode RGB.

    Relative colorimetric with black point compensation, as image editors convert. A profile that is broken or is for
    other colours than the file's is ignored, and the log says so (`name`: what it calls the file). Without a profile
    the numbers are taken as sRGB; LAB needs none.
    """
    profile = image.info.get("icc_profile")
    if not profile and image.mode != "LAB":
        return image.convert("RGB")
    try:
        return _converted(image, profile)
    except Exception as error:  # Little CMS and Pillow raise several kinds on a broken profile
        if image.mode == "LAB":
            raise
        log.warning("%s: its colour profile is ignored (%s), its colours are taken as sRGB.", name,
                    " ".join(str(error).split())[:120] or type(error).__name__)
        return image.convert("RGB")


def grey_to_srgb(grey: np.ndarray, profile: bytes | None, name: str) -> np.ndarray:
    """Grey values ``float32``, 0..1, of more than eight bits in sRGB, along the profile's curve."""
    if not profile:
        return grey
    steps = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps.info["icc_profile"] = profile
    curve = np.asarray(to_srgb(steps, name), np.float32)[0, :, 1] / 255
    straight = np.arange(256, dtype=np.float32) / 255
    return grey if np.array_equal(curve, straight) else np.interp(grey, straight, curve).astype(np.float32)


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    from PIL import ImageCms

    if not profile:
        return ImageCms.applyTransform(image, _transform(b"", "LAB"))  # pyright: ignore[reportReturnType]
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = opened.profile.xcolor_space  # pyright: ignore[reportAttributeAccessIssue]
    mode = _MODES.get(space, "")
    given = image.convert("RGB") if mode == "RGB" and image.mode in ("1", "L", "P", "YCbCr", "HSV") else image
    given = given.convert("L") if mode == "L" and given.mode == "1" else given
    if given.mode != mode:
        raise ValueError(f"it is for {space.strip() or 'unknown colours'}, the file is {image.mode}")
    made = ImageCms.applyTransform(given, _transform(profile, mode))
    plain = given.convert("RGB") if mode in ("RGB", "L") else None
    if plain is not None and np.abs(np.asarray(made, np.int16) - np.asarray(plain, np.int16)).max() <= _SAME:
        return plain
    return made  # pyright: ignore[reportReturnType]


@lru_cache(maxsize=4)
def _transform(profile: bytes, mode: str):
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB",
                                   ImageCms.Intent.RELATIVE_COLORIMETRIC,
                                   _BLACK_POINT_COMPENSATION)  # pyright: ignore[reportArgumentType]

"""Pictures from files and to files, with Pillow.

A picture is a `torch.float32` tensor [height, width, 3], values 0..1, on the CPU.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from .colour_profiles import grey_to_srgb, to_srgb
from .errors import InputError
from .pictures import Picture

MAX_PIXELS = 64_000_000
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags; photometric 0: white is 0; format 2: with a sign
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # not PostScript and others that run programs


def open_beside(home: Path, name: str, where: str, field: str, opaque: bool = False) -> Picture:
    """Open a picture a story names, from the story's folder `home` (resolved). Raises InputError for a link that leads
    out of that folder, and all that open_picture finds."""
    try:
        path = (home / name).resolve()
    except (OSError, RuntimeError):  # a loop of links
        raise InputError(where, field, name, "cannot be followed", "use a plain file") from None
    if not path.is_relative_to(home):
        raise InputError(where, field, name, "is a link that leaves the story's folder",
                         "copy the picture itself into the folder")
    return open_picture(path, where, field, opaque)


def open_picture(path: str | Path, where: str, field: str, opaque: bool = False) -> Picture:
    """Open a picture file: turned upright by its EXIF data, its colours brought to sRGB by its ICC profile, alpha laid
    over white, an animation's first frame.

    Raises InputError (with the given `where` and `field`) for a missing file, a file that is no picture or is broken,
    more than 64 million pixels, numbers whose range nothing tells, and, where it has to be `opaque`, transparent parts.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise InputError(where, field, str(path), problem, "put the picture there or correct the name")
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(where, field, path, "") from None
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise InputError(where, field, str(path), f"is not a picture Kontinuity reads ({_reason(error)})",
                         "save it as PNG or JPEG") from None
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(where, field, path, f" ({width}x{height})")
        if image.mode == "F":
            raise _unknown_range(where, field, path, "floating-point pixels")
        try:
            upright = ImageOps.exif_transpose(image)
            numbers = _numbers(image) if image.mode.startswith("I") else _Numbers()
            if numbers is not None:
                picture, transparent = to_picture(upright, path.name, numbers), opaque and _is_transparent(upright)
        except Exception as error:
            raise InputError(where, field, str(path), f"is a broken picture ({_reason(error)})",
                             "open it in an image editor and save it anew") from None
    if numbers is None:
        raise _unknown_range(where, field, path, "32-bit numbers")
    if transparent:
        raise InputError(where, field, str(path), "has transparent parts", "save it without an alpha channel")
    return picture


@dataclass(frozen=True)
class _Numbers:
    """What the whole numbers of a grey image (Pillow's modes I) mean: which one is white, whether Pillow read numbers
    of 32 bits without a sign as if they had one, and whether 0 is white and `white` black."""

    white: int = 65535
    unsigned: bool = False
    inverted: bool = False

    def values(self, image: Image.Image) -> np.ndarray:
        """The greys, float32 in 0..1; Pillow's own conversion clips them at 255."""
        numbers = np.asarray(image)
        numbers = numbers.view(np.uint32) if self.unsigned and numbers.dtype == np.int32 else numbers
        grey = (numbers.clip(0, self.white) / self.white).astype(np.float32)
        return 1 - grey if self.inverted else grey


def _numbers(file: Image.Image) -> _Numbers | None:
    """What they mean in an image file; None if nothing tells.

    PNG's have 16 bits. TIFF's have as many as the file says, 12 among them, one less with a sign. Of 32 bits few are
    used, for 8-bit or 16-bit values that a program kept in wider numbers, unless the values fill them.
    """
    tags = getattr(file, "tag_v2", {})
    bits, signed = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    inverted = tags.get(_PHOTOMETRIC) == 0
    if bits <= 16:
        return _Numbers(2 ** (bits - signed) - 1, inverted=inverted)
    lightest, full = int(np.asarray(file).view(np.int32 if signed else np.uint32).max()), 2 ** (32 - signed) - 1
    white = next((white for white in (255, 65535) if lightest <= white), full if lightest > full // 2 else None)
    return _Numbers(white, not signed, inverted) if white else None


def to_picture(image: Image.Image, name: str = "picture", numbers: _Numbers = _Numbers()) -> Picture:
    """A Pillow image of any mode but F as a picture in sRGB; alpha over white, more than 8 bits of grey kept. `name` is
    what the log calls it."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        grey = numbers.values(image)
        return torch.from_numpy(np.repeat(grey_to_srgb(grey, profile, name)[:, :, None], 3, axis=2))
    if not _has_alpha(image):
        return _as_tensor(to_srgb(image, name))
    alpha = image.convert("RGBA").getchannel("A")
    colours = image.convert("LA").getchannel("L") if image.mode in ("L", "LA", "La") else \
        image.convert("RGBA").convert("RGB")
    colours.info["icc_profile"] = profile
    seen = to_srgb(colours, name)
    seen.putalpha(alpha)
    return _as_tensor(Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB"))


def _as_tensor(image: Image.Image) -> Picture:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _is_transparent(image: Image.Image) -> bool:
    return _has_alpha(image) and bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def to_bytes(picture: Picture) -> np.ndarray:
    """A picture as numpy.uint8 [height, width, 3], rounded to the nearest step. Raises ValueError for another shape."""
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"a picture is [height, width, 3], not {list(picture.shape)}")
    return (picture.detach().to("cpu", torch.float32).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_image(picture: Picture) -> Image.Image:
    """A picture as a Pillow image of mode RGB. Raises ValueError for a tensor of another shape."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(picture)))


def _unknown_range(where: str, field: str, path: Path, what: str) -> InputError:
    return InputError(where, field, str(path), f"has {what}, whose range is unknown",
                      "save it with 8 or 16 bits a channel, as PNG or JPEG")


def _too_large(where: str, field: str, path: Path, size: str) -> InputError:
    return InputError(where, field, str(path), f"has more than {MAX_PIXELS // 1_000_000} million pixels{size}",
                      "scale it down; 1024x1024 is enough")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "unknown format"
    return " ".join(str(error).split())[:120] or type(error).__name__

"""Pictures from files and to files, with Pillow.

A picture is a `torch.float32` tensor [height, width, 3], values 0..1, on the CPU.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ..kontext import InputError

Picture = torch.Tensor

MAX_PIXELS = 64_000_000
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
    """Open a picture file: turned upright by its EXIF data, alpha laid over white, an animation's first frame.

    Raises InputError (with the given `where` and `field`) for a missing file, a file that is no picture or is broken,
    more than 64 million pixels, and, where it has to be `opaque`, transparent parts.
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
            raise InputError(where, field, str(path), "has floating-point pixels, whose range is unknown",
                             "save it as PNG or JPEG")
        try:
            upright = ImageOps.exif_transpose(image)
            picture, transparent = to_picture(upright), opaque and _is_transparent(upright)
        except Exception as error:
            raise InputError(where, field, str(path), f"is a broken picture ({_reason(error)})",
                             "open it in an image editor and save it anew") from None
    if transparent:
        raise InputError(where, field, str(path), "has transparent parts", "save it without an alpha channel")
    return picture


def to_picture(image: Image.Image) -> Picture:
    """A Pillow image of any mode but F as a picture; alpha over white, 16 bit per channel kept."""
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion clips it at 255
        grey = np.asarray(image).astype(np.float32).clip(0, 65535) / 65535
        return torch.from_numpy(np.repeat(grey[:, :, None], 3, axis=2))
    if _has_alpha(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _is_transparent(image: Image.Image) -> bool:
    return _has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def to_bytes(picture: Picture) -> np.ndarray:
    """A picture as numpy.uint8 [height, width, 3], rounded to the nearest step. Raises ValueError for another shape."""
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"a picture is [height, width, 3], not {list(picture.shape)}")
    return (picture.detach().to("cpu", torch.float32).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_image(picture: Picture) -> Image.Image:
    """A picture as a Pillow image of mode RGB. Raises ValueError for a tensor of another shape."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(picture)))


def _too_large(where: str, field: str, path: Path, size: str) -> InputError:
    return InputError(where, field, str(path), f"has more than {MAX_PIXELS // 1_000_000} million pixels{size}",
                      "scale it down; 1024x1024 is enough")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "unknown format"
    return " ".join(str(error).split())[:120] or type(error).__name__

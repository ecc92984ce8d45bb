"""Reference pictures: which are fit, to which size they are brought, and where their tokens sit.

Kontext sees a reference as extra image tokens behind those of the picture being made. What tells them apart is the
first of the three position ids: 0 for the picture, 1 (or more) for references.
"""

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..common import InputError, check_shape, check_values
from .sizes import whole_size

MAX_REFERENCES = 8  # more than anyone has seen work; each costs as many tokens as the picture itself
MIN_SIDE = 16  # pixels; below one token there is nothing to see
MAX_ASPECT = 8.0  # longer side / shorter side


def check_references(references: Sequence[torch.Tensor], where: str) -> None:
    """Refuse pictures that cannot serve as references.

    Args:
        references: 0..8 pictures, floating [H, W, 3] in 0..1, at least 16 pixels a side, at most 8:1 long.
        where: who asks, for the message.

    Raises:
        InputError: names the picture by its number (reference 1 is the first).
    """
    if isinstance(references, torch.Tensor) or not isinstance(references, Sequence):
        raise InputError(where, "references", type(references).__name__, "is not a list of pictures",
                         "give a tuple of [H, W, 3] tensors")
    if len(references) > MAX_REFERENCES:
        raise InputError(where, "references", len(references), f"are more than {MAX_REFERENCES} pictures",
                         "one or two work best; leave the others out")
    for number, picture in enumerate(references, 1):
        _check_picture(picture, f"reference {number}", where)


def _check_picture(picture: torch.Tensor, field: str, where: str) -> None:
    check_shape(picture, where, field)
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(where, field, f"{width}x{height}", f"is under {MIN_SIDE} pixels a side",
                         "use a larger picture")
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise InputError(where, field, f"{width}x{height}", f"is longer than {MAX_ASPECT:g}:1",
                         "crop it to the part that matters")
    check_values(picture, where, field)


def fit_reference(picture: torch.Tensor, area: int) -> torch.Tensor:
    """Bring a reference to the size the model knows, whole: nothing is cropped, nothing is put around it.

    Its size is `whole_size` of its own, as that of a result in its shape (`Kontext Edit`), so that whatever stands
    still has the same place in both. It is scaled to that (bicubic, antialiased), or every bit kept if it has it.

    Args:
        picture: float [H, W, 3] in 0..1, checked.
        area: pixels wanted, `ModelSettings.reference_area`.

    Returns:
        float32 [H', W', 3] in 0..1 on the CPU, H' and W' multiples of 16.
    """
    picture = picture.detach().to("cpu", torch.float32).clamp(0, 1)
    height, width = picture.shape[:2]
    wanted = whole_size(width, height, area)
    if wanted == (width, height):
        return picture.contiguous()
    planes = F.interpolate(picture.permute(2, 0, 1)[None], size=wanted[::-1], mode="bicubic", antialias=True)
    return planes.clamp(0, 1)[0].permute(1, 2, 0).contiguous()


def picture_key(picture: torch.Tensor) -> str:
    """A name for a picture's content: SHA-256 of its shape, dtype and values."""
    picture = picture.detach().to("cpu", torch.float32).contiguous()
    digest = hashlib.sha256(str(tuple(picture.shape)).encode())
    digest.update(picture.numpy().data)
    return digest.hexdigest()


def token_ids(rows: int, columns: int, index: int = 0, row: int = 0, column: int = 0) -> torch.Tensor:
    """Position ids of one picture's tokens.

    Args:
        rows, columns: the picture in tokens (16 pixels each).
        index: first id of every token: 0 for the picture being made, 1.. for references.
        row, column: where its top left token lies.

    Returns:
        float32 [rows * columns, 3]: (index, row, column) row by row.
    """
    ids = torch.zeros(rows, columns, 3)
    ids[..., 0] = index
    ids[..., 1] = torch.arange(row, row + rows)[:, None]
    ids[..., 2] = torch.arange(column, column + columns)[None, :]
    return ids.reshape(rows * columns, 3)


def reference_ids(sizes: Sequence[tuple[int, int]], method: str = "offset") -> list[torch.Tensor]:
    """Position ids of each reference's tokens. With one reference both methods agree with diffusers' pipeline.

    "index": reference i has the first id i + 1 and starts at row 0, column 0.
    "offset": all have the first id 1, as in training, and are laid out as one stitched picture: each new one goes to
    the right of what is there if, put below, it would reach further down than it would reach to the right; else below.
    This is the rule of ComfyUI's `reference_latents_method` of the same names (0.3.75, comfy/ldm/flux/model.py).

    Args:
        sizes: (rows, columns) of each reference in tokens.
        method: "offset" or "index".

    Returns:
        One float32 [rows * columns, 3] for each reference.
    """
    if method == "index":
        return [token_ids(rows, columns, index=i) for i, (rows, columns) in enumerate(sizes, 1)]
    ids = []
    height = width = 0  # of the stitched picture so far
    for rows, columns in sizes:
        if rows + height > columns + width:
            row, column = 0, width
        else:
            row, column = height, 0
        ids.append(token_ids(rows, columns, index=1, row=row, column=column))
        height, width = max(height, row + rows), max(width, column + columns)
    return ids

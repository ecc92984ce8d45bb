"""Where a result may go into a picture: a box, or what a panel's masks leave free. Outside, every pixel stays as it is.

A mask file becomes a `bool` tensor [height, width], True where it is white; how much of the result goes into each pixel
is a `float32` tensor [height, width], 0..1.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ...common import Box, InputError, Picture, open_beside
from ..story.models import REFERENCE, Panel, Story
from ..story.reading import EntryPath

PanelMasks = Mapping[str, torch.Tensor]  # "edit" and "keep", those that a panel has

_BOX_FEATHER = 0.08  # of the box's shorter side: how wide the result fades in at the box's edges
_MASK_FEATHER = 1 / 128  # of the picture's shorter side: how wide the result fades in at the edge of a mask
_MEANS = {"edit": "may change", "keep": "must stay"}  # what white says


def paste(picture: Picture, result: Picture, share: torch.Tensor) -> Picture:
    """The picture with as much of the result as `share` says (float32 [height, width], 0..1). Where that is 0, every
    pixel is the picture's, bit for bit. Both pictures have one size."""
    share = share.unsqueeze(-1)
    return torch.where(share > 0, torch.lerp(picture, result, share), picture)


def box_share(box: Box, width: int, height: int) -> torch.Tensor:
    """1 inside the box (in pixels), falling to those of its edges that lie inside the picture; 0 outside."""
    feather = max(1, round(_BOX_FEATHER * min(box.width, box.height)))

    def ramp(start: float, end: float, length: int) -> torch.Tensor:
        place = torch.arange(length, dtype=torch.float32)
        rising = (place - start + 1) / (feather + 1) if start > 0 else torch.ones_like(place)
        falling = (end - place) / (feather + 1) if end < length else torch.ones_like(place)
        return torch.minimum(rising, falling).clamp(0, 1)

    return ramp(box.top, box.bottom, height)[:, None] * ramp(box.left, box.right, width)[None, :]


def mask_share(masks: PanelMasks) -> torch.Tensor:
    """1 where the masks let a picture change, falling inwards to the edge of that area; 0 elsewhere. The border of the
    picture is no edge."""
    import cv2

    free = may_change(masks)
    if free.all():
        return torch.ones(free.shape)
    inwards = torch.from_numpy(cv2.distanceTransform(free.numpy().astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    # A small area is not all edge: its middle changes wholly.
    feather = min(max(1, round(_MASK_FEATHER * min(free.shape))), int(inwards.max()) - 1)
    return (inwards / (feather + 1)).clamp(0, 1)


def may_change(masks: PanelMasks) -> torch.Tensor:
    """bool [height, width]: inside the edit mask, or anywhere without one, and not inside the keep mask."""
    if "edit" not in masks:
        return ~masks["keep"]
    return masks["edit"] & ~masks["keep"] if "keep" in masks else masks["edit"]


def story_masks(story: Story, folder: str | Path, where: str) -> dict[str, dict[str, torch.Tensor]]:
    """Open the masks of each panel that has some, from the story's folder: by panel id, then "edit" and "keep".

    Half-way between black and white is black. Raises InputError (where = `where:line`) for a missing, unreadable or
    outside file, one with transparent parts, and one without any white.
    """
    return _opened(story, folder, where, lambda panel: {
        ("masks", field): (name, f"what {_MEANS[field]}") for field, name in mask_files(panel).items()})


def story_regions(story: Story, folder: str | Path, where: str) -> dict[str, dict[str, torch.Tensor]]:
    """Open the masks that say where characters are: by panel id, then character. As for story_masks."""
    return _opened(story, folder, where, lambda panel: {
        ("characters", name, "region"): (file, f"where {name} is") for name, file in region_files(panel).items()})


def _opened(story: Story, folder: str | Path, where: str,
            files_of: Callable[[Panel], Mapping[EntryPath, tuple[str, str]]]) -> dict[str, dict[str, torch.Tensor]]:
    """Masks by panel id and the second part of their path in the panel. `files_of`: path -> (file, what white says)."""
    home, opened, masks = Path(folder).resolve(), {}, {}
    for index, panel in enumerate(story.panels):
        for path, (name, says) in files_of(panel).items():
            line = story.line("panels", index, *path)
            place, entry = f"{where}:{line}" if line else where, f"panel '{panel.id}' {' '.join(map(str, path))}"
            if name not in opened:
                opened[name] = open_beside(home, name, place, entry, opaque=True).mean(dim=2) > 0.5
            if not opened[name].any():
                raise InputError(place, entry, name, f"has no white, which says {says}",
                                 "paint those parts white on black, or leave this mask out")
            masks.setdefault(panel.id, {})[str(path[1])] = opened[name]
    return masks


def mask_files(panel: Panel) -> dict[str, str]:
    """The files of a panel's masks by field."""
    return {field: name for field in _MEANS if panel.masks and (name := getattr(panel.masks, field)) is not None}


def region_files(panel: Panel) -> dict[str, str]:
    """The files of masks that say where a panel's characters are, by character."""
    return {name: region for name in panel.characters or ()
            if isinstance(region := panel.appearance(name).region, str)}


def panel_masks(panel: Panel, masks: PanelMasks | None, size: tuple[int, int], references: Sequence[Picture],
                in_passes: bool) -> PanelMasks:
    """A panel's masks, {} without; they fit the panel (`size` is its width and height), and so does the one reference
    it is made from. Raises InputError."""
    if not (named := mask_files(panel)):
        return {}
    where, files, (width, height) = f"panel '{panel.id}'", ", ".join(named.values()), size
    if masks is None:
        raise InputError(where, "masks", files, "are not opened", "give plan what story_masks opens")
    check_masks(panel, masks, width, height)
    if panel.from_ != REFERENCE:
        return masks
    if "from_" not in panel.model_fields_set:
        raise InputError(where, "masks", files, "keep pixels of a picture, and this panel is made anew",
                         "write `from:` with the panel that it changes, or `from: reference`")
    if len(references) != 1 or in_passes:
        raise InputError(where, "masks", files, "keep pixels of one picture, and this panel is made from "
                         + ("none in its first pass" if in_passes else f"{len(references)} references"),
                         "make it `from:` a panel, or put one character into it, without passes")
    if references[0].shape[:2] != (height, width):
        raise InputError(where, "masks", files, "keep pixels of the reference, which is "
                         f"{references[0].shape[1]}x{references[0].shape[0]}, and the panel is {width}x{height}",
                         "give the panel the size of the reference, or scale the reference")
    return masks


def check_masks(panel: Panel, masks: PanelMasks, width: int, height: int) -> None:
    """Raise InputError for masks of another size than the panel, and for masks that together let nothing change."""
    where, files = f"panel '{panel.id}'", mask_files(panel)
    for field, mask in masks.items():
        check_mask_size(mask, width, height, where, f"masks {field}", files[field])
    if not may_change(masks).any():
        raise InputError(where, "masks", ", ".join(files.values()), "let nothing change",
                         "paint less of keep white, or more of edit")


def check_mask_size(mask: torch.Tensor, width: int, height: int, where: str, field: str, file: str) -> None:
    """Raise InputError for a mask of another size than the panel."""
    if mask.shape != (height, width):
        raise InputError(where, field, file, f"is {mask.shape[1]}x{mask.shape[0]}, and the panel is {width}x{height}",
                         f"make the mask {width}x{height}, or give the panel its size")

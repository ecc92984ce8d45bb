"""A motion as a picture a person can read."""

from __future__ import annotations

import torch
from torch import Tensor

from ...common import InputError
from ..checks import WHERE, check_flow, check_picture

_ARROWS = 24  # along the longer side
_ARROW_COLOUR, _HALO = (255, 217, 26), (0, 0, 0)


def colour_wheel(flow: Tensor, longest: float = 0.0, where: str = WHERE) -> Tensor:
    """Direction as hue, length as saturation: the colours of Baker et al., "A Database and Evaluation Methodology for
    Optical Flow", IJCV 2011. White stands still.

    Args:
        flow: ``[H, W, 2]``, pixels.
        longest: the length, in pixels, that gets the full colour; 0 takes the longest in this flow.
        where: for messages.
    Returns:
        A picture, ``float32 [H, W, 3]`` in 0..1.
    Raises:
        InputError: no flow field, or a negative length.
    """
    from torchvision.utils import flow_to_image

    longest = _longest(flow, longest, where)
    shortened = flow * (longest / flow.norm(dim=2, keepdim=True).clamp_min(1e-6)).clamp_max(1)
    # flow_to_image takes the longest vector of what it is given as the scale: one more column holds it
    scale = torch.zeros(flow.shape[0], 1, 2)
    scale[..., 0] = longest
    image = flow_to_image(torch.cat([shortened.float(), scale], 1).permute(2, 0, 1))
    return image[:, :, :-1].permute(1, 2, 0).float() / 255


def arrows(flow: Tensor, picture: Tensor | None = None, longest: float = 0.0, where: str = WHERE) -> Tensor:
    """An arrow for every cell of a grid, from where its middle is to where it goes.

    Args:
        flow: ``[H, W, 2]``, pixels.
        picture: what to draw on, of the flow's size; grey if none.
        longest: as for ``colour_wheel``; drawn two cells long, or as it is if that is shorter.
        where: for messages.
    Returns:
        A picture, ``float32 [H, W, 3]`` in 0..1.
    Raises:
        InputError: no flow field, or a picture of another size.
    """
    import cv2

    longest = _longest(flow, longest, where)
    height, width = flow.shape[:2]
    if picture is None:
        picture = torch.full((height, width, 3), 0.5)
    check_picture(picture, where)
    if picture.shape[:2] != flow.shape[:2]:
        raise InputError(where, "picture", f"{picture.shape[1]}x{picture.shape[0]}",
                         f"is of another size than the motion, {width}x{height}", "connect the motion's first picture")
    canvas = (picture.clamp(0, 1) * 0.7 * 255).round().byte().contiguous().numpy()
    cell = max(8, round(max(height, width) / _ARROWS))
    scale = min(1.0, 2 * cell / longest)
    thick = max(1, cell // 16)
    for y in range(cell // 2, height, cell):
        for x in range(cell // 2, width, cell):
            around = flow[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 2)
            dx, dy = around.median(0).values.tolist()
            if dx * dx + dy * dy < 1:
                cv2.circle(canvas, (x, y), thick, _ARROW_COLOUR, -1, cv2.LINE_AA)
                continue
            end = round(x + dx * scale), round(y + dy * scale)
            for colour, more in ((_HALO, 2), (_ARROW_COLOUR, 0)):
                cv2.arrowedLine(canvas, (x, y), end, colour, thick + more, cv2.LINE_AA, tipLength=0.3)
    return torch.from_numpy(canvas).float() / 255


def _longest(flow: Tensor, longest: float, where: str) -> float:
    check_flow(flow, where)
    if not longest >= 0:
        raise InputError(where, "longest", f"{longest:g}", "is no length", "use 0 (the longest there is) or pixels")
    return longest or max(1.0, flow.norm(dim=2).max().item())

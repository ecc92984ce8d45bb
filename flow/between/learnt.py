"""Pictures in between by a learnt model from a weight file: RIFE or FILM. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...common import InputError
from ..checks import WHERE
from ..weights import read_tensors, refused
from .film import FilmNet, film_of, is_film
from .rife import IFNet, is_rife, rife_of


class InBetweenNetwork(Protocol):
    """A network for pictures ``[1, 3, H, W]`` in 0..1, both sides multiples of ``align``."""

    name: str
    align: int
    work_bytes: int  # memory a pixel needs while it works, about

    def prepare(self, a: Tensor, b: Tensor) -> Any:
        """What all times of a pair have in common."""
        ...

    def make(self, prepared: Any, t: float) -> Tensor:
        """The picture at ``t`` in 0..1, ``[1, 3, H, W]``."""
        ...


@dataclass(frozen=True)
class InBetweenModel:
    """Makes pictures in between by a network.

    Args:
        network: see ``InBetweenNetwork``; in eval mode, its weights in ``dtype``.
        device: called before each use with the bytes of memory the work needs, brings the network to the device that
            it names.
        dtype: of the network's inputs.
    """

    network: InBetweenNetwork
    device: Callable[[int], torch.device] = lambda work_bytes: torch.device("cpu")
    dtype: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        """What reports call it: "RIFE"."""
        return self.network.name

    def pair(self, a: Tensor, b: Tensor, where: str = WHERE) -> Callable[[float], Tensor]:
        """A function of the time in 0..1 that makes the picture ``float32 [H, W, 3]`` between ``a`` and ``b``.

        Args:
            a, b: pictures of one size, checked.
            where: for messages.
        Raises:
            InputError: from the function: a network that made no picture of their size, or NaN.
        """
        height, width = a.shape[:2]
        align = self.network.align
        more = (0, -width % align, 0, -height % align)
        work_bytes = self.network.work_bytes * (width + more[1]) * (height + more[3])
        prepared = None

        def at(t: float) -> Tensor:
            nonlocal prepared
            device = self.device(work_bytes)
            with torch.no_grad():
                if prepared is None:
                    images = torch.stack([a, b]).permute(0, 3, 1, 2).to(device, self.dtype)
                    prepared = self.network.prepare(*pad(images, more, "replicate").split(1))
                picture = self.network.make(prepared, t)[0, :, :height, :width]
            picture = picture.permute(1, 2, 0).float().cpu()
            if picture.shape != a.shape or not torch.isfinite(picture).all():
                wrong = "NaN or infinity" if picture.shape == a.shape else f"{list(picture.shape)}"
                raise InputError(where, "model", self.name, f"made {wrong} between pictures {list(a.shape)}",
                                 "use another file")
            return picture.clamp(0, 1).contiguous()
        return at


def load_in_between(path: Path, where: str = WHERE) -> FilmNet | IFNet:
    """RIFE 4.25 or later, or FILM, from a file, as float32 on the CPU.

    Args:
        path: ``.safetensors``, or a ``.pth``, ``.pt`` or ``.pkl`` of plain tensors (no code is run while reading it).
        where: for messages.
    Raises:
        InputError: a file that cannot be read, or holds neither.
    """
    state = read_tensors(path, "RIFE or FILM", where)
    if is_film(state):
        return film_of(state, path, where)
    if is_rife(state):
        return rife_of(state, path, where)
    raise refused(path, where, "holds neither RIFE nor FILM",
                  "use rife_v4.26.safetensors or film_net_fp16.safetensors")

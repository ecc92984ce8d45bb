"""Image encoders behind one interface: a crop becomes a unit vector, and like vectors mean like figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from ...common import InputError
from ..memory.offload import into_memory

_MAX_SIDE = 1024  # pixels; nobody's encoder looks at more
_HALF = (0.5, 0.5, 0.5)


class Encoder(Protocol):
    """`name` says in reports and records which encoder made a score."""

    name: str

    def embed(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pictures `float32 [H, W, 3]` in 0..1, of any sizes, to unit vectors `float32 [n, d]` on the CPU."""
        ...


class FolderEncoder:
    """A transformers image model on the CPU. Made by `load_encoder`."""

    def __init__(self, model: torch.nn.Module, name: str, side: int, mean: Sequence[float], std: Sequence[float]):
        self.name, self._model, self._side = name, model, side
        self._mean, self._std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))

    @torch.no_grad()
    def embed(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Encoder`. Pictures are brought to the model's square without regard to their shape."""
        planes = torch.stack([
            F.interpolate(picture.permute(2, 0, 1)[None], size=(self._side, self._side), mode="bilinear",
                          antialias=True)[0] for picture in pictures])
        result = self._model(pixel_values=(planes - self._mean) / self._std)
        vectors = getattr(result, "image_embeds", None)
        if vectors is None:
            vectors = result.pooler_output
        return F.normalize(vectors.float().flatten(1), dim=1)


class FaceEncoder:
    """A face embedding from an ONNX file of the ArcFace kind (AuraFace's glintr100.onnx, insightface's w600k_*.onnx),
    on the CPU through OpenCV: RGB squares of 112 pixels in -1..1 to one vector. Faces are not turned upright first,
    so tilted heads score lower.

    Raises InputError (where = `where`) if OpenCV cannot read the file, or it is no such network.
    """

    _SIDE = 112

    def __init__(self, path: str | Path, name: str, where: str):
        import cv2

        self.name = name
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
            shape = self._vector(torch.zeros(self._SIDE, self._SIDE, 3)).shape
        except cv2.error:
            shape = ()
        if len(shape) != 2 or shape[0] != 1:
            raise InputError(where, "encoder", name, "is no face embedding that OpenCV can use",
                             "use glintr100.onnx of AuraFace or another one of the ArcFace kind for 112x112 faces")

    def embed(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Encoder`."""
        return F.normalize(torch.cat([self._vector(picture) for picture in pictures]), dim=1)

    def _vector(self, picture: torch.Tensor) -> torch.Tensor:
        planes = F.interpolate(picture.permute(2, 0, 1)[None], size=(self._SIDE, self._SIDE), mode="bilinear",
                               antialias=True)
        self._net.setInput((planes * 2 - 1).numpy())
        return torch.from_numpy(self._net.forward().copy())


def load_encoder(folder: str | Path, name: str, where: str) -> FolderEncoder:
    """A transformers image model from a folder: CLIP (its vision half, projected), DINOv2, ResNet, ViT ...

    Args:
        folder: with `config.json`, safetensors weights and `preprocessor_config.json`.
        name: for reports and records.
        where: who asks, for error messages.
    Raises:
        InputError: no such model there, a model of something else than pictures, or weights that are not safetensors.
    """
    folder = Path(folder)
    config, prepare = (_read(folder / file, where) for file in ("config.json", "preprocessor_config.json"))
    if not list(folder.glob("*.safetensors")):
        raise InputError(where, "encoder", name, "has no .safetensors weights",
                         "download the model's safetensors files; pickled weights are not read")
    from transformers import AutoModel, CLIPVisionModelWithProjection

    is_clip = config.get("model_type") in ("clip", "clip_vision_model")
    loader: Any = CLIPVisionModelWithProjection if is_clip else AutoModel  # its type knows no output_loading_info
    try:
        model, report = loader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True)
    except Exception as error:  # transformers raises nearly anything on a folder that is not what it says
        raise InputError(where, "encoder", name, f"cannot be loaded ({' '.join(str(error).split())[:160]})",
                         "use a transformers folder of CLIP, DINOv2, ResNet or another image model") from None
    if absent := [*report["missing_keys"], *report["mismatched_keys"]]:  # transformers would make them up
        raise InputError(where, "encoder", name, f"lacks weights ({str(sorted(map(str, absent))[0])[:80]})",
                         "use the whole model, not one with another head")
    if model.main_input_name != "pixel_values":
        raise InputError(where, "encoder", name, "is no model of pictures", "use CLIP, DINOv2 or ResNet")
    size = prepare.get("crop_size") or prepare.get("size") or 224
    side = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge")
    if not isinstance(side, int) or not 16 <= side <= _MAX_SIDE:
        raise InputError(where, "encoder", name, f"its preprocessor_config.json wants pictures of {size}",
                         f"use a model for squares of 16 to {_MAX_SIDE} pixels")
    mean, std = (tuple(prepare.get(key) or _HALF) for key in ("image_mean", "image_std"))
    model = into_memory(model.float())  # the argument for it is called dtype in transformers 5, torch_dtype in 4
    return FolderEncoder(model.eval().requires_grad_(False), name, side, mean, std)


def _read(path: Path, where: str) -> dict:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        read = None
    if not isinstance(read, dict):
        raise InputError(where, "encoder", path.parent.name, f"has no readable {path.name}",
                         "use a complete transformers folder of an image model")
    return read

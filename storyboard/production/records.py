"""Panels on disk: a PNG with the record of how it was made, written so that no half-written file carries its name."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL.PngImagePlugin import PngInfo

from ...common import Picture, complete_file, to_bytes, to_image
from ...kontext import EditRequest
from ..plan.jobs import PanelJob, SeriesJob
from .results import PanelResult, SeriesResult

RECORD_FORMAT = 1
RECORD_KEY = "kontinuity"


def record(result: PanelResult, model_name: str) -> dict[str, Any]:
    """What must be known to make a panel again, ready for JSON: the record of its job, and where there were candidates,
    each in `candidates` with its seed, its score and who scored, and in `candidate` the number of the one kept."""
    entry = job_record(result.job, model_name)
    if result.chosen.number or any(candidate.score for candidate in result.tried):
        entry["candidate"] = result.chosen.number
        entry["candidates"] = [candidate.as_json() for candidate in result.tried]
    return entry


def job_record(job: PanelJob, model_name: str) -> dict[str, Any]:
    """What must be known to make one picture again, ready for JSON. `references` are the SHA-256 of the pixels.

    Panels that are made from another one say which (`from`), those with several references how they were combined
    (`together`), those in several passes each of them (`passes`), and those with masks the SHA-256 of each in black and
    white (`masks`). Where some reference is not as strong as usual each has its strength, with the part of the steps in
    which that counts (`strengths`), and `regions` says who is where and what is said there.
    """
    request = job.request
    entry = {
        "format": RECORD_FORMAT,
        "panel": job.panel_id,
        "number": job.number,
        **_sampling(request),
        "size": [request.width, request.height],
        "steps": request.steps,
        "guidance": request.guidance,
        "characters": list(job.characters),
        "reference_method": request.reference_method,
        "model": model_name,
    }
    if job.source:
        entry["from"] = job.source
    if job.combine:
        entry["together"] = job.combine
    if job.combine == "passes":
        entry["passes"] = [{"character": pass_.character, **_sampling(pass_.request),
                            "box": pass_.box and list(pass_.box)} for pass_ in job.passes]
    if job.masks:
        entry["masks"] = {field: _mask_hash(mask) for field, mask in job.masks.items()}
    if request.regions:
        entry["regions"] = {"alone": request.regions.alone, "regions": [
            {"area": _mask_hash(region.area) if isinstance(region.area, torch.Tensor) else list(region.area),
             "phrase": region.phrase, "references": list(region.references)} for region in request.regions.regions]}
    return entry


def _mask_hash(mask: torch.Tensor) -> str:
    return picture_hash(mask[..., None].expand(-1, -1, 3))


def series_records(result: SeriesResult, model_name: str, scored: bool) -> list[dict[str, Any]]:
    """What must be known to make each picture of a series again, ready for JSON, and how it came about if it was made
    now. `scored`: whether there was a scorer."""
    made = [{"origin": frame.origin, "said": frame.said} for frame in result.frames] or [{}] * result.job.frames
    return [{**frame_record(result.job, result.ends, number, model_name, scored), **how}
            for number, how in enumerate(made)]


def frame_record(job: SeriesJob, ends: tuple[Picture, Picture], number: int, model_name: str,
                 scored: bool) -> dict[str, Any]:
    """What decides how picture `number` (from 0) of a series comes out, ready for JSON."""
    return {
        "format": RECORD_FORMAT,
        "panel": job.panel_id,
        "number": job.number,
        "frame": number,
        "frames": job.frames,
        "start_frame": picture_hash(ends[0]),
        "end_frame": picture_hash(ends[1]),
        "prompts": list(job.prompts),
        "seed": job.seed,
        "candidates_each": job.candidates,
        "scored": scored,
        "size": [ends[0].shape[1], ends[0].shape[0]],
        "steps": job.sampling.steps,
        "guidance": job.sampling.guidance,
        "characters": list(job.characters),
        "model": model_name,
    }


def _sampling(request: EditRequest) -> dict[str, Any]:
    entry: dict[str, Any] = {"prompt": request.prompt, "seed": request.seed,
                             "references": [picture_hash(picture) for picture in request.references]}
    if request.strengths:
        entry["strengths"] = [[strength.value, strength.start, strength.end] for strength in request.strengths]
    return entry


def picture_hash(picture: Picture) -> str:
    """SHA-256 of a picture's size and 8-bit pixels, in hexadecimal."""
    pixels = to_bytes(picture)
    return hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}\0".encode() + pixels.tobytes()).hexdigest()


def save_panel(path: str | Path, picture: Picture, record: Mapping[str, Any], extra: Mapping[str, str]) -> None:
    """Write a picture as PNG with its record (text chunk "kontinuity", JSON) and `extra` text chunks.

    The file appears under its name only when it is complete, and replaces an older one. Folders are made. Raises
    ValueError for a name that does not end in .png and an `extra` key that PNG does not allow, OSError for a full disk.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"a panel is saved as .png, not as '{path.name}'")
    chunks = PngInfo()
    chunks.add_text(RECORD_KEY, json.dumps(record))
    for key, text in extra.items():
        if key == RECORD_KEY or not 1 <= len(key.encode("latin-1", "replace")) <= 79:
            raise ValueError(f"'{key}' cannot be the key of an extra text chunk")
        chunks.add_text(key, text)
    with complete_file(path) as file:
        to_image(picture).save(file, "PNG", pnginfo=chunks)

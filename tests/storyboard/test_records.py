"""Saved panels: complete or absent, and carrying how they were made."""

import json
import os

import numpy as np
import pytest
import torch
from kontinuity.common import open_picture
from kontinuity.storyboard import Board, Sampling, job_record, parse_story, plan_panels, save_panel
from PIL import Image

PICTURE = torch.rand(16, 24, 3, generator=torch.Generator().manual_seed(0))
RECORD = {"format": 1, "panel": "beach", "prompt": "Füße 😀", "seed": 2**64 - 1}


def test_pixels_and_text(tmp_path):
    path = tmp_path / "new" / "folder" / "beach.png"
    workflow = json.dumps({"nodes": [{"title": "Füße"}]}, ensure_ascii=False)
    save_panel(path, PICTURE, RECORD, {"prompt": "{}", "workflow": workflow})
    with Image.open(path) as image:
        image.load()
        assert image.mode == "RGB" and image.size == (24, 16)
        assert json.loads(image.text["kontinuity"]) == RECORD
        assert image.text["prompt"] == "{}" and image.text["workflow"] == workflow
    assert b"tEXtkontinuity\0" in path.read_bytes()
    assert (open_picture(path, "x", "y") - PICTURE).abs().max() <= 0.5 / 255 + 1e-6
    assert os.listdir(path.parent) == ["beach.png"]


def test_replaces_and_has_ordinary_permissions(tmp_path):
    path, other = tmp_path / "a.png", tmp_path / "other"
    path.write_bytes(b"old")
    save_panel(path, PICTURE, RECORD, {})
    other.touch()
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("before", [None, b"the panel of yesterday"])
@pytest.mark.parametrize("when", ["while writing", "before the rename"])
def test_a_crash_leaves_no_half_file(tmp_path, monkeypatch, before, when):
    path = tmp_path / "a.png"
    if before:
        path.write_bytes(before)

    def crash(*arguments, **options):
        raise OSError(28, "No space left on device")

    def half(self, file, *arguments, **options):
        file.write(b"\x89PNG half")
        crash()

    if when == "while writing":
        monkeypatch.setattr(Image.Image, "save", half)
    else:
        monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="No space"):
        save_panel(path, PICTURE, RECORD, {})
    assert os.listdir(tmp_path) == (["a.png"] if before else [])
    assert not before or path.read_bytes() == before


def test_a_reader_never_sees_a_half_file(tmp_path, monkeypatch):
    """At the moment of writing, a folder listing for *.png shows nothing."""
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append([list(tmp_path.glob("*.png")), open_picture(source, "x", "y").shape])
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    save_panel(tmp_path / "a.png", PICTURE, RECORD, {})
    assert seen == [[[], (16, 24, 3)]]


def test_refuses(tmp_path):
    for arguments, words in (
            ((tmp_path / "a.jpg", PICTURE, RECORD, {}), "saved as .png"),
            ((tmp_path / "a.png", PICTURE, RECORD, {"kontinuity": "x"}), "cannot be the key"),
            ((tmp_path / "a.png", PICTURE, RECORD, {"": "x"}), "cannot be the key"),
            ((tmp_path / "a.png", PICTURE, RECORD, {"k" * 80: "x"}), "cannot be the key"),
            ((tmp_path / "a.png", PICTURE[None], RECORD, {}), "a picture is")):
        with pytest.raises(ValueError, match=words):
            save_panel(*arguments)
    assert os.listdir(tmp_path) == []


def test_the_record_of_a_job_is_json(tmp_path, model):
    story = parse_story("version: 1\ncharacters: {mia: {}}\npanels: [{id: a, prompt: x}]")
    job = plan_panels(Board(story, {"mia": PICTURE}), model, Sampling())[0]
    save_panel(tmp_path / "a.png", model.edit(job.request), job_record(job, model.name), {})
    with Image.open(tmp_path / "a.png") as image:
        assert json.loads(image.text["kontinuity"]) == job_record(job, model.name)
        assert np.asarray(image).shape == (48, 64, 3)

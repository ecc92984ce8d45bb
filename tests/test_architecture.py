"""docs/architecture.md against the code: its paths exist, and its walks are those that the code takes."""

import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import tiny_files as files
import torch

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MOST_FILES = 17  # of a walk
STORY = "version: 1\nseed: 7\ncharacters: {mia: }\npanels:\n- {id: a, prompt: she waves}\n"


def steps_of(title: str) -> list[str]:
    """The files of a walk, in its order."""
    text = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^\d+\. `([\w/]+\.py)`", text, re.MULTILINE)


def files_entered(run: Callable[[], object]) -> list[str]:
    """The pack's files in the order in which functions of theirs are called while `run` runs."""
    entered: list[str] = []

    def look(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(f"{ROOT}/") \
                and "/.venv/" not in code.co_filename:
            entered.append(Path(code.co_filename).relative_to(ROOT).as_posix())

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return entered


def first_not_reached(steps: list[str], entered: list[str]) -> str | None:
    """The first step that is not entered after those before it; those of nodes/ need ComfyUI and are passed over."""
    calls = iter(entered)
    return next((step for step in steps if not step.startswith("nodes/") and step not in calls), None)


@pytest.fixture
def take_panel(tiny_model_folder, tmp_path):
    from kontinuity.kontext import load_folder
    from kontinuity.storyboard import Board, Sampling, make_storyboard, parse_story, save_panel

    class Nobody:
        def begin(self, steps): pass
        def step(self, preview): pass
        def end(self): pass

    class Folder:
        def claim(self): pass
        def earlier(self): return {}

        def save(self, panel_id, picture, record):
            save_panel(tmp_path / f"{panel_id}.png", picture, record, {})
            return tmp_path / f"{panel_id}.png"

    model = load_folder(tiny_model_folder)
    board = Board(parse_story(STORY + "size: [64, 64]\n"), {"mia": torch.rand(64, 64, 3)})
    return lambda: make_storyboard(board, model, Sampling(steps=1), Nobody(), Folder())


@pytest.fixture
def take_weight(tiny_model_folder, tmp_path):
    from kontinuity.kontext import EditRequest, Limited, load_parts

    tiny = files.build()
    path = tmp_path / "kontext.safetensors"
    files.save_all_in_one(path, tiny, files.scaled("scaled_fp8"))

    def load_and_edit():
        model = load_parts(path, tokenizers=(tiny_model_folder / "tokenizer", tiny_model_folder / "tokenizer_2"))
        model.backend.placement = Limited(model.components, "cpu", 1 << 30)
        model.edit(EditRequest("she waves", (), 64, 64, 1, steps=1))
    return load_and_edit


@pytest.fixture
def take_frame():
    from kontinuity.flow import pictures_at

    colours = torch.rand(8, 12, 3, generator=torch.Generator().manual_seed(0))
    wide = colours.repeat_interleave(8, 0).repeat_interleave(8, 1)
    pictures = [wide[:, :64], wide[:, 4:68]]
    return lambda: list(pictures_at(pictures, [Fraction(0), Fraction(1, 2), Fraction(1)]))


@pytest.mark.parametrize(("title", "run"), [
    ("A panel, from its prompt to its pixels", "take_panel"), ("A weight, from a file to the card", "take_weight"),
    ("A picture in between", "take_frame")])
def test_a_walk_is_the_one_that_code_takes(title, run, request):
    steps, take = steps_of(title), request.getfixturevalue(run)
    assert 5 < len(steps) <= MOST_FILES and len(steps) == len(set(steps))
    entered = files_entered(take)
    assert (missed := first_not_reached(steps, entered)) is None, f"{missed} in {list(dict.fromkeys(entered))}"


def test_a_wrong_walk_is_noticed():
    assert first_not_reached(["nodes/a.py", "b.py", "c.py"], ["b.py", "a.py", "c.py"]) is None
    assert first_not_reached(["c.py", "b.py"], ["b.py", "c.py"]) == "b.py"


def test_every_path_it_names_is_there():
    paths = re.findall(r"`([\w/]+(?:\.py|\.md|/))`", PAGE)
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_it_is_short_and_every_room_is_in_it():
    assert len(PAGE.splitlines()) <= 120
    tops = ("common", "kontext", "flow", "storyboard", "publish", "batch")
    rooms = {path.parent.relative_to(ROOT).parts for top in tops for path in (ROOT / top).glob("**/__init__.py")}
    assert [parts for parts in rooms if len(parts) <= 2 and f"`{parts[-1]}" not in PAGE] == []

"""docs/architecture.md against the code: its paths exist, its walks are those that code really takes."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MOST_FILES = 17  # of a walk: half of what the walk of a panel took before the house was rebuilt


def walk(title: str) -> list[str]:
    """The files of a walk, in order."""
    text = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^\d+\. `([\w/]+\.py)`", text, re.MULTILINE)


def files_entered(run: Callable[[], object]) -> list[str]:
    """The pack's files in the order in which their functions are first called while `run` runs."""
    entered: dict[str, None] = {}

    def look(frame, event, _):
        name = frame.f_code.co_filename
        ours = name.startswith(f"{ROOT}/") and "/.venv/" not in name
        if event == "call" and ours and frame.f_code.co_name != "<module>":
            entered[Path(name).relative_to(ROOT).as_posix()] = None

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(entered)


def is_taken(steps: list[str], entered: list[str]) -> None:
    """The steps of a walk below the nodes are entered, in this order, and it begins and ends where it says."""
    places = [entered.index(step) if step in entered else f"{step} is not entered" for step in steps
              if not step.startswith("nodes/")]
    assert places == sorted(places, key=str) if any(isinstance(p, str) for p in places) else places == sorted(places), \
        (places, entered)
    assert 3 < len(steps) <= MOST_FILES


def test_every_path_it_names_is_there():
    paths = re.findall(r"`([\w/]+(?:\.\w+|/))`", PAGE)
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_it_is_short_and_every_room_is_in_it():
    assert len(PAGE.splitlines()) <= 110
    packages = {path.parent.relative_to(ROOT).parts for path in ROOT.glob("*/**/__init__.py")
                if path.relative_to(ROOT).parts[0] in ("common", "kontext", "flow", "storyboard", "publish", "batch")}
    missing = [parts for parts in packages if len(parts) <= 2 and f"`{parts[-1]}" not in PAGE]
    assert missing == []

"""dev.py environments: what is compared, what counts as a fault, and the page."""

import json

import pytest

import dev_environments as environments
from dev import Failure

FINE = {"changed": {}, "added": {"opencv-python-headless": "5.0"}, "import_transformers": True, "new_complaints": []}


def row(**changes) -> dict:
    return {"name": "a", "when": "today", "date": "2026-11-28", "needed": True, "versions": {"torch": "2"},
            "readme": FINE, "lines": FINE, "demo": {"pictures": 5, "largest_difference": 0},
            "tests": "5 passed in 1s"} | changes


def unmet(*rows: dict) -> list[str]:
    return [goal["name"] for goal in environments.goals_of(list(rows)) if not goal["met"]]


def test_nothing_moved_is_a_goal_met():
    assert unmet(row()) == []


@pytest.mark.parametrize("changes, name", [
    ({"readme": FINE | {"changed": {"numpy": ["1.26.4", "2.4.6"]}}}, "installed as the README says: packages"),
    ({"lines": FINE | {"changed": {"numpy": ["1", None]}}},
     "installed each line of requirements.txt by itself: packages"),
    ({"readme": FINE | {"import_transformers": False}}, "installed as the README says: import transformers"),
    ({"lines": FINE | {"new_complaints": ["x has requirement y"]}},
     "installed each line of requirements.txt by itself: pip check"),
    ({"demo": {"error": "ComfyUI stopped"}}, "demo storyboard"),
    ({"demo": {"pictures": 5, "largest_difference": environments.TOLERANCE + 1}}, "demo storyboard"),
    ({"tests": "1 failed, 4 passed in 1s"}, "tests"), ({"tests": "2 errors in 1s"}, "tests"),
    ({"tests": "no tests ran in 0.1s"}, "tests")])
def test_a_fault_is_a_goal_unmet(changes, name):
    assert unmet(row(), row(**changes)) == [name]


def test_what_is_only_to_be_seen_is_no_goal():
    assert unmet(row(needed=False, lines=FINE | {"changed": {"numpy": ["1.26.4", "2.4.6"]}})) == []


def test_the_page_says_what_moved(tmp_path):
    moved = FINE | {"changed": {"numpy": ["1.26.4", "2.4.6"]}, "import_transformers": False}
    results = {"rows": [row(lines=moved)], "goals": []}
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    page = tmp_path / "docs" / "environments.md"
    page.write_text("Before.\n<!-- made by dev.py environments -->\nold\n<!-- end -->\nAfter.\n", "utf-8")
    environments.write(results, tmp_path)
    text = page.read_text("utf-8")
    assert text.startswith("Before.\n") and text.endswith("<!-- end -->\nAfter.\n") and "old" not in text
    assert "numpy 1.26.4 → 2.4.6; **transformers cannot be imported**" in text
    assert "added: opencv-python-headless 5.0" in text and "| 2026-11-28 |" in text


def test_a_run_of_some_keeps_the_rows_of_the_others(tmp_path):
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    earlier = [row(name="newest"), row(name="lowest", date="2026-10-01"), row(name="no longer there")]
    (tmp_path / "benchmarks" / "results" / "environments.json").write_text(json.dumps({"rows": earlier}), "utf-8")
    results = environments.with_earlier({"rows": [row(name="newest", tests="1 failed")], "goals": []}, tmp_path)
    assert [(r["name"], r["date"]) for r in results["rows"]] == [("newest", "2026-11-28"), ("lowest", "2026-10-01")]
    assert [goal["name"] for goal in results["goals"] if not goal["met"]] == ["tests"]


def test_an_unknown_environment_is_refused_before_anything_is_made():
    with pytest.raises(Failure, match="no environment 'oldest'; there are: transformers-4.50"):
        environments.run_all(None, ["oldest"], tests=False)


@pytest.mark.parametrize("name, shared", [
    ("torch", True), ("torch-2.11.0.dist-info", True), ("torchvision.libs", True),
    ("nvidia_cublas-13.1.dist-info", True), ("triton", True), ("cuda", True), ("torchsde", False),
    ("torchsde-0.2.6.dist-info", False), ("numpy", False)])
def test_what_is_shared_is_torch_and_what_comes_with_it(name, shared):
    assert bool(environments._SHARED.match(name)) == shared


@pytest.mark.parametrize("block, apart", [
    ("torch==2.11.0 \\", True), ("nvidia-cublas==13.1 ; sys_platform == 'linux' \\", True),
    ("torchsde==0.2.6 \\", False), ("numpy==2.4.6 \\", False), ("triton==3.6.0 \\", True),
    ("cuda-bindings==13.5 \\", True)])
def test_the_lock_leaves_torch_and_what_comes_with_it_out(block, apart):
    assert bool(environments._APART.match(block)) == apart

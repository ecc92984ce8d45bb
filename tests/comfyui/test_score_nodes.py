"""Scorers, candidates and re-rolls in a real server."""

import json
from pathlib import Path

from PIL import Image

STORY = """\
version: 1
seed: 7
characters: {mia: {}}
panels:
  - {id: beach, prompt: Change the background to a beach, candidates: 3}
  - {id: forest, prompt: Change the background to a forest}
"""


def records(server, graph: dict) -> dict[str, dict]:
    """Panel id -> record of the last picture a board saved of it."""
    folder = server.base / "output" / Path(graph["6"]["inputs"]["filename_prefix"]).parent
    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            entry = json.loads(image.info["kontinuity"])
            found[entry["panel"]] = entry
    return found


def with_scorer(graph: dict, **inputs) -> dict:
    """The board with a scorer, its report, and a picker of the beach's candidates."""
    graph["6"]["inputs"]["scorer"] = ["20", 0]
    graph["20"] = {"class_type": "Kontinuity_LoadScorer",
                   "inputs": {"encoder": "drawn world (built in)", "finder": "the encoder's own", **inputs}}
    graph["21"] = {"class_type": "Kontinuity_ScorePanels",
                   "inputs": {"pictures": ["6", 0], "ids": ["6", 1], "story": ["5", 0], "scorer": ["20", 0]}}
    graph["22"] = {"class_type": "Kontinuity_PickCandidate",
                   "inputs": {"pictures": ["6", 2], "scores": ["6", 3], "index": -1}}
    return graph


def test_the_best_candidate_is_kept_and_everything_says_who_scored(server, run, board):
    graph = with_scorer(board(text=STORY))
    result, _ = run(graph)
    assert result.status == "success", result.error
    made = records(server, graph)
    tried = made["beach"]["candidates"]
    assert [one["number"] for one in tried] == [0, 1, 2] and len({one["seed"] for one in tried}) == 3
    assert {one["encoder"] for one in tried} == {"drawn world"}
    best = max(tried, key=lambda one: one["score"])
    assert made["beach"]["candidate"] == best["number"] and made["beach"]["seed"] == best["seed"]
    assert len(made["forest"]["candidates"]) == 1
    report = result.outputs["21"]["text"][0]
    assert report.startswith("beach: ") and "\nforest: " in report and "by drawn world" in report
    assert "kept" in result.outputs["6"]["text"][0]
    assert len(result.outputs["22"]["images"]) == 1  # the sheet


def test_a_reroll_of_one_panel_and_candidates_without_a_scorer(server, run, board):
    graph = board(text=STORY, panels="beach", reroll=1)
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert len(result.outputs["6"]["images"]) == 1
    assert "need a scorer" in result.outputs["6"]["text"][0]
    again = records(server, graph)["beach"]
    graph["6"]["inputs"]["reroll"] = 0
    run(graph)
    assert again["candidate"] == 1 and again["seed"] != records(server, graph)["beach"]["seed"]


def test_a_scorer_that_is_not_there_is_said_before_sampling(server, run, board):
    graph = with_scorer(board(text=STORY), encoder="the clip_vision input")
    result, _ = run(graph)
    assert result.status != "success" and "Load CLIP Vision" in result.error
    assert not records(server, graph)

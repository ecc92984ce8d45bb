"""The layers of the tests: which one a test is in, how long each may take, and which tests share a process.

A test's layer is its folder's, or the one that it is marked with. A layer over its budget is said loudly at the end of
a run; it fails nothing.
"""

from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
# Seconds of a whole run on two cores, over all processes: about a quarter more than on 2026-11-28 (470, 230, 236, 170).
BUDGETS = {
    "unit": 600,  # no ComfyUI, no network, nothing but a CPU
    "slow": 290,  # unit tests that take longer than ten seconds each
    "host": 300,  # the real ComfyUI
    "browser": 220,  # the real ComfyUI in a Chromium
    "gpu": 60,  # CUDA; skipped without it
}
FOLDERS = {"comfyui": "host"}  # all others are "unit"


def layer_of(item: pytest.Item) -> str:
    """The layer of a test.

    Raises:
        pytest.UsageError: it is marked with two.
    """
    marked = [name for name in BUDGETS if item.get_closest_marker(name)]
    if len(marked) > 1:
        raise pytest.UsageError(f"{item.nodeid} is marked as {' and '.join(marked)}; one layer is enough")
    inside = item.path.relative_to(TESTS).parts if TESTS in item.path.parents else ("",)
    return marked[0] if marked else FOLDERS.get(inside[0], "unit")


def process_of(nodeid: str) -> str:
    """Tests with the same value run in one process: all that share ComfyUI's server, else those of one file."""
    path = nodeid.split("::")[0]
    return next((folder for folder in FOLDERS if f"/{folder}/" in f"/{path}"), path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test with its layer; among several processes, those of ComfyUI come first, since they take longest."""
    for item in items:
        layer = layer_of(item)
        item.add_marker(layer)
        if layer == "gpu" and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA"))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: process_of(item.nodeid) not in FOLDERS)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Hand pytest-xdist's workers all tests of one `process_of` together, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByProcess(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return process_of(nodeid)

    config.option.loadscopereorder = False
    return ByProcess(config, log)


def pytest_terminal_summary(terminalreporter) -> None:
    """A line for each layer: its tests, their seconds (setup and teardown too), its budget."""
    tests, seconds = Counter(), Counter()
    everything = (entry for entries in terminalreporter.stats.values() for entry in entries)
    for report in (entry for entry in everything if hasattr(entry, "duration")):  # others are deselected items
        layer = next((name for name in BUDGETS if name in getattr(report, "keywords", ())), None)
        if layer:
            seconds[layer] += report.duration
            tests[layer] += report.when == "setup"
    if not tests:
        return
    terminalreporter.section("layers")
    terminalreporter.write_line(f"{'layer':9}{'tests':>7}{'seconds':>9}{'budget':>8}")
    for layer, budget in BUDGETS.items():
        if tests[layer]:
            line = f"{layer:9}{tests[layer]:7}{seconds[layer]:9.1f}{budget:8}"
            over = seconds[layer] > budget
            terminalreporter.write_line(line + "  OVER ITS BUDGET" * over, red=over, bold=over)

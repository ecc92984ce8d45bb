"""Which layer a test is in, which tests share a process, and what is said at the end of a run."""

from collections import defaultdict
from types import SimpleNamespace

import layers
import pytest


def item(path: str, *marks: str):
    return SimpleNamespace(path=layers.TESTS / path, nodeid=f"tests/{path}::test_a",
                           get_closest_marker=lambda name: name if name in marks else None)


@pytest.mark.parametrize(("path", "marks", "layer"), [
    ("flow/test_a.py", (), "unit"), ("test_a.py", (), "unit"), ("comfyui/test_a.py", (), "host"),
    ("comfyui/test_a.py", ("browser",), "browser"), ("kontext/test_a.py", ("slow",), "slow"),
    ("kontext/comfyui.py", ("gpu",), "gpu"),
])
def test_a_layer_is_the_folders_or_the_marked_one(path, marks, layer):
    assert layers.layer_of(item(path, *marks)) == layer


def test_two_layers_are_refused():
    with pytest.raises(pytest.UsageError, match="marked as host and gpu"):
        layers.layer_of(item("flow/test_a.py", "gpu", "host"))


def test_every_test_of_this_run_is_in_one_layer(request):
    for test in request.session.items:
        assert sum(bool(test.get_closest_marker(name)) for name in layers.BUDGETS) == 1, test.nodeid


def test_comfyuis_tests_share_a_process_and_each_other_file_has_its_own():
    assert layers.process_of("tests/comfyui/test_a.py::test_b[x]") == layers.process_of("comfyui/test_c.py::test_d")
    assert layers.process_of("tests/flow/test_a.py::test_b") == "tests/flow/test_a.py"
    assert layers.process_of("tests/kontext/test_comfyui.py::test_b") == "tests/kontext/test_comfyui.py"


def test_a_layer_over_its_budget_is_said_loudly():
    lines, stats = [], defaultdict(list)
    for layer, seconds in (("unit", 1.5), ("host", layers.BUDGETS["host"] + 1)):
        for when in ("setup", "call"):
            stats["passed"].append(SimpleNamespace(keywords={layer: 1}, when=when, duration=seconds / 2))
    layers.pytest_terminal_summary(SimpleNamespace(
        stats=stats, section=lambda title: None, write_line=lambda line, **colours: lines.append((line, colours))))
    (_, _), (unit, calm), (host, loud) = lines
    assert unit.split()[:3] == ["unit", "1", "1.5"] and not any(calm.values())
    assert host.endswith("OVER ITS BUDGET") and loud["red"]

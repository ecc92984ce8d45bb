"""What ComfyUI says, also where other servers say it otherwise."""

import json

import pytest
from kontinuity.batch.answers import Event, RunResult, event_of, node_errors, queued_ids, run_result

OUTPUTS = {"7": {"images": [{"filename": "beach.png", "subfolder": "story", "type": "output"}]}}
WORKFLOW = {"3": {"class_type": "Paint", "inputs": {"seed": 1}}, "7": {"class_type": "Save", "inputs": {}}}


@pytest.mark.parametrize("status", [
    None, "done", 7, {}, {"messages": 7}, {"messages": None}, {"messages": [["execution_cached", {"nodes": None}]]},
    {"status_str": "success", "messages": [None, [], 3, ["execution_success"], ["execution_cached", None]]}])
def test_success_without_the_usual_status(status):
    assert run_result("p1", {"outputs": OUTPUTS, "status": status}) == RunResult("p1", "success", OUTPUTS)


@pytest.mark.parametrize("outputs", [None, [], "none"])
def test_no_outputs(outputs):
    assert run_result("p1", {"outputs": outputs}) == RunResult("p1", "success")


def test_nodes_from_the_cache():
    entry = {"outputs": OUTPUTS, "status": {"messages": [["execution_cached", {"nodes": ["3", 7]}]]}}
    assert run_result("p1", entry).cached == {"3", "7"}


@pytest.mark.parametrize("messages", [[["execution_error"]], [["execution_error", None]], [], None])
def test_failures_without_the_usual_message(messages):
    result = run_result("p1", {"outputs": OUTPUTS, "status": {"status_str": "error", "messages": messages}})
    assert result == RunResult("p1", "error", OUTPUTS, ("failed without a message; look at ComfyUI's log",))


def test_refusals_without_the_usual_errors():
    odd = {"3": None, "7": {"errors": [None, 4]}, "9": {"class_type": "Draw", "errors": "no"}}
    assert node_errors(odd, WORKFLOW) == (
        "node 3 (Paint): refused without a reason", "node 7 (Save): refused without a reason", "node 7 (Save): 4",
        "node 9 (Draw): refused without a reason")
    assert node_errors(None, WORKFLOW) == node_errors([], WORKFLOW) == ()


@pytest.mark.parametrize(("data", "event"), [
    ({"node": "3", "value": 1, "max": 2}, ("3", 1, 2)), ({"value": "3", "max": None}, (None, 0, 0)),
    ({"value": float("nan"), "max": 2, "node": ["7"]}, (None, 0, 2)), ({"node": {"x": 1}}, (None, 0, 0)),
    ({"node": 7}, ("7", 0, 0)), ({"node_id": "7"}, ("7", 0, 0))])
def test_messages(data, event):
    data = data | {"prompt_id": "p1"}
    found = event_of(json.dumps({"type": "progress", "data": data}), "p1")
    assert (found.kind, found.node, found.value, found.max) == ("progress", *event)
    assert event_of(json.dumps({"type": "progress", "data": data}), "p2") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", '{"type": "status"}', '{"type": "progress", "data": null}',
                                  '{"type": "progress", "data": [1]}', "[" * 100_000])
def test_no_messages(text):
    assert event_of(text, "p1") is None


def test_what_ends_a_run():
    assert [Event("executing", data={"node": node}).ends_run for node in (None, "3", {"x": 1})] == [True, False, False]
    assert Event("execution_success").ends_run and not Event("executed").ends_run


def test_queues():
    assert queued_ids([[2, "p1", {}], [1.5, 7], ["x", "p2"]]) == {"p1": 2, "7": 1.5, "p2": 0}
    assert queued_ids(None) == queued_ids(3) == queued_ids({}) == queued_ids([["x"], None, 1, []]) == {}

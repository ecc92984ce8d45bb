"""The queue client against a server that does what ComfyUI 0.3.75 does, at its worst."""

import asyncio
import time

import pytest
from kontinuity.batch.client import QueueClient, RunResult
from kontinuity.common import InputError
from scripted_run import OUTPUTS, WORKFLOW, normal_run, play


def test_a_normal_run(comfyui):
    result, events = play(comfyui, normal_run)
    assert result == RunResult("p1", "success", OUTPUTS) and result.error == ""
    assert comfyui.posted[0]["prompt"] == WORKFLOW and comfyui.posted[0]["prompt_id"] == "p1"
    assert comfyui.posted[0]["client_id"]  # else cached nodes have no outputs
    kinds = [event.kind for event in events]
    assert kinds[0] == "queued" and "waiting" in kinds and "execution_start" in kinds and "executed" in kinds
    assert [(e.node, e.value, e.max) for e in events if e.kind == "progress"] == [("3", 1, 2), ("3", 2, 2)]
    assert "99" not in {event.node for event in events} and "9" not in {event.node for event in events}


def test_the_websocket_makes_it_quick(comfyui):
    """With polls ten seconds apart only `executing: null` can end the run in time."""
    start = time.monotonic()
    result, _ = play(comfyui, normal_run, poll=10, timeout=8)
    assert result.status == "success" and time.monotonic() - start < 5


def test_history_comes_later_than_success(comfyui):
    async def late(server, prompt_id, client_id):
        server.begin(prompt_id)
        await server.send(client_id, "execution_success", prompt_id=prompt_id)
        await asyncio.sleep(0.2)
        server.end(prompt_id, OUTPUTS)

    result, _ = play(comfyui, late)
    assert result == RunResult("p1", "success", OUTPUTS)


def test_fully_cached(comfyui):
    """Over before the answer to the POST is there; no event but the last."""
    async def cached(server, prompt_id, client_id):
        server.begin(prompt_id)
        server.end(prompt_id, OUTPUTS)
        await server.send(client_id, "execution_cached", nodes=["3", "7"], prompt_id=prompt_id)

    assert play(comfyui, cached)[0] == RunResult("p1", "success", OUTPUTS)


NODE_ERRORS = {"3": {"class_type": "Paint", "dependent_outputs": ["7"], "errors": [
    {"type": "value_smaller_than_min", "message": "Value -1 smaller than min of 0", "details": "seed",
     "extra_info": {"input_name": "seed"}},
    {"type": "required_input_missing", "message": "Required input is missing", "details": "model",
     "extra_info": {"input_name": "model"}}]}}


def test_refused_with_400(comfyui):
    comfyui.refusal = (400, {"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed",
                                       "details": ""}, "node_errors": NODE_ERRORS})
    result, events = play(comfyui)
    assert result.status == "refused" and events == []
    assert result.errors == ("node 3 (Paint), input 'seed': Value -1 smaller than min of 0: seed",
                             "node 3 (Paint), input 'model': Required input is missing: model")


def test_refused_without_node_errors(comfyui):
    comfyui.refusal = (400, {"error": {"type": "invalid_prompt", "details": "Node ID '#3'\n",
                                       "message": "Cannot execute because node Paint does not exist."},
                             "node_errors": {}})
    assert play(comfyui)[0].errors == ("Cannot execute because node Paint does not exist.: Node ID '#3'",)
    comfyui.refusal = (400, {})
    assert play(comfyui)[0].errors == ("refused without a reason",)


def test_node_errors_with_200_are_errors_and_nothing_runs_on(comfyui):
    comfyui.node_errors = NODE_ERRORS
    result, _ = play(comfyui)
    assert result.status == "refused" and len(result.errors) == 2
    assert "p1" in comfyui.deletes and "p1" in comfyui.interrupts and comfyui.pending == []


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_fails(comfyui, status):
    comfyui.refusal = (status, {})
    with pytest.raises(InputError, match=f"queue: server 'http.*answered /prompt with HTTP status {status}"):
        play(comfyui)


def test_execution_error(comfyui):
    async def fails(server, prompt_id, client_id):
        server.begin(prompt_id)
        error = {"node_id": "3", "node_type": "Paint", "exception_type": "InputError",
                 "exception_message": "s.yaml:3: size '100x1':\n bad; choose 96\n", "traceback": []}
        await server.send(client_id, "execution_error", prompt_id=prompt_id, **error)
        server.end(prompt_id, {"7": OUTPUTS["7"]}, "error", [["execution_start", {}], ["execution_error", error]])
        await server.send(client_id, "executing", node=None, prompt_id=prompt_id)

    result, events = play(comfyui, fails)
    assert result.status == "error" and result.outputs == OUTPUTS
    assert result.error == "node 3 (Paint): s.yaml:3: size '100x1': bad; choose 96"
    assert [event.node for event in events if event.kind == "execution_error"] == ["3"]


def test_a_deaf_websocket(comfyui):
    comfyui.deaf = True
    assert play(comfyui, normal_run)[0].status == "success"


def test_a_websocket_that_drops_and_comes_back(comfyui):
    async def drops(server, prompt_id, client_id):
        server.begin(prompt_id)
        await server.sockets[client_id].close()
        while server.connections < 2:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        await server.send(client_id, "progress", node="3", value=2, max=2, prompt_id=prompt_id)
        await asyncio.sleep(0.05)
        server.end(prompt_id, OUTPUTS)

    result, events = play(comfyui, drops)
    assert result.status == "success" and [event.value for event in events if event.kind == "progress"] == [2]


def test_a_restart_loses_the_prompt(comfyui):
    async def restart(server, prompt_id, client_id):
        server.begin(prompt_id)
        await asyncio.sleep(0.1)
        server.running.clear()

    result, _ = play(comfyui, restart)
    assert result.status == "lost" and "restarted" in result.error and "run the workflow again" in result.error


def test_a_server_that_goes_away(comfyui):
    async def go():
        async with comfyui.serve() as url:
            client = QueueClient(url, poll_seconds=0.02, patience_seconds=0.2)
            await client.__aenter__()
            run = asyncio.create_task(client.run(WORKFLOW))
            while not comfyui.posted:
                await asyncio.sleep(0.02)
            for socket in comfyui.sockets.values():
                await socket.close()
        try:
            return await run
        finally:
            await client.__aexit__()

    result = asyncio.run(go())
    assert result.status == "lost" and "cannot be reached" in result.error and "for 0.2 s" in result.error


def test_an_answer_that_gets_lost_is_not_posted_twice(comfyui):
    comfyui.drop_answer = True
    assert play(comfyui, normal_run)[0].status == "success"
    assert len(comfyui.posted) == 1


def test_interrupt(comfyui):
    async def interrupted(server, prompt_id, client_id):
        server.begin(prompt_id)
        while not server.interrupts:
            await asyncio.sleep(0.01)
        data = {"node_id": "3", "node_type": "Paint", "executed": []}
        server.end(prompt_id, {}, "error", [["execution_interrupted", data]])

    async def act(client, run):
        while not comfyui.running:
            await asyncio.sleep(0.01)
        await client.interrupt("p1")

    result, _ = play(comfyui, interrupted, act=act)
    assert (result.status, result.error) == ("interrupted", "interrupted in node 3 (Paint)")
    assert comfyui.interrupts == ["p1"]


def test_cancel_repeats_an_interrupt_that_came_too_early(comfyui):
    async def hard_of_hearing(server, prompt_id, client_id):
        server.begin(prompt_id)
        while len(server.interrupts) < 3:
            await asyncio.sleep(0.01)
        server.end(prompt_id, {}, "error", [["execution_interrupted", {"node_id": "3", "node_type": "Paint"}]])

    async def act(client, run):
        while not comfyui.running:
            await asyncio.sleep(0.01)
        assert await client.cancel("p1")

    assert play(comfyui, hard_of_hearing, act=act)[0].status == "interrupted"


def test_cancel_before_it_began(comfyui):
    async def act(client, run):
        while not comfyui.pending:
            await asyncio.sleep(0.01)
        assert await client.cancel("p1")

    result, _ = play(comfyui, act=act)
    assert (result.status, result.error) == ("interrupted", "cancelled before it began")


def test_timeout_cancels(comfyui):
    result, _ = play(comfyui, timeout=0.2)
    assert (result.status, result.error) == ("timeout", "not finished within 0.2 s; cancelled")
    assert comfyui.pending == []


def test_what_on_event_raises_propagates(comfyui):
    class Stop(Exception):
        pass

    def stop(event):
        if event.kind == "progress":
            raise Stop

    async def paints(server, prompt_id, client_id):
        server.begin(prompt_id)
        await server.send(client_id, "progress", node="3", value=1, max=2, prompt_id=prompt_id)

    async def go():
        comfyui.script = paints
        async with comfyui.serve() as url, QueueClient(url, poll_seconds=0.02) as client:
            await client.run(WORKFLOW, stop, timeout=5)

    with pytest.raises(Stop):
        asyncio.run(go())


def ask(comfyui, question):
    async def go():
        async with comfyui.serve() as url, QueueClient(url) as client:
            return await question(client)

    return asyncio.run(go())


def test_check(comfyui):
    found = ask(comfyui, lambda client: client.check(["Paint", "Save", "Paint"]))
    assert list(found) == ["Paint", "Save"] and "seed" in found["Paint"]["input"]["required"]
    with pytest.raises(InputError, match="queue: nodes 'Kontinuity_Edit': are not installed on http.*install the node"):
        ask(comfyui, lambda client: client.check(["Paint", "Kontinuity_Edit"]))


def test_unreachable_and_wrong_servers():
    async def check(url):
        async with QueueClient(url) as client:
            await client.check([])

    async def run(url):
        async with QueueClient(url) as client:
            await client.run(WORKFLOW)

    for call in (check, run):
        with pytest.raises(InputError, match=r"queue: server 'http://127\.0\.0\.1:9': cannot be reached"):
            asyncio.run(call("127.0.0.1:9/"))
    for url in ("", "http://", "ftp://x", "localhost:99999", "localhost:port", "http://[::1"):
        with pytest.raises(InputError, match="is not a web address"):
            QueueClient(url)


def test_upload(comfyui, tmp_path):
    path = tmp_path / "mia.png"
    path.write_bytes(b"pixels")
    assert ask(comfyui, lambda client: client.upload(path)) == "cast/mia (1).png"
    assert comfyui.uploads == [("mia.png", b"pixels", "input")]
    with pytest.raises(InputError, match="upload '.*none.png': is not a file"):
        ask(comfyui, lambda client: client.upload(tmp_path / "none.png"))

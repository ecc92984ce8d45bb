"""The queue client against a server that does what ComfyUI 0.3.75 does, at its worst."""

import asyncio
import time

import pytest
from aiohttp import web
from kontinuity.batch.client import QueueClient, RunResult
from kontinuity.common import InputError

WORKFLOW = {"3": {"class_type": "Paint", "inputs": {"seed": 1}}, "7": {"class_type": "Save", "inputs": {}}}
OUTPUTS = {"7": {"images": [{"filename": "beach.png", "subfolder": "story", "type": "output"}], "text": ["beach"]}}


def play(comfyui, script=None, *, poll=0.02, timeout=5, act=None):
    """Run WORKFLOW against the scripted server; return the result and the events."""
    comfyui.script = script
    events = []

    async def go():
        async with comfyui.serve() as url, QueueClient(url, poll_seconds=poll, patience_seconds=0.5) as client:
            run = asyncio.create_task(client.run(WORKFLOW, events.append, prompt_id="p1", timeout=timeout))
            if act:
                await act(client, run)
            return await run

    return asyncio.run(go()), events


async def normal_run(server, prompt_id, client_id):
    await asyncio.sleep(0.05)
    server.begin(prompt_id)
    await server.send(client_id, "execution_start", prompt_id=prompt_id)
    await server.send(client_id, "executing", node="3", prompt_id=prompt_id)
    await server.send(client_id, "executing", node="99", prompt_id="somebody else's")
    await server.send(client_id, "progress", node="3", value=1, max=2, prompt_id=prompt_id)
    await server.sockets[client_id].send_bytes(bytes(6 << 20))  # a preview larger than aiohttp allows by default
    await server.send(client_id, "progress", node="3", value=2, max=2, prompt_id=prompt_id)
    await server.send(client_id, "executed", node="7", output=OUTPUTS["7"], prompt_id=prompt_id)
    await server.send(client_id, "execution_success", prompt_id=prompt_id)
    server.end(prompt_id, OUTPUTS)
    await server.send(client_id, "executing", node=None, prompt_id=prompt_id)


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


def test_a_server_that_picks_its_own_id(comfyui):
    comfyui.own_id = "theirs"
    result, events = play(comfyui, normal_run)
    assert result == RunResult("theirs", "success", OUTPUTS)
    assert [event.value for event in events if event.kind == "progress"] == [1, 2]


def test_a_prompt_with_the_servers_own_id_is_cancelled(comfyui):
    comfyui.own_id = "theirs"

    async def act(client, run):
        while not comfyui.pending:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # the answer that tells the id
        assert await client.cancel("p1")

    result, _ = play(comfyui, act=act)
    assert (result.status, result.error) == ("interrupted", "cancelled before it began")
    assert set(comfyui.deletes) == {"theirs"}


def test_history_that_is_written_a_little_after_the_queue_forgot(comfyui):
    async def late(server, prompt_id, client_id):
        server.begin(prompt_id)
        await asyncio.sleep(0.05)
        server.running.clear()
        for _ in range(5):  # each is a reason to look
            await server.send(client_id, "execution_success", prompt_id=prompt_id)
            await asyncio.sleep(0.05)
        server.end(prompt_id, OUTPUTS)

    assert play(comfyui, late, poll=0.2)[0].status == "success"


@pytest.mark.parametrize("lost", [
    lambda: web.Response(status=502), lambda: web.Response(text="<html>", content_type="text/html"),
    lambda: web.json_response([])])
def test_a_proxy_that_loses_the_answer_to_a_prompt(comfyui, lost):
    """Nothing was run if ComfyUI does not know the prompt; else it runs and is followed."""
    async def before(request):
        return lost() if request.path == "/prompt" else None

    comfyui.instead = before
    with pytest.raises(InputError, match="answered /prompt with"):
        play(comfyui)

    async def behind(request):
        if request.path != "/prompt":
            return None
        await comfyui._prompt(request)
        return lost()

    comfyui.instead = behind
    assert play(comfyui, normal_run)[0].status == "success"
    assert len(comfyui.posted) == 1


def test_a_prompt_that_may_not_have_arrived(comfyui):
    async def closes(request):
        if request.path == "/prompt":
            comfyui.posted.append(await request.json())
            request.transport.close()
            return web.Response()
        return None

    comfyui.instead = closes
    result, events = play(comfyui)
    assert result.status == "lost" and len(comfyui.posted) == 1 and events == []
    assert "broke the connection off" in result.error and "when it was given the workflow" in result.error


@pytest.mark.parametrize("queue", [{"queue_running": None, "queue_pending": 3}, {"queue_running": [["x"], None]}, {}])
@pytest.mark.parametrize("odd", [[], "running", {"p1": []}])
def test_odd_answers(comfyui, queue, odd):
    """A queue or a history that is not what it should be, once; see test_queue_answers.py for more."""
    looks = []

    async def instead(request):
        if request.path == "/queue":
            return web.json_response(queue)
        if request.path == "/history/p1":
            looks.append(request)
            return web.json_response(odd) if len(looks) == 1 else None
        return None

    async def quick(server, prompt_id, client_id):
        server.begin(prompt_id)
        await server.sockets[client_id].send_str('{"type": "progress", "data": null}')
        await server.send(client_id, "progress", prompt_id=prompt_id, value="3", node=["7"])
        server.end(prompt_id, OUTPUTS)

    comfyui.instead = instead
    assert play(comfyui, quick)[0] == RunResult("p1", "success", OUTPUTS)
    assert len(looks) == 2


def test_a_history_that_fails(comfyui):
    async def instead(request):
        return web.Response(status=500) if request.path.startswith("/history") else None

    async def quick(server, prompt_id, client_id):
        server.begin(prompt_id)
        server.end(prompt_id, OUTPUTS)

    comfyui.instead = instead
    result, _ = play(comfyui, quick)
    assert result.status == "lost" and "answered /history/p1 with HTTP status 500" in result.error


def test_a_silent_websocket_stays_and_a_silent_server_does_not(comfyui):
    async def quiet(server, prompt_id, client_id):
        server.begin(prompt_id)
        await asyncio.sleep(0.8)
        await server.send(client_id, "progress", node="3", value=1, max=2, prompt_id=prompt_id)
        await asyncio.sleep(0.1)
        server.end(prompt_id, OUTPUTS)

    async def go():
        async with comfyui.serve() as url, QueueClient(url, poll_seconds=0.02, silence_seconds=0.3) as client:
            result = await client.run(WORKFLOW, timeout=5)
            comfyui.instead = lambda request: asyncio.sleep(2, web.Response())
            with pytest.raises(InputError, match="has been silent for 0.3 s"):
                await client.check([])
            return result

    comfyui.script = quiet
    start = time.monotonic()
    assert asyncio.run(go()).status == "success" and comfyui.connections == 1
    assert time.monotonic() - start < 4


def test_a_timeout_that_cannot_cancel(comfyui, monkeypatch):
    monkeypatch.setattr("kontinuity.batch.client._CANCEL_SECONDS", 0.2)

    async def stubborn(request):
        return web.Response(status=500) if request.path == "/queue" and request.method == "POST" else None

    comfyui.instead = stubborn
    result, _ = play(comfyui, timeout=0.2)
    assert (result.status, result.error) == (
        "timeout", "not finished within 0.2 s; it could not be cancelled and may still run")

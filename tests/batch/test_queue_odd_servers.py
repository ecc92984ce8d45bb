"""The queue client against servers of their own mind: other ids, lost answers, odd ones, silence."""

import asyncio
import time

import pytest
from aiohttp import web
from kontinuity.batch.client import QueueClient, RunResult
from kontinuity.common import InputError
from scripted_run import OUTPUTS, WORKFLOW, normal_run, play


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

"""What stands between the queue client and ComfyUI: redirects, logins, proxies, other programs."""

import asyncio
import base64

import pytest
from aiohttp import web
from kontinuity.batch.client import QueueClient
from kontinuity.batch.server import Server
from kontinuity.common import InputError

WORKFLOW = {"3": {"class_type": "Paint", "inputs": {"seed": 1}}}


def ask(comfyui, question, change=lambda url: url):
    async def go():
        async with comfyui.serve() as url, QueueClient(change(url), poll_seconds=0.02) as client:
            return await question(client)

    return asyncio.run(go())


def moves(comfyui, status, to="/moved"):
    async def instead(request):
        if request.path.startswith("/moved"):
            return None
        return web.Response(status=status, headers={"Location": to + request.path_qs})

    comfyui.instead = instead


async def quick(server, prompt_id, client_id):
    server.begin(prompt_id)
    server.end(prompt_id, {"7": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_server_that_has_moved(comfyui, tmp_path, status):
    """Everything arrives there, with its content: prompt, upload, websocket, files."""
    moves(comfyui, status)
    comfyui.script, comfyui.files = quick, {("a.png", "", "output"): b"pixels"}
    (tmp_path / "mia.png").write_bytes(b"mia")

    async def use(client):
        assert await client.check(["Paint"])
        assert await client.upload(tmp_path / "mia.png") == "cast/mia (1).png"
        result = await client.run(WORKFLOW, timeout=5)
        return result, [file async for file in client.download(result.outputs, tmp_path / "out")]

    result, (file,) = ask(comfyui, use)
    assert result.status == "success" and file.path.read_bytes() == b"pixels"
    assert comfyui.posted[0]["prompt"] == WORKFLOW and comfyui.connections == 1
    assert comfyui.uploads == [("mia.png", b"mia", "input")]


@pytest.mark.parametrize(("status", "location", "words"), [
    (302, "https://login.example/?next=", r"redirects /prompt to https://login.example/\?next=.*, which is"),
    (303, "/moved", "redirects /prompt to http://127.0.0.1.*/moved/prompt, which is not ComfyUI"),
    (308, "", "redirects /prompt in a circle"),
    (302, "ftp://127.0.0.1", "redirects /prompt to 'ftp://127.0.0.1/prompt', which is no web address"),
    (302, "http://[", "which is no web address")])
def test_redirects_that_lead_nowhere(comfyui, status, location, words):
    moves(comfyui, status, location)
    with pytest.raises(InputError, match=f"queue: server .*{words}"):
        ask(comfyui, lambda client: client.run(WORKFLOW, timeout=5))
    assert comfyui.posted == []


@pytest.mark.parametrize(("route", "answer", "words"), [
    ("/prompt", {"status": 401}, "answered /prompt with HTTP status 401: it wants a login; give it with the address"),
    ("/prompt", {"status": 413}, "HTTP status 413: the request is too large.*--max-upload-size"),
    ("/prompt", {"status": 429}, "HTTP status 429: it has too many requests; wait"),
    ("/system_stats", {"status": 404}, "HTTP status 404: it has no such page; check the address"),
    ("/system_stats", {"status": 503}, "HTTP status 503: a proxy does not reach ComfyUI; start ComfyUI"),
    ("/system_stats", {"text": "<html>", "content_type": "text/html"}, "something that is not JSON: a login page"),
    ("/system_stats", {"body": b"\xff\xfe"}, "something that is not JSON"),
    ("/system_stats", {"text": "[" * 100_000}, "something that is not JSON"),
    ("/system_stats", {"text": "[1]"}, "something that is not JSON"),
    ("/system_stats", {"text": "{}"}, "is not a ComfyUI server"),
    ("/object_info/Paint", {"text": '{"Paint": [1]}'}, "nodes 'Paint': are not installed")])
def test_answers_that_are_not_comfyuis(comfyui, route, answer, words):
    async def instead(request):
        return web.Response(**answer) if request.path == route else None

    async def use(client):
        await client.check(["Paint"])
        await client.run(WORKFLOW, timeout=5)

    comfyui.instead = instead
    with pytest.raises(InputError, match=words):
        ask(comfyui, use)
    assert comfyui.posted == []


def test_an_answer_without_end(comfyui, monkeypatch):
    monkeypatch.setattr("kontinuity.batch.server._MOST_JSON", 1 << 20)

    async def radio(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(bytes(1 << 18))
        return response

    comfyui.instead = radio
    with pytest.raises(InputError, match="answered /system_stats with more than 1 MiB; check the address"):
        ask(comfyui, lambda client: client.check([]))


def test_an_upload_without_a_name(comfyui, tmp_path):
    async def instead(request):
        return web.json_response({}) if request.path == "/upload/image" else None

    (tmp_path / "mia.png").write_bytes(b"mia")
    comfyui.instead = instead
    with pytest.raises(InputError, match="does not say what it called the picture"):
        ask(comfyui, lambda client: client.upload(tmp_path / "mia.png"))


@pytest.mark.parametrize("name", ["w/Metadata", "a b?c#d", "100%", "ü"])
def test_nodes_with_odd_names(comfyui, name):
    comfyui.nodes = {name: {"input": {}}}
    assert ask(comfyui, lambda client: client.check([name])) == {name: {"input": {}}}


def test_an_address_from_the_browser(comfyui):
    assert ask(comfyui, lambda client: client.check(["Paint"]), lambda url: f"  {url}/moved/?a=1#workflow ")


def test_a_login_is_sent_and_not_shown(comfyui):
    seen = []

    async def wants_login(request):
        seen.append((request.host, request.headers.get("Authorization")))
        return web.Response(status=401)

    comfyui.instead = wants_login
    with pytest.raises(InputError, match="it wants a login") as caught:
        ask(comfyui, lambda client: client.check([]), lambda url: url.replace("//", "//mia:p%40ss@"))
    assert seen[0][1] == "Basic " + base64.b64encode(b"mia:p@ss").decode()
    assert "ss@" not in str(caught.value) and "mia" not in str(caught.value)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_login_goes_along_to_the_same_host_only(comfyui, elsewhere):
    seen = []

    async def instead(request):
        if request.path.startswith("/moved"):
            seen.append(request.headers.get("Authorization"))
            return None
        host = request.host.replace("127.0.0.1", "localhost") if elsewhere else request.host
        return web.Response(status=307, headers={"Location": f"http://{host}/moved{request.path_qs}"})

    comfyui.instead = instead
    try:
        ask(comfyui, lambda client: client.check([]), lambda url: url.replace("//", "//mia:pass@"))
    except InputError as error:
        if not elsewhere or "cannot be reached" not in str(error):
            raise
        pytest.skip("localhost is not 127.0.0.1 here")
    assert seen == ([None] if elsewhere else ["Basic " + base64.b64encode(b"mia:pass").decode()])


@pytest.mark.parametrize(("address", "through_proxy"), [
    ("http://comfy.example:8188", True), ("http://8.8.8.8", True), ("http://127.0.0.2:9", False),
    ("http://localhost:9", False)])
def test_the_proxy_of_the_environment_is_for_the_world_outside(comfyui, monkeypatch, address, through_proxy):
    asked = []

    async def instead(request):
        asked.append(request.headers["Host"])
        return None

    async def go():
        async with comfyui.serve() as proxy:
            monkeypatch.setenv("http_proxy", proxy)
            monkeypatch.delenv("no_proxy", raising=False)
            async with QueueClient(address, silence_seconds=0.3) as client:
                await client.check([])

    comfyui.instead = instead
    if through_proxy:
        asyncio.run(go())
        assert asked == [address.removeprefix("http://")]
    else:
        with pytest.raises(InputError, match="cannot be reached"):
            asyncio.run(go())
        assert asked == []


@pytest.mark.parametrize(("address", "far"), [("192.168.7.7", False), ("workstation:8188", False), ("[::1]", False),
                                              ("[2001:4860::8]", True), ("comfy.example", True)])
def test_what_is_outside(address, far):
    assert Server(address, 1.0)._is_far() is far


def test_without_a_certificate(comfyui):
    with pytest.raises(InputError, match="https://127.*cannot be reached safely .*; write http://"):
        ask(comfyui, lambda client: client.check([]), lambda url: url.replace("http:", "https:"))

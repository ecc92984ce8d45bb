"""Files that come from a ComfyUI server: all that can be had, whole, under harmless names."""

import asyncio
import errno
import gzip
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from aiohttp import web
from kontinuity.batch.client import QueueClient
from kontinuity.batch.files import OutputFile, check_folder, output_files, safe_name
from kontinuity.common import InputError

CONTENT = bytes(range(256)) * 40


def image(filename, subfolder="", kind="output"):
    return {"filename": filename, "subfolder": subfolder, "type": kind}


def fetch(comfyui, names, folder, *, view=None, silence=5.0, cached=(), events=None):
    """Fetch files of node 7 of these names from a server whose /view is `view`; [FetchedFile]."""
    async def instead(request):
        return await view(request) if request.path == "/view" else None

    async def go():
        async with comfyui.serve() as url, QueueClient(url, silence_seconds=silence, retry_seconds=0.01) as client:
            outputs = {"7": {"images": [image(name) if isinstance(name, str) else name for name in names]}}
            return [file async for file in client.download(outputs, folder, cached=cached, on_event=events)]

    comfyui.instead = instead if view else None
    return asyncio.run(go())


def test_names_and_files_that_are_there_already(comfyui, tmp_path):
    names = [("beach.png", "story", "output"), ("beach.png", "", "temp"), ("../../../evil.png", "", "output"),
             ("a:b\\c\x00?.png", "", "output"), ("..", "", "output"), (".hidden", "", "output"),
             ("a+b&c #1%20=ü.png", "x & y/ü?", "output"), ("ü" * 120 + ".png", "", "output"), ("NUL.png", "", "output")]
    comfyui.files = {name: f"content {i}".encode() for i, name in enumerate(names)}
    folder = tmp_path / "new" / "out"
    first = fetch(comfyui, [image(*name) for name in [*names, names[0]]], folder)
    assert [file.error for file in first] == [None] * len(names)
    paths = [file.path for file in first]
    assert [path.relative_to(folder).as_posix() for path in paths] == [
        "beach.png", "beach_2.png", "evil.png", "c__.png", "file", "hidden", "a+b&c #1%20=ü.png", "ü" * 73 + ".png",
        "_NUL.png"]
    assert [path.read_bytes() for path in paths] == list(comfyui.files.values())
    assert fetch(comfyui, [image(*name) for name in names], folder) == first  # the same files again
    assert len(list(folder.iterdir())) == len(names) and os.listdir(tmp_path) == ["new"]
    (folder / "hidden").unlink()
    (folder / "hidden").symlink_to(tmp_path / "nowhere")
    assert fetch(comfyui, [".hidden"], folder)[0].path == folder / "hidden_2"


def test_what_is_no_file():
    outputs = {"1": None, "2": [], "3": {"tags": None, "n": 3, "3d": ["mesh.glb", None], "text": ["a.png"],
                                         "images": [{"filename": None}, {"filename": ""}, {}]},
               "4": {"gifs": [{"filename": "v.mp4", "subfolder": None, "type": None, "fullpath": "/x/v.mp4"}]}}
    assert output_files(outputs) == [OutputFile("4", "v.mp4", "", "output")]
    assert output_files(None) == output_files([]) == []


@pytest.mark.parametrize("name", ["", " ", "...", "a/", "\u202e", "x" * 400, "\ud800.png", "con", "aux.tar.gz", "LPT1"])
def test_safe_names_are_names(name, tmp_path):
    safe = safe_name(name)
    (tmp_path / safe).write_bytes(b"")
    assert os.listdir(tmp_path) == [safe] and not safe.startswith(".") and len(safe.encode()) <= 151
    assert safe.split(".")[0].lower() not in ("con", "aux", "lpt1")


@pytest.mark.parametrize(("status", "cached", "words"), [
    (404, (), "is not on the server any more.*look into ComfyUI's output folder, or run with --fresh"),
    (404, ("7",), "is gone from the server, and ComfyUI remembered what node 7 made.*run with --fresh"),
    (400, (), "has a name that ComfyUI does not hand out; take it from"),
    (401, (), "HTTP status 401: it wants a login; give it with the address"),
    (403, (), "HTTP status 403: it forbids that; take it from"),
    (500, (), "HTTP status 500; look at ComfyUI's log"),
    (502, (), "HTTP status 502: a proxy does not reach ComfyUI; ")])
def test_one_that_cannot_be_had_does_not_stop_the_others(comfyui, tmp_path, status, cached, words):
    asked = []

    async def view(request):
        asked.append(request.query["filename"])
        return web.Response(status=status) if asked[-1] == "a.png" else web.Response(body=CONTENT)

    bad, good = fetch(comfyui, ["a.png", "b.png"], tmp_path / "out", view=view, cached=cached)
    assert good.path.read_bytes() == CONTENT and os.listdir(tmp_path / "out") == ["b.png"]
    with pytest.raises(InputError, match=f"^queue: file 'a.png': .*{words}"):
        raise bad.error
    assert bad.path is None and asked.count("a.png") == (3 if status >= 500 else 1)


def test_half_an_emoji_in_a_name(comfyui, tmp_path):
    comfyui.files = {("b.png", "", "output"): CONTENT}
    bad, good = fetch(comfyui, ["\ud83d.png", "b.png"], tmp_path)
    assert "is not on the server" in str(bad.error) and good.path.read_bytes() == CONTENT


class Cuts:
    """A /view that breaks every transfer off after `limit` bytes, and honours ranges if it gives an ETag."""

    def __init__(self, limit, etag=None, content=CONTENT):
        self.limit, self.etag, self.content, self.ranges = limit, etag, content, []

    async def __call__(self, request):
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked[6:-1]) if asked else 0
        rest = self.content[start:]
        headers = {"Content-Length": str(len(rest))} | ({"ETag": self.etag} if self.etag else {})
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        await response.write(rest[:self.limit])
        if len(rest) > self.limit:
            await asyncio.sleep(0.02)
            request.transport.close()
        return response


def test_a_cut_transfer_goes_on_where_it_broke(comfyui, tmp_path):
    view = Cuts(2000, '"v1"')
    file, = fetch(comfyui, ["a.png"], tmp_path, view=view)
    assert file.path.read_bytes() == CONTENT
    assert view.ranges == [None] + [f"bytes={start}-" for start in range(2000, len(CONTENT), 2000)]


def test_a_transfer_that_is_cut_again_and_again(comfyui, tmp_path):
    view = Cuts(2000)  # without an ETag nobody knows whether the rest belongs to the beginning
    file, = fetch(comfyui, ["a.png"], tmp_path, view=view)
    assert "queue: file 'a.png': broke off in the middle of its answer; run again" in str(file.error)
    assert view.ranges == [None] * 3 and os.listdir(tmp_path) == []


def test_a_cut_transfer_begins_anew(comfyui, tmp_path):
    view = Cuts(2000)

    async def once(request):
        view.limit = 2000 if not view.ranges else len(CONTENT)
        return await view(request)

    assert fetch(comfyui, ["a.png"], tmp_path, view=once)[0].path.read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["other file", "other range", "416"])
def test_a_rest_that_does_not_fit(comfyui, tmp_path, change):
    view, new = Cuts(2000, '"v1"'), Cuts(1 << 20, '"v2"', bytes(reversed(CONTENT)))

    async def changing(request):
        if not view.ranges:
            return await view(request)
        if change == "416" and "Range" in request.headers:
            return web.Response(status=416)
        if change == "other range" and "Range" in request.headers:
            return web.Response(status=206, body=CONTENT[:9], headers={"ETag": '"v1"', "Content-Range": "bytes 0-8/9"})
        return await new(request)

    assert fetch(comfyui, ["a.png"], tmp_path, view=changing)[0].path.read_bytes() == new.content


def test_slow_is_not_silent(comfyui, tmp_path):
    """Longer in all than the server may be silent."""
    async def trickles(request):
        response = web.StreamResponse(headers={"Content-Length": "8"})
        await response.prepare(request)
        for _ in range(8):
            await response.write(b"x")
            await asyncio.sleep(0.15)
        return response

    events = []
    file, = fetch(comfyui, ["a.png"], tmp_path, view=trickles, silence=0.6, events=events.append)
    assert file.path.read_bytes() == b"x" * 8
    assert [(event.kind, event.node, event.max, event.data) for event in events] == [
        ("fetching", "7", 8, {"name": "a.png"})] * len(events)
    assert 1 <= len(events) <= 3 and 0 < events[0].value < 8


def test_silent_is_silent(comfyui, tmp_path):
    async def stops(request):
        response = web.StreamResponse(headers={"Content-Length": "8"})
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(2 if request.query["filename"] == "a.png" else 0)
        await response.write(b"x" * 7)
        return response

    bad, good = fetch(comfyui, ["a.png", "b.png"], tmp_path, view=stops, silence=0.2)
    assert "has been silent for 0.2 s" in str(bad.error) and good.path.read_bytes() == b"x" * 8
    assert os.listdir(tmp_path) == ["b.png"]


def test_a_server_that_goes_away_is_not_asked_for_every_file(comfyui, tmp_path):
    asked = []

    async def goes(request):
        asked.append(request.query.get("filename", request.path))
        if asked[-1] == "a.png":
            return web.Response(body=CONTENT)
        request.transport.close()
        return web.Response()

    async def go():
        async with comfyui.serve() as url, QueueClient(url, retry_seconds=0.01) as client:
            comfyui.instead = goes
            outputs = {"7": {"images": [image(f"{name}.png") for name in "abcdef"]}}
            return [file async for file in client.download(outputs, tmp_path)]

    first, *others = asyncio.run(go())
    assert first.path.read_bytes() == CONTENT and set(asked) == {"a.png", "b.png", "/system_stats"}
    assert [str(file.error).split(":")[1] for file in others] == [f" file '{name}.png'" for name in "bcdef"]
    assert all("broke the connection off" in str(file.error) for file in others)


def test_large_files_are_not_held_in_memory(comfyui, tmp_path):
    piece, count = bytes(1 << 20), 48

    async def large(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(piece) * count)})
        await response.prepare(request)
        for _ in range(count):
            await response.write(piece)
        return response

    tracemalloc.start()
    try:
        file, = fetch(comfyui, ["clip.mp4"], tmp_path, view=large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.path.stat().st_size == len(piece) * count and peak < len(piece) * count / 2


def test_packed_on_the_way(comfyui, tmp_path):
    async def packs(request):
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=gzip.compress(CONTENT), headers={"Content-Encoding": "gzip", "ETag": '"v1"'})

    assert fetch(comfyui, ["a.png"], tmp_path, view=packs)[0].path.read_bytes() == CONTENT


def test_a_packed_transfer_that_is_cut_begins_anew(comfyui, tmp_path):
    """A range would count packed bytes, and what is here is unpacked."""
    packed, asked = gzip.compress(os.urandom(9000)), []

    async def packs(request):
        asked.append(request.headers.get("Range"))
        response = web.StreamResponse(headers={"Content-Encoding": "gzip", "ETag": '"v1"',
                                               "Content-Length": str(len(packed))})
        await response.prepare(request)
        await response.write(packed if len(asked) > 1 else packed[:5000])
        if len(asked) == 1:
            await asyncio.sleep(0.02)
            request.transport.close()
        return response

    file, = fetch(comfyui, ["a.png"], tmp_path, view=packs)
    assert file.path.read_bytes() == gzip.decompress(packed) and asked == [None, None]


def test_a_login_page_is_not_a_picture(comfyui, tmp_path):
    async def login(request):
        return web.Response(text="<html>log in", content_type="text/html")

    file, = fetch(comfyui, ["a.png"], tmp_path, view=login)
    assert "sent a web page instead of the file" in str(file.error) and os.listdir(tmp_path) == []


def test_a_disk_that_is_full(comfyui, tmp_path, monkeypatch):
    comfyui.files = {("a.png", "", "output"): b"a", ("b.png", "", "output"): b"b"}
    full = iter([True])

    def fsync(number):
        if next(full, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    bad, good = fetch(comfyui, ["a.png", "b.png"], tmp_path)
    assert f"cannot be saved in {tmp_path} (No space left on device); make room" in str(bad.error)
    assert good.path.read_bytes() == b"b" and os.listdir(tmp_path) == ["b.png"]


def test_stopped_in_between(comfyui, tmp_path):
    """The file has its name only when it is whole, and leaves nothing if it never is."""
    async def go():
        started = asyncio.Event()

        async def half(request):
            response = web.StreamResponse(headers={"Content-Length": "8"})
            await response.prepare(request)
            await response.write(b"half")
            started.set()
            await asyncio.sleep(5)
            return response

        async def fetch_all(client):
            return [file async for file in client.download({"7": {"images": [image("a.png")]}}, tmp_path)]

        comfyui.instead = half
        async with comfyui.serve() as url, QueueClient(url) as client:
            task = asyncio.create_task(fetch_all(client))
            await started.wait()
            await asyncio.sleep(0.1)
            part, = os.listdir(tmp_path)
            assert part.startswith(".") and part.endswith(".part")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() and os.listdir(tmp_path) == []

    start = time.monotonic()
    asyncio.run(go())
    assert time.monotonic() - start < 5


def test_folders_for_files(tmp_path):
    for good in (tmp_path, tmp_path / "new", tmp_path / "a" / "b" / "ü", Path(".")):
        check_folder(good)
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for bad, words in ((tmp_path / "file", "needs a folder where .*file is a file"),
                       (tmp_path / "file" / "in" / "it", "needs a folder where .*file is a file"),
                       (tmp_path / "link", "needs a folder where .*link is"),
                       (tmp_path / ("x" * 300), r"cannot take files \(File name too long\)"),
                       (Path("a\0b"), "cannot take files"), (Path("/proc"), "cannot take files"),
                       (Path("/proc/new/folder"), "cannot take files")):
        with pytest.raises(InputError, match=f"^queue: --out '.*': {words}"):
            check_folder(bad)

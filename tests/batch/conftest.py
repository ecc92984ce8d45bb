"""A ComfyUI server that follows a script."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


@pytest.fixture
def comfyui():
    return FakeComfyUI()


class FakeComfyUI:
    """ComfyUI 0.3.75's routes, also under /moved. `script(server, prompt_id, client_id)` plays a run after a prompt was
    posted; `instead(request)` may answer a request in the server's place (None: it does not)."""

    nodes = {"Paint": {"input": {"required": {"seed": ["INT"]}, "optional": {"text": ["STRING"]}}},
             "Save": {"input": {}, "output_node": True}}

    def __init__(self):
        self.running, self.pending, self.history = [], [], {}
        self.sockets, self.connections, self.deaf = {}, 0, False
        self.posted, self.interrupts, self.deletes, self.uploads = [], [], [], []
        self.files = {}
        self.refusal = None  # (status, answer) instead of queueing
        self.node_errors = {}
        self.drop_answer = False
        self.own_id = None  # instead of the id that the client picked
        self.script = self.instead = None
        self._tasks = []

    def app(self):
        @web.middleware
        async def perhaps_instead(request, handler):
            answer = await self.instead(request) if self.instead else None
            return await handler(request) if answer is None else answer

        app = web.Application(middlewares=[perhaps_instead])
        for at in ("", "/moved"):
            app.add_routes([
                web.get(at + "/ws", self._ws), web.post(at + "/prompt", self._prompt),
                web.get(at + "/queue", self._queue), web.post(at + "/queue", self._edit_queue),
                web.get(at + "/history/{id}", self._history), web.post(at + "/interrupt", self._interrupt),
                web.get(at + "/system_stats", self._stats), web.get(at + "/object_info/{name}", self._object_info),
                web.get(at + "/view", self._view), web.post(at + "/upload/image", self._upload)])
        return app

    @asynccontextmanager
    async def serve(self):
        server = TestServer(self.app())
        await server.start_server()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.close()

    @contextmanager
    def serve_in_thread(self):
        """For the command line, which has an event loop of its own."""
        ready, box = threading.Event(), {}

        async def live():
            async with self.serve() as url:
                box.update(url=url, loop=asyncio.get_running_loop(), end=asyncio.Event())
                ready.set()
                await box["end"].wait()

        thread = threading.Thread(target=lambda: asyncio.run(live()))
        thread.start()
        assert ready.wait(10)
        try:
            yield box["url"]
        finally:
            box["loop"].call_soon_threadsafe(box["end"].set)
            thread.join(10)

    async def send(self, client_id, kind, **data):
        if not self.deaf and client_id in self.sockets:
            await self.sockets[client_id].send_str(json.dumps({"type": kind, "data": data}))

    def begin(self, prompt_id):
        entry = next(item for item in self.pending if item[1] == prompt_id)
        self.pending.remove(entry)
        self.running.append(entry)

    def end(self, prompt_id, outputs=None, status="success", messages=()):
        """The queue loses the prompt and the history gains it, at the same moment."""
        self.running = [item for item in self.running if item[1] != prompt_id]
        self.history[prompt_id] = {
            "outputs": outputs or {},
            "status": {"status_str": status, "completed": status == "success", "messages": list(messages)}}

    def is_running(self, prompt_id):
        return any(item[1] == prompt_id for item in self.running)

    async def _ws(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query["clientId"]
        self.sockets[sid] = socket
        self.connections += 1
        await socket.send_str(json.dumps({"type": "status", "data": {"status": {}, "sid": sid}}))
        await socket.send_str(json.dumps({"type": "executing", "data": {"node": "9"}}))  # as after a reconnect
        await socket.send_str("not JSON")
        async for _ in socket:
            pass
        return socket

    async def _prompt(self, request):
        body = await request.json()
        self.posted.append(body)
        if self.refusal:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        prompt_id = self.own_id or body["prompt_id"]
        self.pending.append([len(self.posted), prompt_id, body["prompt"], {}, []])
        if self.script:
            self._tasks.append(asyncio.create_task(self.script(self, prompt_id, body["client_id"])))
        if self.drop_answer:
            request.transport.close()
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": self.node_errors})

    async def _queue(self, request):
        return web.json_response({"queue_running": self.running, "queue_pending": self.pending})

    async def _edit_queue(self, request):
        self.deletes += (await request.json())["delete"]
        self.pending = [item for item in self.pending if item[1] not in self.deletes]
        return web.Response()

    async def _history(self, request):
        prompt_id = request.match_info["id"]
        return web.json_response({prompt_id: self.history[prompt_id]} if prompt_id in self.history else {})

    async def _interrupt(self, request):
        self.interrupts.append((await request.json())["prompt_id"])
        return web.Response()

    async def _stats(self, request):
        return web.json_response({"system": {"comfyui_version": "0.3.75"}})

    async def _object_info(self, request):
        name = request.match_info["name"]
        return web.json_response({name: self.nodes[name]} if name in self.nodes else {})

    async def _view(self, request):
        content = self.files.get((request.query["filename"], request.query["subfolder"], request.query["type"]))
        return web.Response(body=content) if content is not None else web.Response(status=404)

    async def _upload(self, request):
        fields = await request.post()
        self.uploads.append((fields["image"].filename, fields["image"].file.read(), fields["type"]))
        return web.json_response({"name": "mia (1).png", "subfolder": "cast", "type": "input"})

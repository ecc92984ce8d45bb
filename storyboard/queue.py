"""A client of ComfyUI's HTTP API: submit an API-format workflow, follow it to its end, fetch its pictures.

What happened is read from `/queue` and `/history`; the websocket only says when to look and how far a node is, because
it may go deaf, and nothing it missed is repeated. The command line is in queue_command.py:

    python -m kontinuity.storyboard.queue workflows/api/storyboard.json --server http://127.0.0.1:8188 --out DIR
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..kontext import InputError
from .records import complete_file

Workflow = Mapping[str, Mapping[str, Any]]  # node id -> {"class_type": ..., "inputs": {...}}

_FRAME_BYTES = 64 << 20  # a preview may be larger than aiohttp's 4 MiB
_NETWORK = (aiohttp.ClientError, asyncio.TimeoutError, ValueError)  # ValueError: an answer that is not JSON
_ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(frozen=True)
class Event:
    """Something that happened to a prompt.

    `kind` is "queued" (accepted), "waiting" (`value` prompts are before it), "running" (seen by a poll) or the type of
    a ComfyUI message: "executing", "progress" (`value` of `max`), "executed", ... `node` is a node id.
    """

    kind: str
    node: str | None = None
    value: float = 0
    max: float = 0
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """How a prompt ended.

    `status` is "success", "refused" (ComfyUI found the workflow faulty; nothing was kept running), "error" (a node
    failed), "interrupted", "lost" (the server forgot it) or "timeout". `outputs` are ComfyUI's, by node id. `errors`
    has one readable line per error.
    """

    prompt_id: str
    status: str
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """All errors, one per line; empty after success."""
        return "\n".join(self.errors)


class QueueClient:
    """Speaks with one ComfyUI server. Use it as `async with QueueClient("http://127.0.0.1:8188") as client:`.

    `poll_seconds` is the time between looks at the server, `patience_seconds` how long it may be out of reach (a
    restart, a blocked loop) before a prompt counts as lost. Methods raise InputError if the server cannot be reached or
    refuses.
    """

    def __init__(self, server_url: str, *, poll_seconds: float = 2.0, patience_seconds: float = 120.0):
        url = server_url.strip()
        url = url if "://" in url else f"http://{url}"
        if not _is_web_address(url):
            raise InputError("queue", "server", server_url, "is not a web address", "write http://127.0.0.1:8188")
        self.url = url.rstrip("/")
        self.poll_seconds, self.patience_seconds = poll_seconds, patience_seconds
        self._session: aiohttp.ClientSession | None = None
        self._cancelled: set[str] = set()

    async def __aenter__(self) -> "QueueClient":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60, sock_connect=10))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def check(self, node_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Ask whether the server is ComfyUI and has these nodes; return their /object_info descriptions by node id."""
        stats = await self._ask("/system_stats")
        if not isinstance(stats, dict) or "system" not in stats:
            raise InputError("queue", "server", self.url, "is not a ComfyUI server", "check the address and the port")
        found = {}
        for node in dict.fromkeys(node_ids):
            found[node] = (await self._ask(f"/object_info/{node}")).get(node)
        if missing := [node for node, info in found.items() if not info]:
            raise InputError("queue", "nodes", ", ".join(missing), f"are not installed on {self.url}",
                             "install the node pack there, restart ComfyUI and look at its log for import errors")
        return found

    async def upload(self, path: str | Path) -> str:
        """Send a picture into the server's input folder; return the name to give to a LoadImage node."""
        path = Path(path)
        if not path.is_file():
            raise InputError("queue", "upload", str(path), "is not a file", "check the name")
        form = aiohttp.FormData()
        form.add_field("image", path.read_bytes(), filename=path.name)
        form.add_field("type", "input")
        answer = await self._ask("/upload/image", form=form)
        return "/".join(part for part in (answer.get("subfolder"), answer["name"]) if part)

    async def run(self, workflow: Workflow, on_event: Callable[[Event], None] | None = None, *,
                  prompt_id: str | None = None, timeout: float | None = None) -> RunResult:
        """Queue a workflow (API format) and wait until it has ended, at most `timeout` seconds; then it is cancelled.

        `on_event` is called in this event loop; what it raises ends run() and propagates, and the prompt runs on (as it
        does when run() itself is cancelled): call cancel(prompt_id). Raises InputError if the server cannot be reached.
        """
        prompt_id, client_id = prompt_id or str(uuid.uuid4()), str(uuid.uuid4())
        tell = on_event or (lambda event: None)
        connected, news = asyncio.Event(), asyncio.Event()
        listener = asyncio.create_task(self._listen(client_id, prompt_id, tell, connected, news))
        try:
            await _wait(connected, 5)  # else the first events would be missed
            refused = await self._submit(workflow, prompt_id, client_id)
            if refused:
                return RunResult(prompt_id, "refused", errors=refused)
            tell(Event("queued"))
            return await asyncio.wait_for(self._follow(prompt_id, tell, news, listener), timeout)
        except asyncio.TimeoutError:
            await self.cancel(prompt_id)
            return RunResult(prompt_id, "timeout", errors=(f"not finished within {timeout:g} s; cancelled",))
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def interrupt(self, prompt_id: str) -> None:
        """Stop a prompt if it is the one running; others are left alone."""
        await self._ask("/interrupt", {"prompt_id": prompt_id})

    async def cancel(self, prompt_id: str, attempts: int = 20) -> bool:
        """Take a prompt out of the queue, or stop it where it runs; return whether it is gone.

        Asks repeatedly, half a second apart, since ComfyUI loses an interrupt that comes just before a prompt begins.
        """
        self._cancelled.add(prompt_id)
        for _ in range(attempts):
            with suppress(InputError):
                await self._ask("/queue", {"delete": [prompt_id]})
                await self.interrupt(prompt_id)
                if (await self._place(prompt_id))[0] is None:
                    return True
            await asyncio.sleep(min(0.5, self.poll_seconds))
        return False

    async def download(self, outputs: Mapping[str, Mapping[str, Any]], folder: str | Path) -> list[Path]:
        """Fetch every file named in `outputs` into `folder`; return their paths.

        Names are reduced to harmless file names. A file already there is kept if it is the same, and else gets a
        neighbour with a number.
        """
        files = {}
        for node_output in outputs.values():
            for entries in node_output.values():
                for entry in entries if isinstance(entries, list) else ():
                    if isinstance(entry, dict) and isinstance(entry.get("filename"), str):
                        query = {key: str(entry.get(key) or "") for key in ("filename", "subfolder", "type")}
                        files.setdefault(tuple(query.values()), query)
        saved = []
        for query in files.values():
            content = await self._ask("/view", query=query, raw=True)
            path = _free_name(Path(folder), _safe_name(query["filename"]), content)
            if not path.exists():
                with complete_file(path) as file:
                    file.write(content)
            saved.append(path)
        return saved

    async def _submit(self, workflow: Workflow, prompt_id: str, client_id: str) -> tuple[str, ...]:
        """POST the prompt; return the errors ComfyUI found, none if it is queued."""
        # client_id always: without it ComfyUI 0.3.75 leaves the outputs of cached nodes out of the history.
        body = {"prompt": workflow, "prompt_id": prompt_id, "client_id": client_id}
        try:
            async with self._session.post(self.url + "/prompt", json=body) as response:
                status, answer = response.status, await response.text()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            # It may have arrived all the same, and posting again would run it twice.
            with suppress(*_NETWORK):
                if await self._history(prompt_id) or (await self._place(prompt_id))[0]:
                    return ()
            raise self._unreachable(error) from None
        try:
            answer = json.loads(answer)
        except ValueError:
            answer = {}
        if status not in (200, 400) or not isinstance(answer, dict):
            raise InputError("queue", "server", self.url, f"answered the prompt with HTTP status {status}",
                             "check the address, and look at ComfyUI's log")
        errors = _node_errors(answer.get("node_errors") or {}, workflow)
        if status == 400:
            return errors or (_plain_error(answer.get("error")),)
        if errors:  # ComfyUI runs the rest of the workflow, and the storyboard would have holes
            await self.cancel(prompt_id)
        return errors

    async def _follow(self, prompt_id: str, tell: Callable[[Event], None], news: asyncio.Event,
                      listener: asyncio.Task) -> RunResult:
        absent, last_answer = 0, time.monotonic()
        while True:
            news.clear()
            try:
                # Queue before history: a prompt leaves one and enters the other at the same moment.
                state, before = await self._place(prompt_id)
                entry = await self._history(prompt_id) if state is None else None
            except (InputError, *_NETWORK):
                if time.monotonic() - last_answer > self.patience_seconds:
                    return RunResult(prompt_id, "lost", errors=(
                        f"{self.url} has not answered for {self.patience_seconds:g} s; look at ComfyUI's log",))
            else:
                last_answer = time.monotonic()
                if entry:
                    return _ended(prompt_id, entry)
                absent = absent + 1 if state is None else 0
                if absent >= 2:
                    if prompt_id in self._cancelled:
                        return RunResult(prompt_id, "interrupted", errors=("cancelled before it began",))
                    return RunResult(prompt_id, "lost", errors=(
                        "the server knows this prompt no longer, neither queued nor finished: it was restarted, or its "
                        "queue or history was cleared; run the workflow again",))
                if state:
                    tell(Event(state, value=before))
            await _wait(news, self.poll_seconds)
            if listener.done():
                listener.result()  # raises what on_event raised

    async def _listen(self, client_id: str, prompt_id: str, tell: Callable[[Event], None], connected: asyncio.Event,
                      news: asyncio.Event) -> None:
        """Pass the websocket's messages on for ever, reconnecting with growing pauses."""
        pause = 1.0
        while True:
            with suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
                async with self._session.ws_connect(f"{self.url}/ws?clientId={client_id}", heartbeat=30,
                                                    max_msg_size=_FRAME_BYTES) as socket:
                    connected.set()
                    async for message in socket:
                        if message.type == aiohttp.WSMsgType.TEXT:  # binary ones are previews
                            pause = 1.0
                            self._pass_on(message.data, prompt_id, tell, news)
            connected.set()
            news.set()
            # A reconnect at once would go deaf: the server's old handler removes the new socket when it ends.
            await asyncio.sleep(pause)
            pause = min(2 * pause, 15.0)

    @staticmethod
    def _pass_on(text: str, prompt_id: str, tell: Callable[[Event], None], news: asyncio.Event) -> None:
        try:
            message = json.loads(text)
            kind, data = message["type"], message["data"]
            ours = data.get("prompt_id") == prompt_id
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if ours:
            if kind in _ENDINGS or (kind == "executing" and data.get("node") is None):
                news.set()
            node = data.get("node") or data.get("node_id")
            tell(Event(kind, node and str(node), data.get("value") or 0, data.get("max") or 0, data))

    async def _place(self, prompt_id: str) -> tuple[str | None, int]:
        """("running", 0), ("waiting", how many are before it), or (None, 0) if it is not in the queue."""
        queue = await self._ask("/queue")
        running, pending = queue.get("queue_running", []), queue.get("queue_pending", [])
        if any(item[1] == prompt_id for item in running):
            return "running", 0
        for item in pending:
            if item[1] == prompt_id:
                return "waiting", len(running) + sum(other[0] < item[0] for other in pending)
        return None, 0

    async def _history(self, prompt_id: str) -> dict[str, Any] | None:
        return (await self._ask(f"/history/{prompt_id}")).get(prompt_id)

    async def _ask(self, route: str, body: Any = None, *, form: aiohttp.FormData | None = None,
                   query: Mapping[str, str] | None = None, raw: bool = False) -> Any:
        """One request, GET without body or form; its JSON answer ({} if empty) or its bytes. InputError if it fails."""
        method = "GET" if body is None and form is None else "POST"
        try:
            async with self._session.request(method, self.url + route, json=body, data=form, params=query) as response:
                content = await response.read()
                if response.status != 200:
                    raise InputError("queue", "server", self.url,
                                     f"answered {route} with HTTP status {response.status}", "look at ComfyUI's log")
            return content if raw else json.loads(content or b"{}")
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise self._unreachable(error) from None
        except json.JSONDecodeError:
            raise InputError("queue", "server", self.url, f"answered {route} with something that is not JSON",
                             "check the address and the port") from None

    def _unreachable(self, error: Exception) -> InputError:
        return InputError("queue", "server", self.url, f"cannot be reached ({str(error) or type(error).__name__})",
                          "start ComfyUI, or give its address")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        return False


def _line(*parts: Any) -> str:
    """Texts joined by ": " on one line, without empty ones and repetitions."""
    texts = [" ".join(str(part).split()) for part in parts if part]
    return ": ".join(dict.fromkeys(text for text in texts if text))


def _plain_error(error: Any) -> str:
    if isinstance(error, dict):
        return _line(error.get("message"), error.get("details")) or "refused without a reason"
    return _line(error) or "refused without a reason"


def _node_errors(node_errors: Mapping[str, Any], workflow: Workflow) -> tuple[str, ...]:
    lines = []
    for node_id, entry in node_errors.items():
        name = entry.get("class_type") or workflow.get(node_id, {}).get("class_type", "unknown node")
        for error in entry.get("errors") or [{"message": "refused without a reason"}]:
            wrong = (error.get("extra_info") or {}).get("input_name")
            lines.append(_line(f"node {node_id} ({name})" + (f", input '{wrong}'" if wrong else ""),
                               error.get("message"), error.get("details")))
    return tuple(lines)


def _ended(prompt_id: str, entry: Mapping[str, Any]) -> RunResult:
    """Read a history entry."""
    status, outputs = entry.get("status") or {}, entry.get("outputs") or {}
    messages = {kind: data for kind, data in status.get("messages") or ()}
    if data := messages.get("execution_error"):
        error = _line(f"node {data.get('node_id')} ({data.get('node_type')})",
                      data.get("exception_message") or data.get("exception_type") or "failed")
        return RunResult(prompt_id, "error", outputs, (error,))
    if "execution_interrupted" in messages:
        data = messages["execution_interrupted"]
        return RunResult(prompt_id, "interrupted", outputs,
                         (f"interrupted in node {data.get('node_id')} ({data.get('node_type')})",))
    if status.get("status_str", "success") != "success":
        return RunResult(prompt_id, "error", outputs, ("failed without a message; look at ComfyUI's log",))
    return RunResult(prompt_id, "success", outputs)


def _safe_name(name: str) -> str:
    """A server's file name as a plain name: no folders, no control or reserved characters, not hidden."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if char in '<>:"|?*' or not char.isprintable() else char for char in name)
    return name.strip(". ")[-150:] or "file"


def _free_name(folder: Path, name: str, content: bytes) -> Path:
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    path = folder / name
    while path.exists() and not (path.is_file() and path.read_bytes() == content):
        number += 1
        path = folder / f"{stem}_{number}{suffix}"
    return path


if __name__ == "__main__":
    import sys

    from .queue_command import main

    sys.exit(main())

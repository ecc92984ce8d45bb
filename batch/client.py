"""A client of ComfyUI's HTTP API: submit an API-format workflow, follow it to its end, fetch its pictures.

What happened is read from `/queue` and `/history`; the websocket only says when to look and how far a node is, because
it may go deaf, and nothing it missed is repeated.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from ..common import InputError
from .answers import Event, RunResult, Workflow, event_of, node_errors, queued_ids, refusal_reason, run_result
from .files import cannot_fetch, fetch_file, output_files
from .server import Server, ServerError

_CANCEL_SECONDS = 30.0
@dataclass(frozen=True)
class FetchedFile:
    """A file of a run, `name` as the server calls it: its `path` here, or the `error` that says why it is not here."""

    name: str
    path: Path | None = None
    error: InputError | None = None


class _Prompt:
    """A prompt that is followed; its id changes if the server picks its own."""

    def __init__(self, prompt_id: str, tell: Callable[[Event], None]):
        self.id, self.tell = prompt_id, tell
        self.news = asyncio.Event()  # look at the server now
        self.doubt = ""  # why it is not known whether the server has got it


class QueueClient:
    """Speaks with one ComfyUI server. Use it as `async with QueueClient("http://127.0.0.1:8188") as client:`.

    `poll_seconds` is the time between looks at the server, `patience_seconds` how long it may be out of reach (a
    restart, a blocked loop) before a prompt counts as lost, `silence_seconds` how long it may send nothing before a
    request counts as failed, `retry_seconds` the pause before a file is asked for again. Methods raise InputError if
    the server cannot be reached or refuses.
    """

    def __init__(self, server_url: str, *, poll_seconds: float = 2.0, patience_seconds: float = 120.0,
                 silence_seconds: float = 60.0, retry_seconds: float = 1.0):
        self._server = Server(server_url, silence_seconds)
        self.url = self._server.url
        self.poll_seconds, self.patience_seconds, self.retry_seconds = poll_seconds, patience_seconds, retry_seconds
        self._server_ids: dict[str, str] = {}  # prompt id that was asked for -> the one the server picked
        self._cancelled: set[str] = set()

    async def __aenter__(self) -> "QueueClient":
        await self._server.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def check(self, node_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Ask whether the server is ComfyUI and has these nodes; return their /object_info descriptions by node id."""
        stats = await self._server.ask("/system_stats")
        if "system" not in stats:
            raise InputError("queue", "server", self.url, "is not a ComfyUI server", "check the address and the port")
        found = {}
        for node in dict.fromkeys(node_ids):
            found[node] = (await self._server.ask(f"/object_info/{quote(node, safe='')}")).get(node)
        if missing := [node for node, info in found.items() if not isinstance(info, dict) or not info]:
            raise InputError("queue", "nodes", ", ".join(missing), f"are not installed on {self.url}",
                             "install the node pack there, restart ComfyUI and look at its log for import errors")
        return found

    async def upload(self, path: str | Path) -> str:
        """Send a picture into the server's input folder; return the name to give to a LoadImage node."""
        path = Path(path)
        if not path.is_file():
            raise InputError("queue", "upload", str(path), "is not a file", "check the name")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError("queue", "upload", str(path), f"cannot be read ({error.strerror})",
                             "check its permissions") from None

        def form() -> aiohttp.FormData:
            fields = aiohttp.FormData()
            fields.add_field("image", content, filename=path.name)
            fields.add_field("type", "input")
            return fields

        answer = await self._server.ask("/upload/image", form=form, form_bytes=len(content))
        if not isinstance(answer.get("name"), str):
            raise ServerError(self.url, "does not say what it called the picture", "look at ComfyUI's log", status=200)
        return "/".join(part for part in (answer.get("subfolder"), answer["name"]) if part)

    async def run(self, workflow: Workflow, on_event: Callable[[Event], None] | None = None, *,
                  prompt_id: str | None = None, timeout: float | None = None) -> RunResult:
        """Queue a workflow (API format) and wait until it has ended, at most `timeout` seconds; then it is cancelled.

        `on_event` is called in this event loop; what it raises ends run() and propagates, and the prompt runs on (as it
        does when run() itself is cancelled): call cancel(prompt_id). Raises InputError if the server cannot be reached
        or refuses, and then nothing runs.
        """
        asked, client_id = prompt_id or str(uuid.uuid4()), str(uuid.uuid4())
        prompt = _Prompt(asked, on_event or (lambda event: None))
        connected = asyncio.Event()
        listener = asyncio.create_task(self._listen(client_id, prompt, connected))
        try:
            await _wait(connected, 5)  # else the first events would be missed
            refused = await self._submit(workflow, prompt, client_id)
            if refused:
                return RunResult(prompt.id, "refused", errors=refused)
            if not prompt.doubt:
                prompt.tell(Event("queued"))
            return await asyncio.wait_for(self._follow(prompt, listener), timeout)
        except asyncio.TimeoutError:
            gone = await self.cancel(prompt.id)
            return RunResult(prompt.id, "timeout", errors=(
                f"not finished within {timeout:g} s; " + ("cancelled" if gone else "it could not be cancelled and may "
                "still run"),))
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def interrupt(self, prompt_id: str) -> None:
        """Stop a prompt if it is the one running; others are left alone."""
        await self._server.ask("/interrupt", {"prompt_id": self._server_ids.get(prompt_id, prompt_id)})

    async def cancel(self, prompt_id: str, attempts: int = 20) -> bool:
        """Take a prompt out of the queue, or stop it where it runs; return whether it is gone, after 30 s at the most.

        Asks repeatedly, half a second apart, since ComfyUI loses an interrupt that comes just before a prompt begins.
        """
        prompt_id = self._server_ids.get(prompt_id, prompt_id)
        self._cancelled.add(prompt_id)
        with suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self._cancel(prompt_id, attempts), _CANCEL_SECONDS)
        return False

    async def _cancel(self, prompt_id: str, attempts: int) -> bool:
        for _ in range(attempts):
            with suppress(InputError):
                await self._server.ask("/queue", {"delete": [prompt_id]})
                await self.interrupt(prompt_id)
                if (await self._place(prompt_id))[0] is None:
                    return True
            await asyncio.sleep(min(0.5, self.poll_seconds))
        return False

    async def download(self, outputs: Mapping[str, Mapping[str, Any]], folder: str | Path, *,
                       cached: Collection[str] = (), on_event: Callable[[Event], None] | None = None
                       ) -> AsyncIterator[FetchedFile]:
        """Fetch every file named in `outputs` into `folder`, one after the other, whatever becomes of the others.

        Names are reduced to harmless file names. A file already there is kept if it is the same, and else gets a
        neighbour with a number. `cached`: see RunResult; `on_event` hears of files that take a while.
        """
        folder, gone = Path(folder), None
        for file in output_files(outputs):
            def tell(there: int, whole: int, file=file) -> None:
                if on_event:
                    on_event(Event("fetching", file.node, there, whole, {"name": file.name}))

            path: Path | None = None
            error: Exception | None = None
            try:
                if gone is None:
                    path = await fetch_file(self._server, file, folder, pause=self.retry_seconds, tell=tell)
            except (ServerError, OSError) as caught:
                error = caught
                if isinstance(caught, ServerError) and caught.status is None and not await self._answers():
                    gone = caught
            if path is None:
                cause = error or gone or FileNotFoundError(file.name)
                yield FetchedFile(file.name, None, cannot_fetch(file, cause, folder, file.node in cached))
            else:
                yield FetchedFile(file.name, path, None)

    async def _submit(self, workflow: Workflow, prompt: _Prompt, client_id: str) -> tuple[str, ...]:
        """POST the prompt; return the errors ComfyUI found, none if it is queued."""
        # client_id always: without it ComfyUI 0.3.75 leaves the outputs of cached nodes out of the history.
        body = {"prompt": workflow, "prompt_id": prompt.id, "client_id": client_id}
        try:
            status, content = await self._server.answer("/prompt", body)
        except ServerError as error:
            # It may have arrived all the same, and posting again would run it twice. _follow finds out.
            if not error.arrived or error.status is not None:
                raise
            prompt.doubt = error.problem
            return ()
        try:
            if status not in (200, 400):
                raise self._server.refusal(status, "/prompt")
            answer = self._server.read_json(content, "/prompt")
        except ServerError:
            if status in (200, *range(500, 600)) and await self._knows(prompt.id):  # a proxy lost the answer
                return ()
            raise
        if answer.get("prompt_id") and str(answer["prompt_id"]) != prompt.id:
            self._server_ids[prompt.id] = prompt.id = str(answer["prompt_id"])
        errors = node_errors(answer.get("node_errors"), workflow)
        if status == 400:
            return errors or (refusal_reason(answer.get("error")),)
        if errors:  # ComfyUI runs the rest of the workflow, and the storyboard would have holes
            await self.cancel(prompt.id)
        return errors

    async def _follow(self, prompt: _Prompt, listener: asyncio.Task) -> RunResult:
        last_answer, last_seen, absent = time.monotonic(), time.monotonic(), 0
        while True:
            prompt.news.clear()
            try:
                # Queue before history: a prompt leaves one and enters the other at the same moment.
                state, before = await self._place(prompt.id)
                entry = await self._history(prompt.id) if state is None else None
            except ServerError as error:
                if time.monotonic() - last_answer > self.patience_seconds:
                    return RunResult(prompt.id, "lost", errors=(
                        f"{self.url} {error.problem}, and this for {self.patience_seconds:g} s; {error.remedy}",))
            else:
                last_answer = time.monotonic()
                if entry:
                    return run_result(prompt.id, entry)
                absent = absent + 1 if state is None else 0
                last_seen = time.monotonic() if state else last_seen
                # Some servers write the history a little later.
                if absent >= 3 and time.monotonic() - last_seen > 4 * self.poll_seconds:
                    if prompt.id in self._cancelled:
                        return RunResult(prompt.id, "interrupted", errors=("cancelled before it began",))
                    if prompt.doubt:
                        return RunResult(prompt.id, "lost", errors=(
                            f"{self.url} {prompt.doubt} when it was given the workflow, and does not know it now; look "
                            "at ComfyUI's log, and run the workflow again",))
                    return RunResult(prompt.id, "lost", errors=(
                        "the server knows this prompt no longer, neither queued nor finished: it was restarted, or its "
                        "queue or history was cleared; run the workflow again",))
                if state:
                    prompt.tell(Event(state, value=before))
            await _wait(prompt.news, self.poll_seconds)
            if listener.done():
                listener.result()  # raises what on_event raised

    async def _listen(self, client_id: str, prompt: _Prompt, connected: asyncio.Event) -> None:
        """Pass the websocket's messages on for ever, reconnecting with growing pauses."""
        pause = 1.0
        while True:
            with suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
                async with self._server.socket(client_id) as socket:
                    connected.set()
                    async for message in socket:
                        if message.type == aiohttp.WSMsgType.TEXT:  # binary ones are previews
                            pause = 1.0
                            self._pass_on(message.data, prompt)
            connected.set()
            prompt.news.set()
            # A reconnect at once would go deaf: the server's old handler removes the new socket when it ends.
            await asyncio.sleep(pause)
            pause = min(2 * pause, 15.0)

    @staticmethod
    def _pass_on(text: str, prompt: _Prompt) -> None:
        if event := event_of(text, prompt.id):
            if event.ends_run:
                prompt.news.set()
            prompt.tell(event)

    async def _place(self, prompt_id: str) -> tuple[str | None, int]:
        """("running", 0), ("waiting", how many are before it), or (None, 0) if it is not in the queue."""
        queue = await self._server.ask("/queue")
        running, pending = queued_ids(queue.get("queue_running")), queued_ids(queue.get("queue_pending"))
        if prompt_id in running:
            return "running", 0
        if prompt_id in pending:
            return "waiting", len(running) + sum(number < pending[prompt_id] for number in pending.values())
        return None, 0

    async def _history(self, prompt_id: str) -> dict[str, Any] | None:
        entry = (await self._server.ask(f"/history/{quote(prompt_id, safe='')}")).get(prompt_id)
        return entry if isinstance(entry, dict) else None

    async def _knows(self, prompt_id: str) -> bool:
        with suppress(ServerError):
            return bool(await self._history(prompt_id) or (await self._place(prompt_id))[0])
        return False

    async def _answers(self) -> bool:
        with suppress(ServerError):
            return bool(await self._server.ask("/system_stats"))
        return False


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)

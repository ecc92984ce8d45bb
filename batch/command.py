"""The command line of the queue client: queue a workflow, show its progress, save the files it makes."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..common import InputError, did_you_mean
from .client import Event, QueueClient, RunResult, Workflow
from .files import check_folder

_MAX_BYTES = 64 << 20
_BAR = 24  # characters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0 (done), 1 (the run failed, was cancelled or lost, or some of its files could not
    be fetched) or 2 (the input was refused and nothing was run)."""
    parser = argparse.ArgumentParser(
        prog="python -m kontinuity.batch",
        description="Queue a ComfyUI workflow (API format), show its progress, save the files it makes.",
        epilog="The path of each file goes to standard output when it is saved, all else to standard error. Exit code: "
               "0 done; 1 the run failed, was cancelled or lost, or some of its files could not be fetched; 2 the "
               "input was refused and nothing was run.")
    parser.add_argument("workflow", type=Path, help="a workflow exported in API format (.json)")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="where files go (default: here)")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", dest="changes",
                        help="change an input of a node; VALUE is JSON or plain text; may be repeated")
    parser.add_argument("--fresh", action="store_true",
                        help="run every node that saves something, also where ComfyUI remembers what it made")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="cancel the run after this time")
    options = parser.parse_args(arguments)
    try:
        workflow = read_workflow(options.workflow)
        changed = change_inputs(workflow, options.changes)
        if options.timeout is not None and not options.timeout > 0:
            raise InputError("queue", "timeout", options.timeout, "is not a positive number", "give seconds")
        check_folder(options.out)
        return asyncio.run(_run(workflow, changed, options))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1


def read_workflow(path: Path) -> dict[str, dict[str, Any]]:
    """Read an API-format workflow. Raises InputError for a missing file, no JSON, and the format of the editor."""
    where = path.name
    if not path.is_file():
        raise InputError("queue", "workflow", str(path), "is not a file", "check the name")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(where, "size", path.stat().st_size, f"is over {_MAX_BYTES} bytes", "give a workflow file")
        workflow = json.loads(path.read_bytes())  # of bytes, json finds UTF-8 and UTF-16, with a BOM or without
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{error.lineno}", "text", error.msg, "is not JSON", "export it anew") from None
    except UnicodeDecodeError:
        raise InputError("queue", "workflow", str(path), "cannot be read: it is not text in UTF-8 or UTF-16",
                         "give a workflow file, as ComfyUI exports it") from None
    except (OSError, RecursionError) as error:
        raise InputError("queue", "workflow", str(path), f"cannot be read ({type(error).__name__})",
                         "give a workflow file") from None
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        raise InputError(where, "format", "editor", "is a workflow of the editor, not of the API",
                         "in ComfyUI choose Workflow > Export (API)")
    nodes = workflow.items() if isinstance(workflow, dict) else ()
    if not nodes:
        raise InputError(where, "format", type(workflow).__name__, "has no nodes",
                         "in ComfyUI choose Workflow > Export (API)")
    for node_id, node in nodes:
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str) \
                or not isinstance(node.get("inputs", {}), dict):
            raise InputError(where, f"node {node_id}", node, "is not a node with class_type and inputs",
                             "in ComfyUI choose Workflow > Export (API)")
        node.setdefault("inputs", {})
    return workflow


def change_inputs(workflow: dict[str, dict[str, Any]], changes: Sequence[str]) -> list[tuple[str, str]]:
    """Apply NODE.INPUT=VALUE changes in place; return (node id, input) of each. Raises InputError for unknown nodes."""
    changed = []
    for change in changes:
        target, equals, text = change.partition("=")
        node_id, dot, name = target.partition(".")
        if not (equals and dot and name):
            raise InputError("queue", "--set", change, "is not NODE.INPUT=VALUE", "write for example --set 4.seed=7")
        if node_id not in workflow:
            raise InputError("queue", "--set", change, f"names node {node_id}, which the workflow does not have",
                             did_you_mean(node_id, workflow))
        inputs = workflow[node_id]["inputs"]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if isinstance(inputs.get(name), str) and not isinstance(value, str):
            value = text  # a text stays a text, also when it reads like a number
        inputs[name] = value
        changed.append((node_id, name))
    return changed


def run_anew(workflow: dict[str, dict[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Change all nodes that save something, so that ComfyUI does not answer from its cache; in place.

    `known`: /object_info by class_type. An input that a node does not know is part of the key of ComfyUI's cache and of
    nothing else. (POST /free would also drop the models, the results of everybody else, and often come too late: 0.3.75
    frees between prompts and misses a call that comes just before one.)
    """
    for node in workflow.values():
        if known[node["class_type"]].get("output_node"):
            node["inputs"]["kontinuity_fresh"] = uuid.uuid4().hex


async def _run(workflow: dict[str, dict[str, Any]], changed: Sequence[tuple[str, str]],
               options: argparse.Namespace) -> int:
    """Queue, follow, fetch; the exit code. Raises InputError only if nothing was run."""
    progress = Progress(workflow, sys.stderr)
    prompt_id = str(uuid.uuid4())
    async with QueueClient(options.server) as client:
        known = await client.check(node["class_type"] for node in workflow.values())
        for node_id, name in changed:
            _check_input(known[workflow[node_id]["class_type"]], node_id, name)
        if options.fresh:
            run_anew(workflow, known)
        try:
            result = await client.run(workflow, progress, prompt_id=prompt_id, timeout=options.timeout)
        except asyncio.CancelledError:  # Ctrl-C
            if not await client.cancel(prompt_id):
                progress.say("the run could not be cancelled")
            raise
        finally:
            progress.close()
        for line in result.errors:
            progress.say(f"{result.status}: {line}")
        if result.status == "refused":
            return 2
        # What was finished before an error is worth having, too.
        return 0 if await _fetch(client, result, options.out, progress) and result.status == "success" else 1


async def _fetch(client: QueueClient, result: RunResult, folder: Path, progress: "Progress") -> bool:
    """Fetch what can be fetched and show its paths; whether that was all."""
    saved, missing = 0, 0
    async for file in client.download(result.outputs, folder, cached=result.cached, on_event=progress):
        progress.close()
        if file.path:
            saved += 1
            _show_path(file.path)
        else:
            missing += 1
            progress.say(str(file.error))
    if missing:
        progress.say(f"{missing} of {saved + missing} files could not be fetched")
    elif not saved and result.status == "success":
        progress.say("done, but no node of the workflow has saved a file")
    return not missing


def _show_path(path: Path) -> None:
    try:
        sys.stdout.write(f"{path}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads the paths any more, which is no reason to leave files behind
        sys.stdout = open(os.devnull, "w")
    except UnicodeEncodeError:  # a name that standard output cannot spell; scripts want its bytes
        sys.stdout.buffer.write(os.fsencode(path) + b"\n")
        sys.stdout.buffer.flush()


def _check_input(description: dict[str, Any], node_id: str, name: str) -> None:
    """ComfyUI ignores an input it does not know, so a misspelt --set would change nothing."""
    inputs = [known for group in ("required", "optional") for known in description.get("input", {}).get(group) or ()]
    if name not in inputs and name.split(".")[0] not in inputs:
        raise InputError("queue", "--set", f"{node_id}.{name}", "is no input of that node", did_you_mean(name, inputs))


class Progress:
    """Shows events on a stream, one line that is redrawn on a terminal, a line per node and quarter elsewhere; and says
    things."""

    def __init__(self, workflow: Workflow, stream: TextIO):
        self._workflow, self._stream = workflow, stream
        self._live = stream.isatty()
        self._node: str | None = None
        self._last: object = None

    def __call__(self, event: Event) -> None:
        if event.kind == "waiting":
            self._show(f"waiting, {event.value:g} before it", ("waiting", event.value))
        elif event.kind in ("queued", "execution_start"):
            self._show(event.kind.removeprefix("execution_"), event.kind)
        elif event.kind == "executing" and event.node:
            self._node = event.node
            self._show(self._title(event.node), event.node)
        elif event.kind == "progress" and event.max > 0:
            share = min(1.0, event.value / event.max)
            node = event.node or self._node
            bar = ("#" * round(share * _BAR)).ljust(_BAR, ".")
            self._show(f"[{bar}] {event.value:g}/{event.max:g} {self._title(node)}", (node, int(share * 4)))
        elif event.kind == "fetching":
            name, whole = " ".join(str(event.data.get("name")).split()), event.max
            self._show(f"fetching {name}, {_size(event.value)}" + (f" of {_size(whole)}" if whole else ""),
                       (name, int(4 * event.value / whole) if whole else 0))

    def say(self, line: str) -> None:
        """A line for itself."""
        self.close()
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """End the line, so that what comes next begins on a new one."""
        if self._live and self._last is not None:
            self._stream.write("\n")
            self._stream.flush()
        self._last = None

    def _title(self, node: str | None) -> str:
        entry = self._workflow.get(node or "", {})
        meta = entry.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        return " ".join(str(title or entry.get("class_type") or f"node {node}").split())

    def _show(self, text: str, milestone: object) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + text[:width].ljust(width))
        elif milestone != self._last:
            self._stream.write(text + "\n")
        self._last = milestone
        self._stream.flush()


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"

"""What ComfyUI's answers and messages mean. Nothing is taken for granted: a part of another shape is as if it were
missing."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Workflow = Mapping[str, Mapping[str, Any]]  # node id -> {"class_type": ..., "inputs": {...}}

_ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(frozen=True)
class Event:
    """Something that happened to a prompt.

    `kind` is "queued" (accepted), "waiting" (`value` prompts are before it), "running" (seen by a poll), "fetching"
    (`value` of `max` bytes of the file `data["name"]`, 0 if nobody knows how many) or the type of a ComfyUI message:
    "executing", "progress" (`value` of `max`), "executed", ... `node` is a node id.
    """

    kind: str
    node: str | None = None
    value: float = 0
    max: float = 0
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def ends_run(self) -> bool:
        """Whether ComfyUI has done with the prompt after this."""
        return self.kind in _ENDINGS or self.kind == "executing" and self.data.get("node") is None


@dataclass(frozen=True)
class RunResult:
    """How a prompt ended.

    `prompt_id` is the server's. `status` is "success", "refused" (ComfyUI found the workflow faulty; nothing was kept
    running), "error" (a node failed), "interrupted", "lost" (the server forgot it) or "timeout". `outputs` are
    ComfyUI's, by node id. `errors` has one readable line per error. `cached` are the ids of the nodes that did not run,
    because ComfyUI remembered what they had made.
    """

    prompt_id: str
    status: str
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    cached: frozenset[str] = frozenset()

    @property
    def error(self) -> str:
        """All errors, one per line; empty after success."""
        return "\n".join(self.errors)


def event_of(text: str, prompt_id: str) -> Event | None:
    """What a websocket message says, None if it is not ComfyUI's or about another prompt."""
    try:
        message = json.loads(text)
        kind, data = str(message["type"]), message["data"]
        if str(data.get("prompt_id")) != prompt_id:
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    node = data.get("node") or data.get("node_id")
    return Event(kind, str(node) if isinstance(node, (str, int)) else None, _number(data.get("value")),
                 _number(data.get("max")), data)


def queued_ids(rows: Any) -> dict[str, float]:
    """Prompt ids and their numbers, the smallest first to run, of one half of ComfyUI's queue."""
    return {str(row[1]): _number(row[0]) for row in _list(rows)
            if isinstance(row, list) and len(row) > 1}


def refusal_reason(error: Any) -> str:
    """One error of ComfyUI as one line."""
    if isinstance(error, dict):
        return _line(error.get("message"), error.get("details")) or "refused without a reason"
    return _line(error) or "refused without a reason"


def node_errors(node_errors: Any, workflow: Workflow) -> tuple[str, ...]:
    """The errors ComfyUI found in a workflow, a line each, from its answer to POST /prompt."""
    lines = []
    for node_id, entry in _dict(node_errors).items():
        name = _dict(entry).get("class_type") or workflow.get(node_id, {}).get("class_type", "unknown node")
        for error in _list(_dict(entry).get("errors")) or [{}]:
            wrong = _dict(_dict(error).get("extra_info")).get("input_name")
            lines.append(_line(f"node {node_id} ({name})" + (f", input '{wrong}'" if wrong else ""),
                               refusal_reason(error)))
    return tuple(lines)


def run_result(prompt_id: str, entry: Mapping[str, Any]) -> RunResult:
    """How a prompt ended, from its history entry."""
    status, outputs = _dict(entry.get("status")), _dict(entry.get("outputs"))
    messages = {str(message[0]): _dict(message[1] if len(message) > 1 else None)
                for message in _list(status.get("messages")) if isinstance(message, list) and message}
    cached = frozenset(map(str, _list(messages.get("execution_cached", {}).get("nodes"))))

    def result(kind: str, *errors: str) -> RunResult:
        return RunResult(prompt_id, kind, outputs, errors, cached)

    if data := messages.get("execution_error"):
        return result("error", _line(f"node {data.get('node_id')} ({data.get('node_type')})",
                                     data.get("exception_message") or data.get("exception_type") or "failed"))
    if "execution_interrupted" in messages:
        data = messages["execution_interrupted"]
        return result("interrupted", f"interrupted in node {data.get('node_id')} ({data.get('node_type')})")
    if status.get("status_str", "success") != "success":
        return result("error", "failed without a message; look at ComfyUI's log")
    return result("success")


def _line(*parts: Any) -> str:
    """Texts joined by ": " on one line, without empty ones and repetitions."""
    texts = [" ".join(str(part).split()) for part in parts if part]
    return ": ".join(dict.fromkeys(text for text in texts if text))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else 0

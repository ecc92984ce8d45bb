"""The files a run has made: found in ComfyUI's outputs, fetched piece by piece, kept under harmless names."""

import asyncio
import filecmp
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..common import InputError
from .server import Server, ServerError

_CHUNK = 1 << 18  # bytes
_TELL_SECONDS = 0.5
_NAME_BYTES = 150  # of a file name; a file system takes 255, and a number may be added
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})

Tell = Callable[[int, int], None]  # bytes there, bytes in all (0: unknown)


@dataclass(frozen=True)
class OutputFile:
    """A file that the node `node` (an id) has made, as the server names it; `type` is output, temp or input."""

    node: str
    filename: str
    subfolder: str
    type: str

    @property
    def name(self) -> str:
        return f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename


def output_files(outputs: Any) -> list[OutputFile]:
    """The files in ComfyUI's outputs, {node id: {kind: [{"filename", "subfolder", "type"}, ...]}}, each once; what has
    another shape is not a file."""
    found = {}
    for node, node_output in outputs.items() if isinstance(outputs, dict) else ():
        for entries in node_output.values() if isinstance(node_output, dict) else ():
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict) and isinstance(entry.get("filename"), str) and entry["filename"]:
                    names = (entry["filename"], str(entry.get("subfolder") or ""), str(entry.get("type") or "output"))
                    found.setdefault(names, OutputFile(str(node), *names))
    return list(found.values())


def check_folder(folder: Path) -> None:
    """Raise InputError if files cannot be put into a folder, which need not exist yet; create nothing."""
    try:
        place = folder.absolute()
        while not _is_there(place):
            place = place.parent
        if not place.is_dir():
            raise InputError("queue", "--out", str(folder), f"needs a folder where {place} is a file",
                             "give the name of a folder")
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("queue", "--out", str(folder), f"cannot take files ({_reason(error)})",
                         "give a folder you can write to") from None


async def fetch_file(server: Server, file: OutputFile, folder: Path, *, tries: int = 3, pause: float = 1.0,
                     tell: Tell | None = None) -> Path:
    """Fetch one file into a folder; return its path.

    The file has its name only when it is whole. One already there is kept if it is the same, and else the new one gets
    a number. A transfer that fails is taken up again where it broke, or from the beginning, until `tries` in a row
    came no further; `pause` is the seconds after the first. Raises ServerError, and OSError if it cannot be saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        with part.open("xb") as target:
            await _Transfer(server, file, target, tell or (lambda there, whole: None)).finish(tries, pause)
            target.flush()
            os.fsync(target.fileno())
        path = _free_name(folder, safe_name(file.filename), part)
        if not path.exists():
            os.replace(part, path)
        return path
    finally:
        part.unlink(missing_ok=True)


def cannot_fetch(file: OutputFile, error: Exception, folder: Path, cached: bool) -> InputError:
    """What to say of a file that fetch_file raised `error` for; `cached`: its node did not run in this run."""
    if not isinstance(error, ServerError):
        return InputError("queue", "file", file.name, f"cannot be saved in {folder} ({_reason(error)})",
                          "make room there or give another --out, and run again: ComfyUI still has the file")
    problem, remedy = error.problem, error.remedy
    if error.status is None:
        remedy = "run again, or take it from ComfyUI's output folder"
    elif error.status == 404 and cached:
        problem = (f"is gone from the server, and ComfyUI remembered what node {file.node} made and did not run it "
                   "again")
        remedy = "run with --fresh, or change an input of that node"
    elif error.status == 404:
        problem = "is not on the server any more: it was moved or deleted there"
        remedy = "look into ComfyUI's output folder, or run with --fresh"
    elif error.status == 400:
        problem = "has a name that ComfyUI does not hand out"
        remedy = "take it from ComfyUI's output folder; next time without '..' in filename_prefix"
    elif error.status == 403:
        remedy = "take it from ComfyUI's output folder, or let the proxy before ComfyUI allow it"
    return InputError("queue", "file", file.name, problem, remedy)


class _Transfer:
    """The content of a file on its way into `target`, in as many requests as it needs."""

    def __init__(self, server: Server, file: OutputFile, target: BinaryIO, tell: Tell):
        self._server, self._target, self._tell = server, target, tell
        self._query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        self._version: str | None = None  # a strong ETag: only then can the rest be asked for
        self._told = time.monotonic()

    async def finish(self, tries: int, pause: float) -> None:
        furthest = failures = 0
        while True:
            try:
                return await self._attempt()
            except ServerError as error:
                reached = self._target.tell()
                failures = 1 if reached > furthest else failures + 1
                furthest = max(furthest, reached)
                # No answer, and the statuses of a server in trouble, may pass; the others do not.
                passing = error.status is None or error.status in (206, 416, 429) or error.status >= 500
                if not passing or failures >= tries:
                    raise
            await asyncio.sleep(pause * failures)

    async def _attempt(self) -> None:
        start = self._target.tell() if self._version else 0
        headers = {"Accept-Encoding": "identity"}  # pictures are packed already, and ranges want plain bytes
        if start and self._version:
            headers |= {"Range": f"bytes={start}-", "If-Range": self._version}
        async with self._server.request("/view", query=self._query, headers=headers) as response:
            tag = response.headers.get("ETag", "")
            if response.content_type == "text/html" and response.status == 200:  # ComfyUI calls HTML something else
                raise ServerError(self._server.url, "sent a web page instead of the file, perhaps a login",
                                  "log in, or give the address that ComfyUI itself has", status=response.status)
            if response.status == 200:
                start = 0
                self._target.seek(0)
                self._target.truncate()
                plain = tag.startswith('"') and "Content-Encoding" not in response.headers
                self._version = tag if plain else None
            elif response.status != 206 or tag != self._version \
                    or not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                if response.status in (206, 416):  # not the rest of what is here
                    self._version = None
                raise self._server.refusal(response.status, "/view")
            whole = start + response.content_length if response.content_length else 0
            async for chunk in response.content.iter_chunked(_CHUNK):
                self._target.write(chunk)
                if time.monotonic() - self._told > _TELL_SECONDS:
                    self._told = time.monotonic()
                    self._tell(self._target.tell(), whole)


def safe_name(name: str) -> str:
    """A server's file name as a plain name: no folders, no control or reserved characters, not hidden, at most 150
    bytes."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if char in '<>:"|?*' or not char.isprintable() else char for char in name)
    name = name.encode()[-_NAME_BYTES:].decode(errors="ignore").strip(". ") or "file"
    return f"_{name}" if name.split(".")[0].rstrip().lower() in _DEVICES else name  # so Windows reads them


def _free_name(folder: Path, name: str, part: Path) -> Path:
    """The path of a file with the content of `part`, if it is there, or else one that is free."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    path = folder / name
    while os.path.lexists(path) and not (path.is_file() and filecmp.cmp(path, part, shallow=False)):
        number += 1
        path = folder / f"{stem}_{number}{suffix}"
    return path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def complete_path(path: Path) -> Iterator[Path]:
    """The path of a file to write in the same folder, which gets the name `path` at the end and never on an error.

    Folders are made; an older file of that name is replaced. Raises OSError: a full disk, a folder without permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: its files are for the owner's eyes only, and the mode would stay.
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # on disk before it has the name: after a power cut it is whole or not there
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """As complete_path, a binary file open for writing."""
    with complete_path(path) as part, part.open("xb") as file:
        yield file

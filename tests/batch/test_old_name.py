"""`python -m kontinuity.storyboard.queue`, the command's first name: scripts of users say it."""

import subprocess
import sys

from kontinuity import batch
from kontinuity.storyboard import queue


def test_the_old_name_is_the_same_command_and_client(capsys):
    from kontinuity.batch import command

    assert queue.QueueClient is batch.QueueClient and queue.main is command.main


def test_it_runs_as_a_module(tmp_path):
    """In a ComfyUI the pack lies in a folder of its own name."""
    (tmp_path / "kontinuity").symlink_to(queue.__file__.rsplit("/", 2)[0])
    done = subprocess.run([sys.executable, "-m", "kontinuity.storyboard.queue", "none.json", "--out", str(tmp_path)],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "none.json" in done.stderr and "is not a file" in done.stderr

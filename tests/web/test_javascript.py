"""The JavaScript of nodes/web in Node.js: every tests/web/*.test.mjs is a test. Node.js comes with pyright."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, the one that dev.py installs or any other."""
    found = os.environ.get("KONTINUITY_NODE") or shutil.which("node")
    if not found:
        pytest.skip("no Node.js; python3 dev.py test brings one")
    return found


@pytest.mark.parametrize("script", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_javascript(node, script):
    done = subprocess.run([node, "--test", script], cwd=FOLDER, capture_output=True, text=True, encoding="utf-8",
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout and "pass 0" not in done.stdout

"""A long clip goes through pictures in between and the encoder without staying in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


pytest.importorskip("av")


def test_memory_does_not_grow_with_the_length_of_a_clip():
    """40 pictures of 1920 x 1080 are 1.0 GB as float32, the 39 between them as much. The encoder has 0.6 GB of its own.

    `benchmarks/clip_memory.py` measures 300, with motion.
    """
    code = ("import sys; sys.path.insert(0, 'tests'); import conftest; from kontinuity.benchmarks import clip_memory; "
            "sys.argv = ['clip_memory', '--frames', '40', '--mode', 'dissolve']; clip_memory.main()")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["written"] == 79
    assert found["peak_gb"] - found["before_gb"] < 1.1, found

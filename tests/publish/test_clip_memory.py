"""A long clip goes through pictures in between and the encoder without staying in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


pytest.importorskip("av")


def test_memory_does_not_grow_with_the_length_of_a_clip():
    """36 pictures of 1920 x 1080 and the 35 between them would be 1.8 GB; whoever kept the given ones alone, 0.9 GB.

    `benchmarks/clip_memory.py` measures 300, with motion.
    """
    code = ("import sys; sys.path.insert(0, 'tests'); import conftest; from kontinuity.benchmarks import clip_memory; "
            "sys.argv = ['clip_memory', '--frames', '36', '--mode', 'dissolve']; clip_memory.main()")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["written"] == 71
    assert found["peak_gb"] - found["before_gb"] < 0.7, found

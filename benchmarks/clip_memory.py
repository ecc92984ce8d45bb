"""How much memory does a long clip need from pictures to file? They are drawn, moved on and written one at a time, as
Save Clip does with a target_fps; nothing may keep them.

The whole measurement is 300 pictures of 1920 x 1080 at double rate (24.9 MB each as float32, 14.9 GB together).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..flow import MODES, frame_times, pictures_at
from ..publish import write_clip

WIDTH, HEIGHT = 1920, 1080


def peak_memory() -> int:
    """The most memory this process has had so far, bytes resident."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


def pan(count: int) -> Iterator[Tensor]:
    """A camera that moves on by two pixels a picture."""
    grain = torch.rand((1, 3, 90, (WIDTH + 2 * count) // 12 + 1), generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(grain, scale_factor=12, mode="bilinear")[0].permute(1, 2, 0).contiguous()
    for number in range(count):
        yield wide[:, 2 * number : 2 * number + WIDTH].contiguous()


def measure(count: int, mode: str) -> dict:
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        made, decisions = pictures_at(pan(count), frame_times(count, 24, 48), mode=mode), Counter()

        def pictures() -> Iterator[Tensor]:
            for item in made:
                decisions.update([item.report.decision] if item.report else [])
                yield item.picture

        written = write_clip(path, pictures(), (WIDTH, HEIGHT), Fraction(48), quality="small")
    return {"given": count, "written": written, "size": [WIDTH, HEIGHT], "mode": mode, "decisions": dict(decisions),
            "peak_gb": round(peak_memory() / 1e9, 2), "before_gb": round(before / 1e9, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="how many pictures are given")
    parser.add_argument("--mode", default="auto", choices=MODES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({"benchmark": "clip_memory", **measure(options.frames, options.mode)}))


if __name__ == "__main__":
    main()

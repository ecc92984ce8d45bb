"""The whole training, from nothing to the folders of weights. Cut off and begun again, it goes on where it was."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from .state import arguments

STAGES = {  # minutes on CPU cores
    "vae decoder": 45,
    "vae encoder": 9,
    "vae joint": 157,
    "transformer": 400,
    "encoder": 50,
    "finder": 22,
}
GPU_MINUTES = 28  # all together; planned, never run on one


def parser() -> argparse.ArgumentParser:
    """The options; ``--minutes`` are those of all stages together, which share them as in ``STAGES``."""
    found = arguments((__doc__ or "").splitlines()[0], minutes=0)
    found.add_argument("--workers", type=int, default=1, help="processes that share the transformer's work")
    found.add_argument("--compile", action="store_true", help="see the transformer's")
    found.add_argument("--out", type=Path, default=Path(__file__).parent.parent,
                       help="where weights/, identity/ and the pictures of the model card go")
    return found


def commands(options: argparse.Namespace) -> list[list[str]]:
    """What is run, one after another."""
    minutes = options.minutes or (sum(STAGES.values()) if options.device == "cpu" else GPU_MINUTES)
    share = minutes / sum(STAGES.values())
    found = []
    for stage, usual in STAGES.items():
        run = [f"--minutes={usual * share}", f"--state={options.state}", f"--device={options.device}",
               f"--seed={options.seed}"]
        start = [sys.executable, "-m"]
        if stage == "transformer":
            if options.workers > 1:
                start += ["torch.distributed.run", f"--nproc-per-node={options.workers}", "-m"]
            run += ["--compile"] * options.compile
        found.append([*start, *_module(stage), *run])
    for stage, folder in (("assemble", "weights"), ("assemble_identity", "identity"), ("report", ".")):
        where = [f"--state={options.state}", f"--out={options.out / folder}"]
        found.append([sys.executable, "-m", *_module(stage), *where])
    return found


def _module(stage: str) -> list[str]:
    module, *rest = stage.split()
    return [f"{__package__}.{module}", *rest]


def main(argv: list[str] | None = None) -> None:
    """Run every stage.

    Raises:
        subprocess.CalledProcessError: a stage failed; those before it need not be run again.
    """
    for command in commands(parser().parse_args(argv)):
        print(shlex.join(command), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""`python -m kontinuity.storyboard.queue`: what `python -m kontinuity.batch` was called first; scripts still say it."""

import sys

from ..batch import QueueClient
from ..batch.command import main

__all__ = ["QueueClient", "main"]

if __name__ == "__main__":
    sys.exit(main())

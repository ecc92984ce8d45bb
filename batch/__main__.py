"""`python -m kontinuity.batch WORKFLOW --server URL --out FOLDER`."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())

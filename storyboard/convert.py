"""The command that checks a story file of any kind and writes it as YAML:

    python -m kontinuity.storyboard.convert screenplay.fountain --out story.yaml
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..common import InputError, complete_file
from .story.file import STORY_SUFFIXES, load_story
from .story.reserved import reserved_fields


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 2 if something is wrong with the story or the file cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m kontinuity.storyboard.convert",
        description="Check a story file and write it as YAML, to be edited and rendered. Reads "
                    f"{', '.join(STORY_SUFFIXES)}. What could not be imported, or was read in doubt, is said on "
                    "standard error.")
    parser.add_argument("story", type=Path, help="a story, a screenplay, a shot list, a ViStoryBench story")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the YAML file to write (default: standard output)")
    options = parser.parse_args(arguments)
    try:
        loaded = load_story(options.story)
        if options.out is not None and options.out.exists():
            raise InputError("convert", "out", str(options.out), "exists already", "choose another name")
        if options.out is not None:
            with complete_file(options.out) as file:
                file.write(loaded.yaml.encode())
        else:
            print(loaded.yaml, end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot write: {error}", file=sys.stderr)
        return 2
    for line in loaded.left_out:
        print(f"not imported: {line}", file=sys.stderr)
    if reserved := reserved_fields(loaded.story):
        print(f"kept, but nothing uses it yet: {', '.join(reserved)}", file=sys.stderr)
    print(f"{len(loaded.story.panels)} panels", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

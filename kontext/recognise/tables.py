"""The tables of docs/checkpoints.md that say what is read, made from what reads it.

`python -m kontinuity.kontext.recognise.tables docs/checkpoints.md` writes them anew.
"""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..files import packings
from ..files.tensors import FLOATS, FP8
from ..layers.dequantise import BLOCKS
from ..names.parts import PREFIXES, SPELLINGS, TELL_TALES
from .flavours import ALIKE, FLUX_BY_BLOCKS, FLUX_BY_CHANNELS, KONTEXT, MARKS
from .precision import NAMES

START = "<!-- made by `python -m kontinuity.kontext.recognise.tables docs/checkpoints.md`; do not edit -->"
END = "<!-- end of what is made -->"
_PARTS = {"transformer": "transformer", "clip": "CLIP-L", "t5": "T5-XXL", "vae": "VAE"}


def markdown() -> str:
    """What stands between the two marks."""
    ways = packings.__doc__ or ""
    return "\n\n".join([
        _table(("part", "names", "tells it", "may stand before each name"), (
            (_PARTS[part], ", ".join(dict.fromkeys(tells.values())), _code(tells), _code(filter(None, PREFIXES[part])))
            for part, tells in TELL_TALES.items())),
        "Of BFL's names some are spelt in other ways too: " + ", ".join(
            f"`{_plain(pattern.pattern)}` as `{_plain(other)}`" for pattern, other in SPELLINGS) + ".",
        "Number formats, in all parts: " + ", ".join(NAMES[kind] for kind in (*FLOATS, *FP8))
        + f"; in GGUF {', '.join(BLOCKS)}, also mixed in one file.",
        "Weights that are stored as several tensors:",
        ways[ways.index("|"):].strip(),
        _table(("inputs of the first layer", "member of FLUX.1"), [
            [64, f"{KONTEXT}, and those that load with a warning: {'; '.join(ALIKE)}"],
            *([channels, f"{flavour}: refused"] for channels, flavour in FLUX_BY_CHANNELS.items())]),
        _table(("kind", "what is told apart by its tensors"), (
            (kind, "; ".join(dict.fromkeys(mark.flavour for mark in MARKS if mark.kind == kind)))
            for kind in dict.fromkeys(mark.kind for mark in MARKS))),
        f"Blocks of {', '.join(f'{a} + {b}: {name}' for (a, b), name in FLUX_BY_BLOCKS.items())}; 19 + 38 the others.",
    ])


def page(text: str) -> str:
    """The page with its tables made anew. Raises: ValueError if the marks are not in it."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page needs the lines {START} and {END}")
    tables = "\n".join(line if line.startswith("|") else textwrap.fill(line, 120, break_long_words=False)
                     for line in markdown().splitlines())
    return f"{before}{START}\n\n{tables}\n\n{END}{after}"


def _table(heads: tuple[str, ...], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _plain(pattern: str) -> str:
    """A pattern as a name that it finds."""
    return pattern.replace("(query|key)", "query").replace(r"\1", "query").replace("\\.", ".").strip("^$")


def main(path: str) -> None:
    """Write a page's tables."""
    Path(path).write_text(page(Path(path).read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

"""The one error a user can cause, and how it reads."""

import difflib
import re
from collections.abc import Iterable

_MAX_VALUE = 80  # characters of the offending value that are shown
_PATH = re.compile(r"(/|~/|[A-Za-z]:[\\/]|\\\\)\S")  # how a whole path begins: its end says which file


class InputError(ValueError):
    """Something the user gave cannot be used. `str()` is one line: `where: field 'value': problem; remedy`.

    Args:
        where: the node, the panel or the file (with `:line` if known) the value came from.
        field: name of the setting, JSON key or file inside `where`.
        value: what was given; shown on one line, shortened to 80 characters: a path to its end, others to their
            beginning.
        problem: what is wrong with it.
        remedy: what to do instead.
    """

    def __init__(self, where: str, field: str, value: object, problem: str, remedy: str):
        super().__init__(where, field, value, problem, remedy)
        self.where, self.field, self.value, self.problem, self.remedy = where, field, value, problem, remedy

    def __str__(self) -> str:
        value = _one_line(self.value)
        if len(value) > _MAX_VALUE:
            kept = _MAX_VALUE - 3
            value = "..." + value[-kept:] if _PATH.match(value) else value[:kept] + "..."
        parts = (_one_line(part) for part in (self.where, self.field, self.problem, self.remedy))
        where, field, problem, remedy = parts
        return f"{where}: {field} '{value}': {problem}; {remedy}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy in words: the known name closest to `name`, if one is close, and else the known names (at most 12)."""
    known = list(known)
    if close := difflib.get_close_matches(name[:64], known, n=1):
        return f"did you mean '{close[0]}'?"
    if not known:
        return "there are none"
    return "known: " + ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")


def _one_line(text: object) -> str:
    # backslashreplace: a lone surrogate (half an emoji) in a prompt must not break the log that shows the message
    return " ".join(str(text).encode("utf-8", "backslashreplace").decode("utf-8").split())

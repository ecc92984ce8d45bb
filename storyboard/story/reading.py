"""YAML as people write a story, read without trust: plain data and the line of every entry.

Every scalar stays text (an empty one or `null` is None); the story's models turn text into numbers. So `id: no` and
`id: 007` mean what they look like, and YAML's object construction, where its dangers are, is not used at all. Entries
are built from parser events with an explicit stack, so that depth can be bounded before anything recurses.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from ...common import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_ENTRIES = 100_000

EntryPath = tuple[str | int, ...]

_LINE_ENDS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1's
_MAYBE_TEXT = re.compile(r"\s+(#\w.*)")  # #ff0000, #7 or #boats behind a text; a comment has a blank: # a comment
_NULLS = ("", "~", "null", "Null", "NULL")
NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BRACKETS = re.compile(r"""
    (?<![^\s\[{,:]) (?: "(?:[^"\\]|\\.)*(?:"|\Z) | '[^']*(?:'|\Z) )     # text in quotes, which hides brackets
    | (?<!\S)\#[^\n]*                                                   # and so does a comment
    | (?: (?<![^\n]) | (?<=[-?:]\s) ) \ * (?P<first>[\[{])             # a list or mapping as the value of a line
    | (?: (?<=[\[{,]) \ * | (?<=:) ) (?P<inner>[\[{])                    # one inside another, else it is text
    | (?P<close>[\]}])""", re.VERBOSE | re.DOTALL)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: far faster


@dataclass(frozen=True)
class Cut:
    """A text without quotes that ends where YAML sees a comment, which may be the rest of the text."""

    path: EntryPath
    line: int
    rest: str


class _Open:
    """A list or mapping whose end has not been seen yet."""

    def __init__(self, value: list | dict, path: EntryPath, line: int):
        self.value, self.path, self.line = value, path, line
        self.key: str | None = None  # a mapping's key that waits for its value


def read_yaml(text: str, source: str, cuts: list[Cut] | None = None) -> tuple[Any, dict[EntryPath, int]]:
    """Read one YAML document; return its data (dict, list, str, None) and the 1-based line of each entry by path. Texts
    that may be cut go to `cuts`.

    Raises InputError (where = `source:line`) for text over 1 MiB, control characters, syntax errors, aliases, anchors,
    tags, repeated or non-text keys, a second document, nesting deeper than 20 and more than 100,000 entries.
    """
    text = text.removeprefix("\ufeff")
    check_size_of_text(len(text.encode("utf-8", "replace")), source)
    if bad := NOT_YAML.search(text):
        raise _bad_character(bad, f"{source}:{text.count(chr(10), 0, bad.start()) + 1}", "text")
    try:
        return _compose(text, source, [] if cuts is None else cuts)
    except (yaml.YAMLError, RecursionError) as error:
        # PyYAML may refuse brackets in brackets before it hands out the first of them, in words of its own.
        if (line := _line_too_deep(text)) is not None:
            raise _too_deep(f"{source}:{line}", "text") from None
        if isinstance(error, yaml.MarkedYAMLError):
            raise _syntax_error(error, text, source) from None
        raise InputError(source, "text", "", f"is not YAML ({' '.join(str(error).split())})",
                         "compare it with docs/story_file.md") from None


def check_size_of_text(size: int, source: str) -> None:
    """Raise InputError if `size` bytes are more than a story may have (1 MiB)."""
    if size > MAX_BYTES:
        raise InputError(source, "size", f"{size:,} bytes", f"is more than the {MAX_BYTES:,} bytes a story may have",
                         "split the story into several files; pictures belong into files of their own")


def json_as_yaml(text: str) -> str:
    """JSON, line for line, as the YAML it nearly is: escapes as the characters they mean, no tabs, blanks after colons.
    Text that is no JSON comes back as it is."""
    try:
        json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return text

    def as_yaml(match: re.Match) -> str:
        if match.group() in ("\t", ":"):
            return {"\t": " ", ":": ": "}[match.group()]
        plain = json.loads(match.group())
        return json.dumps(plain, ensure_ascii=NOT_YAML.search(plain) is not None)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"|\t|:(?! )', as_yaml, text)


def _compose(text: str, source: str, cuts: list[Cut]) -> tuple[Any, dict[EntryPath, int]]:
    rows = _LINE_ENDS.split(text) if "#" in text else []
    root: list = []  # the document, as a list of at most one entry
    lines: dict[EntryPath, int] = {(): 1}
    stack: list[_Open] = []
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        line = event.start_mark.line + 1
        if count > MAX_ENTRIES:
            raise InputError(f"{source}:{line}", "text", f"{count:,} entries", "is more than a story may have",
                             "split the story into several files")
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise InputError(f"{source}:{line}", "text", "---", "begins a second YAML document",
                             "keep one story per file; if it is part of a text, put the text in quotes")
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            _refuse_dangerous(event, stack, f"{source}:{line}")
            if isinstance(event, yaml.ScalarEvent):
                path = _add_scalar(event, stack, root, lines, source)
                if rows and path is not None and not event.style:
                    end = event.end_mark
                    if comment := _MAYBE_TEXT.match(rows[end.line], end.column):
                        cuts.append(Cut(path, end.line + 1, comment[1]))
            else:
                value: list | dict = [] if isinstance(event, yaml.SequenceStartEvent) else {}
                path = _add(value, stack, root, lines, line, source)
                stack.append(_Open(value, path, line))
    return (root[0] if root else None), lines


def _refuse_dangerous(event: yaml.NodeEvent, stack: list[_Open], where: str) -> None:
    field = _name(stack)
    if isinstance(event, yaml.AliasEvent):
        raise InputError(where, field, f"*{event.anchor}", "is a YAML alias, which stories do not use",
                         "write the value out; if it is text, put it in quotes")
    if event.anchor is not None:
        raise InputError(where, field, f"&{event.anchor}", "is a YAML anchor, which stories do not use",
                         "delete it; if it is text, put it in quotes")
    if (tag := getattr(event, "tag", None)) is not None:
        raise InputError(where, field, tag, "is a YAML tag, which stories do not use",
                         "delete it; if it is text, put it in quotes")
    if len(stack) >= MAX_DEPTH:
        raise _too_deep(where, field)


def _add_scalar(event: yaml.ScalarEvent, stack: list[_Open], root: list, lines: dict, source: str) -> EntryPath | None:
    """Put a key or value in its place; return the value's path."""
    line = event.start_mark.line + 1
    if bad := NOT_YAML.search(event.value):  # written as an escape, such as "\\0" or half an emoji
        raise _bad_character(bad, f"{source}:{line}", _name(stack))
    parent = stack[-1] if stack else None
    if parent is not None and isinstance(parent.value, dict) and parent.key is None:
        key = event.value
        if key in parent.value:
            raise InputError(f"{source}:{line}", _name(stack), key,
                             f"is written twice, first on line {lines[(*parent.path, key)]}", "keep one of the two")
        parent.key = key
        lines[(*parent.path, key)] = line
        return None
    plain = event.implicit[0]
    return _add(None if plain and event.value in _NULLS else event.value, stack, root, lines, line, source)


def _add(value: Any, stack: list[_Open], root: list, lines: dict, line: int, source: str) -> EntryPath:
    """Put a value into the innermost open list or mapping; return its path."""
    if not stack:
        root.append(value)
        return ()
    parent = stack[-1]
    if isinstance(parent.value, list):
        path = (*parent.path, len(parent.value))
        parent.value.append(value)
    elif parent.key is None:
        raise InputError(f"{source}:{line}", _name(stack), "[...]" if isinstance(value, list) else "{...}",
                         "is a list or mapping where a name is expected", "write `name: value`")
    else:
        path = (*parent.path, parent.key)
        parent.value[parent.key] = value
        parent.key = None
    lines.setdefault(path, line)
    return path


def _name(stack: list[_Open]) -> str:
    """What is being written, in the words of the file: the innermost key."""
    for entry in reversed(stack):
        if entry.key is not None:
            return entry.key
        if entry.path and isinstance(entry.path[-1], str):
            return entry.path[-1]
    return "text"


def _too_deep(where: str, field: str) -> InputError:
    return InputError(where, field, f"{MAX_DEPTH} levels", f"is nested deeper than {MAX_DEPTH} levels",
                      "a story needs four; look for stray brackets or spaces at the beginning of lines")


def _line_too_deep(text: str) -> int | None:
    """The line where brackets stand in more than 20 others, if there is one. Only for text that is not valid YAML: for
    brackets in texts over several lines it may be wrong."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        if bracket["first"] or bracket["inner"] and depth:
            depth += 1
            if depth > MAX_DEPTH:
                return text.count("\n", 0, bracket.start()) + 1
        elif bracket["close"]:
            depth = max(depth - 1, 0)
    return None


def _bad_character(match: re.Match, where: str, field: str) -> InputError:
    return InputError(where, field, f"U+{ord(match.group()):04X}", "is a character stories do not use",
                      "delete it; save the file as plain UTF-8 text")


def _syntax_error(error: yaml.MarkedYAMLError, text: str, source: str) -> InputError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    rows = text.splitlines()
    row = rows[line - 1] if line <= len(rows) else ""
    problem = error.problem or error.context or "syntax error"
    hidden = next((number for number in range(line, max(line - 3, 0), -1)
                   if number <= len(rows) and re.search(r"\s#\w", rows[number - 1])), None)
    if hidden is not None:
        remedy = f'put the text on line {hidden} in "quotes": a # behind a blank begins a comment'
    elif mark and row[mark.column:mark.column + 1] == ":":
        remedy = 'put text that contains a colon in "quotes"'
    elif "\t" in row:
        remedy = "indent with spaces, not with tabs"
    else:
        remedy = "check indentation, quotes, colons and brackets on this line and the one above"
    return InputError(f"{source}:{line}", "text", row, f"is not valid YAML ({problem})", remedy)

"""Looks an instruction through before it is sampled: what the model cannot read, and what it follows badly."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...common import InputError
from ...kontext import MAX_CLIP_TOKENS, MAX_T5_TOKENS
from ..story.models import MOST_FIGURES
from .rules import ERROR, NOTE, RULES, WARNING
from .wording import find_all

MAX_CHARACTERS = 10_000  # above this it cannot be 512 tokens of anything sensible
# letters that Unicode does not decompose into a plain one with a mark
_PLAIN = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe",
                        "Œ": "OE", "ß": "ss", "ı": "i", "ð": "d", "þ": "th", "“": '"', "”": '"', "„": '"', "‘": "'",
                        "’": "'", "–": "-", "—": "-", "…": "...", "×": "x", "⁄": "/"})
_FRACTION = re.compile(r"(\d?)([¼½¾⅐-⅟↉])")


class Token(Protocol):
    """A T5 token: prompt[start:end], and whether the vocabulary has it."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def known(self) -> bool: ...


class Reader(Protocol):
    """What the checker asks of a model; `kontext.KontextModel` is one."""

    def t5_tokens(self, prompt: str) -> Sequence[Token]: ...
    def clip_token_count(self, prompt: str) -> int: ...


@dataclass(frozen=True)
class Finding:
    """Something in a prompt that may go wrong: prompt[start:end] is `text`, `better` is what to write instead."""

    rule: str
    severity: str  # error, warning or note
    text: str
    start: int
    end: int
    reason: str
    better: str

    def __str__(self) -> str:
        what = f" '{_shortened(self.text)}'" if self.text else ""
        return f"{self.severity} ({self.rule}){what}: {self.reason}; better: {self.better}"


def check_prompt(prompt: str, reader: Reader | None = None, traits: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything the rules find in a prompt, in the order of the text.

    Args:
        prompt: the instruction, in English.
        reader: the model that will read it; without one the rules about tokens are left out.
        traits: the characters in the picture: name -> visible traits ("a woman with short black hair"), "" if unknown.
    """
    if len(prompt) > MAX_CHARACTERS:
        return [_finding(prompt, "too-long", MAX_CHARACTERS, len(prompt), "shorten it to a few sentences")]
    traits = traits or {}
    findings = [_finding(prompt, *spot) for spot in find_all(prompt, traits)]
    letterings = [(finding.start, finding.end) for finding in findings if finding.rule == "quotes"]
    findings = [finding for finding in findings if finding.rule == "quotes" or not any(
        start <= finding.start and finding.end <= end for start, end in letterings)]  # what is in them is lettering
    if len(traits) > MOST_FIGURES and not any(finding.rule == "people" for finding in findings):
        better = f"at most {MOST_FIGURES} characters in a panel, not {len(traits)}"
        findings.append(_finding(prompt, "people", 0, 0, better))
    if reader is not None:
        findings += _readable(prompt, reader)
    return sorted(findings, key=lambda finding: (finding.start, finding.end))


def raise_errors(findings: Iterable[Finding], where: str, field: str = "prompt") -> None:
    """Raise InputError for the first finding that is an error."""
    for finding in findings:
        if finding.severity == ERROR:
            raise InputError(where, field, finding.text, f"cannot be used ({finding.rule}): {finding.reason}",
                             finding.better)


def _finding(prompt: str, rule: str, start: int, end: int, better: str, severity: str | None = None) -> Finding:
    return Finding(rule, severity or RULES[rule].severity, prompt[start:end], start, end, RULES[rule].reason, better)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


# What the tokenizer says -----------------------------------------------------------------------------------------


def _readable(prompt: str, reader: Reader) -> Iterator[Finding]:
    tokens = reader.t5_tokens(prompt)
    if len(tokens) + 1 > MAX_T5_TOKENS:
        start = tokens[MAX_T5_TOKENS - 1].start
        over = len(tokens) + 1 - MAX_T5_TOKENS
        yield _finding(prompt, "too-long", start, len(prompt), f"shorten it by {over} tokens")
    # far more than T5's: a CLIP tokenizer that spells, such as the demo model's; there is no word order to mind
    elif MAX_CLIP_TOKENS < (count := reader.clip_token_count(prompt)) < 2 * len(tokens):
        yield _finding(prompt, "clip-length", 0, 0, f"say the most important first ({count} CLIP tokens)")
    yield from _unreadable(prompt, tokens, reader)
    spelled = list(_spelled(prompt, tokens))
    if spelled:
        (start, end), names = spelled[0], sorted({prompt[a:b] for a, b in spelled})
        yield _finding(prompt, "unknown-word", start, end,
                       f"words of the demo model's world; it does not know {', '.join(names[:8])}"
                       + (f" and {len(names) - 8} more" if len(names) > 8 else ""))


def _unreadable(prompt: str, tokens: Sequence[Token], reader: Reader) -> Iterator[Finding]:
    """Words with unknown tokens, neighbours of the same severity together."""
    lost = [(token.start, token.end) for token in tokens if not token.known]
    runs: list[list] = []  # start, end, severity
    for word in re.finditer(r"\S+", prompt):
        if not any(start < word.end() and end > word.start() for start, end in lost):
            continue
        hidden = "".join(prompt[max(start, word.start()): min(end, word.end())] for start, end in lost
                         if start < word.end() and end > word.start())
        severity = ERROR if _is_foreign(word[0], hidden, reader) else WARNING
        if runs and runs[-1][2] == severity and not prompt[runs[-1][1]: word.start()].strip():
            runs[-1][1] = word.end()
        else:
            runs.append([word.start(), word.end(), severity])
    for start, end, severity in runs:
        text = prompt[start:end]
        if severity == ERROR:
            better = "English words (Translate Prompts can help)"
        else:
            better = f"'{plain}'" if (plain := _fold(text, reader)) else "plain words instead of the symbol"
        yield _finding(prompt, "unreadable", start, end, better, severity)


def _is_foreign(word: str, hidden: str, reader: Reader) -> bool:
    """Whether letters beyond ASCII are lost that no plain letter can stand for."""
    if not any(letter.isalpha() and not letter.isascii() for letter in hidden):
        return False
    return any(not letter.isascii() and letter.isalpha() for letter in _fold(word, reader, keep=True))


def _fold(text: str, reader: Reader, keep: bool = False) -> str:
    """The text without accents and symbols that the model cannot read. With `keep`, letters stay in any case."""
    bare = unicodedata.normalize("NFKD", _FRACTION.sub(_spelt_fraction, text.translate(_PLAIN)))
    bare = "".join(letter for letter in bare if not unicodedata.combining(letter))
    if keep:
        return bare
    lost = {i for token in reader.t5_tokens(bare) if not token.known for i in range(token.start, token.end)}
    return " ".join("".join(letter for i, letter in enumerate(bare) if i not in lost).split())


def _spelt_fraction(match: re.Match) -> str:
    """"½" is 1/2, and "1½" is 1 1/2."""
    digits = unicodedata.normalize("NFKD", match[2]).replace("\N{FRACTION SLASH}", "/")
    return f"{match[1]} {digits}" if match[1] else digits


def _spelled(prompt: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Words of four letters or more of which every token is a single letter."""
    for word in re.finditer(r"[A-Za-z]{4,}", prompt):
        inside = [token for token in tokens if token.start < word.end() and token.end > word.start()]
        if all(token.known and len(prompt[token.start: token.end].strip()) <= 1 for token in inside):
            yield word.span()


# Reports ---------------------------------------------------------------------------------------------------------


def report(checked: Iterable[tuple[str, list[Finding]]]) -> str:
    """The findings of several prompts as text: `checked` are (who, findings), who being "panel 'beach'"."""
    lines, counts, total = [], {ERROR: 0, WARNING: 0, NOTE: 0}, 0
    for who, findings in checked:
        total += 1
        for finding in findings:
            counts[finding.severity] += 1
            lines.append(f"{who}: {finding}")
    counted = [f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items() if count]
    prompts = f"{total} prompt{'' if total == 1 else 's'} checked"
    return "\n".join([f"{prompts}: {', '.join(counted) or 'nothing found'}", *lines])

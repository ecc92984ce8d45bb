"""Who speaks, and whether the reader sees them: NORA (O.S.) (CONT'D)."""

import re
from dataclasses import dataclass

from .imported import line

_IN_BRACKETS = re.compile(r"\s*[(（\[]([^()（）\[\]]*)[)）\]]?\s*$")
_BARE = re.compile(r"[\s,–—-]+((?:V\.\s?O|O\.\s?[SC])\.?|V/O|O/[SC]|CONT['’]D\.?)$")  # NORA V.O.
_AGAIN = re.compile(r"(?<!\w)cont(?:['’]?d|inue[ds]|inuing)?(?!\w)[.:]?", re.I)  # says nothing that is not plain
# Heard, not seen: V.O., O.S., O.C. in any spelling and place, or one of these words.
_OFF = re.compile(r"(?<![\w'’])(?:v(?:\.\s?|/)?o|o(?:\.\s?|/)?[sc])(?![\w'’])", re.I)
_HEARD = re.compile(
    r"off\.?|(?:on|im|en|voix) off|off[ -]?(?:screen|camera|stage)|voice[ -]?over|hors[ -]champ|fuori campo|"
    r"fuera de (?:campo|cuadro)|pre-?lap|filtered|over (?:the )?(?:tele)?phone|"
    r"(?:on|over|through|from) (?:the |a )?(?:radio|intercom|(?:loud)?speaker|tape|recording|answering machine|"
    r"tv|television|p\.?a\.?)", re.I)


@dataclass(frozen=True)
class Cue:
    """The line above a speech. `extensions` are what stands in brackets, without CONT'D; `unseen` is a speaker who is
    heard only; `dual` one who speaks together with the one before."""

    name: str
    extensions: tuple[str, ...]
    unseen: bool
    dual: bool


def read_cue(text: str) -> Cue:
    """Take a cue apart. Extensions may be several, in any order and case, with or without a closing bracket."""
    found: list[str] = []
    name, dual = text.strip(), False
    while True:
        dual = dual or name.endswith("^")
        name = name.rstrip("^ \t:：")
        match = _IN_BRACKETS.search(name) or _BARE.search(name)
        if not match or not match.start():
            break
        found.insert(0, match[1])
        name = name[: match.start()]
    extensions = [line(_AGAIN.sub("", extension)).strip(" ,;/-–—") for extension in found]
    return Cue(line(name), tuple(filter(None, extensions)), any(map(is_heard_only, extensions)), dual)


def is_heard_only(extension: str) -> bool:
    """Whether an extension such as "V.O., on the phone" says that the speaker is not in the picture."""
    return bool(_OFF.search(extension)) or any(_HEARD.fullmatch(part.strip()) for part in re.split("[,;]", extension))

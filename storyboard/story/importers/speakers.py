"""Who speaks, and whether the reader sees them: NORA (O.S.) (CONT'D)."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from .imported import line

_IN_BRACKETS = re.compile(r"\s*[(（\[]([^()（）\[\]]*)[)）\]]?\s*$")
_BARE = re.compile(  # NORA V.O.
    r"[\s,–—-]+((?:V\.\s?O|O\.\s?[SC])\.?|V/O|O/[SC]|CONT['’]D\.?|(?<=[a-z]\s)VO)$")
_AGAIN = re.compile(r"(?<!\w)cont(?:['’]?d|inue[ds]|inuing)?(?!\w)[.:]?", re.I)  # says nothing that is not plain
# Heard, not seen: V.O., O.S., O.C., O.O.V. in any spelling and place, or one of these words.
_OFF = re.compile(r"(?<![\w'’])(?:v(?:\.\s?|/)?o|o(?:\.\s?|/)?[sc]|o\.?o\.?[vs])(?![\w'’])", re.I)
_HEARD = re.compile(
    r"off\.?|(?:on|im|en|voix|aus dem|from|voz(?: en)?)[ -]off|off[ -]?(?:screen|camera|stage)|"
    r"voice[ -]?over|hors[ -]champ|fuori campo|"
    r"fuera de (?:campo|cuadro)|pre-?lap|filtered|over (?:the )?(?:tele)?phone|"
    r"(?:on|over|through|from) (?:the |a )?(?:(?:loud)?speaker|tape|tv|television|p\.?a\.?)|"
    r"(?:(?:on|over|through|from) (?:the |a )?)?(?:radio|intercom|speakerphone|walkie(?:[ -]talkie)?|recording|"
    r"answering machine)|voice(?: only)?|画外音?|畫外音?|旁白", re.I)
_SPEECH = re.compile(r"([^:：]{1,60})([:：])(.*)", re.DOTALL)
_NAME = re.compile(r"[\w.'’& #/-]*[^\W\d_][\w.'’& #/-]*")
_NARRATOR = {"vo", "voiceover", "narrator", "narration", "erzähler", "erzählerin", "sprecher", "sprecherin", "off",
             "narrateur", "narratrice", "narrador", "narradora", "narratore", "anncr", "旁白", "解说", "画外音"}
_VOICE = re.compile(r"(?:.*['’]s )?voice|voices|voix|stimme|voz|voce", re.I)  # VOICE, TOM'S VOICE
_ALL = {"all", "both", "everyone", "everybody", "together", "alle", "beide", "tous", "toutes", "todos", "todas",
        "ambos", "tutti", "entrambi"}
_SOUND = {"sfx", "fx", "sound", "sounds", "soundeffect", "soundeffects", "music", "foley", "ambience", "ton", "musik",
          "geräusch", "geräusche", "atmo", "bruitage", "musique", "sonido", "música"}
_NOBODY = {"note", "notes", "remember", "listen", "look", "warning", "attention", "caution", "title", "text", "super",
           "sign", "caption", "ps", "http", "https", "yes", "no", "ok", "okay", "well", "wait", "now", "today",
           "tomorrow", "question", "answer", "fact", "rule", "step", "tip", "hint", "day", "chapter", "part",
           "news"}  # begin a sentence or name what is written


@dataclass(frozen=True)
class Cue:
    """The line above a speech. `extensions` are what stands in brackets, without CONT'D; `unseen` is a speaker who is
    heard only, also by name (NARRATOR); `dual` one who speaks together with the one before."""

    name: str
    extensions: tuple[str, ...]
    unseen: bool
    dual: bool


def read_cue(text: str) -> Cue:
    """Take a cue apart. Extensions may be several, in any order and case, with or without a closing bracket."""
    bracketed: list[str] = []
    name, dual = text.strip(), False
    while True:
        dual = dual or name.endswith("^")
        name = name.rstrip("^ \t:：")
        match = _IN_BRACKETS.search(name) or _BARE.search(name)
        if not match or not match.start():
            break
        bracketed.insert(0, match[1])
        name = name[: match.start()]
    extensions = [line(_AGAIN.sub("", extension)).strip(" ,;/-–—") for extension in bracketed]
    unseen = any(map(is_heard_only, extensions)) or _is_voice(name)
    return Cue(line(name), tuple(filter(None, extensions)), unseen, dual)


def is_heard_only(extension: str) -> bool:
    """Whether an extension such as "V.O., on the phone" says that the speaker is not in the picture."""
    return bool(_OFF.search(extension)) or any(_HEARD.fullmatch(part.strip()) for part in re.split("[,;]", extension))


def is_somebody(name: str) -> bool:
    """Whether a name is that of one who can be drawn, not ALL, NARRATOR or TOM'S VOICE."""
    return not _is_voice(name) and _label(name) not in _ALL


def _is_voice(name: str) -> bool:
    return _label(name) in _NARRATOR or _VOICE.fullmatch(name.strip()) is not None


def _label(name: str) -> str:
    """The letters of a name without capitals."""
    return re.sub(r"[\W\d_]", "", name.casefold())


@dataclass(frozen=True)
class Speech:
    """What is said, by whom if that is known, and the kind of caption it is."""

    text: str
    cue: Cue | None = None
    kind: str = "speech"


def read_speech(text: str, known: Collection[str]) -> Speech:
    """Tell "MIRA (V.O.): I waited" from a sentence with a colon: "We leave at 10:30".

    A speaker is one of the `known` names (without capitals), or in capitals, or, where no names are known, up to three
    words that all begin with a capital.
    """
    match = _SPEECH.fullmatch(text.strip())
    spoken = match[3].strip() if match else ""
    if _label(text) in _SOUND:
        return Speech(text, kind="sound")
    if not match or not spoken or match[2] == ":" and re.match(r"[\d/\\]", match[3]):
        return Speech(text)
    cue = read_cue(match[1])
    words = cue.name.split()
    label = _label(cue.name)
    if label in _SOUND:
        return Speech(f"{spoken} ({', '.join(cue.extensions)})" if cue.extensions else spoken, kind="sound")
    if label in ("vo", "off"):  # VO (MIRA): hers
        whose = ", ".join(cue.extensions)
        return Speech(spoken, Cue(whose, (), True, False) if whose else None, "narration")
    is_name = cue.name.casefold() in known or (
        _NAME.fullmatch(cue.name) is not None and label not in _NOBODY and len(words) <= 4 and (
            cue.name.isupper() or not known and len(words) <= 3 and all(not word[0].islower() for word in words)))
    return Speech(spoken, cue, "narration" if cue.unseen else "speech") if is_name else Speech(text)

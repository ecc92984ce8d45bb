"""Text on pictures: a font that has the letters needed, and lines that fit."""

import logging
import unicodedata
from functools import lru_cache

from PIL import ImageFont

log = logging.getLogger("kontinuity")

# Tried in this order for letters Pillow's own font lacks; Pillow looks for them in the system's font folders.
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf", "Arial.ttf",
                 "arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc",
                 "DroidSansFallbackFull.ttf", "msyh.ttc", "simsun.ttc", "malgun.ttf", "PingFang.ttc")
_NOT_FIRST = "。，、．！？：；」』）】》…"  # of a line


class Lettering:
    """The font for some texts. ASCII is set in Pillow's own font, so most sheets look the same on every machine; for
    other letters the system font is chosen that has most of them. Those it lacks lose their accents or become `?`, and
    the log says so."""

    def __init__(self, *texts: str):
        letters = "".join(sorted({letter for text in texts for letter in _cleaned(text)
                                 if letter > "\x7f" and not letter.isspace()}))
        self._name, lacking = _font_with(letters)
        self._substitutes = {}
        for letter in lacking:
            base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
            self._substitutes[ord(letter)] = base or "?"
        if lacking:
            log.warning("no font of this computer has %s: they are drawn without accents or as ?. Install a font that "
                        "has them, such as Noto Sans CJK.", f"{lacking[:20]}..." if len(lacking) > 20 else lacking)

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The font in a size in pixels."""
        return _load(self._name, size)

    def lines(self, text: str, size: int, width: int, most: int) -> list[str]:
        """Break text into at most `most` lines of at most `width` pixels; what does not fit becomes an ellipsis."""
        font = self.font(size)
        found: list[str] = []
        rest = " ".join(_cleaned(text).translate(self._substitutes).split())[:2000]
        while rest and len(found) < most:
            length = _fitting(rest, font, width)
            if length < len(rest) and len(found) == most - 1:
                while length > 1 and font.getlength(rest[:length] + "...") > width:
                    length -= 1
                return [*found, rest[:length].rstrip() + "..."]
            if length < len(rest):
                length = _break(rest, length)
            found.append(rest[:length].rstrip())
            rest = rest[length:].lstrip()
        return found


def _cleaned(text: str) -> str:
    """Composed letters, without what has no shape of its own (joiners, selectors, half emoji)."""
    letters = unicodedata.normalize("NFC", str(text))
    return "".join(letter for letter in letters if letter.isspace() or unicodedata.category(letter)[0] not in "CM")


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> int:
    """How many leading characters of `text` fit into `width` pixels, at least 1."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


def _break(text: str, most: int) -> int:
    """Where to break a text that goes on after `most` characters: at the last space, or beside a letter of a script
    that is written without spaces; if there are none, there."""
    for place in range(most, 0, -1):
        wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text[place - 1:place + 1])
        if text[place] == " " or (wide and text[place] not in _NOT_FIRST):
            return place
    return most


@lru_cache(maxsize=8)
def _load(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _font_with(letters: str) -> tuple[str | None, str]:
    """The system font that has most of the letters, the first of equals, and the letters it lacks; None (Pillow's own)
    if there is nothing to ask for, or no font has any."""
    best, lacking = None, letters
    for name in _SYSTEM_FONTS:
        if not lacking:
            break
        try:
            font = _load(name, 20)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        lacks = "".join(letter for letter in letters if bytes(font.getmask(letter)) == missing)
        if len(lacks) < len(lacking):
            best, lacking = name, lacks
    return best, lacking

"""Text on pictures: a font that has the letters needed, and lines that fit."""

import unicodedata
from functools import lru_cache

from PIL import ImageFont

# Tried in this order for letters Pillow's own font lacks; Pillow looks for them in the system's font folders.
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf", "Arial.ttf",
                 "arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc", "malgun.ttf", "PingFang.ttc")


class Lettering:
    """The font for some texts. ASCII is set in Pillow's own font, so most sheets look the same on every machine; for
    other letters a system font is chosen that has them all, and failing that they lose their accents or become `?`."""

    def __init__(self, *texts: str):
        letters = "".join(sorted({letter for text in texts for letter in _cleaned(text) if letter > "\x7f"}))
        self._name = _font_with(letters)
        self._substitutes = {}
        if self._name is None:
            for letter in letters:
                base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
                self._substitutes[ord(letter)] = base or "?"

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
            if length < len(rest) and " " in rest[: length + 1]:
                length = rest.rfind(" ", 0, length + 1)
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


@lru_cache(maxsize=8)
def _load(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _font_with(letters: str) -> str | None:
    """The first system font that has all the letters; None if there are none to ask for, or no such font."""
    for name in _SYSTEM_FONTS if letters else ():
        try:
            font = _load(name, 20)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in letters):
            return name
    return None

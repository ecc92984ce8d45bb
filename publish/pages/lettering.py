"""Text on pictures: fonts that have the letters needed, and lines that fit.

Where Pillow has RAQM (its wheels do), HarfBuzz shapes the text: vowel signs and marks take their places, Arabic letters
join, Hebrew runs from the right.
"""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from PIL import ImageDraw, ImageFont, features

from .scripts import advice, noto_files

log = logging.getLogger("kontinuity")

# Tried in this order for letters Pillow's own font lacks; Pillow looks for them in the system's font folders. All of
# these have the Latin letters, too.
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf", "Arial.ttf",
                 "arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc",
                 "DroidSansFallbackFull.ttf", "msyh.ttc", "simsun.ttc", "malgun.ttf", "PingFang.ttc")
# Then Noto's for the scripts of the letters, and these, which Windows, macOS and Debian have for some scripts.
_FONTS_OF_SCRIPTS = ("LeelawUI.ttf", "Nirmala.ttc", "Nirmala.ttf", "mmrtext.ttf", "ebrima.ttf", "gadugi.ttf",
                     "himalaya.ttf", "seguisym.ttf", "seguiemj.ttf", "Thonburi.ttc", "Lao MN.ttc", "Kohinoor.ttc",
                     "Myanmar MN.ttc", "Khmer MN.ttc", "Apple Symbols.ttf", "Symbola_hint.ttf", "Symbola.ttf")
_NOT_FIRST = "。，、．！？：；」』）】》…"  # of a line
_LONGEST = 2000  # characters of a text that are looked at; more never fit
_JOINERS = "\u200c\u200d"
_MOST_MARKS = 30  # of one letter, as in Unicode's stream-safe text (UAX 15)

Run = tuple[str | None, str]  # a font and what is set in it


class Lettering:
    """The fonts for some texts. ASCII is set in Pillow's own font, so most sheets look the same on every machine; for
    other letters those system fonts are chosen that have most of them. Letters that none has lose their accents or
    become `?`, and the log says so, with the fonts to install."""

    def __init__(self, *texts: str):
        clusters = [cluster for text in texts for cluster in _clusters(_cleaned(text))]
        letters = "".join(sorted({letter for cluster in clusters for letter in cluster if _needs_a_glyph(letter)}))
        self._fonts, lacking = _fonts_with(letters)
        self._lacking = frozenset(lacking)
        self._font_of: dict[str, str | None] = {}  # by cluster
        self._latin = next((name for name in self._fonts if name in _SYSTEM_FONTS), None)
        if lacking:
            log.warning("no font of this computer has %s: they are drawn without accents or as ?. %s",
                        f"{lacking[:20]}..." if len(lacking) > 20 else lacking, advice(lacking))
        if not features.check("raqm") and any(map(_needs_shaping, letters)):
            log.warning("this Pillow has no RAQM: letters stand one by one, marks beside them, Arabic and Hebrew run "
                        "from the left. Install a Pillow from PyPI, and on Linux libfribidi.")

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The font of Latin letters in a size in pixels."""
        return _load(self._latin, size)

    def length(self, text: str, size: int) -> float:
        """How many pixels wide a line of `lines` is."""
        return sum(_load(name, size).getlength(part) for name, part in self._runs(text))

    def draw(self, draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, fill) -> None:
        """Draw a line of `lines`; `place` is where its top left corner is."""
        runs, x, from_the_right = self._runs(text), float(place[0]), _from_the_right(text)
        if from_the_right:
            runs.reverse()
        for name, part in runs:
            font = _load(name, size)
            lower = 0 if name == self._latin else self.font(size).getmetrics()[0] - font.getmetrics()[0]
            # a part runs as its line does: the blank at its end stands before the next part
            direction = ("rtl" if from_the_right else "ltr") if font.layout_engine == ImageFont.Layout.RAQM else None
            draw.text((x, place[1] + lower), part, font=font, fill=fill, direction=direction)
            x += font.getlength(part)

    def lines(self, text: str, size: int, width: int, most: int) -> list[str]:
        """Break text into at most `most` lines of at most `width` pixels; what does not fit becomes an ellipsis."""
        lines: list[str] = []
        rest = " ".join("".join(map(self._drawable, _clusters(_cleaned(text)))).split())
        while rest and len(lines) < most:
            ends = _ends(rest)
            length = self._fitting(rest, ends, size, width)
            if length < len(rest) and len(lines) == most - 1:
                while length > ends[0] and self.length(rest[:length] + "...", size) > width:
                    length = ends[ends.index(length) - 1]
                return [*lines, rest[:length].rstrip() + "..."]
            if length < len(rest):
                length = _break(rest, length)
            lines.append(rest[:length].rstrip())
            rest = rest[length:].lstrip()
        return lines

    def _fitting(self, text: str, ends: list[int], size: int, width: int) -> int:
        """How many leading characters of `text` fit into `width` pixels, whole letters with their marks, at least one
        of these."""
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.length(text[:ends[middle]], size) <= width else (low, middle - 1)
        return ends[low]

    def _drawable(self, cluster: str) -> str:
        """A letter with its marks as far as there are glyphs."""
        if not self._lacking.intersection(cluster):
            return cluster
        if base := unicodedata.normalize("NFKD", cluster).encode("ascii", "ignore").decode():
            return base
        if cluster[0] in self._lacking:
            return "?"
        return "".join(letter for letter in cluster if letter not in self._lacking)

    def _runs(self, text: str) -> list[Run]:
        """A line in parts of one font each."""
        runs: list[Run] = []
        for cluster in _clusters(text):
            before = runs[-1][0] if runs else None
            if cluster[0] <= "\x7f" and len(cluster) == 1:
                stays = runs and not cluster.isalpha() and (cluster == " " or _has(before, cluster))
                name = before if stays else self._latin
            else:
                if cluster not in self._font_of:
                    self._font_of[cluster] = next((font for font in self._fonts if _has(font, cluster)), self._latin)
                name = self._font_of[cluster]
            if runs and name == before:
                runs[-1] = name, runs[-1][1] + cluster
            else:
                runs.append((name, cluster))
        return runs


def _cleaned(text: str) -> str:
    """Composed letters with their marks and joiners; not what has no meaning on a picture (control characters, half
    emoji). Without RAQM, which hides them, joiners and what chooses a letter's variant go too."""
    letters = unicodedata.normalize("NFC", str(text)[:_LONGEST])
    shaped = bool(features.check("raqm"))

    def is_kept(letter: str) -> bool:
        if letter in _JOINERS or "\ufe00" <= letter <= "\ufe0f":
            return shaped
        return letter.isspace() or unicodedata.category(letter)[0] != "C"
    return "".join(filter(is_kept, letters))


def _needs_a_glyph(letter: str) -> bool:
    return letter > "\x7f" and not letter.isspace() and letter not in _JOINERS and not "\ufe00" <= letter <= "\ufe0f"


def _needs_shaping(letter: str) -> bool:
    return unicodedata.category(letter)[0] == "M" or unicodedata.bidirectional(letter) in ("R", "AL")


def _from_the_right(text: str) -> bool:
    """Whether the first letter that has a direction runs from the right."""
    directions = (unicodedata.bidirectional(letter) for letter in text)
    return next((direction != "L" for direction in directions if direction in ("L", "R", "AL")), False)


def _clusters(text: str) -> Iterator[str]:
    """Each letter with its marks, what a joiner joins to it, and an emoji with its colour."""
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or not (place - start <= _MOST_MARKS and _goes_on(text[place - 1], text[place])):
            yield text[start:place]
            start = place


def _goes_on(before: str, letter: str) -> bool:
    return (unicodedata.category(letter)[0] == "M" or letter in _JOINERS or "\U0001f3fb" <= letter <= "\U0001f3ff"
            or before == "\u200d" and letter > "\u2000")


def _ends(text: str) -> list[int]:
    """Where each of its clusters ends."""
    ends, end = [], 0
    for cluster in _clusters(text):
        end += len(cluster)
        ends.append(end)
    return ends


def _break(text: str, most: int) -> int:
    """Where to break a text that goes on after `most` characters: at the last space, or beside a letter of a script
    that is written without spaces; if there are none, there."""
    for place in range(most, 0, -1):
        wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text[place - 1:place + 1])
        may_start = text[place] not in _NOT_FIRST and not _goes_on(text[place - 1], text[place])
        if text[place] == " " or (wide and may_start):
            return place
    return most


@lru_cache(maxsize=32)
def _load(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    # without FreeType, which Pillow's wheels have, it would be a bitmap font
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)  # pyright: ignore[reportReturnType]


def _fonts_with(letters: str) -> tuple[list[str], str]:
    """Few fonts that together have the letters, the one with most of them first, and the letters that none has."""
    names = []
    while letters:
        name, lacking = _font_with(letters)
        if name is None:
            break
        names.append(name)
        letters = lacking
    return names, letters


@lru_cache(maxsize=64)
def _font_with(letters: str) -> tuple[str | None, str]:
    """The system font that has most of the letters, the first of equals, and the letters it lacks; None (Pillow's own)
    if there is nothing to ask for, or no font has any."""
    best, lacking = None, letters
    for name in (*_SYSTEM_FONTS, *noto_files(letters), *_FONTS_OF_SCRIPTS):
        if not lacking:
            break
        try:
            lacks = _without_glyph(name, letters)
        except OSError:
            continue
        if len(lacks) < len(lacking):
            best, lacking = name, lacks
    return best, lacking


def _has(name: str | None, cluster: str) -> bool:
    return not _without_glyph(name, filter(_needs_a_glyph, cluster) if len(cluster) > 1 else cluster)


def _without_glyph(name: str | None, letters: Iterable[str]) -> str:
    """The letters that a font lacks. Raises OSError if there is no such font."""
    font = _unshaped(name)

    def mask(letter: str) -> bytes:
        return bytes(font.getmask(letter))  # pyright: ignore[reportArgumentType]  # a sequence of its pixels

    missing = mask("\uffff")
    return "".join(letter for letter in letters if mask(letter) == missing)


@lru_cache(maxsize=32)
def _unshaped(name: str | None) -> ImageFont.FreeTypeFont:
    """A font that shows each letter as its own glyph: shaped, some become two, which then are not the missing one."""
    font = _load(name, 20)
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC) if isinstance(font, ImageFont.FreeTypeFont) else font

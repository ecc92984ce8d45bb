"""A text as it is compared: without regard to capitals, to how accents are written, and to ligatures."""

import re
import unicodedata
from collections.abc import Iterator

# Thai, Lao, Tibetan, Burmese, Khmer, kana, Chinese characters
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u3400-\u9fff"
                       "\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]")
_CAPITAL_I = "\0"  # the capital of i, and in Turkish of ı (that of i is İ there)
_ONE_I = str.maketrans({_CAPITAL_I: "i", "ı": "i"})
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'"})
_MOST_MARKS = 30  # of one letter, as in Unicode's stream-safe text (UAX 15): normalising takes their number squared


def is_unspaced(text: str) -> bool:
    """Whether some of it is of a script that writes no spaces between words."""
    return _UNSPACED.search(text) is not None


def is_in_word(letter: str) -> bool:
    """Whether it is part of a word, in any script: a letter, a digit, a mark, or "_"; "" is not."""
    return letter.isalnum() or letter == "_" or unicodedata.category(letter or " ")[0] == "M"


class Folded:
    """A text in the form in which it is compared: Unicode's compatibility caseless matching (D146 of The Unicode
    Standard, 3.13), with one apostrophe and one i. Folding may change the length: ß becomes ss, é an e and its accent.

    Attributes:
        written: the text as it is.
        letters: the text folded.
        places: for each folded character, and for the end, its place in `written`; None inside of what one character
            or one letter with its marks became.
    """

    def __init__(self, written: str):
        self.written = written
        kinds: list[str] = []  # folded, with the capital I, i and ı apart
        self.places: list[int | None] = []
        for start, end in _letters_with_marks(written):
            folded = " " if written[start].isspace() else _fold(written[start:end])
            kinds.append(folded)
            self.places += [start, *[None] * len(folded)][:len(folded)]
        self.places.append(len(written))
        self._kinds = "".join(kinds)
        self.letters = self._kinds.translate(_ONE_I)

    def place(self, index: int) -> int:
        """The place in `written` of a folded character at which something may start or end."""
        place = self.places[index]
        assert place is not None
        return place

    def may_start(self, place: int) -> bool:
        """Whether a letter with its marks starts at this folded character and, in scripts with spaces, a word."""
        return self.places[place] is not None and not (place and self._joins(place))

    def may_end(self, place: int) -> bool:
        """Whether a letter with its marks ends before this folded character and, in scripts with spaces, a word."""
        return self.places[place] is not None and not (place < len(self.letters) and self._joins(place))

    def _joins(self, place: int) -> bool:
        return _is_spaced(self.letters[place - 1]) and _is_spaced(self.letters[place])

    def dotless(self, other: "Folded", start: int, end: int) -> int | None:
        """How many ı another text has that is equal to the folded characters from `start` to `end`; None if one of
        these is an i and theirs an ı, or the other way round."""
        if any(ours != theirs and _CAPITAL_I not in (ours, theirs)
               for ours, theirs in zip(self._kinds[start:end], other._kinds, strict=True)):
            return None
        return other._kinds.count("ı")


def _letters_with_marks(text: str) -> Iterator[tuple[int, int]]:
    """Where each letter, with the marks and joiners after it, starts and ends; spaces in a row are one."""
    start = 0
    while start < len(text):
        end = start + 1
        if text[start].isspace():
            while end < len(text) and text[end].isspace():
                end += 1
        else:
            while end < len(text) and end - start <= _MOST_MARKS and _goes_on(text[end]):
                end += 1
        yield start, end
        start = end


def _goes_on(letter: str) -> bool:
    """Whether it belongs to the letter before it: marks, joiners and soft hyphens, the rest of a Korean syllable, the
    voicing of a half-width kana."""
    return (unicodedata.category(letter)[0] == "M" or unicodedata.category(letter) == "Cf"
            or "\u1160" <= letter <= "\u11ff" or "\ud7b0" <= letter <= "\ud7ff" or letter in "\uff9e\uff9f")


def _fold(letter: str) -> str:
    shown = "".join(part for part in letter if unicodedata.category(part) != "Cf")
    parts = unicodedata.normalize("NFKD", shown.translate(_APOSTROPHES))
    parts = parts.replace("I\u0307", "i").replace("i\u0307", "i").replace("I", _CAPITAL_I)
    return unicodedata.normalize("NFKD", parts.casefold()).translate(_APOSTROPHES)


def _is_spaced(letter: str) -> bool:
    """Whether it is part of a word that stands between spaces."""
    return is_in_word(letter) and not is_unspaced(letter)

"""The scripts letters are of, and the fonts that have them: Google's Noto fonts, one for nearly each."""

import unicodedata

_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "KANGXI", "FULLWIDTH", "HALFWIDTH")
# As the Unicode names of their letters begin, and as Noto calls them; the scripts that people write today.
_SCRIPTS = {name.upper(): name for name in (
    "Adlam", "Arabic", "Armenian", "Balinese", "Bamum", "Batak", "Bengali", "Buginese", "Chakma", "Cham", "Cherokee",
    "Coptic", "Devanagari", "Ethiopic", "Georgian", "Gujarati", "Gurmukhi", "Hebrew", "Javanese", "Kannada", "Kayah Li",
    "Khmer", "Lao", "Lepcha", "Limbu", "Lisu", "Malayalam", "Meetei Mayek", "Mongolian", "Myanmar", "New Tai Lue",
    "Ol Chiki", "Oriya", "Osage", "Rejang", "Runic", "Saurashtra", "Sinhala", "Sundanese", "Syloti Nagri", "Syriac",
    "Tai Le", "Tai Tham", "Tai Viet", "Tamil", "Telugu", "Thaana", "Thai", "Tibetan", "Tifinagh", "Vai", "Yi")
} | {"NKO": "NKo", "CANADIAN": "Canadian Aboriginal", "EXTENDED ARABIC": "Arabic", "VEDIC": "Devanagari"}
_SERIF = ("Tibetan",)  # Noto has it in no other style
_SYMBOLS = "Symbols 2"


def script_of(letter: str) -> str:
    """The script of a letter, as Noto calls it: "Lao", "CJK", "Symbols 2"; "" for those that Noto Sans itself has, and
    for what is not known here."""
    name = unicodedata.name(letter, "")
    if name.startswith(_CJK):
        return "CJK"
    if letter >= "\U0001f000" or unicodedata.category(letter) in ("So", "Sm", "Sk"):
        return _SYMBOLS
    return next((noto for start, noto in _SCRIPTS.items() if name.startswith((start + " ", start + "-"))), "")


def advice(letters: str) -> str:
    """Which fonts to install for letters that no font has, with the Debian and Ubuntu packages they are in."""
    fonts, packages = [], set()
    for script in sorted(set(map(script_of, letters))):
        fonts.append(" ".join(filter(None, ["Noto", "Serif" if script in _SERIF else "Sans", script]))
                     + (" or Symbola" if script == _SYMBOLS else ""))
        packages |= {"fonts-noto-cjk"} if script == "CJK" else {"fonts-noto-core"}
        packages |= {"fonts-symbola"} if script == _SYMBOLS else set()
    return f"Install {', '.join(fonts)} (packages of Debian and Ubuntu: {', '.join(sorted(packages))})."


def noto_files(letters: str) -> list[str]:
    """The files of Noto's fonts for the scripts of some letters, as packages name them: plain and variable."""
    files = []
    for script in sorted(set(map(script_of, letters)) - {"", "CJK"}):
        name = script.replace(" ", "")
        families = [f"NotoSans{name}", f"NotoSerif{name}"]
        if script == _SYMBOLS:
            families = [f"NotoSans{name}", "NotoSansSymbols", "NotoSansMath", "NotoEmoji"]
        files += [family + ending for family in families
                  for ending in ("-Regular.ttf", "[wght].ttf", "[wdth,wght].ttf", "-VF.ttf")]
    return files

"""Captions in every script: marks stay with their letters, each part gets a font that has it, advice names the right
one."""

import time
import unicodedata

import numpy as np
import pytest
from kontinuity.publish.pages import lettering
from kontinuity.publish.pages.lettering import Lettering
from kontinuity.publish.pages.scripts import advice, noto_files, script_of
from PIL import Image, ImageDraw, ImageFont, features

SENTENCES = {
    "Lao": "ສະບາຍດີ ເດັກນ້ອຍ ກຳລັງຫຼິ້ນ", "Thai": "น้ำท่วมที่บ้าน", "Devanagari": "लड़की समुद्र तट पर है",
    "Tamil": "கடற்கரையில் நிற்கிறாள்", "Myanmar": "ကောင်းကင်ပြာပြာ", "Khmer": "ក្មេងស្រីកំពុងញញឹម",
    "Hebrew": "יַלְדָּה עַל הַחוֹף", "Arabic": "الفتاةُ على الشاطئِ", "Telugu": "అమ్మాయి", "Bengali": "মেয়েটি",
    "Gujarati": "છોકરી", "Sinhala": "දැරිය", "Tibetan": "བུ་མོ", "Ethiopic": "ልጅቷ", "Georgian": "გოგონა",
    "Mongolian": "ᠣᠬᠢᠨ", "CJK": "女の子 소녀", "Symbols 2": "🎉🐈",
}


@pytest.fixture(autouse=True)
def _fresh():
    """Other fonts for one test leave nothing behind."""
    yield
    lettering._font_with.cache_clear()
    lettering._unshaped.cache_clear()


class Font:
    """Has the letters it is given, each ten pixels wide."""

    def __init__(self, letters: str):
        self.letters = letters

    def getmask(self, letter):
        return Image.new("L", (1, 1), 1 if letter in self.letters else 0).im

    def getlength(self, text):
        return 10 * len(text)


def fonts(monkeypatch, **known: Font):
    """Only these, by name, all of them general ones but those whose name begins with Noto."""
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", tuple(name for name in known if not name.startswith("Noto")))
    monkeypatch.setattr(lettering, "_FONTS_OF_SCRIPTS", ())
    files = {f"{name}-Regular.ttf" if name.startswith("Noto") else name: font for name, font in known.items()}
    files[None] = Font("")  # Pillow's own
    monkeypatch.setattr(lettering, "_load", lambda name, size: files.get(name) or ImageFont.truetype("no such font"))
    lettering._font_with.cache_clear()
    lettering._unshaped.cache_clear()


@pytest.mark.parametrize("script", SENTENCES)
def test_advice_is_for_the_script_of_the_letters(script, monkeypatch, caplog):
    fonts(monkeypatch, latin=Font(""))
    sentence = SENTENCES[script]
    Lettering(f"Mia: {sentence}")
    family = "Noto Serif" if script == "Tibetan" else "Noto Sans"
    assert f"Install {family} {script}" in caplog.text and caplog.text.count("Noto") == 1
    assert {"CJK": "fonts-noto-cjk", "Symbols 2": "fonts-symbola"}.get(script, "fonts-noto-core") in caplog.text


def test_advice_for_several_scripts_names_each_once():
    assert advice("ກขກ日😀") == ("Install Noto Sans CJK, Noto Sans Lao, Noto Sans Symbols 2 or Symbola, Noto Sans Thai "
                              "(packages of Debian and Ubuntu: fonts-noto-cjk, fonts-noto-core, fonts-symbola).")
    assert advice("ѫ\u0301") == "Install Noto Sans (packages of Debian and Ubuntu: fonts-noto-core)."
    assert script_of("۱") == "Arabic" and script_of("ᐁ") == "Canadian Aboriginal" and script_of("ᥐ") == "Tai Le"


@pytest.mark.parametrize("script", SENTENCES)
def test_marks_are_kept_where_a_font_has_them(script, monkeypatch, caplog):
    """What is advised is also looked for."""
    sentence = unicodedata.normalize("NFC", SENTENCES[script])
    name = noto_files(sentence)[0].removesuffix("-Regular.ttf") if script != "CJK" else "wide"
    if script == "Tibetan":
        name = "NotoSerifTibetan"
    fonts(monkeypatch, latin=Font("é"), **{name: Font(sentence)})
    letters = Lettering(f"Café: {sentence}")
    assert letters.lines(f"Café: {sentence}", 20, 10_000, 1) == [f"Café: {sentence}"] and not caplog.text


def test_each_part_is_set_in_a_font_that_has_it(monkeypatch):
    fonts(monkeypatch, latin=Font("é1.!"), NotoSansLao=Font("ສະບ1. "), NotoSansThai=Font("นำ้"))
    letters = Lettering("é ສະ 1. น้ำ! OK")
    assert letters._runs("é ສະ 1. น้ำ! OK") == [
        ("latin", "é "), ("NotoSansLao-Regular.ttf", "ສະ 1. "), ("NotoSansThai-Regular.ttf", "น้ำ"), ("latin", "! OK")]


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow does not shape")
def test_lao_is_drawn_with_its_vowel_signs():
    """DejaVu Sans, which Linux systems have, knows Lao, Hebrew and Arabic."""
    try:
        ImageFont.truetype("DejaVuSans.ttf", 20)
    except OSError:
        pytest.skip("no DejaVu Sans here")

    def drawn(text):
        image = Image.new("L", (400, 60), 255)
        Lettering(text).draw(ImageDraw.Draw(image), (4, 8), text, 20, 0)
        return np.asarray(image)

    for text in (SENTENCES["Lao"], SENTENCES["Hebrew"], "q\u0301 ɛ\u0303"):
        bare = "".join(letter for letter in text if unicodedata.category(letter)[0] != "M")
        line, = Lettering(text).lines(text, 20, 400, 1)
        assert line == unicodedata.normalize("NFC", text)
        assert (drawn(line) < 128).sum() > (drawn(bare) < 128).sum() + 10
    assert np.abs(drawn("שלום").astype(int) - drawn("םולש")).max() > 100  # Hebrew runs from the right


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow does not shape")
@pytest.mark.parametrize("words", [("Mia", "שלום", "ok"), ("שלום", "Mia", "טוב")])
def test_words_of_several_fonts_stand_apart_in_either_direction(words, monkeypatch):
    """A Hebrew part by itself runs from the right: its last blank would stand before it, the next word against it."""
    try:
        ImageFont.truetype("DejaVuSans-Bold.ttf", 20)
    except OSError:
        pytest.skip("no DejaVu Sans here")
    letters = Lettering(*words)
    fonts_of_words = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans.ttf")
    parts = [(name, f"{word} ") for name, word in zip(fonts_of_words, words, strict=True)]
    monkeypatch.setattr(letters, "_runs", lambda text: parts)
    image = Image.new("L", (400, 60), 255)
    letters.draw(ImageDraw.Draw(image), (20, 8), " ".join(words), 20, 0)
    inked = np.flatnonzero((np.asarray(image) < 128).any(0))
    assert (np.diff(inked) > 7).sum() == 2  # gaps of a blank; letters stand closer


def test_decomposed_accents_are_composed_first(monkeypatch):
    fonts(monkeypatch, latin=Font("éü가각"))  # a font that has the letters and no accents
    text = "Café Mün 각가"
    assert Lettering(text).lines(unicodedata.normalize("NFD", text), 20, 1000, 1) == [text]


def test_a_line_breaks_between_letters_not_between_a_letter_and_its_marks(monkeypatch):
    fonts(monkeypatch, latin=Font(""), NotoSansThai=Font("นำ้ที่"))
    letters = Lettering("ที่")
    lines = letters.lines("ที่" * 8, 20, 70, 9)
    assert "".join(lines) == "ที่" * 8 and {len(line) % 3 for line in lines} == {0}
    assert letters.lines("ที่" * 8, 20, 100, 1) == ["ที่" * 2 + "..."]
    assert letters.lines("ที่ที่", 20, 1, 2) == ["ที่", "ที่"]  # at least one letter on a line


def test_what_no_font_has_is_one_question_mark_a_letter(monkeypatch):
    fonts(monkeypatch, latin=Font("éนที"))
    cases = {"น้ำ": "น?", "ที่": "ที", "👩‍🚀 👍🏽 ❤️": "? ? ?", "ỗ": "o", "ꬷ\u0301": "?", "é": "é"}
    for text, line in cases.items():
        assert Lettering(text).lines(text, 20, 1000, 1) == [line], text


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow does not shape")
def test_a_letter_that_shaping_takes_apart_is_missing_all_the_same(monkeypatch):
    """HarfBuzz makes two glyphs of the Thai vowel AM: two boxes are not the one box of a missing letter."""
    try:
        ImageFont.truetype("DejaVuSans.ttf", 20)
    except OSError:
        pytest.skip("no DejaVu Sans here")
    assert lettering._without_glyph("DejaVuSans.ttf", "ำກé") == "ำ"


def test_without_raqm_it_is_said_and_what_shaping_needs_is_left_out(monkeypatch, caplog):
    fonts(monkeypatch, latin=Font(SENTENCES["Arabic"] + "é👩🚀"))
    monkeypatch.setattr(features, "check", lambda name: False)
    assert Lettering("👩‍🚀").lines("👩‍🚀", 20, 1000, 1) == ["👩🚀"]
    Lettering("é")
    assert not caplog.text
    Lettering(SENTENCES["Arabic"])
    assert "this Pillow has no RAQM" in caplog.text


def test_long_texts_and_many_marks_take_no_time():
    start = time.monotonic()
    for text in ("a" + "\u0301\u0323" * 500_000, "น้ำ" * 300_000, "👩‍" * 300_000):
        assert len(Lettering(text).lines(text, 20, 384, 3)) <= 3
    assert time.monotonic() - start < 10

"""The contact sheet's geometry: nothing stretched, nothing lost, nothing outside."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.publish import contact_sheet
from kontinuity.publish.pages import lettering
from kontinuity.publish.pages import sheet as sheet_module
from kontinuity.publish.pages.lettering import Lettering

COLOURS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0)]


def plain(width, height, colour):
    return torch.tensor(colour).expand(height, width, 3)


def box(sheet, colour):
    """(left, top, width, height) of the area of one colour, which must be all of one piece."""
    rows, columns = torch.where((sheet - torch.tensor(colour)).abs().amax(dim=2) < 0.02)
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    assert len(rows) == width * height
    return left, top, width, height


def test_small_pictures_grow_by_whole_factors():
    sheet = contact_sheet([plain(128, 128, COLOURS[0]), plain(100, 64, COLOURS[1]), plain(384, 200, COLOURS[2])])
    assert box(sheet, COLOURS[0])[2:] == (384, 384)
    assert box(sheet, COLOURS[1])[2:] == (300, 192)
    assert box(sheet, COLOURS[2])[2:] == (384, 200)
    assert sheet.dtype == torch.float32 and 0 <= sheet.min() and sheet.max() <= 1


def test_large_pictures_shrink_without_stretching():
    sheet = contact_sheet([plain(1024, 1024, COLOURS[0]), plain(1024, 512, COLOURS[1]), plain(512, 1536, COLOURS[2])])
    assert [box(sheet, colour)[2:] for colour in COLOURS[:3]] == [(384, 384), (384, 192), (128, 384)]


@pytest.mark.parametrize(("count", "columns", "shape"), [
    (5, 0, (3, 2)), (5, 2, (2, 3)), (5, 9, (5, 1)), (1, 0, (1, 1)), (4, 0, (2, 2)), (5, 1, (1, 5))])
def test_rows_and_columns(count, columns, shape):
    sheet = contact_sheet([plain(64, 64, colour) for colour in COLOURS[:count]], columns=columns)
    boxes = [box(sheet, colour) for colour in COLOURS[:count]]
    assert len({left for left, *_ in boxes}) == shape[0] and len({top for _, top, *_ in boxes}) == shape[1]
    assert boxes == sorted(boxes, key=lambda entry: (entry[1], entry[0]))  # reading order
    assert all(left >= 32 and top >= 32 and left + 384 + 32 <= sheet.shape[1] and top + 384 + 32 <= sheet.shape[0]
               for left, top, *_ in boxes)


def test_captions_and_title_take_room_and_ink():
    pictures = [plain(128, 128, colour) for colour in COLOURS[:2]]
    bare = contact_sheet(pictures)
    captioned = contact_sheet(pictures, ["beach", "a caption that is much too long for a single line of this sheet"])
    titled = contact_sheet(pictures, title="A day out")
    assert captioned.shape[1] == titled.shape[1] == bare.shape[1]
    assert captioned.shape[0] > bare.shape[0] and titled.shape[0] > bare.shape[0]
    left, top, width, height = box(captioned, COLOURS[0])
    below = captioned[top + height + 4:, left:left + width]
    assert below.amin() < 0.3  # dark ink
    assert titled[:top + 20].amin() < 0.3 <= bare[:32].amin()


@pytest.mark.parametrize("fonts", [lettering._SYSTEM_FONTS, ()])
def test_texts_stay_in_their_cell(monkeypatch, fonts):
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", fonts)
    lettering._font_with.cache_clear()
    for text in ("word " * 200, "x" * 5000, "Füße\n\tund  Hände", "", "日本語 😀 \ud800"):
        letters = Lettering(text)
        lines = letters.lines(text, 20, 384, 3)
        assert len(lines) <= 3 and all(letters.font(20).getlength(line) <= 384 for line in lines)
    assert Lettering("one two").lines("one two", 20, 384, 3) == ["one two"]
    assert Lettering("").lines("word " * 200, 20, 384, 3)[-1].endswith("...")
    contact_sheet([plain(16, 16, COLOURS[0])], ["日本語 😀 \ud800"], title="é " * 3000)
    lettering._font_with.cache_clear()


def test_letters_no_font_has_lose_their_accents(monkeypatch):
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", ("no-such-font.ttf",))
    lettering._font_with.cache_clear()
    assert Lettering("Café 日").lines("Cafe\u0301 日", 20, 384, 1) == ["Cafe ?"]
    lettering._font_with.cache_clear()


def test_a_caption_of_several_lines_keeps_them():
    red, green = (plain(64, 64, colour) for colour in COLOURS[:2])
    one = contact_sheet([red], ["one"])
    assert (contact_sheet([red], ["one\ntwo\n\nthree"]).shape[0] - one.shape[0]) == 2 * 26
    assert (contact_sheet([red], ["word " * 500]).shape[0] - one.shape[0]) == 2 * 26
    assert (contact_sheet([red], ["word " * 500 + "\nx" * 500]).shape[0] - one.shape[0]) == 11 * 26
    # a row is as high as its longest caption, and no higher
    uneven = contact_sheet([red, green], ["a\nb\nc", ""], columns=1)
    (_, first, _, height), (_, second, *_) = box(uneven, COLOURS[0]), box(uneven, COLOURS[1])
    assert second == first + height + 3 * 26 + 10 + 24 and uneven.shape[0] == second + height + 32


def test_the_font_with_most_letters_is_taken_and_the_rest_is_said(monkeypatch, caplog):
    from PIL import Image, ImageFont

    class Font:
        """Has the letters it is given."""

        def __init__(self, letters):
            self.letters = letters

        def getmask(self, letter):
            return Image.new("L", (1, 1), 1 if letter in self.letters else 0).im

        def getlength(self, text):
            return 10 * len(text)

    fonts = {"latin": Font("éü"), "wide": Font("你好，我们é")}
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", ("none", *fonts))
    monkeypatch.setattr(lettering, "_load", lambda name, size: fonts.get(name) or ImageFont.truetype("no such font"))
    lettering._font_with.cache_clear()
    letters = Lettering("é 你好 😀")
    assert letters.font(20) is fonts["wide"] and "no font of this computer has 😀:" in caplog.text
    # a Chinese line is full, and does not begin with a comma
    assert letters.lines("Li: 你好你好你好，你好你好 😀", 20, 100, 3) == ["Li: 你好你好你", "好，你好你好 ?"]
    caplog.clear()
    assert Lettering("é ü").font(20) is fonts["latin"] and not caplog.text
    lettering._font_with.cache_clear()


def test_extreme_shapes():
    sheet = contact_sheet([plain(4096, 64, COLOURS[0]), plain(1, 1, COLOURS[1])])
    assert box(sheet, COLOURS[0])[2:] == (384, 6)


def test_large_boards_get_smaller_cells(monkeypatch):
    monkeypatch.setattr(sheet_module, "_PIXELS", 100 * 128 * 128)
    sheet = contact_sheet([plain(16, 16, COLOURS[i % 5]) for i in range(100)])
    assert sheet.shape[:2] == (10 * 128 + 9 * 24 + 2 * 32,) * 2


def test_refuses():
    picture = plain(16, 16, COLOURS[0])
    for arguments, words in ((([],), "nothing to lay out"), (([picture], ["a", "b"]), "do not match the 1 pictures"),
                             (([picture], [], -1), "is negative")):
        with pytest.raises(InputError, match=words):
            contact_sheet(*arguments)

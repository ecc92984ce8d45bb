"""The contact sheet: all panels of a story on one page, with captions."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ...common import InputError, Picture, check_picture, to_image, to_picture
from .lettering import Lettering

CELL = 384  # pixels, the longest side of a picture on the sheet
_PIXELS = 32_000_000  # of all cells together; larger boards get smaller cells
_MARGIN, _GAP = 32, 24
_PAPER, _INK, _GREY = (250, 249, 246), (34, 34, 38), (210, 208, 202)
_PARAGRAPH_LINES, _CAPTION_LINES = 3, 12


def contact_sheet(pictures: Sequence[Picture], captions: Sequence[str] = (), columns: int = 0,
                  title: str = "") -> Picture:
    """Lay pictures out in rows, each with its caption below, under a title.

    Pictures of different sizes are fitted into equal cells of at most 384 px without stretching; small ones are
    enlarged by a whole factor. A caption may have several lines; a line is broken into at most three, and a caption
    ends after twelve. `columns` 0 chooses as many as rows, about. No captions at all are allowed.
    Raises InputError for no pictures, what is none, another number of captions than of pictures, and columns below 0.
    """
    count = len(pictures)
    if count == 0:
        raise InputError("Contact Sheet", "pictures", "none", "there is nothing to lay out", "connect a picture")
    if captions and len(captions) != count:
        raise InputError("Contact Sheet", "captions", len(captions), f"do not match the {count} pictures",
                         "give one caption per picture, or none")
    if columns < 0:
        raise InputError("Contact Sheet", "columns", columns, "is negative", "use 0 (automatic) or a number of columns")
    for number, picture in enumerate(pictures, 1):
        check_picture(picture, "Contact Sheet", f"picture {number}")
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)

    side = min(CELL, max(64, math.isqrt(_PIXELS // count)))
    images = [_fit(to_image(picture), side) for picture in pictures]
    width, height = max(image.width for image in images), max(image.height for image in images)
    lettering = Lettering(title, *captions)
    texts = [_caption(lettering, caption, width) for caption in captions] or [[]] * count
    page_width = 2 * _MARGIN + columns * width + (columns - 1) * _GAP
    heading = lettering.lines(title, 34, page_width - 2 * _MARGIN, 2)
    top = _MARGIN + (len(heading) * 44 + 12 if heading else 0)
    tops = [top]  # of the rows; each is as high as its longest caption
    for row in range(rows):
        lines = max(len(text) for text in texts[row * columns:(row + 1) * columns])
        tops.append(tops[-1] + height + (26 * lines + 10 if lines else 0) + _GAP)
    page = Image.new("RGB", (page_width, tops[-1] - _GAP + _MARGIN), _PAPER)

    draw = ImageDraw.Draw(page)
    for line, text in enumerate(heading):
        lettering.draw(draw, (_MARGIN, _MARGIN - 4 + 44 * line), text, 34, _INK)
    for index, (image, lines) in enumerate(zip(images, texts, strict=True)):
        left = _MARGIN + (index % columns) * (width + _GAP)
        upper = tops[index // columns]
        x, y = left + (width - image.width) // 2, upper + (height - image.height) // 2
        draw.rectangle((x - 1, y - 1, x + image.width, y + image.height), outline=_GREY)
        page.paste(image, (x, y))
        for line, text in enumerate(lines):
            lettering.draw(draw, (left, upper + height + 8 + 26 * line), text, 20, _INK)
    return to_picture(page)


def _caption(lettering: Lettering, caption: str, width: int) -> list[str]:
    lines = [line for paragraph in str(caption).splitlines()
             for line in lettering.lines(paragraph, 20, width, _PARAGRAPH_LINES)]
    return lines if len(lines) <= _CAPTION_LINES else [*lines[:_CAPTION_LINES - 1], "..."]


def _fit(image: Image.Image, side: int) -> Image.Image:
    longest = max(image.size)
    factor = side // longest if longest <= side else side / longest
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)

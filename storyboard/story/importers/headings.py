"""Scene headings: 12A INT. CABIN - NIGHT."""

import re
from dataclasses import dataclass

from .imported import line

# A number before the heading, as in production scripts: 1. INT., 12A EXT., (3) INT., #4# INT., SCENE 5 - INT.
_NUMBERED = (r"(?:(?:scene|sc|szene)\.?\s*)?[#(\[]?(?P<number>[a-z]{0,2}\d{1,4}[a-z]{0,3}(?:[.-][\da-z]{1,4}){0,3})"
             r"[#)\]]?[.:]?\s*(?:[-–—]+\s*)?")
_HEADING = re.compile(
    rf"(?:{_NUMBERED})?(?P<kind>(?:int|ext|i|e)(?:\.?\s?/\s?(?:int|ext|i|e))+|int|ext|est(?=\.)|(?-i:EST))"
    r"(?=[.\s:–—]|\s*-|$)[.:]?\s*(?:[-–—]+\s*)?(?P<rest>.*)", re.I)
_SCENE_NUMBER = re.compile(r"\s*#([\w.\-]{1,20})#\s*$")
_BETWEEN = re.compile(r"[\s–—-]*[–—-][\s–—-]*")  # place and time
_INSIDE = {"INT": "interior", "EXT": "exterior", "EST": "exterior"}


@dataclass(frozen=True)
class Heading:
    """What a scene heading says: its number if it has one, and without it the text, place, time and "interior" or
    "exterior" or neither."""

    number: str
    text: str
    place: str
    time: str
    inside: str


def read_heading(text: str) -> Heading:
    """Take a scene heading apart, such as 12A INT. CABIN - NIGHT, or a forced one."""
    number = ""
    if match := _SCENE_NUMBER.search(text):
        text, number = text[: match.start()], match[1]
    text = line(text)
    match = _HEADING.match(text)
    if not match:
        return Heading(number, text, text, "", "")
    text, rest = text[match.start("kind"):], match["rest"]
    place, time = rest, ""
    for between in _BETWEEN.finditer(rest):
        if between[0] != "-":  # X-RAY ROOM
            place, time = rest[: between.start()], rest[between.end():]
    # In production scripts it stands in both margins: 2 EXT. ISLAND - DAWN 2, but not 2 INT. ROOM 2.
    if match["number"] and (twice := re.search(rf"\s{re.escape(match['number'])}\.?$", time)):
        text, time = text[: len(text) - len(twice[0])], time[: twice.start()]
    return Heading(number or match["number"] or "", text, place, time, _INSIDE.get(match["kind"].upper(), ""))


def is_heading(row: str) -> bool:
    """Whether a row begins as a heading does."""
    return _HEADING.match(row) is not None

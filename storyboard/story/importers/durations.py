"""How long a shot is, in the forms people write it; and what is no length but a time of day."""

import re

_LONGEST = 60  # characters
FRAME_RATE = 24.0  # where a list counts frames and does not say how many a second has

_NUMBER = r"(?:[0-9]{1,6}(?:[.,][0-9]{1,6})?|[.,][0-9]{1,6})"
# What stands behind a number, without capitals -> seconds; None: frames
_UNITS: dict[str, float | None] = {
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden", "heure", "heures"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "minuten", "minuto", "minutos", "minuti", "мин", "分",
                     "分钟", "'", "′", "’"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek", "sekunde", "sekunden", "seconde", "secondes",
                     "seg", "segundo", "segundos", "secondo", "secondi", "сек", "с", "秒", "''", '"', "″", "”"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "millisekunden"), 0.001),
    **dict.fromkeys(("f", "fr", "frm", "frms", "frame", "frames", "bilder", "images", "кадр", "кадров"), None),
}
_UNIT = "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
_QUANTITY = re.compile(rf"({_NUMBER})\s*({_UNIT})\.?(?![^\W\d_])[\s,]*(?:and|und|et|y)?\s*")
_CLOCK = re.compile(r"(?:([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2}(?:[.,][0-9]{1,6})?)")
_TIMECODE = re.compile(r"([0-9]{1,2})[:;]([0-9]{2})[:;]([0-9]{2})([:;])([0-9]{2})")
_ABOUT = re.compile(r"^(?:~|≈|(?:ca|circa|approx|approximately|about|etwa|environ)\b\.?)\s*")
_BEHIND = re.compile(r"\s*\((?:ca|circa|approx|est|estimated|about)\.?\)$")
_SHORT = re.compile(r"^([0-9]{1,3})['′’]\s?([0-9]{1,2})$")  # 1'30
_RANGE = re.compile(r"([0-9:;.,]*[:;][0-9:;.,]*)\s*(?:-|–|—|to|bis|>|→)\s*([0-9:;.,]*[:;][0-9:;.,]*)")
_TIME_OF_DAY = re.compile(r"(?P<hour>[0-9]{1,2})(?:(?P<colon>[:.h])(?P<minute>[0-9]{2}))?"
                          r"(?:\s*(?P<of_day>am|pm|a\.m\.?|p\.m\.?|uhr|o'clock))?")


def is_unit(word: str) -> bool:
    """Whether a word is a unit of time."""
    return word.casefold() in _UNITS


def unit_of(word: str) -> float | None:
    """The seconds that a unit has, None for frames. Raises KeyError for what is no unit."""
    return _UNITS[word.casefold()]


def seconds(text: str, unit: float | None = 1.0, rate: float = FRAME_RATE, clock: bool = False) -> float | None:
    """A length such as 5, "2 min", "1m 30s", 0:05, 00:01:30, 00:00:02:12 (a time code), "48 frames" or 0:05 - 0:09, in
    seconds; None for what is none. `unit` is that of a number alone, `rate` how many frames a second has, `clock`
    whether 10:30 is minutes for sure."""
    text = _ABOUT.sub("", _BEHIND.sub("", " ".join(text.split()).casefold())).rstrip(".")
    text = _SHORT.sub(r"\1'\2''", text)
    if len(text) > _LONGEST:
        return None
    unit_length = 1 / rate if unit is None else unit
    if re.fullmatch(_NUMBER, text):
        return _number(text) * unit_length
    if match := _RANGE.fullmatch(text):
        first, last = _position(match[1], rate), _position(match[2], rate)
        return last - first if first is not None and last is not None and last > first else None
    if match := re.fullmatch(rf"(.*?:.*?)\s*({_UNIT})", text):  # 1:30 min, but 8:30 h
        text, clock = match[1], clock or unit_of(match[2]) != 3600
    if not clock and is_time_of_day(text):
        return None
    position = _position(text, rate)
    return position if position is not None else _in_units(text, rate)


def counts_frames(text: str) -> bool:
    """Whether a length is (also) in frames."""
    text = " ".join(text.split()).casefold()
    return bool(_TIMECODE.search(text)) or any(_UNITS[unit] is None for _, unit in _QUANTITY.findall(text))


def rate_of(texts: list[str]) -> float:
    """The frame rate that time codes are written in: the usual one in which all of them can be."""
    codes = [match for text in texts for match in _TIMECODE.finditer(text)]
    most = max((int(code[5]) for code in codes), default=0)
    if any(code[4] == ";" for code in codes):
        return 30.0 if most < 30 else 60.0
    return next((rate for rate in (FRAME_RATE, 25.0, 30.0, 50.0) if most < rate), 60.0)


def is_time_of_day(text: str) -> bool:
    """Whether 08:30 or "8.30 pm" is the hour of a clock. From 6:00 to 23:59 it is: no panel stands for minutes that
    long."""
    match = _TIME_OF_DAY.fullmatch(" ".join(text.split()).casefold())
    if not match or match["of_day"]:
        return match is not None
    return match["colon"] == ":" and 6 <= int(match["hour"]) < 24 and int(match["minute"]) < 60


def position(text: str) -> float | None:
    """0:05, 00:01:30 or a time code as seconds from the beginning; None for other texts."""
    return _position(text.strip(), 60.0)


def _position(text: str, rate: float) -> float | None:
    if match := _TIMECODE.fullmatch(text):
        hours, minutes, whole, frames = (int(match[index]) for index in (1, 2, 3, 5))
        return hours * 3600 + minutes * 60 + whole + frames / rate if max(minutes, whole) < 60 and frames < rate \
            else None
    match = _CLOCK.fullmatch(text)
    if not match or _number(match[3]) >= 60 or match[1] and int(match[2]) >= 60:
        return None
    return int(match[1] or 0) * 3600.0 + int(match[2]) * 60 + _number(match[3])


def _in_units(text: str, rate: float) -> float | None:
    total, at = 0.0, 0
    while at < len(text):
        match = _QUANTITY.match(text, at)
        if not match:
            return None
        unit = _UNITS[match[2]]
        total += _number(match[1]) * (1 / rate if unit is None else unit)
        at = match.end()
    return total if at else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))

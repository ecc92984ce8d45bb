"""Who is spoken of: pronouns before anybody is named, names instead of traits, too many people."""

import re
from collections.abc import Iterator, Mapping

from .people import ANIMALS, PARTS, PLURAL_PEOPLE, SINGULAR_PEOPLE, gender

Spot = tuple[str, int, int, str]  # rule, start, end, better wording

_WORD = re.compile(r"[^\W\d_][\w’'-]*")

_PRONOUNS = {"she": "female", "her": "female", "hers": "female", "herself": "female", "he": "male", "him": "male",
             "his": "male", "himself": "male", "they": "any", "them": "any", "their": "any", "theirs": "any",
             "themselves": "any", "me": "me", "myself": "me", "us": "me", "my": "my", "our": "my"}
_ACTS = r"(?:is|was|has|had|wears?|waves?|stands?|sits?|walks?|runs?|looks?|smiles?|holds?|jumps?|dances?|laughs?|" \
        r"cries|turns?|points?|talks?|raises?|lifts?|leans?|kneels?|lies|sleeps?|eats?|drinks?|reads?|and)"
_NAMED = re.compile(r"\b(?:put|place|show|make|give|let|have|dress|move|named|called|of|with|and|add)\s+([A-Z][a-z]+)\b"
                    rf"|\b([A-Z][a-z]+)(?=\s+{_ACTS}\b)|\b([A-Z][a-z]+)(?=['’]s\b)", re.IGNORECASE)
_NO_NAMES = frozenset("""
    a an the this that these those there it its he she they we you i me him her them us my our your his their who what
    where when while and or but if so then here everything everyone everybody something background foreground sky sun
    moon scene image picture photo camera light lighting weather style text only both all one each another same also now
    instead make change keep replace add remove put let
    """.split())


def pronouns(text: str, traits: Mapping[str, str]) -> Iterator[Spot]:
    """Pronouns before anybody whom they could mean; the first of each kind."""
    known: set[str] = set()  # female, male, any: who has been named; things: a plural thing
    named_at = sorted(m.end() for m in _NAMED.finditer(text) for name in [m[1] or m[2] or m[3]]
                      if name[0].isupper() and name.lower() not in _NO_NAMES and not gender(name))
    reported: set[str] = set()
    words = list(_WORD.finditer(text))
    for place, match in enumerate(words):
        word = match[0].lower().replace("’", "'")
        base = word.split("'")[0]
        who = _PRONOUNS.get(base)
        if who is None:
            known.add(gender(base))
            if base in traits or match[0] in traits:
                known.add("any")
            if following := words[place + 1: place + 2]:
                if following[0][0].lower() == "who":
                    known.add("any")
            if len(base) > 3 and base.endswith("s") and not base.endswith("ss"):
                known.add("things")
            continue
        if match[0] == "US" or who in reported:
            continue
        after = words[place + 1][0].lower() if place + 1 < len(words) else ""
        if named_at and named_at[0] <= match.start():
            known.add("any")
        if not _is_loose(base, who, after, known):
            continue
        reported.add(who)
        yield "pronoun", match.start(), match.end(), _instead_of(base, traits)


def _is_loose(word: str, who: str, after: str, known: set[str]) -> bool:
    if who == "me":
        return True
    if who == "my":
        return after in PARTS
    if who in ("female", "male"):
        return not known & {who, "any"}
    somebody = bool(known & {"female", "male", "any"})
    if word == "they" or word == "themselves" or after in PARTS:
        return not somebody
    return not somebody and "things" not in known


def _instead_of(word: str, traits: Mapping[str, str]) -> str:
    owner = word in ("his", "their", "hers", "theirs", "my", "our")
    described = [with_article(trait) for trait in traits.values() if trait]
    if len(described) == 1 and word not in ("they", "them", "their", "us", "our"):
        who = described[0]
    elif described and word in ("they", "them", "their", "us", "our"):
        who = " and ".join(described)
    else:
        kind = {"female": "the woman with short black hair", "male": "the man with the grey beard",
                "any": "the two people" if owner else "the two people in red coats"}
        who = kind.get(_PRONOUNS[word], "the person in the red coat")
    return f"{who}'s" if owner else who


def with_article(traits: str) -> str:
    """ "a woman with short black hair" -> "the woman with short black hair" """
    traits = re.sub(r"^(a|an|the)\s+", "", traits.strip(), flags=re.IGNORECASE)
    return f"the {traits}"


def names(text: str, traits: Mapping[str, str]) -> Iterator[Spot]:
    """A character's name, capitalised, without a description after it; the first place of each."""
    for name, trait in traits.items():
        if gender(name) or not name[:1].isalpha():
            continue
        capital = re.escape(name[0].upper() + name[1:])
        match = re.search(rf"(?<![\w-]){capital}(?![\w-])(?!\s*(?:,\s*(?:the|a|an)\b|\())", text)
        if match:
            better = with_article(trait) if trait else "the woman with short black hair, or whatever can be seen"
            yield "name", match.start(), match.end(), better


_NUMBERS: dict[str, int] = dict(zip(
    "one two three four five six seven eight nine ten eleven twelve dozen dozens hundred hundreds thousands a an "
    "several many countless".split(),
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 24, 100, 100, 1000, 1, 1, 0, 9, 99), strict=True))
_STOP = frozenset("""
    of in on at for with and by from to into or as is are was the a an behind near beside under over between around
    after before year years meter meters metre metres mm cm photo photos picture pictures image images shot shots panel
    panels minute minutes day days o'clock who that which while
    """.split()) | {"more"}
_CROWD = re.compile(r"\b(?:crowds?\b|mob\b|army|audience|parade|marching band|orchestra|choir|a sea of people|"
                    r"lots of people|"
                    r"(?:full|group|groups|packed with|filled with) (?:of )?(?:\w+ )?people|"
                    r"(?:family|group|team|gang|band|class|party|crew|line|row) of (?:four|five|six|seven|eight|"
                    r"nine|ten|"
                    r"twelve|twenty|thirty|\d{2,}|[4-9])\b(?! (?:o'clock|chairs))|"
                    r"crowded (?:street|market|square|beach|room|bar|train|station|party|stadium|subway|bus|restaurant|"
                    r"caf[eé]|pub|club|hall|plaza|city))\b", re.IGNORECASE)
_FAR = re.compile(r"\b(?:blurred|blurry|distant|faraway|out-of-focus|unfocused|"
                  r"silhouettes? of an?)\s+(?:\w+\s+)?$", re.I)


def people(text: str) -> Iterator[Spot]:
    """More than three people: counted ("five soldiers", "a man, a woman, a girl and a boy") or as a crowd."""
    for match in _CROWD.finditer(text):
        other = re.match(r"\s+of\s+((?:[\w-]+\s+){0,2}[\w-]+)", text[match.end():])
        things = other and not any(gender(word) and word.lower() not in ANIMALS for word in other[1].split())
        if not _FAR.search(text[: match.start()]) and not things:
            yield "people", match.start(), match.end(), "at most three people, and a blurred crowd far behind"
            return
    total, start, end = 0, None, 0
    words = list(re.finditer(r"\b(?:\d{1,4}\b(?!(?:st|nd|rd|th|s|k|mm|px|%)\b)|[^\W\d_][\w’'-]*)", text))
    for place, match in enumerate(words):
        word = match[0].lower()
        if word.isdigit():
            number = int(word) if int(word) < 1000 else 0
        else:
            number = _NUMBERS.get(word, 0)
        if not number or (place and text[match.start() - 1] in "-#.:"):
            continue
        for following in words[place + 1: place + 5]:
            noun = following[0].lower()
            gap = text[match.end(): following.start()]
            if noun in _STOP or noun in _NUMBERS and noun not in ("hundred", "dozen") or re.search(r"[.,;:!?-]\s", gap):
                break
            after = text[following.end(): following.end() + 2]
            if after[:1] == "-" or after[:2] in ("'s", "’s"):
                break
            if (noun in PLURAL_PEOPLE and number > 1) or (noun in SINGULAR_PEOPLE and number == 1):
                total += number
                start, end = match.start() if start is None else start, following.end()
                break
    if total > 3 and start is not None:
        yield "people", start, end, "at most three people; put more into panels of their own"

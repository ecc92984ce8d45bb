"""The rules that look at words: each takes the text, with lettering masked, and yields what it found."""

import re
from collections.abc import Iterator, Mapping

from .people import ANIMALS, PARTS, PLURAL_PEOPLE, SINGULAR_PEOPLE, gender

Found = tuple[str, int, int, str]  # rule, start, end, better wording

_QUOTED = re.compile(
    r'"[^"]{1,200}"|“[^”]{1,200}”|«[^»]{1,200}»|(?<![\w])[\'‘][^\'’]{1,200}(?:[\'’](?=\w)[^\'’]{1,200})*[\'’](?![\w])')
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_DETERMINED = r"(?:a|an|the|this|that|his|her|their|its|another|each|some|one|two|three|both)\b"


def mask_quotes(prompt: str) -> str:
    """The prompt with what stands in quotation marks blotted out, of the same length; the marks stay."""
    return _QUOTED.sub(lambda m: m[0][0] + "•" * (len(m[0]) - 2) + m[0][-1], prompt)


def find_all(prompt: str, cast: Mapping[str, str]) -> Iterator[Found]:
    """Everything the rules of this file find in a prompt. `cast`: visible traits by character name."""
    text = mask_quotes(prompt)
    yield from pronouns(text, cast)
    yield from names(text, cast)
    yield from negatives(text)
    yield from transforms(text)
    yield from people(text)
    yield from contact(text)
    yield from simple(text, prompt)


# Pronouns --------------------------------------------------------------------------------------------------------

_PRONOUNS = {"she": "female", "her": "female", "hers": "female", "herself": "female", "he": "male", "him": "male",
             "his": "male", "himself": "male", "they": "any", "them": "any", "their": "any", "theirs": "any",
             "themselves": "any", "me": "me", "myself": "me", "us": "me", "my": "my", "our": "my"}
_ACTS = r"(?:is|was|has|had|wears?|waves?|stands?|sits?|walks?|runs?|looks?|smiles?|holds?|jumps?|dances?|laughs?|cries|" \
        r"turns?|points?|talks?|raises?|lifts?|leans?|kneels?|lies|sleeps?|eats?|drinks?|reads?|and)"
_NAMED = re.compile(r"\b(?:put|place|show|make|give|let|have|dress|move|named|called|of|with|and|add)\s+([A-Z][a-z]+)\b"
                    rf"|\b([A-Z][a-z]+)(?=\s+{_ACTS}\b)|\b([A-Z][a-z]+)(?=['’]s\b)", re.IGNORECASE)
_NO_NAMES = frozenset("""
    a an the this that these those there it its he she they we you i me him her them us my our your his their who what
    where when while and or but if so then here everything everyone everybody something background foreground sky sun
    moon scene image picture photo camera light lighting weather style text only both all one each another same also now
    instead make change keep replace add remove put let
    """.split())


def pronouns(text: str, cast: Mapping[str, str]) -> Iterator[Found]:
    """Pronouns before anybody whom they could mean; the first of each kind."""
    known: set[str] = set()  # female, male, any: who has been named; things: a plural thing
    named_at = sorted(m.end() for m in _NAMED.finditer(text) for name in [m[1] or m[2] or m[3]]
                      if name[0].isupper() and name.lower() not in _NO_NAMES and not gender(name))
    told: set[str] = set()
    words = list(_WORD.finditer(text))
    for place, match in enumerate(words):
        word = match[0].lower().replace("’", "'")
        base = word.split("'")[0]
        who = _PRONOUNS.get(base)
        if who is None:
            known.add(gender(base))
            if base in cast or match[0] in cast:
                known.add("any")
            if following := words[place + 1: place + 2]:
                if following[0][0].lower() == "who":
                    known.add("any")
            if len(base) > 3 and base.endswith("s") and not base.endswith("ss"):
                known.add("things")
            continue
        if match[0] == "US" or who in told:
            continue
        after = words[place + 1][0].lower() if place + 1 < len(words) else ""
        if named_at and named_at[0] <= match.start():
            known.add("any")
        if not _is_loose(base, who, after, known):
            continue
        told.add(who)
        yield "pronoun", match.start(), match.end(), _instead_of(base, cast)


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


def _instead_of(word: str, cast: Mapping[str, str]) -> str:
    owner = word in ("his", "their", "hers", "theirs", "my", "our")
    described = [with_article(traits) for traits in cast.values() if traits]
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


def names(text: str, cast: Mapping[str, str]) -> Iterator[Found]:
    """A character's name, capitalised, without a description after it; the first place of each."""
    for name, traits in cast.items():
        if gender(name) or not name[:1].isalpha():
            continue
        capital = re.escape(name[0].upper() + name[1:])
        found = re.search(rf"(?<![\w-]){capital}(?![\w-])(?!\s*(?:,\s*(?:the|a|an)\b|\())", text)
        if found:
            better = with_article(traits) if traits else "the woman with short black hair, or whatever can be seen"
            yield "name", found.start(), found.end(), better


# Negatives -------------------------------------------------------------------------------------------------------

_UNCHANGED = re.compile(
    r"\b(?:do not|don['’]?t|does not|doesn['’]?t|must not|mustn['’]?t|should not|shouldn['’]?t|never|without|not|avoid|can ?not|can['’]t)"
    r"\s+(?:be\s+)?(?:chang(?:e|ing)|alter(?:ing)?|modify(?:ing)?|touch(?:ing)?|affect(?:ing)?|edit(?:ing)?|los(?:e|ing)|mov(?:e|ing)|"
    r"replac(?:e|ing)|remov(?:e|ing))\b\s*((?:[^,.;:!?\n](?! but\b| and (?:change|make|add|put)\b)){0,60})", re.IGNORECASE)
_NEGATIVE = re.compile(
    r"(?<![\w-])(?:(?:do|does|did|must|should|can|could|will|would|is|are|was) not|cannot|"
    r"(?:do|does|did|must|should|ca|could|wo|would|is|are|was)n['’]?t|not|never|without|avoid|avoiding|neither|none|"
    r"nothing|no)(?![\w’'-])\s*((?:(?:any|have|has|be|a|an|the|more|of|other|show|include|use|make|draw|add)\s+)*)"
    r"((?:[\w’'-]+\s+){0,4}[\w’'-]+)?", re.IGNORECASE)
_LINKS = re.compile(r"\s+(?:in|on|at|and|or|but|with|behind|while|just|only|anywhere|near|from|for|so|because|through|along|"
                    r"across|over|into|like|by|as|under|to|visible)\b", re.IGNORECASE)
_HARMLESS = re.compile(
    r"(?:whether or|if|why) not\b|not only\b|nothing but\b|no one\b|no\.\s*\d|no man['’]s\b|no longer than\b|"
    r"(?:no|do not|don['’]?t) \w+(?: \w+)? (?:sign|signs|symbol|poster|label|sticker)\b|wo?nt\b|cant\b", re.IGNORECASE)
_POSITIVE = {
    "people": "empty", "person": "empty", "humans": "empty", "hat": "bare head", "shoes": "bare feet",
    "clouds": "a clear sky", "cloud": "a clear sky", "beard": "a clean-shaven face", "smile": "a serious expression",
    "smiling": "a serious expression", "makeup": "natural skin", "text": "plain surfaces", "background": "a plain "
    "white background", "shadows": "flat even light", "shadow": "flat even light", "color": "black and white",
    "colour": "black and white", "blur": "sharp focus", "blurry": "sharp focus", "cars": "an empty road",
    "sleeves": "sleeveless", "furniture": "bare room", "hair": "bald", "wrinkles": "smooth skin", "light": "darkness",
}


def negatives(text: str) -> Iterator[Found]:
    """no, not, without ... with what to say instead."""
    if heading := re.search(r"\bnegative(?: prompt)?\s*:", text, re.IGNORECASE):
        yield "negative", heading.start(), heading.end(), "delete this part; say what should be seen"
    taken: list[range] = []
    for match in _UNCHANGED.finditer(text):
        if _HARMLESS.match(text, match.start()):
            continue
        taken.append(range(match.start(), match.end()))
        what = re.sub(r"\b(any of|anything|any|at all)\b", "", match[1] or "").strip()
        what = "everything else" if what in ("", "else", "other") else what
        yield "negative", match.start(), match.end(), f"keep {what} exactly the same"
    for match in _NEGATIVE.finditer(text):
        before = text[max(0, match.start() - 12): match.start()]
        if any(match.start() in span for span in taken) or _HARMLESS.match(text, match.start()) \
                or re.search(r"(?:whether or|\bif|\bor|\bwhy) $", before, re.IGNORECASE):
            continue
        if "'" not in match[0] and "’" not in match[0] and match[0].lower() in ("wont", "cant"):
            continue
        what = _LINKS.split(match[2] or "")[0].strip()
        first, last = (what.split()[0].lower(), what.split()[-1].lower()) if what else ("", "")
        acts = re.match(r"\w+ (?:(?:the|his|her|their|its|my|any)\b.*)", what)
        if match[0].lower().startswith("nothing"):
            what, better = "", "keep everything else exactly the same"
        elif acts and re.match(r"do|never|must|should", match[0], re.IGNORECASE):
            better = f"keep {what.split(' ', 1)[1]} as in the picture"
        elif positive := _POSITIVE.get(last) or _POSITIVE.get(first):
            better = positive
        else:
            better = f"say what is there instead of {what}" if what else "say what should be seen"
        yield "negative", match.start(), match.start(2) + len(what) if what else len(match[0].rstrip()) + match.start(), better


# Transform -------------------------------------------------------------------------------------------------------

_TRANSFORM = re.compile(
    rf"\b(transform|morph|turn|convert|change)(?:s|ed|ing)?\s+((?:(?:{_DETERMINED}|my|me|him|her|them|himself|herself)\s*)?"
    r"(?:[\w-]+\s+){0,3}?)(?:in the (?:image|picture|photo)\s+)?(into|to be|to become|to)\s+((?:an?|the)\s+)?"
    r"([^,.;:!?]{1,60})", re.IGNORECASE)


def transforms(text: str) -> Iterator[Found]:
    """"transform the person into a Viking", and "turn her into a Viking"; styles and things may be transformed."""
    for match in _TRANSFORM.finditer(text):
        verb, whom, into, target = match[1].lower(), match[2].strip(), match[3].lower(), match[5].strip()
        words = [word.lower() for word in re.findall(r"[\w’'-]+", whom)]
        if not words and verb in ("transform", "morph"):  # the girl is transformed into
            words = re.findall(r"[\w’-]+", re.split(r"[.,;]", text[: match.start()])[-1].lower())
            person = any(gender(word) for word in words)
        else:
            person = words and (words[-1] in ("me", "him", "her", "them", "himself", "herself") or gender(words[-1]))
        if any("'" in word or "’" in word for word in words):  # the woman's head, turned to the light
            person = False
        if not person or (verb in ("turn", "convert", "change") and into != "into"):
            continue
        target = re.split(r"\s+(?:while|but|keeping|with the same)\b", target)[0]
        article = match[4] or ""
        better = (f"change the clothes to those of {article}{target} while keeping the same facial features, hairstyle "
                  "and expression")
        yield "transform", match.start(), match.end(), better


# People ----------------------------------------------------------------------------------------------------------

_NUMBERS = dict(zip("one two three four five six seven eight nine ten eleven twelve dozen dozens hundred hundreds "
                    "thousands a an several many countless".split(),
                    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 24, 100, 100, 1000, 1, 1, 0, 9, 99), strict=True))
_STOP = frozenset("""
    of in on at for with and by from to into or as is are was the a an behind near beside under over between around
    after before year years meter meters metre metres mm cm photo photos picture pictures image images shot shots panel
    panels minute minutes day days o'clock who that which while
    """.split()) | {"more"}
_CROWD = re.compile(r"\b(?:crowds?\b|mob\b|army|audience|parade|marching band|orchestra|choir|a sea of people|lots of people|"
                    r"(?:full|group|groups|packed with|filled with) (?:of )?(?:\w+ )?people|"
                    r"(?:family|group|team|gang|band|class|party|crew|line|row) of (?:four|five|six|seven|eight|nine|ten|"
                    r"twelve|twenty|thirty|\d{2,}|[4-9])\b(?! (?:o'clock|chairs))|"
                    r"crowded (?:street|market|square|beach|room|bar|train|station|party|stadium|subway|bus|restaurant|"
                    r"caf[eé]|pub|club|hall|plaza|city))\b", re.IGNORECASE)
_FAR = re.compile(r"\b(?:blurred|blurry|distant|faraway|out-of-focus|unfocused|silhouettes? of an?)\s+(?:\w+\s+)?$", re.I)


def people(text: str) -> Iterator[Found]:
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


# Physical contact ------------------------------------------------------------------------------------------------

_HOLDERS = frozenset("""
    vase shelf shelves box basket bowl jar rack stand holder bracket clip frame tray case glass cup bucket bottle bag
    pillar pillars column columns pole poles chain chains rope ropes beam beams wall hook nail pin pins table statue
    """.split())
_GROUND = (r"(?:(?:the|a|an)\s+)?(?:[\w-]+\s+){0,2}?(?:ground|floor|grass|beach|sand|lawn|meadow|rug|carpet|shore|snow|moon|"
           r"hill|hillside|cliff|left|right|top|edge|own|side|steps|stairs)\b")
_CONTACT = [(re.compile(pattern, re.IGNORECASE), better) for pattern, better in (
    (r"(?<![-\w])(?:holding|hold|holds|shaking|shake|shakes) (?:each other['’]s )?hands\b|hand[- ]in[- ]hand\b|arm in arm\b|"
     r"\bhigh[- ]fiv(?:e|es|ing)\b|\bhandshake\b", "standing side by side, looking at each other"),
    (r"(?<![-\w])(?:hug(?:s|ging)?|embrac(?:e|es|ing)|cuddl(?:e|es|ing)|kiss(?:es|ing)?|snuggl(?:e|es|ing))(?![-\w])"
     r"(?! (?:the (?:coast|wall|curves?|body|shore)|booth|cam\b))", "standing side by side, smiling at each other"),
    (r"\b(?:hands?|arms?) (?:(?:is|are|resting|placed) )?(?:on|around|over|across) (?:\w+['’]?s? ){0,3}?"
     r"(?:shoulders?|back|waist|neck|knee|cheek|arm|(?:wo)?man|girl|boy|friend|him|her|them)\b",
     "standing side by side, both arms relaxed"),
    (r"\bpiggyback\b|\bon (?:his|her|their|the \w+['’]s|\w+['’]s|dad['’]s) (?:shoulders|back|lap)\b|\bin (?:his|her|their|the "
     r"\w+['’]s) (?:arms|lap)\b", "standing next to each other"),
    (r"(?<![-\w])hold(?:s|ing)?(?![-\w])(?! (?:still|steady|firm|position|back|court|hands\b|(?:his|her|their) breath|"
     r"(?:a|the|the same|this|that|its) (?:\w+ )?(?:pose|position|shape|expression|meeting|party|composition|look)))"
     r"(?:\s+(?P<thing>[^,.;:!?]{1,40}))?", ""),
    (r"(?<![-\w])(?:grab|grip|clutch|grasp|squeez)(?:s|es|e|bing|ping|ing|bed)?(?![-\w])(?! attention| the attention)"
     r"(?:\s+(?P<thing>[^,.;:!?]{1,40}))?", ""),
    (rf"(?<![-\w])(?:carry|carries|carrying)(?![-\w])(?! (?:case|handle|strap|capacity|on\b))(?:\s+(?P<thing>[^,.;:!?]{{1,40}}))?",
     ""),
    (rf"(?<![-\w])(?:touch(?:es|ing)?|lift(?:s|ing)?|push(?:es|ing)?|pull(?:s|ing)?|catch(?:es|ing)?|kick(?:s|ing)?|"
     rf"pet(?:s|ting)?|pat(?:s|ting)?|strok(?:es|ing)|punch(?:es|ing)?|throw(?:s|ing)?|pour(?:s|ing)|rid(?:e|es|ing)|"
     rf"tie(?:s)?|tying|pick(?:s|ing)? up|playing|plays)\s+"
     rf"(?!\w+ (?:light|sun|eye|fire|attention|scene|moment|story|(?:\w+ )?shadows?|shade|glance|party|role|game|part)\b|"
     rf"(?:a|the) (?:long |dark |soft )?(?:shadow|glow))(?P<thing>{_DETERMINED}[^,.;:!?]{{1,40}}|horses?|horseback)", ""),
    (r"\blean(?:s|ing)? (?:on|against) (?P<thing>[^,.;:!?]{1,40})", ""),
    (rf"\b(?:sit|sits|sitting|seated|perched) (?:down )?(?:on|upon|atop) (?!{_GROUND})(?P<thing>[^,.;:!?]{{1,40}})", ""),
)]
_SITTING = re.compile(r"(?:sit|sits|sitting|seated|perched)\b", re.IGNORECASE)
_NOUN_BEFORE = re.compile(r"([\w’'-]+)\s+(?:(?:is|are|was|that is|which is|now|also|quietly|calmly)\s+)*$", re.IGNORECASE)
_INSTRUMENTS = ("guitar", "piano", "violin", "flute", "drum", "drums", "cello", "trumpet", "saxophone", "chess", "cards")


def contact(text: str) -> Iterator[Found]:
    """Touching, holding, sitting on: at most one finding for each place."""
    taken: list[range] = []
    for pattern, better in _CONTACT:
        for match in pattern.finditer(text):
            if any(match.start() in span or span.start in range(*match.span()) for span in taken) \
                    or _is_no_contact(match, text):
                continue
            thing = _LINKS.split((match.groupdict().get("thing") or "").strip())[0]
            taken.append(range(*match.span()))
            end = match.start("thing") + len(thing) if thing else match.end()
            yield "contact", match.start(), end, better or f"standing next to {thing or 'it'}"


def _is_no_contact(match: re.Match, text: str) -> bool:
    before = _NOUN_BEFORE.search(text[: match.start()])
    noun = before[1].lower() if before else ""
    if _SITTING.match(match[0]):  # a lamp sits on the desk
        return bool(noun) and not _sits(noun, before, match, text)
    if re.match(r"play", match[0], re.IGNORECASE):
        return not any(word in match[0].lower() for word in _INSTRUMENTS)
    if re.match(r"(?:do|does|did) ?n[o'’]", noun):
        return False
    return noun in _HOLDERS or noun in ("a", "the", "touch") and match[0].lower().split()[0] in ("hold", "catch", "grip")


def _sits(noun: str, before: re.Match, match: re.Match, text: str) -> bool:
    """Whether somebody sits: the noun before, or the one that "with the hat" or "is sitting" belongs to."""
    if gender(noun) or before[1][0].isupper() or noun in (
            "and", "while", "then", "she", "he", "they", "him", "her", "them", "me", "be", "to"):
        return True
    clause = re.split(r"[.,;:]", text[: match.start()])[-1]
    belongs = before[0].split()[1:] or match[0][:4].lower() in ("sits", "sit ") or re.search(
        rf"\b(?:with|in|of) (?:\w+ ){{0,3}}{re.escape(noun)}\s*$", clause, re.IGNORECASE)
    return bool(belongs) and any(gender(word) for word in re.findall(r"[\w’-]+", clause))


# One pattern each ------------------------------------------------------------------------------------------------

_IT = r"(?:it|this|everything|the (?:image|photo|picture|scene|result)|this (?:image|photo|picture))"
_STYLE = r"(?:sketch|painting|drawing|cartoon|anime|comic|watercolou?r|artwork|illustration|art|render)"
_SIGN = (r"(?:sign|banner|poster|t-?shirt|shirt|label|board|screen|billboard|neon|text|letters|lettering|title|caption|logo|cake|"
         r"plate|cover|mug|cap|flag|placard|bubble|graffiti)")
_SIMPLE = [(rule, re.compile(pattern, flags), better) for rule, pattern, flags, better in (
    ("vague", rf"\bmake {_IT} (?:look )?(?:(?:a (?:bit|lot|little)|more|much|even|really|super|very|so) )*(?:better|nicer|"
     r"cool(?:er)?|beautiful|awesome|amazing|artistic|pretti(?:er)|pretty|great|good|interesting|epic|stunning|professional|"
     r"aesthetic|perfect)\b", re.I, "say what changes: warm evening light, sharper focus, a plain background"),
    ("vague", rf"\b(?:improve|enhance|beautify|upgrade|fix) (?:it|this|(?:the|this) (?:image|photo|picture|scene))\b"
     r"(?!['’]s)", re.I, "say what changes: warm evening light, sharper focus, a plain background"),
    ("vague", rf"\b(?:make|turn) {_IT} (?:in(?:to)? )?(?:an? )?(?:\w+ )?{_STYLE}\s*(?=[.!]|$)", re.I,
     "change the style to a pencil sketch with natural graphite lines, cross-hatching and visible paper texture"),
    ("quotes", rf"\b{_SIGN}\b[^.,;:\"'“‘]{{0,30}}?\b(?:says|saying|reads|spelling|spells)\s+(?![\"'“‘])(\w[\w ]{{0,40}})",
     re.I, None),
    ("quotes", r"\bwith the words? (?![\"'“‘])([A-Z]\w*(?: [A-Z]\w*)*)", 0, None),
    ("quotes", r"\b(?:text|lettering|title|caption|sign|logo|word) (?:to|with|by) (?![\"'“‘])([A-Z]{2,}(?: [A-Z]{2,})*)\b", 0, None),
    ("video", r"\bcamera (?:\w+ly |then |now |starts? to |is )?(?:pans?|panning|zooms?|zooming|tracks?|tracking|moves?|moving|"
     r"dollies|tilts up|tilts down|tilting up|tilting down|orbits?|orbiting|follows|following|flies|pulls back|pushes in|"
     r"circles|rotates)\b", re.I, "a wide shot, a close-up, a low angle: what one still picture shows"),
    ("video", r"\b(?:slow[- ]motion|time-?lapse|\d+[- ](?:second|sec|s) (?:video|clip|animation|loop)|video (?:clip )?of|"
     r"looping (?:video|animation|gif)|make (?:it|this|a|the picture) (?:a |an |into a )?(?:video|move)|animate|60 ?fps|30 ?fps)\b",
     re.I, "one still moment of it"),
    ("video", r"(?<!a )(?<!the )(?<!frying )\b(?:slow(?:ly)? )?(?:pans?|panning|dolly) (?:left|right|across|up|down|in|out)\b",
     re.I, "one still moment of it"),
    ("syntax", r"\(([^()]{1,80}?)\s*:\s*\d+(?:\.\d+)?\)|\(\(+([^()]{1,80})\)\)+", 0, None),
    ("syntax", r"<(?:lora|lyco|hypernet):[^<>]{1,100}>|\bembedding:\S+|(?<!\S)--(?:ar|v|q|s|no|seed|style|stylize|niji|chaos|"
     r"iw|cref|sref)\b(?:\s+[\w.:]+)?", re.I, "delete it; size, seed and LoRAs are set on the nodes"),
)]
_VERBS = re.compile(r"(?:^|[.,;:]\s*|\b(?:and|then|also)\s+)(?:(?:and|then|also)\s+)*(change|replace|add|remove|put|place|make|"
                    r"turn|give|swap|recolou?r|dress|move|delete|erase|convert)\b", re.IGNORECASE)


def simple(text: str, prompt: str) -> Iterator[Found]:
    """The rules that are one pattern each, and too many changes. `prompt` is the text unmasked."""
    for rule, pattern, better in _SIMPLE:
        for match in pattern.finditer(text):
            if rule == "quotes":
                words = match[1].strip()
                start = match.start(1) - match.start()
                better_text = f"{prompt[match.start(): match.end()][:start]}'{words}'"
            else:
                better_text = better or f"{(match[1] or match[2]).strip()}, said in plain words"
            yield rule, match.start(), match.end(), better_text
    verbs = list(_VERBS.finditer(text))
    if len(verbs) >= 4:
        yield ("many-changes", verbs[3].start(1), len(text.rstrip()),
               "a second edit of the result, or of another panel")

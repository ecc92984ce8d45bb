"""What words are used: negatives, "transform" and others; and the face of all rules that look at words."""

import re
from collections.abc import Iterator, Mapping

from .contact import DETERMINED, LINKS, contact
from .people import gender
from .who import Spot, names, people, pronouns

_QUOTED = re.compile(
    r'"[^"]{1,200}"|“[^”]{1,200}”|«[^»]{1,200}»|(?<![\w])[\'‘][^\'’]{1,200}(?:[\'’](?=\w)[^\'’]{1,200})*[\'’](?![\w])')


def mask_quotes(prompt: str) -> str:
    """The prompt with what stands in quotation marks blotted out, of the same length; the marks stay."""
    return _QUOTED.sub(lambda m: m[0][0] + "•" * (len(m[0]) - 2) + m[0][-1], prompt)


def find_all(prompt: str, traits: Mapping[str, str]) -> Iterator[Spot]:
    """Everything the rules of this file find in a prompt. `cast`: visible traits by character name."""
    text = mask_quotes(prompt)
    yield from pronouns(text, traits)
    yield from names(text, traits)
    yield from negatives(text)
    yield from transforms(text)
    yield from people(text)
    yield from contact(text)
    yield from simple(text, prompt)


# Negatives -----------------------------------------------------------------------------------------------------------

_UNCHANGED = re.compile(
    r"\b(?:do not|don['’]?t|does not|doesn['’]?t|must not|mustn['’]?t|should not|shouldn['’]?t|never|without|not|"
    r"avoid|can ?not|can['’]t)"
    r"\s+(?:be\s+)?(?:chang(?:e|ing)|alter(?:ing)?|modify(?:ing)?|touch(?:ing)?|affect(?:ing)?|edit(?:ing)?|los(?:e|"
    r"ing)|mov(?:e|ing)|"
    r"replac(?:e|ing)|remov(?:e|ing))\b\s*((?:[^,.;:!?\n](?! but\b| and (?:change|make|add|"
    r"put)\b)){0,60})", re.IGNORECASE)
_NEGATIVE = re.compile(
    r"(?<![\w-])(?:(?:do|does|did|must|should|can|could|will|would|is|are|was) not|cannot|"
    r"(?:do|does|did|must|should|ca|could|wo|would|is|are|was)n['’]?t|not|never|without|avoid|avoiding|neither|none|"
    r"nothing|no)(?![\w’'-])\s*((?:(?:any|have|has|be|a|an|the|more|of|other|show|include|use|make|draw|add)\s+)*)"
    r"((?:[\w’'-]+\s+){0,4}[\w’'-]+)?", re.IGNORECASE)
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


def negatives(text: str) -> Iterator[Spot]:
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
        what = LINKS.split(match[2] or "")[0].strip()
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
        end = match.start(2) + len(what) if what else match.start() + len(match[0].rstrip())
        yield "negative", match.start(), end, better


# Transform -----------------------------------------------------------------------------------------------------------

_TRANSFORM = re.compile(
    rf"\b(transform|morph|turn|convert|change)(?:s|ed|ing)?\s+((?:(?:{DETERMINED}|my|me|him|her|them|himself|"
    rf"herself)\s*)?"
    r"(?:[\w-]+\s+){0,3}?)(?:in the (?:image|picture|photo)\s+)?(into|to be|to become|to)\s+((?:an?|the)\s+)?"
    r"([^,.;:!?]{1,60})", re.IGNORECASE)


def transforms(text: str) -> Iterator[Spot]:
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


# One pattern each ----------------------------------------------------------------------------------------------------

_IT = r"(?:it|this|everything|the (?:image|photo|picture|scene|result)|this (?:image|photo|picture))"
_STYLE = r"(?:sketch|painting|drawing|cartoon|anime|comic|watercolou?r|artwork|illustration|art|render)"
_SIGN = (r"(?:sign|banner|poster|t-?shirt|shirt|label|board|screen|billboard|neon|text|letters|lettering|title|"
         r"caption|logo|cake|"
         r"plate|cover|mug|cap|flag|placard|bubble|graffiti)")
_SIMPLE = [(rule, re.compile(pattern, flags), better) for rule, pattern, flags, better in (
    ("vague", rf"\bmake {_IT} (?:look )?(?:(?:a (?:bit|lot|little)|more|much|even|really|super|very|so) )*(?:better|"
              rf"nicer|"
     r"cool(?:er)?|beautiful|awesome|amazing|artistic|pretti(?:er)|pretty|great|good|interesting|epic|stunning|"
     r"professional|"
     r"aesthetic|perfect|cinematic|dramatic|realistic|dynamic|vivid|"
     r"detailed)\b", re.I, "say what changes: warm evening light, sharper focus, a plain background"),
    ("vague", r"\b(?:improve|enhance|beautify|upgrade|fix) (?:it|this|(?:the|this) (?:image|photo|picture|scene))\b"
     r"(?!['’]s)", re.I, "say what changes: warm evening light, sharper focus, a plain background"),
    ("vague", rf"\b(?:make|turn) {_IT} (?:in(?:to)? )?(?:an? )?(?:\w+ )?{_STYLE}\s*(?=[.!]|$)", re.I,
     "change the style to a pencil sketch with natural graphite lines, cross-hatching and visible paper texture"),
    ("quotes", rf"\b{_SIGN}\b[^.,;:\"'“‘]{{0,30}}?\b(?:says|saying|reads|spelling|"
               rf"spells)\s+(?![\"'“‘])(\w[\w ]{{0,40}})",
     re.I, None),
    ("quotes", r"\bwith the words? (?![\"'“‘])([A-Z]\w*(?: [A-Z]\w*)*)", 0, None),
    ("quotes", r"\b(?:text|lettering|title|caption|sign|logo|word) (?:to|with|"
               r"by) (?![\"'“‘])([A-Z]{2,}(?: [A-Z]{2,})*)\b", 0, None),
    ("video", r"\bcamera (?:\w+ly |then |now |starts? to |is )?(?:pans?|panning|zooms?|zooming|tracks?|tracking|"
              r"moves?|moving|"
     r"dollies|tilts up|tilts down|tilting up|tilting down|orbits?|orbiting|follows|following|flies|pulls back|"
     r"pushes in|"
     r"circles|rotates)\b", re.I, "a wide shot, a close-up, a low angle: what one still picture shows"),
    ("video", r"\b(?:slow[- ]motion|time-?lapse|\d+[- ](?:second|sec|s) (?:video|clip|animation|loop)|"
              r"video (?:clip )?of|"
     r"looping (?:video|animation|gif)|make (?:it|this|a|the picture) (?:a |an |into a )?(?:video|move)|animate|"
     r"60 ?fps|30 ?fps)\b",
     re.I, "one still moment of it"),
    ("video", r"(?<!a )(?<!the )(?<!frying )\b(?:slow(?:ly)? )?(?:pans?|panning|dolly) (?:left|right|across|up|down|"
              r"in|out)\b",
     re.I, "one still moment of it"),
    ("syntax", r"\(([^()]{1,80}?)\s*:\s*\d+(?:\.\d+)?\)|\(\(+([^()]{1,80})\)\)+", 0, None),
    ("syntax", r"<(?:lora|lyco|hypernet):[^<>]{1,100}>|\bembedding:\S+|(?<!\S)--(?:ar|v|q|s|no|seed|style|stylize|"
               r"niji|chaos|"
     r"iw|cref|sref)\b(?:\s+[\w.:]+)?", re.I, "delete it; size, seed and LoRAs are set on the nodes"),
)]
_VERBS = re.compile(
    r"(?:^\s*|[.,;:]\s*|\b(?:and|then|also)\s+)(change|replace|add|remove|put|place|make|turn|give|swap|recolou?r|dress|move|"
    r"delete|erase|convert)\b", re.IGNORECASE)


def simple(text: str, prompt: str) -> Iterator[Spot]:
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

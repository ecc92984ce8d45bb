"""Physical contact: hands and things that pass through each other."""

import re
from collections.abc import Iterator

from .people import gender
from .who import Spot

LINKS = re.compile(r"\s+(?:in|on|at|and|or|but|with|behind|while|just|only|anywhere|near|from|for|so|because|"
                   r"through|along|"
                   r"across|over|into|like|by|as|under|to|visible)\b", re.IGNORECASE)
DETERMINED = r"(?:a|an|the|this|that|his|her|their|its|another|each|some|one|two|three|both)\b"

_HOLDERS = frozenset("""
    vase shelf shelves box basket bowl jar rack stand holder bracket clip frame tray case glass cup bucket bottle bag
    pillar pillars column columns pole poles chain chains rope ropes beam beams wall hook nail pin pins table statue
    """.split())
_GROUND = (r"(?:(?:the|a|an)\s+)?(?:[\w-]+\s+){0,2}?(?:ground|floor|grass|beach|sand|lawn|meadow|rug|carpet|shore|"
           r"snow|moon|"
           r"hill|hillside|cliff|left|right|top|edge|own|side|steps|stairs)\b")
_CONTACT = [(re.compile(pattern, re.IGNORECASE), better) for pattern, better in (
    (r"(?<![-\w])(?:holding|hold|holds|shaking|shake|shakes) (?:each other['’]s )?hands\b|hand[- ]in[- ]hand\b|"
     r"arm in arm\b|"
     r"\bhigh[- ]fiv(?:e|es|ing)\b|\bhandshake\b", "standing side by side, looking at each other"),
    (r"(?<![-\w])(?:hug(?:s|ging)?|embrac(?:e|es|ing)|cuddl(?:e|es|ing)|kiss(?:es|ing)?|snuggl(?:e|es|ing))(?![-\w])"
     r"(?! (?:the (?:coast|wall|curves?|body|shore)|booth|cam\b))", "standing side by side, smiling at each other"),
    (r"\b(?:hands?|arms?) (?:(?:is|are|resting|placed) )?(?:on|around|over|across) (?:\w+['’]?s? ){0,3}?"
     r"(?:shoulders?|back|waist|neck|knee|cheek|arm|(?:wo)?man|girl|boy|friend|him|her|them)\b",
     "standing side by side, both arms relaxed"),
    (r"\bpiggyback\b|\bon (?:his|her|their|the \w+['’]s|\w+['’]s|dad['’]s) (?:shoulders|back|lap)\b|\bin (?:his|her|"
     r"their|the "
     r"\w+['’]s) (?:arms|lap)\b", "standing next to each other"),
    (r"(?<![-\w])hold(?:s|ing)?(?![-\w])(?! (?:still|steady|firm|position|back|court|hands\b|(?:his|her|their) breath|"
     r"(?:a|the|the same|this|that|its) (?:\w+ )?(?:pose|position|shape|expression|meeting|party|composition|look)))"
     r"(?:\s+(?P<thing>[^,.;:!?]{1,40}))?", ""),
    (r"(?<![-\w])(?:grab|grip|clutch|grasp|squeez)(?:s|es|e|bing|ping|ing|bed)?(?![-\w])(?! attention| the attention)"
     r"(?:\s+(?P<thing>[^,.;:!?]{1,40}))?", ""),
    (r"(?<![-\w])(?:carry|carries|carrying)(?![-\w])(?! (?:case|handle|strap|capacity|"
     r"on\b))(?:\s+(?P<thing>[^,.;:!?]{1,40}))?",
     ""),
    (rf"(?<![-\w])(?:touch(?:es|ing)?|lift(?:s|ing)?|push(?:es|ing)?|pull(?:s|ing)?|catch(?:es|ing)?|kick(?:s|ing)?|"
     rf"pet(?:s|ting)?|pat(?:s|ting)?|strok(?:es|ing)|punch(?:es|ing)?|throw(?:s|ing)?|pour(?:s|ing)|rid(?:e|es|ing)|"
     rf"tie(?:s)?|tying|pick(?:s|ing)? up|playing|plays)\s+"
     rf"(?!\w+ (?:light|sun|eye|fire|attention|scene|moment|story|(?:\w+ )?shadows?|shade|glance|party|role|game|"
     rf"part)\b|"
     rf"(?:a|the) (?:long |dark |soft )?(?:shadow|glow))(?P<thing>{DETERMINED}[^,.;:!?]{{1,40}}|horses?|"
     rf"horseback)", ""),
    (r"\blean(?:s|ing)? (?:on|against) (?P<thing>[^,.;:!?]{1,40})", ""),
    (rf"\b(?:sit|sits|sitting|seated|perched) (?:down )?(?:on|upon|"
     rf"atop) (?!{_GROUND})(?P<thing>[^,.;:!?]{{1,40}})", ""),
)]
_SITTING = re.compile(r"(?:sit|sits|sitting|seated|perched)\b", re.IGNORECASE)
_NOUN_BEFORE = re.compile(r"([\w’'-]+)\s+(?:(?:is|are|was|that is|which is|now|also|quietly|"
                          r"calmly)\s+)*$", re.IGNORECASE)
_PLAYED = ("guitar", "piano", "violin", "flute", "drum", "cello", "trumpet", "saxophone", "chess", "cards")


def contact(text: str) -> Iterator[Spot]:
    """Touching, holding, sitting on: at most one finding for each place."""
    taken: list[range] = []
    for pattern, better in _CONTACT:
        for match in pattern.finditer(text):
            if any(match.start() in span or span.start in range(*match.span()) for span in taken) \
                    or _is_no_contact(match, text):
                continue
            thing = LINKS.split((match.groupdict().get("thing") or "").strip())[0]
            taken.append(range(*match.span()))
            end = match.start("thing") + len(thing) if thing else match.end()
            yield "contact", match.start(), end, better or f"standing next to {thing or 'it'}"


def _is_no_contact(match: re.Match, text: str) -> bool:
    before = _NOUN_BEFORE.search(text[max(0, match.start() - 80): match.start()])
    noun = before[1].lower() if before else ""
    if _SITTING.match(match[0]):  # a lamp sits on the desk
        return before is not None and not _sits(before, match, text)
    if re.match(r"play", match[0], re.IGNORECASE):
        return not any(word in match[0].lower() for word in _PLAYED)
    if re.match(r"(?:do|does|did) ?n[o'’]", noun):
        return False
    a_noun = noun in ("a", "the") and match[0].lower().split()[0] in ("hold", "catch", "grip")  # the grip of a bag
    return noun in _HOLDERS or a_noun


def _sits(before: re.Match, match: re.Match, text: str) -> bool:
    """Whether somebody sits: the noun before, or the one that "with the hat" or "is sitting" belongs to."""
    noun = before[1].lower()
    if gender(noun) or before[1][0].isupper() or noun in (
            "and", "while", "then", "she", "he", "they", "him", "her", "them", "me", "be", "to"):
        return True
    clause = re.split(r"[.,;:]", text[: match.start()])[-1]
    belongs = before[0].split()[1:] or match[0][:4].lower() in ("sits", "sit ") or re.search(
        rf"\b(?:with|in|of) (?:\w+ ){{0,3}}{re.escape(noun)}\s*$", clause, re.IGNORECASE)
    return bool(belongs) and any(gender(word) for word in re.findall(r"[\w’-]+", clause))

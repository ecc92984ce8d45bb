"""What the columns of a shot list are called, in English and some other languages, and what an empty cell is called."""

import re
import unicodedata
from dataclasses import dataclass

from .durations import is_unit, unit_of

# What a column is called, without capitals, accents and punctuation -> the field it fills
COLUMNS = {
    "id": "id", "panel": "id", "panelid": "id", "board": "id",
    "shot": "shot number", "shotno": "shot number", "shotnumber": "shot number", "shotid": "shot number",
    "n": "shot number",
    "setup": "shot number", "no": "shot number", "nr": "shot number", "number": "shot number", "plan": "shot number",
    "plano": "shot number", "inquadratura": "shot number", "einstnr": "shot number",
    "einstellungsnr": "shot number",
    "scene": "scene", "sceneno": "scene", "scenenumber": "scene", "sceneid": "scene", "sc": "scene", "szene": "scene",
    "sequence": "scene", "seq": "scene", "escena": "scene", "scena": "scene", "cena": "scene",
    "description": "prompt", "shotdescription": "prompt", "prompt": "prompt", "beschreibung": "prompt",
    "desc": "prompt", "shotdetails": "prompt", "descripcion": "prompt", "descrizione": "prompt", "descricao": "prompt",
    "visual": "prompt", "visuals": "prompt", "picture": "prompt", "content": "prompt", "bild": "prompt",
    "inhalt": "prompt", "video": "prompt", "image": "prompt",
    "action": "action", "actions": "action", "handlung": "action", "aktion": "action", "accion": "action",
    "azione": "action",
    "subject": "characters", "character": "characters", "characters": "characters", "cast": "characters",
    "talent": "characters", "actor": "characters", "actors": "characters", "who": "characters",
    "figuren": "characters",
    "figur": "characters", "personen": "characters", "charaktere": "characters", "darsteller": "characters",
    "rollen": "characters", "personnages": "characters", "personajes": "characters", "personaggi": "characters",
    "personagens": "characters",
    "dialogue": "dialogue", "dialog": "dialogue", "lines": "dialogue", "audio": "dialogue", "dialogues": "dialogue",
    "dialogo": "dialogue", "dialogos": "dialogue", "dialoghi": "dialogue", "dialoge": "dialogue",
    "vo": "voice", "voiceover": "voice", "narration": "voice",
    "size": "shot", "shotsize": "shot", "shottype": "shot", "framing": "shot", "frame": "shot", "type": "shot",
    "camerashot": "shot", "einstellung": "shot", "einstellungsgroesse": "shot",
    "valeur": "shot", "valeurdeplan": "shot",
    "angle": "angle", "cameraangle": "angle", "camera": "angle", "perspektive": "angle", "kamera": "angle",
    "location": "location", "set": "location", "setting": "location", "place": "location", "ort": "location",
    "schauplatz": "location", "lieu": "location", "decor": "location", "lugar": "location", "luogo": "location",
    "localizacion": "location",
    "duration": "duration", "length": "duration", "seconds": "duration", "secs": "duration", "sec": "duration",
    "time": "duration", "dauer": "duration", "zeit": "duration", "laenge": "duration", "lange": "duration",
    "duree": "duration", "duracion": "duration", "durata": "duration", "duracao": "duration", "dur": "duration",
    "runtime": "duration", "runningtime": "duration", "screentime": "duration", "frames": "duration",
    "framecount": "duration", "framenumber": "id",
    "transition": "transition", "cut": "transition",
    "notes": "notes", "note": "notes", "comment": "notes", "comments": "notes", "remark": "notes", "remarks": "notes",
    "notizen": "notes", "anmerkung": "notes", "anmerkungen": "notes", "bemerkung": "notes", "bemerkungen": "notes",
    "remarques": "notes", "notas": "notes",
    "seed": "seed",
    # Spanish and Portuguese, French, German, Dutch
    "numerodeplano": "shot number", "tipodeplano": "shot", "tamanodeplano": "shot", "angulo": "angle",
    "angulacion": "angle", "observaciones": "notes", "observacoes": "notes", "local": "location",
    "nplan": "shot number", "numeroplan": "shot number", "numerodeplan": "shot number", "echelle": "shot",
    "echelledeplan": "shot", "axe": "angle",
    "bildinhalt": "prompt", "bildbeschreibung": "prompt", "bildnr": "id",
    "omschrijving": "prompt", "beschrijving": "prompt", "personages": "characters", "dialoog": "dialogue",
    "duur": "duration", "locatie": "location", "opmerkingen": "notes",
    # Russian
    "сцена": "scene", "кадр": "shot number", "описание": "prompt", "персонажи": "characters",
    "деиствие": "action", "диалог": "dialogue", "план": "shot", "крупность": "shot", "длительность": "duration",
    "хронометраж": "duration", "локация": "location", "место": "location", "примечания": "notes",
    "комментарии": "notes",
    # Chinese, Japanese
    "镜号": "shot number", "镜头": "shot number", "镜头号": "shot number", "分镜号": "shot number",
    "鏡號": "shot number", "鏡頭": "shot number", "カット": "shot number", "カット番号": "shot number",
    "场景": "scene", "场次": "scene", "场号": "scene", "場景": "scene", "場次": "scene", "シーン": "scene",
    "画面": "prompt", "画面内容": "prompt", "画面描述": "prompt", "镜头描述": "prompt", "镜头内容": "prompt",
    "描述": "prompt", "内容": "prompt", "畫面": "prompt", "畫面內容": "prompt", "動作": "action", "动作": "action",
    "人物": "characters", "角色": "characters", "演员": "characters", "出场人物": "characters",
    "キャラクター": "characters", "登場人物": "characters",
    "对白": "dialogue", "台词": "dialogue", "對白": "dialogue", "台詞": "dialogue", "セリフ": "dialogue",
    "旁白": "voice", "解说": "voice", "ナレーション": "voice", "景别": "shot", "景別": "shot", "角度": "angle",
    "机位": "angle", "地点": "location", "地點": "location", "場所": "location",
    "时长": "duration", "時長": "duration", "时间": "duration", "秒数": "duration", "尺": "duration",
    "转场": "transition", "备注": "notes", "備註": "notes", "備考": "notes",
}
# Of two columns for one field these are the worse; they may hold a thumbnail or a number.
_WEAK = {"visual", "visuals", "picture", "content", "bild", "inhalt", "video", "image"}
_POINTS_IN_TIME = {"time", "zeit", "时间"}  # or lengths: the values tell
# Compound titles end with the word that counts: Scene Description, Cast Members (but for the words that add nothing).
_HEADS = {
    **{word: COLUMNS[word] for word in (
        "prompt", "action", "character", "characters", "cast", "talent", "actors", "dialogue", "dialog", "narration",
        "voiceover", "duration", "dauer", "location", "transition", "notes", "note", "comment", "comments", "remarks",
        "notizen", "figuren", "beschreibung", "description", "scene")},
    "descriptions": "prompt", "prompts": "prompt", "locations": "location"}
_ADD_NOTHING = {"name", "names", "member", "members", "list", "text", "en", "eng", "english", "de", "no", "number",
                "nr", "id"}
_WHOLES = {"shot", "shots", "scene", "scenes", "panel", "frame", "picture", "image", "action", "screen", "film", "the"}
_OF = {"of", "in", "for", "on", "per", "the", "von", "im", "pro", "de", "del", "du", "des", "da"}
_WHOSE = {  # what may stand before the word that counts, where others make something else of it: Negative Prompt
    "prompt": {"shot", "scene", "visual", "image", "panel", "picture", "video", "short", "brief", "full", "story", "ai",
               "positive", "main", "frame", "action"},
    "duration": {"shot", "scene", "panel", "est", "estimated", "approx", "screen", "clip"}}
_WHOSE["action"] = _WHOSE["prompt"] | {"character", "subject"}
_WHOSE["transition"] = _WHOSE["prompt"]
_WHOSE["scene"] = {"film", "movie", "story"}

_DASHES = re.compile(r"[-–—−‒―_/\\\s]+")
_MARKS = re.compile(r"[-–—−‒―_/\\.…·*?()\[\]\s]+")
_NOTHING = {"n/a", "n\\a", "n-a", "n.a", "n.a.", "n/a.", "n. a.", "na", "nil", "null", "none", "(none)", "[none]",
            "not applicable",
            "k.a.", "k. a.", "k.a", "entfällt", "s/o", "нет", "无", "無", "なし", "없음"}
_NOBODY = {"nobody", "no one", "noone", "no-one", "nothing", "empty", "no characters", "no character", "no cast",
           "no actors", "no people", "no talent", "niemand", "keine", "keiner", "kein", "leer", "ohne", "ninguno",
           "ninguna", "nadie", "aucun", "aucune", "personne", "nessuno", "nessuna", "nenhum", "ninguém", "geen",
           "ingen", "inget", "brak", "nikt", "никто", "无人", "没有", "etc", "etc.", "usw.", "usw", "et al."}
_SILENT = {"mos", "no dialogue", "no dialog", "no lines", "kein dialog", "sin diálogo", "sans dialogue",
           "pas de dialogue", "senza dialogo", "无对白", "无台词"}
_FAULT = re.compile(r"#(?:n/a|ref!|name\?|value!|div/0!|null!|num!|spill!|calc!|error!)", re.I)  # Excel's
_OPEN = {"tbd", "tba", "tbc", "t.b.d.", "t.b.a.", "t.b.c.", "todo", "to do", "to be determined", "to be decided",
         "to be announced", "to be confirmed", "pending", "offen", "noch offen", "xxx"}


@dataclass(frozen=True)
class Column:
    """What a column fills. A duration's number alone is in `unit` seconds (None: frames), at `rate` frames a second if
    the title says so; `clock` is a title such as Length (mm:ss), where 10:30 is no time of day; `points` is a title
    that may also be of points in time."""

    field: str
    title: str
    unit: float | None = 1.0
    rate: float | None = None
    clock: bool = False
    points: bool = False


def columns(titles: list[str]) -> dict[int, Column]:
    """The known columns of a header, by index. Of two for one field the plainer title wins, then the first."""
    ranked = sorted((rank, index, field) for index, title in enumerate(titles) for rank, field in _fields(title))
    known: dict[int, Column] = {}
    taken: set[str] = set()
    for _, index, field in ranked:
        if field not in taken and index not in known:
            taken.add(field)
            known[index] = _column(field, titles[index])
    return dict(sorted(known.items()))


def is_prompt(title: str) -> bool:
    """Whether a title alone says that what is below are descriptions."""
    return COLUMNS.get(_letters(title)) in ("prompt", "action")


def is_nothing(cell: str, field: str) -> bool:
    """Whether a cell says in words or marks that it is empty: N/A, none, a dash, #REF!. In `characters` nobody is
    nothing; a dialogue may be "..." or "na"."""
    plain = cell.casefold()
    if _FAULT.fullmatch(cell):
        return True
    if field in ("dialogue", "voice"):
        return _DASHES.fullmatch(cell) is not None or plain in (_NOTHING | _SILENT) - {"na"} or cell == "NA"
    return _MARKS.fullmatch(cell) is not None or plain in _NOTHING or field == "characters" and plain in _NOBODY


def is_open(cell: str) -> bool:
    """Whether a cell says that nobody knows yet: TBD."""
    return cell.casefold() in _OPEN


def _fields(title: str) -> list[tuple[int, str]]:
    """(rank, field) of a title, if it is known: 0 as it is, 1 as a compound, 2 if it may mean something else."""
    if title == "#":
        return [(0, "shot number")]
    short = re.sub(r"[(\[].*?(?:[)\]]|$)", " ", title)  # Duration (s)
    if re.search("[0-9]", short):  # 48 frames
        return []
    for words in (_words(title), _words(short)):
        name = "".join(words)
        while name not in COLUMNS and len(words) > 1 and is_unit(words[-1]):
            words.pop()  # duration_sec
            name = "".join(words)
        if name in COLUMNS:
            return [(2 if name in _WEAK else 0, COLUMNS[name])]
    words = _words(re.split(r"[/&|+]|\bor\b|\band\b|\bund\b", short)[0])
    end = next((index for index, word in enumerate(words) if index and word in _OF), len(words))
    of = set(words[end + 1:])
    words = words[:end]
    while len(words) > 1 and words[-1] in _ADD_NOTHING:
        words.pop()
    name = "".join(words)
    field = COLUMNS.get(name) if name not in _POINTS_IN_TIME | _ADD_NOTHING else None
    if not field and words and set(words[:-1]) <= _WHOSE.get(_HEADS.get(words[-1], ""), set(words)):
        field = _HEADS.get(words[-1])
    known = all(word in _WHOLES or is_unit(word) for word in of)  # Type of shot, but not Type of light
    return [(1, field)] if field and (known or field == "notes") else []


def _column(field: str, title: str) -> Column:
    if field != "duration":
        return Column(field, title)
    words = _words(title)
    units = [unit_of(word) for word in words if is_unit(word)]
    rate = re.search(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*fps", title, re.I)
    return Column(field, title, units[-1] if units else 1.0, float(rate[1]) if rate and float(rate[1]) else None,
                  re.search(r"m\s*:\s*s", title, re.I) is not None, _letters(title) in _POINTS_IN_TIME)


def _letters(title: str) -> str:
    return "".join(_words(title))


def _words(title: str) -> list[str]:
    """The words of a title without capitals and accents."""
    plain = unicodedata.normalize("NFKD", title.casefold().replace("ö", "oe")).casefold()  # № is No then
    return re.findall(r"[^\W\d_]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))


"""ViStoryBench's story.json (arXiv 2505.24862): a story of the public benchmark, with the pictures in its folder.

    {"Story_type": {"en": ..., "ch": ...},
     "Characters": {NAME: {"name_en", "name_ch", "prompt_en", "prompt_ch", "tag", "num_of_appearances"}},
     "Shots": [{"index", "Setting Description": {"en", "ch"}, "Plot Correspondence": {...},
                "Static Shot Description": {...}, "Shot Perspective Design": {...},
                "Characters Appearing": {"en": [NAME, ...], "ch": [...]}}]}

A character's pictures lie in the folder image/NAME beside it.
"""

from pathlib import Path
from typing import Any

from ...kontext import InputError
from ..fields import MAX_LINE
from ..reading import EntryPath
from ..story import MAX_REFERENCES
from .imported import Draft, Imported, line

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_SHOT = ("index", "Setting Description", "Plot Correspondence", "Characters Appearing", "Static Shot Description",
         "Shot Perspective Design")
_CHARACTER = ("name_en", "name_ch", "prompt_en", "prompt_ch", "tag", "num_of_appearances")


def is_vistory(data: Any) -> bool:
    """Whether JSON data is one of ViStoryBench's stories."""
    return isinstance(data, dict) and "Shots" in data and "panels" not in data


def import_vistory(data: dict[str, Any], lines: dict[EntryPath, int], source: str, folder: Path) -> Imported:
    """Make a story from story.json, English where it has English, else Chinese.

    `lines` are where the entries are (see read_yaml); `folder` is searched for the characters' pictures. Raises
    InputError for another structure than the one above.
    """
    shots, cast = data["Shots"], data.get("Characters") or {}
    _check(isinstance(shots, list), shots, "Shots", "is not a list", source, lines)
    _check(isinstance(cast, dict), cast, "Characters", "is not a mapping", source, lines)
    english = any("en" in value for shot in shots if isinstance(shot, dict) for value in shot.values()
                  if isinstance(value, dict))
    draft = Draft(source, language="en" if english else "zh")
    language = "en" if english else "ch"
    names: dict[str, str | None] = {}
    for name, about in cast.items():
        _check(isinstance(about, dict), about, "Characters", "is not a mapping", source, lines, name)
        entry = _character(draft, name, about, language, folder)
        for alias in (name, _text(about.get("name_en")), _text(about.get("name_ch"))):
            names.setdefault(alias, entry)
    for index, shot in enumerate(shots):
        _check(isinstance(shot, dict), shot, "Shots", "is not a mapping", source, lines, index)
        _shot(draft, index, shot, language, names)
    if kind := _words(data, "Story_type", language):
        draft.leave_out(f"Story_type: {kind}")
    for key in sorted(set(data) - {"Story_type", "Characters", "Shots"}):
        draft.leave_out(f"{key}, which is no part of the format")
    return draft.finished()


def _check(right: bool, value: Any, key: str, problem: str, source: str, lines: dict[EntryPath, int],
           *inside: str | int) -> None:
    if not right:
        written = "" if value is None else str(value)[:80]
        raise InputError(f"{source}:{lines.get((key, *inside), 1)}", key, written, problem,
                         "compare it with ViStoryBench's story.json, or save the story as YAML")


def _character(draft: Draft, name: str, about: dict[str, Any], language: str, folder: Path) -> str | None:
    pictures = _pictures(folder, name)
    if len(pictures) > MAX_REFERENCES:
        draft.leave_out(f"{len(pictures) - MAX_REFERENCES} of the pictures of {name}")
    references = [{"picture": picture} for picture in pictures[:MAX_REFERENCES]]
    shown = _text(about.get(f"name_{language}")) or name
    entry = draft.character(_text(about.get("name_en")) or name, traits="", references=references)
    if entry is None:
        return None
    draft.characters[entry]["name"] = draft.at_most(MAX_LINE, shown, f"the name {shown[:40]}")
    traits = _text(about.get(f"prompt_{language}"))
    if traits:
        draft.characters[entry]["traits"] = draft.at_most(MAX_LINE, traits, f"the description of {name}")
    if tag := _text(about.get("tag")):
        draft.leave_out(f"tag of {name}: {tag}")
    for key in sorted(set(about) - set(_CHARACTER)):
        draft.leave_out(f"{key} of {name}, which is no part of the format")
    return entry


def _shot(draft: Draft, index: int, shot: dict[str, Any], language: str, names: dict[str, str | None]) -> None:
    number = _text(shot.get("index")) or str(index + 1)
    static, setting, plot, camera = (_words(shot, key, language) for key in (
        "Static Shot Description", "Setting Description", "Plot Correspondence", "Shot Perspective Design"))
    parts = [part if part[-1] in ".!?。！？" else f"{part}." for part in (static or plot, setting, camera) if part]
    if not parts:
        draft.leave_out(f"shot {number}, which describes nothing")
        return
    panel = draft.panel(f"shot-{number.zfill(2)}", " ".join(parts))
    draft.set_line(panel, "shot", camera)
    if plot and static:
        draft.add_note(panel, plot)
    appearing = shot.get("Characters Appearing")
    appearing = appearing.get("en") or appearing.get("ch") if isinstance(appearing, dict) else None
    for name in appearing if isinstance(appearing, list) else ():
        name = _text(name)
        if names.get(name) is None:
            draft.leave_out(f"shot {number}: {name}, who is not among the characters")
        elif names[name] not in panel["characters"]:
            panel["characters"].append(names[name])
    for key in sorted(set(shot) - set(_SHOT)):
        draft.leave_out(f"shot {number}: {key}, which is no part of the format")


def _words(entry: dict[str, Any], key: str, language: str) -> str:
    """The text of an entry with languages: in this one, else in the other; it may also be plain text."""
    value = entry.get(key)
    if isinstance(value, dict):
        value = value.get(language) or value.get("ch" if language == "en" else "en")
    return _text(value)


def _text(value: Any) -> str:
    return line(value) if isinstance(value, str) else ""


def _pictures(folder: Path, name: str) -> list[str]:
    """Paths, relative to the folder, of the pictures in image/NAME, in order of their names."""
    if name in ("", ".", "..") or any(letter in name for letter in "/\\:\0"):
        return []
    home = folder / "image" / name
    if not home.is_dir():
        return []
    files = sorted(path.name for path in home.iterdir() if path.suffix.lower() in _PICTURES)
    return [f"image/{name}/{file}" for file in files if file.isprintable() and not set(file) & set("\\:")]

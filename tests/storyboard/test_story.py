"""The story file: what it means, and each mistake with its line, field and remedy."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.storyboard import Panel, Story, parse_story, read_story, story_pictures
from PIL import Image
from pydantic import ValidationError

STORY = """\
version: 1
title: A day
  out
seed: 7
size: [128, 96]
characters:
  mia: {reference: mia.png}
panels:
  - id: beach
    prompt: >
      Change the background
      to a beach,   she waves.
    characters: [mia]
    seed: 3
    size: [192, 128]
  - id: 007
    prompt: no
"""


def error_of(text):
    with pytest.raises(InputError) as caught:
        parse_story(text, "s.yaml")
    assert "\n" not in str(caught.value)
    return caught.value


def test_reads_a_story():
    story = parse_story(STORY)
    assert (story.title, story.seed, story.size) == ("A day out", 7, (128, 96))
    assert story.characters["mia"].reference == "mia.png"
    beach, second = story.panels
    assert beach.prompt == "Change the background to a beach, she waves."
    assert (beach.characters, beach.seed, beach.size) == (("mia",), 3, (192, 128))
    assert (second.id, second.prompt, second.characters, second.seed, second.size) == ("007", "no", None, None, None)
    assert story.cast(second) == ("mia",)
    assert story.line("panels", 1, "prompt") == 17


def test_optional_parts():
    story = parse_story("version: 1\ntitle:\npanels: [{id: a, prompt: x}]")
    assert (story.title, story.seed, story.size, story.characters) == ("", 0, None, {})
    assert story.cast(story.panels[0]) == ()
    story = parse_story("version: 1\ncharacters: {mia: , tom: {}}\npanels: [{id: a, prompt: x, characters: []}]")
    assert set(story.characters) == {"mia", "tom"} and story.cast(story.panels[0]) == ()


def test_windows_line_ends_byte_order_mark_and_umlauts(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + "version: 1\r\npanels:\r\n- id: a\r\n  prompt: Füße im Sand\r\n".encode())
    assert read_story(path).panels[0].prompt == "Füße im Sand"


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), [
    ("[192, 128]", "[100, 128]", 15, "panel 'beach' size", "'100x128': width is not a multiple of 16; choose 96"),
    ("[192, 128]", "[99999, 128]", 15, "panel 'beach' size", "width is outside 64..4096"),
    ("[192, 128]", "[4096, 4096]", 15, "panel 'beach' size", "4 MP"),
    ("[192, 128]", "[192]", 15, "panel 'beach' size", "'[192]': is not a size; write [width, height]"),
    ("[192, 128]", "[a, 128]", 15, "panel 'beach' size", "is not a size"),
    ("[128, 96]", "128x96", 5, "size", "'128x96': is not a size"),
    ("seed: 3", "sed: 3", 14, "panel 'beach'", "'sed': is not a field here; did you mean 'seed'?"),
    ("characters:\n", "caracters:\n", 6, "story", "did you mean 'characters'?"),
    ("{reference: mia.png}", "{referense: mia.png}", 7, "character 'mia'", "did you mean 'reference'?"),
    ("seed: 3", "seed: -1", 14, "panel 'beach' seed", "'-1': is too small; use 0 to 18446744073709551615"),
    ("seed: 7", "seed: 18446744073709551616", 4, "seed", "is too large"),
    ("seed: 7", "seed: " + "9" * 5000, 4, "seed", "is too large"),
    ("seed: 7", "seed: seven", 4, "seed", "'seven': is not a whole number"),
    ("id: 007", "id: Beach", 16, "panel 2 id", "'Beach': is also the id of panel 1"),
    ("id: 007", "id: a b", 16, "panel 2 id", "'a b': is not a name; use 1 to 64 letters, digits"),
    ("id: 007", "id: ../x", 16, "panel 2 id", "is not a name"),
    ("id: 007", "id: " + "x" * 65, 16, "panel 2 id", "is not a name"),
    ("prompt: no", "prompt:", 17, "panel '007' prompt", "is empty; say what the panel shows"),
    ("prompt: no", "prompt: '  '", 17, "panel '007' prompt", "is empty"),
    ("prompt: no", "prompt: [no]", 17, "panel '007' prompt", "'[no]': is not text"),
    ("    prompt: no\n", "", 16, "panel '007' prompt", "is missing"),
    ("- id: 007\n    prompt", "- prompt", 16, "panel 2 id", "is missing"),
    ("[mia]", "[mya]", 13, "panel 'beach' characters", "'mya': is not a character of this story; did you mean"),
    ("[mia]", "[mia, mia]", 13, "panel 'beach' characters", "is named twice"),
    ("[mia]", "mia", 13, "panel 'beach' characters", "is not a list"),
    ("  mia: {", "  tom: {}\n  mia: {", 17, "panel '007' characters", "'': is missing, and the story has 2 characters"),
    ("  mia: {", '  "m/ia": {', 7, "character 'm/ia'", "is not a name"),
    ("{reference: mia.png}", "mia.png", 7, "character 'mia'", "is not a mapping"),
    ("mia.png", "../mia.png", 7, "character 'mia' reference", "leaves the story's folder"),
    ("mia.png", "a/../../mia.png", 7, "character 'mia' reference", "leaves the story's folder"),
    ("mia.png", "/mia.png", 7, "character 'mia' reference", "is an absolute path"),
    ("mia.png", "~/mia.png", 7, "character 'mia' reference", "is an absolute path"),
    ("mia.png", "C:mia.png", 7, "character 'mia' reference", "backslash or colon"),
    ("mia.png", "a\\mia.png", 7, "character 'mia' reference", "backslash or colon"),
    ("mia.png", "''", 7, "character 'mia' reference", "is not a file name"),
    ("version: 1", "version: 2", 1, "version", "'2': is not a version this Kontinuity reads"),
    ("version: 1", "version: one", 1, "version", "is not a whole number"),
    ("version: 1\n", "", 1, "version", "is missing; add `version"),
    ("A day", "A day" + " on" * 100, 2, "title", "is too long"),
    ("panels:", "x: 1\npanels:", 8, "story", "'x': is not a field here"),
])
def test_mistakes(old, new, line, field, words):
    assert STORY.count(old) == 1
    error = error_of(STORY.replace(old, new))
    assert (error.where, error.field) == (f"s.yaml:{line}", field)
    assert words in str(error)


def test_no_panels_and_too_many():
    assert "are too few" in str(error_of("version: 1\npanels: []\n"))
    many = "version: 1\npanels:\n" + "".join(f"- {{id: p{i}, prompt: x}}\n" for i in range(1001))
    error = error_of(many)
    assert error.where == "s.yaml:2" and "'1001 entries': are too many; use 1 to 1000" in str(error)


@pytest.mark.parametrize("text", ["", "# nothing", "[1, 2]", "once upon a time"])
def test_no_story_at_all(text):
    error_of(text)


def test_a_story_made_in_python_is_checked_too():
    with pytest.raises(ValidationError, match="is also the id of panel 1"):
        Story(version=1, panels=(Panel(id="a", prompt="x"), Panel(id="a", prompt="y")))


def test_read_story_refuses_what_is_no_text_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_story(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is not a file"):
        read_story(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_bytes(b"x" * 10_000_000)
    with pytest.raises(InputError, match=r"s\.yaml: size '10,000,000 bytes'.*split the story"):
        read_story(path)
    path.write_bytes("version: 1\ntitle: Füße".encode("latin-1"))
    with pytest.raises(InputError, match=r"s\.yaml:2: text 'byte 0xFC': is not UTF-8"):
        read_story(path)
    path.write_text("version: 1\npanels: []\nsede: 1\n")
    with pytest.raises(InputError, match=r"s\.yaml:2"):
        read_story(path)


def save_picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), value, np.uint8)).save(path)


def test_story_pictures(tmp_path):
    save_picture(tmp_path / "cast" / "mia.png", 255)
    story = parse_story("version: 1\ncharacters:\n  mia: {reference: cast/mia.png}\n  tom:\n  eva: {reference: eva.png}"
                        "\npanels: [{id: a, prompt: x, characters: [mia]}]")
    with pytest.raises(InputError) as caught:
        story_pictures(story, tmp_path, "s.yaml")
    assert re.match(r"s\.yaml:5: character 'eva' reference '.*eva\.png': does not exist;", str(caught.value))
    given = {"eva": torch.zeros(4, 4, 3)}
    pictures = story_pictures(story, tmp_path, "s.yaml", given)
    assert set(pictures) == {"mia", "eva"} and pictures["eva"] is given["eva"] and set(given) == {"eva"}
    assert pictures["mia"].shape == (20, 30, 3) and pictures["mia"].min() == 1


def test_a_link_may_not_leave_the_folder(tmp_path):
    save_picture(tmp_path / "secret.png", 0)
    (tmp_path / "story").mkdir()
    (tmp_path / "story" / "mia.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "story" / "loop.png").symlink_to("loop.png")
    text = "version: 1\ncharacters:\n  mia: {reference: NAME}\npanels: [{id: a, prompt: x}]"
    with pytest.raises(InputError, match=r"s\.yaml:3: character 'mia' reference 'mia\.png': is a link that leaves"):
        story_pictures(parse_story(text.replace("NAME", "mia.png")), tmp_path / "story", "s.yaml")
    with pytest.raises(InputError):
        story_pictures(parse_story(text.replace("NAME", "loop.png")), tmp_path / "story", "s.yaml")

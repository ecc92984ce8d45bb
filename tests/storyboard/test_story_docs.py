"""docs/story_file.md: its examples are stories, its tables name every field."""

import json
import re
from pathlib import Path

import pytest
from kontinuity.storyboard import parse_story, reserved_fields
from kontinuity.storyboard.story.importers.shot_columns import COLUMNS
from kontinuity.storyboard.story.schema import SCHEMA_FILE

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "story_file.md").read_text("utf-8")
TITLES = {"Caption": "### Captions", "Change": "### Changes",
          "Character": "### Characters", "Location": "### Locations", "Masks": "### Masks", "Panel": "## Panels",
          "NamedAppearance": "### Appearances", "Reference": "### References", "Strength": "### Strengths",
          "Scene": "### Scenes", "Style": "### Style", "Voice": "### Voices"}


def section(title):
    """The text from a heading to the next."""
    return re.search(rf"^{re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_examples_are_stories(example):
    parse_story(example)


def test_every_field_has_a_row_and_no_other_has():
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    listed, alone = (schema["$defs"][name]["properties"] for name in ("NamedAppearance", "Appearance"))
    assert set(listed) - set(alone) == {"name"}  # one table for both
    models = {TITLES[name]: model for name, model in schema["$defs"].items() if name != "Appearance"} | {
        "## The board": schema}
    assert len(models) == 13
    for title, model in models.items():
        rows = re.findall(r"^\| `(\w+)` \|", section(title), re.MULTILINE)
        assert sorted(rows) == sorted(set(model["properties"]) - {"$schema"}), title


def test_what_is_not_used_yet_is_marked():
    """Every field that reserved_fields reports is marked in its row, and no other is."""
    from kontinuity.storyboard.story import reserved as unused

    marked = set(re.findall(r"^\| `(\w+)` \|.*[Nn]ot used yet", section("## Panels"), re.MULTILINE))
    assert marked == set(unused._PANEL)
    marked = set(re.findall(r"^\| `(\w+)` \|.*[Nn]ot used yet", section("## The board"), re.MULTILINE))
    assert marked == set(unused._STORY)
    assert reserved_fields(parse_story(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])) == ()


def test_every_column_of_the_table_is_known():
    names = [name for row in re.findall(r"^\| ([A-Z][^|`]*?) \|", section("### Shot lists (`.csv`)"), re.MULTILINE)
             for name in row.split(", ")]
    assert len(names) > 40
    for name in names:
        assert re.sub("[^a-zäöüß]", "", name.casefold()) in COLUMNS, name

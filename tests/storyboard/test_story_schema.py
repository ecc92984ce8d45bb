"""The JSON Schema for editors and the parser say the same of the same files."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from kontinuity.common import InputError
from kontinuity.storyboard import parse_story
from kontinuity.storyboard.story.schema import SCHEMA_FILE, story_schema

FULL = Path(__file__).with_name("every_field.yaml").read_text("utf-8")
HEAD = "version: 1\npanels: [{id: a, prompt: x}]\n"
GOOD = [
    HEAD, FULL.replace("16:9", "'16:9'").replace('"0.9"', "0.9"),
    "version: 1\ntitle:\ncharacters: {mia: , tom: {}}\nstyle:\npanels: [{id: 7, prompt: no, characters: []}]",
    HEAD + "size: [1024, 768]", HEAD + "aspect: 1.5", HEAD + "style: ink", HEAD + "fps: 23.976",
    HEAD + "characters: {mia: {references: [a.png, {picture: b.png, crop: none}]}}",
    HEAD + "locations: {sea: the sea, moon: }\nscenes: {one: {location: sea}, two: }",
    HEAD + "$schema: story.schema.json", HEAD + "together: regions", HEAD + "characters: {m: {strength: 0}}",
    "version: 1\ncharacters: {m: , n: }\npanels: [{id: a, prompt: x, characters: [{name: m, strength: 1.3}, n]}]",
    "version: 1\ncharacters: {m: }\npanels: [{id: a, prompt: x, characters: {m: {strength: {value: 2, end: 0.5}, "
    "region: m.png}}}]",
    "version: 1\ncharacters: {m: }\npanels: [{id: a, change: {scene: x, keep: y}, characters: {m: }}]",
    "version: 1\npanels: [{id: a, prompt: x}, {id: b, from: a, change: {add: }, voice: Hello., captions: [1]}]",
]
BAD = [
    "version: 1", "panels: [{id: a, prompt: x}]", "version: 2\npanels: [{id: a, prompt: x}]", "version: 1\npanels: []",
    HEAD + "caracters: {}", HEAD + "title: [a]", HEAD + "seed: -1", HEAD + "size: [100, 64]", HEAD + "size: 64",
    HEAD + "fps: 0", HEAD + "fps: 241", HEAD + "together: glue", HEAD + "language: " + "x" * 501, HEAD + "style: [a]",
    HEAD + "characters: {a/b: }", HEAD + "characters: {a: b.png}", HEAD + "characters: {a: {reference: [b.png]}}",
    HEAD + "characters: {a: {references: [{role: face}]}}",
    HEAD + "characters: {a: {references: [{picture: x, role: y}]}}",
    HEAD + "characters: {a: {references: [{picture: x, crop: [1, 2, 3]}]}}", HEAD + "locations: {a: {descripton: x}}",
    HEAD + "scenes: {a: {heading: {x: y}}}",
    *(f"version: 1\npanels: [{{id: a, prompt: x, {wrong}}}]" for wrong in (
        "promt: y", "candidates: 0", "candidates: 17", "min_score: 2", "duration: 0", "duration: soon", "masks: m.png",
        "captions: {text: x}", "captions: [{kind: speech}]", "captions: [{text: x, kind: shout}]", "voice: [x]",
        "change: {scene: x}", "characters: mia", "characters: {mia: {region: top}}", "characters: {mia: left}",
        "characters: {mia: {strength: 3}}", "characters: {mia: {strength: {start: 0}}}", "characters: [{strength: 1}]",
        "characters: [{name: mia, strength: {value: 1, ende: 1}}]", "characters: {mia: {name: mia}}",
        "seed: 1.5", "size: [64, 64, 64]", "together: glue", "shot: [wide]", "from: a b", "notes: {a: b}")),
    "version: 1\npanels: [{prompt: x}]", "version: 1\npanels: [{id: a}]", "version: 1\npanels: [{id: a b, prompt: x}]",
    "version: 1\npanels: [{id: a, prompt: ''}]", "version: 1\npanels: [{id: a, change: x}]",
    "version: 1\npanels: [{id: a, change: {add: {x: y}}}]", "version: 1\npanels: [{id: a, change: {recolour: [x]}}]",
]


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))


def test_the_file_is_made_from_the_models():
    assert json.loads(SCHEMA_FILE.read_text("utf-8")) == story_schema(), \
        "run python -m kontinuity.storyboard.story.schema and look at what changed"


@pytest.mark.parametrize("text", GOOD)
def test_both_accept(schema, text):
    jsonschema.Draft202012Validator.check_schema(schema.schema)
    parse_story(text)
    schema.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", BAD)
def test_both_refuse(schema, text):
    with pytest.raises(InputError):
        parse_story(text)
    assert not schema.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("wrong", [
    "prompt: x, from: b", "prompt: x, characters: [mia]", "prompt: x, scene: s", "prompt: x, end_frame: b"])
def test_names_only_the_parser_knows(schema, wrong):
    text = f"version: 1\npanels: [{{id: a, {wrong}}}]"
    assert schema.is_valid(yaml.safe_load(text))
    with pytest.raises(InputError, match="of this story"):
        parse_story(text)

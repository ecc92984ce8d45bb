"""What the checker asks of a model: unknown tokens, length, spelled words; asked of the demo model's tokenizers."""

import ast
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kontinuity.common import InputError
from kontinuity.demo_model import weights_folder
from kontinuity.demo_model.toonworld.instructions import PHRASINGS, instruction
from kontinuity.demo_model.toonworld.world import ACTIONS, FRAMINGS, SCENES, Shot
from kontinuity.kontext import text
from kontinuity.kontext.load.parts import load_tokenizers
from kontinuity.storyboard.prompts import check_prompt, raise_errors

KEPT = "Keep the same face, hair and clothes."


@pytest.fixture(scope="module")
def demo():
    """What KontextModel says of the demo model's tokenizers, without its weights (which take long to load)."""
    clip, t5 = load_tokenizers(Path(weights_folder(), "tokenizer"), Path(weights_folder(), "tokenizer_2"))
    return SimpleNamespace(
        t5_tokens=partial(text.t5_tokens, t5), token_count=partial(text.token_count, t5),
        clip_token_count=partial(text.token_count, clip))


def only(found, rule):
    [item] = [item for item in found if item.rule == rule]
    return item


def test_all_that_the_demo_model_was_taught_is_clean(demo):
    shots = [Shot(scene, ACTIONS[i % len(ACTIONS)], FRAMINGS[i % len(FRAMINGS)]) for i, scene in enumerate(SCENES)]
    shots += [Shot(SCENES[0], action, FRAMINGS[0]) for action in ACTIONS]
    for shot in shots:
        for phrasing in range(PHRASINGS):
            assert check_prompt(instruction(shot, phrasing), demo, {"mia": ""}) == []


@pytest.mark.parametrize(("prompt", "word"), [
    ("Change the background to 海滩, full body.", "海滩,"),
    ("把背景换成海滩，女人挥手", "把背景换成海滩，女人挥手"),
    ("背景を 海に 変える", "背景を 海に 変える"),
    ("배경을 해변으로", "배경을 해변으로"),
    ("a beach, Девушка машет", "Девушка машет"),
    ("شاطئ a beach", "شاطئ"),
    ("ชายหาด", "ชายหาด"),
])
def test_scripts_that_cannot_be_read_are_errors_and_named(demo, prompt, word):
    found = check_prompt(prompt, demo)
    item = only(found, "unreadable")
    assert (item.severity, item.text, prompt[item.start:item.end]) == ("error", word, word)
    with pytest.raises(InputError, match=r"panel 'a': prompt '.*cannot be used \(unreadable\)"):
        raise_errors(found, "panel 'a'")


@pytest.mark.parametrize(("prompt", "word", "better"), [
    ("a café in the city", "café", "'cafe'"), ("Łódź", "Łódź", "'Lodz'"), ("a beach 😀 full body", "😀", "plain words"),
    ("a {beach}", "{beach}", "'beach'"), ("a beach — full body", "—", "'-'"),
    ("a glass ½ full", "½", "'1/2'"), ("2½ apples", "2½", "'2 1/2'"), ("3⁄4 view", "3⁄4", "'3/4'"),
])
def test_accents_and_symbols_are_warnings_with_plain_letters(demo, prompt, word, better):
    item = only(check_prompt(prompt, demo), "unreadable")
    assert (item.severity, item.text) == ("warning", word) and item.better.startswith(better)
    raise_errors([item], "panel 'a'")


def test_unknown_words_are_one_note(demo):
    prompt = f"Change the background to a volcano, the character is juggling. {KEPT}"
    item = only(check_prompt(prompt, demo), "unknown-word")
    assert (item.severity, item.text) == ("note", "volcano")
    assert item.better.endswith("does not know juggling, volcano")
    assert "unknown-word" not in [found.rule for found in check_prompt(f"Place a sea in it. {KEPT}", demo)]


def test_lengths_at_the_limits(demo):
    def rules(prompt):
        return [item.rule for item in check_prompt(prompt, demo)]

    assert demo.token_count("a " * 511) == 512 and "too-long" not in rules("a " * 511)
    item = only(check_prompt("a " * 512, demo), "too-long")
    assert (item.severity, item.better) == ("error", "shorten it by 1 tokens")
    assert only(check_prompt("a" * 100_000, demo), "too-long").severity == "error"
    assert demo.clip_token_count("a " * 75) == 77
    assert rules("a " * 75) == [] and rules("a " * 76) == ["clip-length"]


def test_pieces_lie_on_the_text(demo):
    prompt = "A beach  at noon 海滩x \ud83d"
    pieces = demo.t5_tokens(prompt)
    assert len(pieces) + 1 == demo.token_count(prompt.replace("\ud83d", "\ufffd"))
    unknown = {prompt[piece.start:piece.end] for piece in pieces if not piece.known}
    assert unknown == {"海滩", "\ud83d"}
    for piece in pieces:
        assert 0 <= piece.start <= piece.end <= len(prompt)


def test_the_stories_that_are_shipped_give_no_remarks(demo):
    """Default texts must not teach people to ignore the checker."""
    source = (Path(__file__).resolve().parents[2] / "nodes" / "story.py").read_text("utf-8")
    [text] = [node.value.value for node in ast.parse(source).body if isinstance(node, ast.Assign)
              and node.targets[0].id == "DEFAULT_STORY"]
    for panel in yaml.safe_load(text)["panels"]:
        assert check_prompt(" ".join(panel["prompt"].split()), demo, {"mia": ""}) == []

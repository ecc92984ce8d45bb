"""Edits with known answers: what is asked is what changes, in words the model's vocabulary has."""

import itertools
import random

import numpy as np
import pytest
from kontinuity.demo_model.toonworld import (
    ACTIONS,
    ATTRIBUTES,
    EDIT_KINDS,
    FRAMINGS,
    PHRASINGS,
    SCENES,
    Character,
    Shot,
    draw,
    instruction,
    is_instruction,
    random_edit,
)
from kontinuity.demo_model.training import text

MANY = 40


@pytest.mark.parametrize("text", [
    "Make the character a pirate.", "Change the background to Paris.", "The character is now flying.", "",
    "Change the background to a beach, the character is waving, from above. Keep the same face, hair and clothes.",
])
def test_other_sentences_are_no_instructions(text):
    assert not is_instruction(text)


def edits(kind: str):
    rng = random.Random(kind)
    for _ in range(MANY):
        cast = tuple(Character.from_seed(rng.getrandbits(40)) for _ in range(2 if kind == "two" else 1))
        yield random_edit(kind, rng, cast)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_an_edit_changes_the_picture_and_its_words_are_known_and_few(kind):
    tokenizer, texts = text.t5_tokenizer(), set()
    for edit in edits(kind):
        texts.add(edit.text)
        assert is_instruction(edit.text)
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(edit.text).input_ids)
        assert len(tokens) <= text.MIN_TOKENS
        spelled = [
            t for t in tokens if len(t.strip("▁")) == 1 and t.strip("▁").isalpha() and t.strip("▁").lower() not in "as"
        ]
        assert not spelled, (edit.text, spelled)
        same = (
            len(edit.before) == 1
            and (draw(edit.before[0].cast, edit.before[0].shot) == draw(edit.after.cast, edit.after.shot)).all()
        )
        assert same == (kind == "same")
    assert len(texts) >= 3


@pytest.mark.parametrize("kind", ("recolour", "accessory"))
def test_only_the_named_attribute_changes(kind):
    for edit in edits(kind):
        before, after = edit.before[0].cast[0], edit.after.cast[0]
        different = {name for name in ATTRIBUTES if getattr(before, name) != getattr(after, name)}
        assert edit.attribute in different and different <= {edit.attribute, f"{edit.attribute}_colour"}
        assert edit.before[0].shot == edit.after.shot


@pytest.mark.parametrize("kind", ("scene", "action", "turn", "framing", "remove", "style"))
def test_what_is_not_named_stays(kind):
    changed = {
        "scene": {"scene", "variation"},
        "action": {"action", "stances"},
        "turn": {"stances"},
        "framing": {"framing"},
        "remove": {"props", "mark"},
        "style": {"style"},
    }[kind]
    for edit in edits(kind):
        before, after = vars(edit.before[0].shot), vars(edit.after.shot)
        assert {name for name in before if before[name] != after[name]} <= changed
        assert edit.before[0].cast == edit.after.cast
        if kind == "remove":
            assert len(edit.after.shot.props) == len(edit.before[0].shot.props) - 1


def test_a_removed_thing_leaves_the_rest_alone():
    for edit in itertools.islice(edits("remove"), 20):
        before = edit.before[0].shot.with_(mark=None)
        changed = np.abs(draw(edit.after.cast, edit.after.shot).astype(int) - draw(edit.after.cast, before)).max(2) > 0
        columns = np.flatnonzero(changed.any(0))
        assert 0 < columns.max() - columns.min() < 40


def test_instructions_of_a_whole_shot_name_what_is_asked():
    texts = {
        instruction(Shot(*parts), phrasing)
        for parts in itertools.product(SCENES, ACTIONS, FRAMINGS)
        for phrasing in range(PHRASINGS)
    }
    assert len(texts) == len(SCENES) * len(ACTIONS) * len(FRAMINGS) * PHRASINGS
    assert "beach" in instruction(Shot("beach", "waving")) and "waving" in instruction(Shot("beach", "waving"))

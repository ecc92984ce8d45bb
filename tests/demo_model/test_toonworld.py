"""The drawn world: deterministic, independent attributes, and a meter that finds planted changes."""

import hashlib
import itertools
import random

import numpy as np
import pytest
from kontinuity.demo_model.toonworld import (
    ACTIONS,
    ATTRIBUTES,
    FRAMINGS,
    PHRASINGS,
    REFERENCE_SHOT,
    SCENES,
    Character,
    Shot,
    backdrop,
    draw,
    instruction,
    read_identity,
    read_shot,
    visible_attributes,
)


def shots(count: int) -> list[Shot]:
    rng = random.Random(count)
    return [Shot(rng.choice(SCENES), rng.choice(ACTIONS), rng.choice(FRAMINGS)) for _ in range(count)]


def test_the_world_is_as_large_as_promised():
    assert len(ATTRIBUTES) >= 8 and len(SCENES) == 10 and len(ACTIONS) == 10 and len(FRAMINGS) >= 2


def test_the_same_parameters_give_the_same_bits():
    a, b = (draw(Character.from_seed(5), Shot("forest", "waving")) for _ in range(2))
    assert a.dtype == np.uint8 and a.shape == (128, 128, 3)
    assert hashlib.sha256(a.tobytes()).digest() == hashlib.sha256(b.tobytes()).digest()
    assert draw(Character(), REFERENCE_SHOT, 64).shape == (64, 64, 3)


def test_every_scene_action_and_framing_looks_different():
    who = Character.from_seed(1)
    pictures = {
        shot: draw(who, shot) for shot in (Shot(*parts) for parts in itertools.product(SCENES, ACTIONS, FRAMINGS))
    }
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_value_of_an_attribute_is_seen_in_the_reference(name):
    base = Character(hat="cap", hair_style="long", glasses="round", scarf="red", top_pattern="stripes")
    pictures = {draw(base.with_(**{name: value}), REFERENCE_SHOT).tobytes() for value in ATTRIBUTES[name]}
    assert len(pictures) == len(ATTRIBUTES[name])


def test_attributes_are_drawn_independently():
    people = [Character.from_seed(seed) for seed in range(2000)]
    for one, two in itertools.combinations(ATTRIBUTES, 2):
        a, b = ATTRIBUTES[one][0], ATTRIBUTES[two][0]
        both = sum(p.attributes[one] == a and p.attributes[two] == b for p in people) / len(people)
        alone = 1 / len(ATTRIBUTES[one]) / len(ATTRIBUTES[two])
        assert abs(both - alone) < 4.5 * (alone / len(people)) ** 0.5  # 4.5 standard deviations of the count


def test_unknown_values_are_refused_by_name():
    with pytest.raises(ValueError, match="hat 'crown'.*cap"):
        Character(hat="crown")
    with pytest.raises(ValueError, match="scene 'moon'.*beach"):
        Shot("moon", "waving")


def test_backdrop_is_the_scene_without_the_figure():
    shot = Shot("desert", "standing")
    same = (draw(Character(), shot) == backdrop("desert")).all(2)
    assert same[:, :20].all() and not same.all()


@pytest.mark.parametrize("seed", range(8))
def test_the_meter_reads_clean_pictures(seed):
    who, shot = Character.from_seed(seed), shots(8)[seed]
    picture = draw(who, shot)
    assert read_shot(picture, who) == shot
    readings = read_identity(picture, shot)
    for name in visible_attributes(who, shot):
        assert readings[name].value == who.attributes[name]
        assert 0 < readings[name].confidence <= 1


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_meter_finds_a_planted_change_and_no_other(name):
    shot = Shot("city", "standing")
    before = Character(hat="cap", hair_style="long", glasses="round", scarf="blue", top_pattern="dots")
    value = ATTRIBUTES[name][2]
    after = before.with_(**{name: value})
    rng = np.random.default_rng(0)
    noisy = np.clip(draw(after, shot) + rng.normal(0, 12, (128, 128, 3)), 0, 255).astype(np.uint8)
    readings = read_identity(noisy, shot)
    changed = {key for key, reading in readings.items() if reading.value != before.attributes[key]}
    expected = {name} if after != before else set()
    assert changed - {"hat_colour"} == expected - {"hat_colour"}
    assert ("hat_colour" in changed) == (name == "hat_colour")


def test_what_a_close_up_hides_is_not_read():
    who = Character(hat="none")
    assert "trousers_colour" not in visible_attributes(who, Shot("beach", "standing", "close-up"))
    assert "hat_colour" not in visible_attributes(who, Shot("beach", "standing"))
    assert "trousers_colour" in visible_attributes(who, Shot("beach", "standing"))


def test_instructions_name_what_is_asked():
    texts = {
        instruction(Shot(*parts), phrasing)
        for parts in itertools.product(SCENES, ACTIONS, FRAMINGS)
        for phrasing in range(PHRASINGS)
    }
    assert len(texts) == len(SCENES) * len(ACTIONS) * len(FRAMINGS) * PHRASINGS
    assert "beach" in instruction(Shot("beach", "waving")) and "waving" in instruction(Shot("beach", "waving"))

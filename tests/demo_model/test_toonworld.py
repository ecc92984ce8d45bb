"""The drawn world: deterministic, independent attributes, everything continuous that should be, and a meter that finds
planted changes."""

import hashlib
import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from kontinuity.demo_model.toonworld import (
    ACTIONS,
    ATTRIBUTES,
    COLOURED,
    FACINGS,
    FRAMINGS,
    KINDS,
    PALETTE,
    PROPS,
    REFERENCE_SHOT,
    SCENES,
    STYLES,
    VARIATIONS,
    Character,
    Prop,
    Shot,
    Stance,
    backdrop,
    distance,
    draw,
    read_identity,
    read_layout,
    read_shot,
    visible_attributes,
)

DRESSED = Character(hat="cap", hair_style="long", glasses="round", scarf="long", top_pattern="stripes")


def shots(count: int) -> list[Shot]:
    rng = random.Random(count)
    return [
        Shot(rng.choice(SCENES), rng.choice(ACTIONS), rng.choice(FRAMINGS), variation=rng.randrange(VARIATIONS))
        for _ in range(count)
    ]


def changed_pixels(a: np.ndarray, b: np.ndarray) -> int:
    return int((np.abs(a.astype(int) - b).max(2) > 24).sum())


def noisy(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + np.random.default_rng(0).normal(0, 12, picture.shape), 0, 255).astype(np.uint8)


def test_the_same_parameters_give_the_same_bits():
    a, b = (draw(Character.from_seed(5), Shot("forest", "waving")) for _ in range(2))
    assert a.dtype == np.uint8 and a.shape == (128, 128, 3)
    assert hashlib.sha256(a.tobytes()).digest() == hashlib.sha256(b.tobytes()).digest()
    assert draw(Character(), REFERENCE_SHOT, 64).shape == (64, 64, 3)
    assert draw(Character(), REFERENCE_SHOT, (160, 96)).shape == (96, 160, 3)


def test_every_scene_layout_action_facing_framing_and_style_looks_different():
    who = Character.from_seed(1)
    pictures = [draw(who, Shot(*parts)) for parts in itertools.product(SCENES, ACTIONS, FRAMINGS)]
    pictures += [draw(who, Shot("beach", action).turned(facing)) for action in ACTIONS for facing in FACINGS[1:]]
    pictures += [draw(who, Shot("beach", style=style)) for style in list(STYLES)[1:]]
    pictures += [draw(who, Shot("beach", props=(Prop(kind, 0.15, PALETTE["red"]),))) for kind in PROPS]
    pictures += [draw(who, Shot(scene, variation=number)) for scene in SCENES for number in range(1, VARIATIONS)]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_value_of_an_attribute_is_seen_in_the_reference(name):
    values = KINDS[name] if name in KINDS else tuple(PALETTE.values())
    pictures = {draw(DRESSED.with_(**{name: value}), REFERENCE_SHOT).tobytes() for value in values}
    assert len(pictures) == len(values)


def test_position_size_and_pose_are_continuous():
    """A step of a hundredth moves some pixels, and no step is a jump."""

    def pictures(stances):
        return [draw(DRESSED, replace(REFERENCE_SHOT, stances=(stance,))) for stance in stances]

    for path in (
        [Stance(x=0.4 + 0.01 * i) for i in range(12)],
        [Stance(size=0.8 + 0.01 * i) for i in range(12)],
        [Stance("standing", towards="waving", part=i / 40) for i in range(41)],
    ):
        frames = pictures(path)
        steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
        assert all(0 < step < 9 for step in steps), steps  # a jump from end to end is over 30
    ends = pictures([Stance("standing", towards="waving", part=1.0), Stance("waving")])
    assert (ends[0] == ends[1]).all()


def test_attributes_are_drawn_independently_and_colours_from_everywhere():
    people = [Character.from_seed(seed) for seed in range(2000)]
    for one, two in itertools.combinations(KINDS, 2):
        both = sum(getattr(p, one) == KINDS[one][0] and getattr(p, two) == KINDS[two][0] for p in people) / len(people)
        alone = 1 / len(KINDS[one]) / len(KINDS[two])
        assert abs(both - alone) < 4.5 * (alone / len(people)) ** 0.5  # 4.5 standard deviations of the count
    for name in COLOURED[1:]:
        colours = [getattr(p, name) for p in people]
        named = sum(colour in PALETTE.values() for colour in colours) / len(people)
        assert 0.4 < named < 0.6 and len(set(colours)) > 900


def test_unknown_values_are_refused_by_name():
    with pytest.raises(ValueError, match="hat 'crown'.*cap"):
        Character(hat="crown")
    with pytest.raises(ValueError, match="skin .*0 to 255"):
        Character(skin=(300, 0, 0))
    with pytest.raises(ValueError, match="scene 'moon'.*beach"):
        Shot("moon", "waving")
    with pytest.raises(ValueError, match="part 2"):
        Stance(part=2)
    with pytest.raises(ValueError):
        draw((Character(), Character()), REFERENCE_SHOT)


def test_backdrop_is_the_scene_without_the_figure():
    shot = Shot("desert", "standing", variation=3, style="comic")
    same = (draw(Character(), shot) == backdrop("desert", variation=3, style="comic")).all(2)
    assert same[:, :20].all() and not same.all()


def test_from_behind_there_is_no_face_and_a_close_up_shows_no_trousers():
    assert {"glasses"}.isdisjoint(visible_attributes(DRESSED, Shot("beach").turned("back")))
    assert "trousers_colour" not in visible_attributes(Character(), Shot("beach", "standing", "close-up"))
    assert "hat_colour" not in visible_attributes(Character(hat="none"), Shot("beach"))
    assert not set(visible_attributes(DRESSED, Shot("beach", style="pencil"))) & set(COLOURED)
    assert set(visible_attributes(DRESSED, Shot("beach"))) == set(ATTRIBUTES)


@pytest.mark.parametrize("seed", range(8))
def test_the_meter_reads_clean_pictures(seed):
    who, shot = Character.from_seed(seed), shots(8)[seed]
    picture = draw(who, shot)
    assert read_shot(picture, who) == shot
    readings = read_identity(picture, shot)
    for name in visible_attributes(who, shot):
        assert readings[name].agrees(getattr(who, name)), name
        assert 0 < readings[name].confidence <= 1


@pytest.mark.parametrize(
    "style, facing", list(zip(STYLES, FACINGS, strict=True)) + [("cartoon", "left"), ("pastel", "back")]
)
def test_the_meter_reads_other_views_and_styles(style, facing):
    who, shot = Character.from_seed(3), Shot("forest", "walking", style=style, variation=2).turned(facing)
    picture = draw(who, shot)
    assert read_shot(picture, who, shot) == shot
    readings = read_identity(picture, shot)
    assert all(readings[name].agrees(getattr(who, name)) for name in visible_attributes(who, shot))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_meter_finds_a_planted_change_and_no_other(name):
    shot = Shot("city", "standing")
    value = next(v for v in KINDS[name][::-1] if v != getattr(DRESSED, name)) if name in KINDS else (90, 160, 120)
    after = DRESSED.with_(**{name: value})
    readings = read_identity(noisy(draw(after, shot)), shot)
    if name == "scarf":  # none: its colour is not seen either
        assert "scarf_colour" not in readings and readings.pop("scarf").value == "none"
        name = None
    assert {key for key, reading in readings.items() if not reading.agrees(getattr(DRESSED, key))} == {name} - {None}
    assert name is None or readings[name].agrees(value)


def test_a_continuous_colour_is_measured_not_guessed():
    who, shot = DRESSED.with_(top_colour=(97, 33, 141), top_pattern="plain"), Shot("beach")
    reading = read_identity(noisy(draw(who, shot)), shot)["top_colour"]
    assert distance(reading.value, who.top_colour) < 3 and reading.confidence > 0.9


def test_a_blurred_picture_is_read_with_less_confidence():
    import cv2

    shot = Shot("city", "standing")
    clean = draw(DRESSED, shot)
    sharp, blurred = (read_identity(p, shot)["glasses"].confidence for p in (clean, cv2.GaussianBlur(clean, (0, 0), 3)))
    assert blurred < sharp


def test_two_figures_are_read_apart():
    pair = (Character.from_seed(11), Character.from_seed(12))
    shot = Shot("snow", stances=(Stance("waving", x=0.3, size=0.85), Stance("sitting", x=0.7, size=0.85)), variation=1)
    picture = draw(pair, shot)
    assert read_shot(picture, pair, shot) == shot
    for number in (0, 1):
        readings = read_identity(picture, shot, pair, number)
        assert all(reading.agrees(getattr(pair[number], name)) for name, reading in readings.items())


def test_the_layout_is_found():
    shot = Shot("kitchen", "waving", variation=4)
    assert read_layout(noisy(draw(DRESSED, shot)), replace(shot, variation=0), DRESSED) == shot

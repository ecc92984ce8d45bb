"""The drawn world's shipped encoder and finder, on characters they never saw."""

import random

import cv2
import pytest
import torch
from kontinuity.demo_model import figure_finder, identity_folder
from kontinuity.demo_model.toonworld import REFERENCE_SHOT, SCENES, Shot, draw, random_edit
from kontinuity.demo_model.toonworld.figure import figure_box
from kontinuity.demo_model.training.encoder import slightly_wrong
from kontinuity.demo_model.training.examples import random_character
from kontinuity.kontext import Scorer, load_encoder


def picture(who, shot):
    return torch.from_numpy(draw(who, shot)).float() / 255


@pytest.fixture(scope="module")
def scorer():
    return Scorer(load_encoder(identity_folder(), "drawn world", "test"), figure_finder())


def test_the_same_character_scores_above_others_in_every_scene(scorer):
    rng = random.Random("test identity")
    people = [random_character(rng, held_out=True) for _ in range(12)]
    same, different = [], []
    for number, who in enumerate(people):
        cast = scorer.cast({"who": [picture(who, REFERENCE_SHOT)]})
        shot = Shot(SCENES[number % len(SCENES)], "waving")
        same.append(cast.score(picture(who, shot)).total)
        different += [cast.score(picture(other, shot)).total for other in people[number + 1:number + 4]]
    above = sum(a > b for a in same for b in different) / (len(same) * len(different))
    assert above >= 0.95, f"AUC {above:.3f}, same {min(same):.2f}.., different ..{max(different):.2f}"


def test_in_soft_pictures_the_right_figure_scores_above_one_whose_colours_drifted(scorer):
    rng = random.Random("test soft")
    right = 0
    for number in range(40):
        who = random_character(rng, held_out=True)
        while (drifted := slightly_wrong(rng, who, 0.35)) == who:
            pass
        cast = scorer.cast({"who": [picture(who, REFERENCE_SHOT)]})
        shot = Shot(SCENES[number % len(SCENES)], "walking")
        one, other = (cast.score(soft(picture(figure, shot))).total for figure in (who, drifted))
        right += one > other
    assert right >= 37  # 36 by an encoder that has only seen clean drawings


def soft(made):
    return torch.from_numpy(cv2.GaussianBlur(made.numpy(), (0, 0), 1.2))


def test_two_figures_are_found_where_they_are_and_told_apart(scorer):
    rng = random.Random("test two")
    right = 0
    for _ in range(8):
        people = tuple(random_character(rng, held_out=True) for _ in range(2))
        shot = random_edit("two", rng, people).after.shot
        cast = scorer.cast({str(i): [picture(who, REFERENCE_SHOT)] for i, who in enumerate(people)})
        score = cast.score(picture(people, shot))
        centres = [sum(figure_box(shot, i)[::2]) / 2 for i in (0, 1)]
        boxes = [score.figures[str(i)].box for i in (0, 1)]
        right += bool(score.count_is_right and all(
            box and box[0] < x < box[2] for box, x in zip(boxes, centres, strict=True)))
    assert right >= 7


def test_the_files_are_small():
    sizes = {path.name: path.stat().st_size for path in identity_folder().glob("*.safetensors")}
    assert sizes["model.safetensors"] <= 1_500_000 and sizes["finder.safetensors"] <= 300_000

"""What `check` refuses, and how the message reads."""

import pickle

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import check_size
from kontinuity.kontext.sizes import MAX_AREA


def assert_readable(error: InputError):
    """One line `where: field 'value': problem; remedy`, with nothing empty but, at most, the value."""
    text = str(error)
    assert "\n" not in text and len(text) < 500
    for part in (error.where, error.field, error.problem, error.remedy):
        assert str(part).strip()
    assert text.startswith(f"{error.where}: {error.field} '") and "': " in text and "; " in text
    assert text.endswith(error.remedy)


def refusal(model, request) -> InputError:
    with pytest.raises(InputError) as caught:
        model.check(request)
    assert_readable(caught.value)
    assert caught.value.where == "panel 'beach'"
    return caught.value


def test_the_request_of_the_tests_is_fine(model, request_for):
    model.check(request_for())
    model.check(request_for(references=()))
    model.check(request_for(references=[torch.zeros(16, 128, 3)]))


@pytest.mark.parametrize(("change", "field"), [
    ({"width": 100}, "width"), ({"height": 1000}, "height"), ({"width": 48}, "width"), ({"height": 4112}, "height"),
    ({"width": 0}, "width"), ({"width": -96}, "width"), ({"width": 96.0}, "width"), ({"width": True}, "width"),
    ({"width": None}, "width"), ({"width": "96"}, "width"),
    ({"width": 4096, "height": 4096}, "width x height"), ({"width": 4096, "height": 1040}, "width x height"),
    ({"steps": 0}, "steps"), ({"steps": 201}, "steps"), ({"steps": 2.5}, "steps"), ({"steps": True}, "steps"),
    ({"guidance": -0.1}, "guidance"), ({"guidance": 30.1}, "guidance"), ({"guidance": float("nan")}, "guidance"),
    ({"guidance": float("inf")}, "guidance"), ({"guidance": "2.5"}, "guidance"),
    ({"seed": -1}, "seed"), ({"seed": 2**64}, "seed"), ({"seed": 1.0}, "seed"), ({"seed": None}, "seed"),
    ({"reference_method": "uxo"}, "reference_method"),
    ({"prompt": ""}, "prompt"), ({"prompt": " \n\t "}, "prompt"), ({"prompt": None}, "prompt"),
    ({"prompt": "she waves \ud83d"}, "prompt"),
    ({"prompt": "she waves " * 256}, "prompt"), ({"prompt": "a " * 1_000_000}, "prompt"),
])
def test_refusals(model, request_for, change, field):
    error = refusal(model, request_for(**change))
    assert error.field == field
    if field in change:
        assert error.value == change[field] or field in ("prompt", "guidance")


@pytest.mark.parametrize("change", [
    {"width": 4096, "height": 1024}, {"width": 64, "height": 64}, {"steps": 1}, {"steps": 200}, {"guidance": 0},
    {"guidance": 30}, {"seed": 0}, {"seed": 2**64 - 1}, {"prompt": "she waves " * 255},
    {"width": np.int64(96), "steps": np.int32(4), "guidance": np.float32(2.5), "seed": np.uint64(2**63)},
    {"prompt": "x (y:1.3) <b> \0 emoji \U0001f600\nnew line"},
])
def test_limits_are_inside(model, request_for, change):
    model.check(request_for(**change))


def test_the_token_count_is_told(model, request_for):
    error = refusal(model, request_for(prompt="she waves " * 300))
    assert "601 T5 tokens" in error.problem and "512" in error.problem


@pytest.mark.parametrize(("reference", "words"), [
    ("picture.png", "not a torch tensor"),
    (None, "not a torch tensor"),
    (np.zeros((96, 96, 3), np.float32), "not a torch tensor"),
    (torch.zeros(1, 96, 96, 3), "batch"),
    (torch.zeros(96, 96), "[H, W, 3]"),
    (torch.zeros(3, 96, 96), "[H, W, 3]"),
    (torch.zeros(96, 96, 4), "alpha channel"),
    (torch.zeros(0, 96, 3), "under 16"),
    (torch.zeros(8, 96, 3), "under 16"),
    (torch.zeros(16, 129, 3), "8:1"),
    (torch.zeros(96, 96, 3, dtype=torch.uint8), "whole numbers"),
    (torch.full((96, 96, 3), float("nan")), "NaN"),
    (torch.zeros(96, 96, 3).index_fill(0, torch.tensor([5]), float("inf")), "NaN"),
    (torch.full((96, 96, 3), 255.0), "outside 0..1"),
    (torch.full((96, 96, 3), -1.0), "outside 0..1"),
])
def test_unfit_references(model, request_for, picture, reference, words):
    error = refusal(model, request_for(references=(picture(), reference)))
    assert error.field == "reference 2" and words in error.problem


def test_references_that_are_no_list(model, request_for):
    assert refusal(model, request_for(references=torch.zeros(2, 96, 96, 3))).field == "references"
    assert refusal(model, request_for(references=None)).field == "references"
    assert refusal(model, request_for(references=(torch.zeros(96, 96, 3),) * 9)).value == 9


def test_check_size_suggests_what_works():
    with pytest.raises(InputError, match=r"^story.yaml:3: width '100': is not a multiple of 16; choose 96 or 112$"):
        check_size(100, 96, "story.yaml:3")
    with pytest.raises(InputError, match="choose 64"):
        check_size(96, 10, "x")
    check_size(MAX_AREA // 4096, 4096, "x")


def test_an_input_error_is_one_line_and_survives_pickling():
    error = InputError("panel 'a'", "prompt", "one\ntwo\t" + "x" * 500, "is\nwrong", "mend it")
    assert str(error) == "panel 'a': prompt 'one two " + "x" * 69 + "...': is wrong; mend it"
    assert isinstance(error, ValueError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)

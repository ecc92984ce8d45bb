"""Pictures handed to a video model: nothing is lost silently, and the way back gives the pictures again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kontinuity.common import Box, InputError
from kontinuity.publish import FITS, VIDEO_MODELS, hand_off
from kontinuity.publish.video.fit import middle_box, on_canvas

WAN, HUNYUAN = "Wan first and last frame", "HunyuanVideo"


def picture(width: int, height: int, seed: int = 0) -> torch.Tensor:
    """Smooth colours, bright everywhere: a black bar is none of it."""
    noise = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    big = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")
    return big[0].permute(1, 2, 0).contiguous() * 0.5 + 0.5


def handed(*pictures, model=WAN, seconds=(1.0,), prompts=("she waves",), **options):
    return hand_off(pictures, model, seconds, prompts, **options)


def test_pictures_of_one_size_stay_as_they_are_and_fill_the_frame():
    one, two = picture(320, 192), picture(320, 192, 1)
    made = handed(one, two)
    assert made.keyframes[0] is one and made.keyframes[1] is two
    assert made.size == (800, 480) and made.inside == Box(0, 0, 1, 1) and made.remarks == ()
    assert made.frame(0).shape == (480, 800, 3) and made.frame(0).min() > 0.4
    assert made.ends(0) == (one, two) and made.clips[0].length == 17 and made.clips[0].prompt == "she waves"


def test_a_frame_on_the_grid_is_the_picture_itself():
    one, two = picture(832, 480), picture(832, 480, 1)
    assert torch.equal(handed(one, two).frame(1), two)


@given(st.integers(40, 400), st.integers(40, 400), st.integers(40, 400), st.integers(40, 400), st.sampled_from(FITS),
       st.sampled_from(list(VIDEO_MODELS)))
@settings(max_examples=60, deadline=None)
def test_any_two_shapes_make_legal_frames_and_every_loss_is_said(w1, h1, w2, h2, fit, model):
    pictures = picture(w1, h1), picture(w2, h2, 1)
    made = handed(*pictures, model=model, fit=fit)
    text = "\n".join(made.remarks)
    assert len({one.shape for one in made.keyframes}) == 1
    for index, given_picture in enumerate(pictures):
        frame = made.frame(index)
        assert frame.shape == (made.size[1], made.size[0], 3) and frame.dtype == torch.float32
        assert 0 <= frame.min() and frame.max() <= 1
        bars = (frame == 0).all(2).float().mean().item()
        assert (bars > 0) == (fit == "pad" and "black bars" in text) or bars == 0, text
        assert fit != "crop" or not bars
        own, kept = made.keyframes[index].shape, given_picture.shape
        if own != kept:
            assert f"picture {index + 1}: {kept[1]}x{kept[0]}" in text
    assert fit == "crop" or "lost" not in text


@pytest.mark.parametrize("size", [(1, 1), (20, 12), (1, 1000), (16, 900)])
@pytest.mark.parametrize("fit", FITS)
def test_what_is_too_small_to_come_back_is_refused_before_the_model_runs(size, fit):
    if size != (16, 900) or fit == "pad":  # which is 16x32 when cropped
        with pytest.raises(InputError, match=f"first_frame '{size[0]}x{size[1]}': is too small or too narrow"):
            handed(picture(*size), picture(*size, 1), fit=fit)
    assert handed(picture(64, 64), picture(*size), fit=fit).keyframes[1].shape == (64, 64, 3)


def test_the_last_picture_of_a_story_is_missed_where_no_clip_ends_with_it():
    three = [picture(64, 64, seed) for seed in range(3)]
    remark, = handed(*three, model=HUNYUAN).remarks
    assert remark.startswith("no clip shows picture 3, the last: HunyuanVideo only begins with a picture")
    assert handed(*three, three[2], model=HUNYUAN).remarks == ()  # its clip does not come back to it either
    assert handed(three[0], model=HUNYUAN).remarks == handed(*three).remarks == ()


def test_another_shape_gets_bars_or_is_cropped_and_the_report_says_which():
    wide, high = picture(320, 192), picture(120, 240, 1)
    padded = handed(wide, high)
    assert padded.remarks == ("picture 2: 120x240 put into 320x192 with black bars left and right",)
    second = padded.keyframes[1]
    assert (second[:, :112] == 0).all() and (second[:, -112:] == 0).all() and (second[:, 112:-112] > 0.4).all()
    cropped = handed(wide, high, fit="crop")
    assert cropped.remarks == ("picture 2: 120x240 cropped to 120x72, 70% of its height lost, above and below, scaled "
                               "to 320x192",)
    assert cropped.keyframes[1].min() > 0.4


def test_a_shape_that_the_model_does_not_make_gets_bars_that_are_cut_off_again():
    one, two = picture(600, 200), picture(600, 200, 1)
    made = handed(one, two)
    assert made.size[0] / made.size[1] <= 2 and made.keyframes[0] is one
    assert any("makes no clip of the shape 600x200: black bars, " in remark for remark in made.remarks)
    frame = made.frame(0)
    assert (frame[0] == 0).all() and (frame[-1] == 0).all()
    shown = made.picture(frame)
    assert shown.min() > 0.4 and abs(shown.shape[1] / shown.shape[0] - 3) < 0.05
    twice = torch.nn.functional.interpolate(frame.permute(2, 0, 1)[None], scale_factor=2)[0].permute(1, 2, 0)
    assert made.picture(twice).shape == (2 * shown.shape[0], 2 * shown.shape[1], 3)


def test_a_cropped_picture_keeps_its_pixels():
    one, two = picture(600, 200), picture(600, 200, 1)
    made = handed(one, two, fit="crop")
    height, width = made.keyframes[0].shape[:2]
    left = (600 - width) // 2
    assert height == 200 and torch.equal(made.keyframes[1], two[:, left : left + width])
    assert made.inside == Box(0, 0, 1, 1) and "lost, left and right" in made.remarks[0]


def test_a_story_makes_a_clip_from_each_picture_to_the_next():
    pictures = [picture(64, 64, seed) for seed in range(4)]
    made = handed(*pictures, seconds=[1, 2, 3, 4], prompts=["a", "b", "c", "d"])
    assert [clip.length for clip in made.clips] == [17, 33, 49]  # how long a panel is shown; the last has no clip
    assert [clip.prompt for clip in made.clips] == ["b", "c", "d"]  # what the clip comes to
    assert [made.ends(clip)[0] is pictures[clip] and made.ends(clip)[1] is pictures[clip + 1] for clip in range(3)] \
        == [True] * 3
    each = handed(*pictures, seconds=[1, 2, 3], prompts=["a", "b", "c"])
    assert [clip.prompt for clip in each.clips] == ["a", "b", "c"] and [c.length for c in each.clips] == [17, 33, 49]


@pytest.mark.parametrize("field, options", [("seconds", {"seconds": [1, 2]}), ("prompt", {"prompts": ["a"] * 5}),
                                            ("seconds", {"seconds": []})])
def test_values_that_do_not_match_the_clips_are_refused(field, options):
    with pytest.raises(InputError, match=f"{field} .* do not match the 3 clips"):
        handed(*[picture(64, 64, seed) for seed in range(4)], **options)


def test_one_picture_is_enough_only_where_no_last_frame_is_taken():
    made = handed(picture(64, 64), model=HUNYUAN)
    assert len(made.clips) == 1 and made.ends(0)[1] is None
    assert handed(picture(64, 64), picture(64, 64, 1), model=HUNYUAN).ends(0)[1] is None
    with pytest.raises(InputError, match=r"first_frame '1 pictures': are too few .*last_frame"):
        handed(picture(64, 64))


def test_one_picture_twice_is_said():
    one = picture(64, 64)
    assert handed(one, one.clone()).remarks == ("pictures 1 and 2 are the same: the clip comes back to where it began",)


def test_vaces_control_video_is_the_pictures_and_grey_between():
    one, two = picture(832, 480), picture(832, 480, 1)
    made = handed(one, two, model="Wan VACE")
    video, masks = made.control(0)
    assert video.shape == (17, 480, 832, 3) and masks.shape == (17, 480, 832)
    assert torch.equal(video[0], one) and torch.equal(video[-1], two) and (video[1:-1] == 0.5).all()
    assert (masks[0] == 0).all() and (masks[-1] == 0).all() and (masks[1:-1] == 1).all()


def test_what_is_wrong_is_an_input_error():
    one, two = picture(64, 64), picture(64, 64, 1)
    with pytest.raises(InputError, match="fit 'stretch': is unknown; use one of pad, crop"):
        handed(one, two, fit="stretch")
    with pytest.raises(InputError, match="is no video model"):
        handed(one, two, model="Sora")
    with pytest.raises(InputError, match="picture 2"):
        handed(one, two * float("nan"))
    made = handed(one, two)
    made.check_clip(torch.zeros(1248, 1248, 3), 1, "test")  # scaled up twice
    with pytest.raises(InputError, match=r"clip 2.* is 640x320, and 624x624 was handed"):
        made.check_clip(torch.zeros(320, 640, 3), 2, "test")


def test_fitting_says_what_it_did():
    one = picture(100, 50)
    assert on_canvas(one, (100, 50), "pad") == (one, "")
    assert on_canvas(one, (200, 100), "pad")[1] == "100x50 scaled to 200x100"
    assert on_canvas(one, (202, 100), "pad")[1] == "100x50 scaled to 202x100, 1.0% wider"
    assert middle_box((100, 50), (1, 1)) == Box(25, 0, 75, 50)

"""What each video model takes, on many shapes and lengths."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.publish.video.models import RESOLUTIONS, VIDEO_MODELS, clip_length, frame_size, video_model

MODELS = pytest.mark.parametrize("name", VIDEO_MODELS)
sides = st.integers(64, 4096)


@MODELS
@given(width=sides, height=sides, resolution=st.sampled_from(RESOLUTIONS))
@example(width=4096, height=64, resolution="small")
@example(width=64, height=4096, resolution="large")
def test_a_size_is_on_the_grid_within_the_area_and_the_shapes(name, width, height, resolution):
    model = VIDEO_MODELS[name]
    size = frame_size(model, width, height, resolution, "test")
    area, shape = size[0] * size[1], size[0] / size[1]
    assert size[0] % model.grid == size[1] % model.grid == 0
    assert 0.8 * model.areas[RESOLUTIONS.index(resolution)] <= area <= model.areas[RESOLUTIONS.index(resolution)]
    assert 1 / model.widest <= shape <= model.widest
    wanted = min(model.widest, max(1 / model.widest, width / height))
    assert abs(math.log(shape / wanted)) < 0.045  # half a token of 32 pixels at 700


@MODELS
@given(seconds=st.floats(0.001, 30))
def test_a_length_is_one_more_than_whole_steps_and_the_nearest_there_is(name, seconds):
    model = VIDEO_MODELS[name]
    nearest = round(seconds * model.fps / model.step) * model.step + 1
    if nearest > model.longest:
        with pytest.raises(InputError, match=r"is longer than .* makes in one clip.*put a picture between"):
            clip_length(model, seconds, "test")
        return
    length = clip_length(model, seconds, "test")
    assert length == max(model.shortest, nearest) <= model.longest and length % model.step == 1
    if length > model.shortest:
        assert abs((length - 1) / model.fps - seconds) <= model.step / model.fps / 2 + 1e-9


@pytest.mark.parametrize("name, seconds, frames", [
    ("Wan first and last frame", 5, 81), ("Wan first and last frame", 0.01, 9), ("Wan VACE", 2.5, 41),
    ("LTX-Video", 3.84, 97), ("LTX-Video", 10.24, 257), ("HunyuanVideo", 5.33, 129), ("Cosmos-Predict2", 5.75, 93)])
def test_the_lengths_the_models_are_known_for(name, seconds, frames):
    assert clip_length(VIDEO_MODELS[name], seconds, "test") == frames


@pytest.mark.parametrize("name, picture, resolution, size", [
    ("Wan first and last frame", (1280, 720), "large", (1280, 720)),
    ("Wan first and last frame", (832, 480), "small", (832, 480)),
    ("Wan first and last frame", (1024, 1024), "large", (960, 960)),
    ("LTX-Video", (768, 512), "small", (768, 512)), ("HunyuanVideo", (720, 1280), "large", (720, 1280)),
    ("Cosmos-Predict2", (848, 480), "small", (848, 480))])
def test_the_sizes_the_models_are_known_for(name, picture, resolution, size):
    assert frame_size(VIDEO_MODELS[name], *picture, resolution, "test") == size


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_is_refused(seconds):
    with pytest.raises(InputError, match="give more than 0 seconds"):
        clip_length(VIDEO_MODELS["LTX-Video"], seconds, "test")


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="did you mean 'LTX-Video'"):
        video_model("LTX Video", "test")
    with pytest.raises(InputError, match="small, large"):
        frame_size(VIDEO_MODELS["LTX-Video"], 512, 512, "huge", "test")

"""Clips, read back with PyAV."""

import weakref
from fractions import Fraction

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.publish import CLIP_CONTAINERS, Audio, frames_held, write_clip

av = pytest.importorskip("av", reason="PyAV comes with ComfyUI")


def ball(count: int, height: int = 48, width: int = 64):
    """A yellow ball on blue, moving right by 4 pixels a frame."""
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for index in range(count):
        far = ((xs - 12 - 4 * index) ** 2 + (ys - height / 2) ** 2).sqrt()
        share = (9 - far).clamp(0, 1)[..., None]
        yield torch.tensor([0.1, 0.2, 0.8]) * (1 - share) + torch.tensor([0.9, 0.8, 0.1]) * share


def tone(seconds: float, rate: int = 44100, channels: int = 2) -> Audio:
    times = torch.arange(int(seconds * rate)) / rate
    return Audio((0.5 * torch.sin(times * 440 * 6.283185)).expand(channels, -1), rate)


def read(path):
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = [(frame.pts * frame.time_base, torch.from_numpy(
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()).float() / 255)
            for frame in container.decode(video)]
        return video, frames, dict(container.metadata)


def sound(path) -> torch.Tensor:
    with av.open(str(path)) as container:
        parts = [torch.from_numpy(frame.to_ndarray()) for frame in container.decode(audio=0)]
        stream = container.streams.audio[0]
        return torch.cat(parts, 1), stream.rate


@pytest.mark.parametrize("container", CLIP_CONTAINERS)
@pytest.mark.parametrize("rate", [Fraction(12), Fraction(24000, 1001)])
def test_pictures_times_and_rate_come_back(tmp_path, container, rate):
    path = tmp_path / "clip.bin"
    assert write_clip(path, ball(9), (64, 48), rate, container=container, quality="best") == 9
    video, frames, _ = read(path)
    assert (video.width, video.height) == (64, 48) and video.average_rate == rate
    assert video.codec_context.colorspace == 1  # the file says BT.709
    tolerance = Fraction(1, 1000)  # WebM counts milliseconds
    assert all(abs(time - index / rate) <= tolerance for index, (time, _) in enumerate(frames))
    assert len(frames) == 9
    for (_, shown), drawn in zip(frames, ball(9), strict=True):
        assert (shown - drawn).abs().mean() < 0.02  # colours too: with another matrix the blue is off by 0.05
    corner = frames[0][1][2, 60]
    assert corner.tolist() == pytest.approx([0.1, 0.2, 0.8], abs=0.02)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (61, 45)])
def test_odd_sizes_get_one_more_column_or_row(tmp_path, size):
    width, height = size
    write_clip(tmp_path / "a.mp4", ball(3, height, width), size, Fraction(10))
    video, frames, _ = read(tmp_path / "a.mp4")
    assert (video.width, video.height) == (width + width % 2, height + height % 2)
    drawn = next(ball(1, height, width))
    assert (frames[0][1][:height, :width] - drawn).abs().mean() < 0.03


@pytest.mark.parametrize("container", CLIP_CONTAINERS)
def test_audio_goes_along_and_is_cut_at_the_end(tmp_path, container):
    path = tmp_path / "a.bin"
    write_clip(path, ball(24), (64, 48), Fraction(12), container=container, audio=tone(5))
    samples, rate = sound(path)
    assert rate == (44100 if container == "MP4" else 48000)
    assert samples.shape[1] / rate == pytest.approx(2, abs=0.05)
    middle = samples[0, rate // 2 : rate * 3 // 2].float()
    spectrum = torch.fft.rfft(middle).abs()
    assert spectrum.argmax().item() / len(middle) * rate == pytest.approx(440, abs=3)
    assert middle.abs().max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("given", "written"), [
    (7350, 7350), (12345, 16000), (40_000, 44100), (96_000, 96_000), (100_000, 96_000), (192_000, 96_000),
    (384_000, 96_000)])
def test_audio_of_a_rate_that_aac_lacks_is_resampled(tmp_path, given, written):
    path = tmp_path / "a.mp4"
    write_clip(path, ball(24), (64, 48), Fraction(12), audio=tone(5, given))
    samples, rate = sound(path)
    assert rate == written and samples.shape[1] / rate == pytest.approx(2, abs=0.15)
    middle = samples[0, rate // 2 : rate * 3 // 2].float()
    assert torch.fft.rfft(middle).abs().argmax().item() / len(middle) * rate == pytest.approx(440, abs=3)
    assert middle.abs().max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("container", "most"), [("MP4", 16384), ("WebM", 65536)])
def test_the_largest_side(tmp_path, container, most):
    for size in ((most + 1, 16), (16, most + 1)):
        with pytest.raises(InputError, match=rf"frames '{size[0]}x{size[1]}': is larger than {container} .*{most} pix"):
            write_clip(tmp_path / "a", [torch.zeros(size[1], size[0], 3)], size, Fraction(12), container=container)
    assert write_clip(tmp_path / "a", [torch.zeros(16, most, 3)], (most, 16), Fraction(12), container=container) == 1


def test_what_an_encoder_refuses_is_one_line(tmp_path, monkeypatch):
    """Limits that are in no table of ours: an encoder of another build may have them."""
    from kontinuity.publish.motion import clips as clip

    monkeypatch.setattr(clip, "_MOST_SIDE", {"MP4": 10**9})
    with pytest.raises(InputError, match="frames '16386x16': is refused by the encoder libx264 .*; scale the pictures"):
        write_clip(tmp_path / "a.mp4", [torch.zeros(16, 16386, 3)], (16386, 16), Fraction(12))
    monkeypatch.setattr(clip, "_rate_of", lambda encoder, rate: rate)
    with pytest.raises(InputError, match="audio '40000 Hz': is refused by the encoder aac"):
        write_clip(tmp_path / "a.mp4", ball(24), (64, 48), Fraction(12), audio=tone(1, 40_000))
    assert list(tmp_path.iterdir()) == []


def test_short_and_single_channel_audio(tmp_path):
    write_clip(tmp_path / "a.mp4", ball(24), (64, 48), Fraction(12), audio=tone(0.5, 22050, 1))
    assert sound(tmp_path / "a.mp4")[0].shape[0] == 1
    assert len(read(tmp_path / "a.mp4")[1]) == 24


def test_pictures_are_let_go_as_they_are_written(tmp_path):
    alive, most = [], []

    def pictures():
        for picture in ball(30):
            alive.append(weakref.ref(picture))
            yield picture

    write_clip(tmp_path / "a.mp4", pictures(), (64, 48), Fraction(12),
               on_frame=lambda: most.append(sum(ref() is not None for ref in alive)))
    assert len(most) == 30 and max(most) <= 2


def test_metadata_comes_back(tmp_path):
    for name, container in (("a.mp4", "MP4"), ("a.webm", "WebM")):
        text = {"prompt": '{"1": 2}'}
        write_clip(tmp_path / name, ball(2), (64, 48), Fraction(12), container=container, metadata=text)
        found = {key.lower(): value for key, value in read(tmp_path / name)[2].items()}
        assert found["prompt"] == '{"1": 2}'


def test_a_lower_quality_is_a_smaller_file(tmp_path):
    noise = [torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    sizes = []
    for quality in ("best", "good", "small"):
        write_clip(tmp_path / quality, noise, (64, 48), Fraction(12), quality=quality)
        sizes.append((tmp_path / quality).stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_stop_leaves_no_file(tmp_path):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(tmp_path / "a.mp4", ball(9), (64, 48), Fraction(12), on_frame=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"rate": Fraction(10_000)}, "fps '10000': cannot be played"),
    ({"rate": Fraction(1, 10**9)}, "fps '1e-09': cannot be played"),
    ({"pictures": []}, "0 pictures"),
    ({"audio": Audio(torch.full((1, 100), 20000.0), 44100)}, "up to 20000': is not in -1..1; .*32768"),
    ({"audio": Audio(torch.ones(1, 100, dtype=torch.int16), 44100)}, "int16, up to 1': is not in -1..1"),
    ({"audio": Audio(torch.zeros(6, 100), 44100)}, "one or two channels"),
    ({"audio": Audio(torch.zeros(2, 0), 44100)}, "one or two channels"),
    ({"audio": Audio(torch.full((1, 100), torch.nan), 44100)}, "NaN"),
    ({"audio": Audio(torch.zeros(1, 100), 1)}, "sample rate"),
])
def test_what_cannot_be_written_is_said(tmp_path, change, message):
    arguments = {"pictures": ball(2), "rate": Fraction(12), **change}
    with pytest.raises(InputError, match=message):
        write_clip(tmp_path / "a.mp4", arguments.pop("pictures"), (64, 48), arguments.pop("rate"), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_held_for_their_time():
    assert frames_held([1, 0.5, 2], Fraction(24)) == [24, 12, 48]
    rate = Fraction(24000, 1001)
    many = frames_held([0.1] * 1000, rate)
    assert set(many) == {2, 3} and sum(many) == round(100 * rate)  # errors do not add up
    assert frames_held([0.001, 1, 0.001], Fraction(10)) == [1, 9, 1]
    for wrong in (0.0, -1.0, float("nan"), 3600.1):
        with pytest.raises(InputError, match="Save Clip: durations '.*': of picture 2 is no time to show it"):
            frames_held([1, wrong], Fraction(24))

"""A video model's clip brought back to its keyframes. The clip is made from a truth: late, soft, and drifting in colour
towards its end."""

import math

import cv2
import pytest
import torch
from drift import drifted
from kontinuity.common import InputError
from kontinuity.flow import RepairedClip, join_clips, joined_length

FRAMES = 17


@pytest.fixture
def truth(texture):
    """`truth(begin, seed=1)`: a camera that turns over a still scene, from 0 to 12 pixels, one pixel aside for each
    frame at most."""
    wide = texture(1, 96, 320) * 0.7 + 0.15

    def make(begin: int = 0) -> list[torch.Tensor]:
        return [shifted(wide, begin + 6 - 6 * math.cos(math.pi * index / (FRAMES - 1)))[:, 60:200].contiguous()
                for index in range(FRAMES)]
    return make


def shifted(picture: torch.Tensor, x: float, y: float = 0.0) -> torch.Tensor:
    """A picture moved to the left and up."""
    matrix = torch.tensor([[1, 0, -x], [0, 1, -y]]).numpy()
    moved = cv2.warpAffine(picture.numpy(), matrix, picture.shape[1::-1], None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    return torch.from_numpy(moved).clamp(0, 1)


def made(truth: list[torch.Tensor], colour: bool = True, turned: bool = False) -> list[torch.Tensor]:
    """The clip a model makes: right at one end, and at the other 3 pixels aside, soft, with other colours."""
    clip = []
    for index, picture in enumerate(truth):
        share = index / (len(truth) - 1)
        share = 1 - share if turned else share
        picture = torch.from_numpy(cv2.GaussianBlur(shifted(picture, 3 * share, 2 * share).numpy(), (0, 0), 0.8))
        clip.append(drifted(picture, share) if colour else picture)
    return clip


def steps(clip) -> list[float]:
    clip = list(clip)
    return [(one - two).abs().mean().item() for one, two in zip(clip, clip[1:], strict=False)]


def error(clip, truth) -> float:
    return sum(((one - two) ** 2).mean().item() for one, two in zip(clip, truth, strict=True)) / len(truth)


def test_the_ends_are_the_keyframes_to_the_last_bit(truth):
    right = truth()
    repaired = RepairedClip(made(right), right[0], right[-1])
    assert repaired[0] is right[0] and repaired[FRAMES - 1] is right[-1] and len(list(repaired)) == FRAMES


@pytest.mark.parametrize("turned", [False, True])
def test_the_jump_at_a_keyframe_gets_smaller_and_the_clip_nearer_to_the_truth(truth, turned):
    right = truth()
    clip = made(right, turned=turned)
    place = 0 if turned else -1
    jumping = RepairedClip(clip, right[0], right[-1], settling=0)
    settled = RepairedClip(clip, right[0], right[-1])
    assert 2.5 * steps(settled)[place] < steps(jumping)[place]
    assert 2 * error(settled, right) < error(jumping, right)
    end = settled.start if turned else settled.end
    assert end.is_reached and end.coverage > 0.9 and 2.5 < end.aside < 4.5
    other = settled.end if turned else settled.start
    assert other.aside < 0.5 and other.colours.change < 0.02  # softness alone has a little less contrast


def test_a_soft_clip_is_sharpened_towards_its_keyframe(truth):
    right = truth()
    soft = [torch.from_numpy(cv2.GaussianBlur(picture.numpy(), (0, 0), 1.5)) for picture in right]
    settled, plain = (RepairedClip(soft, right[0], right[-1], colour=False, settling=many) for many in (6, 0))
    off = [(settled[index] - right[index]).abs().mean() / (plain[index] - right[index]).abs().mean()
           for index in (FRAMES - 7, FRAMES - 4, FRAMES - 2)]
    assert off[0] < 0.97 and off[1] < 0.7 and off[2] < 0.4


def test_a_known_drift_of_colours_is_undone_along_the_whole_clip(truth):
    right = truth()
    clip = [drifted(picture, index / (FRAMES - 1)) for index, picture in enumerate(right)]
    repaired = RepairedClip(clip, right[0], right[-1], settling=0)
    assert error(clip, right) > 1e-4
    # a drift is undone by what is not quite its linear opposite in between
    assert max((one - two).abs().mean().item() for one, two in zip(repaired, right, strict=True)) < 2e-3
    untouched = RepairedClip(clip, right[0], right[-1], colour=False, settling=0)
    assert torch.equal(untouched[8], clip[8]) and untouched.start.colours is None


def test_without_a_last_keyframe_the_first_ones_match_is_kept_and_the_end_left(truth):
    right = truth()
    clip = [drifted(picture) for picture in right]
    repaired = RepairedClip(clip, right[0], None)
    assert repaired.end is None and repaired[0] is right[0]
    assert (repaired[FRAMES - 1] - right[-1]).abs().mean() < 2e-3


def test_an_end_that_never_shows_its_keyframe_is_a_cut(truth, texture):
    right = truth()
    repaired = RepairedClip(right, right[0], texture(9, 96, 140))
    assert not repaired.end.is_reached and repaired.end.colours is None and repaired.start.is_reached
    assert torch.equal(repaired[FRAMES - 2], right[FRAMES - 2])


@pytest.mark.parametrize("frames, settling", [(2, 0), (3, 0), (4, 1), (9, 3)])
def test_short_clips_settle_no_more_than_there_is(truth, frames, settling):
    right = truth()[:frames]
    repaired = RepairedClip(made(right), right[0], right[-1])
    assert repaired.settling == settling and len(list(repaired)) == frames


def test_clips_are_joined_and_a_shared_keyframe_comes_once(truth):
    one, two = truth(), truth(12)
    middle = one[-1]
    assert torch.equal(middle, two[0])
    clips, keyframes = [made(one), made(two)], [(one[0], middle), (two[0], two[-1])]
    joined = list(join_clips(clips, keyframes))
    assert len(joined) == joined_length(clips, keyframes) == 2 * FRAMES - 1
    assert [item.clip for item in joined] == [0] * FRAMES + [1] * (FRAMES - 1)
    assert torch.equal(joined[FRAMES - 1].picture, middle)
    plain = steps([*made(one), *made(two)[1:]])
    assert max(steps(item.picture for item in joined)[FRAMES - 3 : FRAMES + 1]) < max(plain) / 2


def test_clips_that_are_only_held_at_their_beginning_are_cut(truth):
    one, two = truth(), truth(12)
    keyframes = [(one[0], None), (two[0], None)]
    assert joined_length([one, two], keyframes) == 2 * FRAMES == len(list(join_clips([one, two], keyframes)))


def test_two_pictures_are_held_however_long_the_clip_is(truth):
    right = truth()

    class Long:
        asked: list = []

        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            self.asked.append(index % 10_000)
            return right[0] if index % 10_000 < 9_000 else right[-1]

    repaired = RepairedClip(Long(), right[0], right[-1])
    assert set(Long.asked) == {0, 9_999}
    Long.asked.clear()
    assert repaired[5_000] is not None and Long.asked == [5_000]


def test_what_is_wrong_is_an_input_error(truth):
    right = truth()
    with pytest.raises(InputError, match="is no clip"):
        RepairedClip(right[:1], right[0], None)
    with pytest.raises(InputError, match="keyframe.*has not the size"):
        RepairedClip(right, right[0], right[-1][:64])

"""Pictures in between: exact where exactness is possible, honest where nothing can be done, clear about bad input."""

import math
import subprocess
import sys

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import EASINGS, MODES, Motion, estimate_motion, frame_times, pictures_at, prepare_pair
from kontinuity.flow.occlusion import coverage

NOT_PICTURES = {
    "alpha": torch.rand(96, 128, 4),
    "grey": torch.rand(96, 128, 1),
    "batch": torch.rand(1, 96, 128, 3),
    "numpy": torch.rand(96, 128, 3).numpy(),
    "none": None,
    "bytes": torch.zeros(96, 128, 3, dtype=torch.uint8),
    "half": torch.rand(96, 128, 3).half(),
    "NaN": torch.full((96, 128, 3), torch.nan),
    "infinity": torch.full((96, 128, 3), torch.inf),
    "0..255": torch.full((96, 128, 3), 255.0),
    "-1..1": torch.full((96, 128, 3), -1.0),
    "other size": torch.rand(96, 112, 3),
    "tiny": torch.rand(8, 8, 3),
}


def multiplied_by(multiplier, pictures, *settings):
    """As Interpolate Frames does it."""
    return pictures_at(pictures, frame_times(len(pictures), 1, multiplier), *settings)


def psnr(a, b):
    return 10 * math.log10(1 / max(1e-12, ((a - b) ** 2).mean().item()))


@pytest.mark.parametrize("mode", MODES)
def test_ends_are_the_given_pictures(texture, mode):
    a, b = texture(0), texture(0).roll(3, 1)
    pair = prepare_pair(a, b, mode)
    assert pair.at(0) is a and pair.at(1) is b


@pytest.mark.parametrize("mode", ["project", "splat"])
def test_translation_is_exact_with_its_own_flow(texture, mode):
    """With the true motion of whole pixels the picture half-way is the source moved: >= 45 dB away from the border."""
    wide = texture(1, 112, 160)
    a, truth, b = wide[8:104, 8:136], wide[8:104, 12:140], wide[8:104, 16:144]
    flow = torch.tensor([-8.0, 0.0]).expand(96, 128, 2)
    made = prepare_pair(a, b, mode, motion=Motion(flow, -flow, 1.0)).at(0.5)
    assert psnr(made[8:-8, 8:-8], truth[8:-8, 8:-8]) > 60
    assert psnr(made, truth) > 60  # the border as well: each side is seen by one of the two


def test_what_the_motion_does_not_explain_is_cross_faded(texture):
    """The left half moves as the flow says, in the right half there is something else afterwards."""
    wide = texture(1, 96, 160)
    a, truth, b = (wide[:, x : x + 128].clone() for x in (8, 10, 16))
    a[:, 64:], b[:, 64:] = 0.4 * texture(5)[:, 64:], 0.4 * texture(6)[:, 64:] + 0.6
    flow = torch.tensor([-8.0, 0.0]).expand(96, 128, 2)
    made = prepare_pair(a, b, "project", motion=Motion(flow, -flow, 1.0)).at(0.25)
    assert (made - torch.lerp(a, b, 0.25))[:, 76:-8].abs().max() < 0.03
    assert psnr(made[:, :52], truth[:, :52]) > 45 > 30 > psnr(torch.lerp(a, b, 0.25)[:, :52], truth[:, :52])


def test_square_on_a_constant_ground_is_carried_along():
    """The handbook's acceptance: an integer translation, found by the estimator itself, >= 45 dB."""
    pictures = []
    for x in (40, 44, 48):
        picture = torch.full((96, 128, 3), 0.5)
        picture[30:60, x : x + 30] = torch.tensor([0.9, 0.2, 0.1])
        pictures.append(picture)
    pair = prepare_pair(pictures[0], pictures[2])
    made, report = pair.at(0.5), pair.report
    assert report.decision == "splat"
    assert psnr(made, pictures[1]) > 45


@pytest.mark.parametrize("mode", ["project", "auto"])
def test_moving_camera_is_followed(texture, mode):
    wide = texture(5, 112, 176)
    a, truth, b = wide[8:104, 8:136], wide[9:105, 12:140], wide[10:106, 16:144]
    pair = prepare_pair(a, b, mode)
    made, report = pair.at(0.5), pair.report
    assert report.decision == "project" and report.coverage > 0.8
    assert psnr(made[16:-16, 16:-16], truth[16:-16, 16:-16]) > 35
    assert psnr(made, truth) > psnr((a + b) / 2, truth) + 8


def test_drawing_is_splatted_and_has_no_ghost(cartoon):
    a, truth, b = cartoon(50), cartoon(60), cartoon(70)
    pair = prepare_pair(a, b)
    made, report = pair.at(0.5), pair.report
    assert report.decision == "splat" and "drawing" in report.reason
    assert psnr(made, truth) > psnr((a + b) / 2, truth) + 6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("t", [0.1, 0.3, 0.5, 0.75])
def test_time_can_be_turned_round(texture, cartoon, mode, t):
    if mode == "hold" and t == 0.5:
        pytest.skip("at exactly half time a hold has to choose")
    for a, b in ((cartoon(40), cartoon(61)), (texture(7), texture(7).roll((3, -5), (0, 1)))):
        there, back = prepare_pair(a, b, mode).at(t), prepare_pair(b, a, mode).at(1 - t)
        assert (there - back).abs().max() <= 1e-5


@pytest.mark.parametrize("mode", ["project", "splat"])
def test_same_input_same_bits_and_a_legal_picture(texture, mode):
    a, b = texture(8), texture(8).roll(6, 1)
    made, again = prepare_pair(a, b, mode).at(0.4), prepare_pair(a, b, mode).at(0.4)
    assert torch.equal(made, again)
    assert made.dtype == torch.float32 and made.shape == a.shape and made.min() >= 0 and made.max() <= 1


@pytest.mark.parametrize(("t", "side"), [(0.02, 1), (0.98, 0)])
def test_what_only_one_picture_sees_stays_sharp_at_any_time(t, side):
    """A strip of fine stripes that only the farther picture shows is not smeared as if nobody saw it."""
    pair = [torch.full((96, 128, 3), 0.5) for _ in range(2)]
    pair[side][40:56, ::2] = 0.9
    flow = torch.zeros(96, 128, 2)
    away = flow.clone()
    away[36:60, :, 1] = 1e4  # the nearer picture's pixels of that place are gone at once
    motion = Motion(flow, away, 1.0) if side == 0 else Motion(away, flow, 1.0)
    made = prepare_pair(*pair, "splat", motion=motion).at(t)
    assert (made[42:54] - pair[side][42:54]).abs().max() < 0.02


def test_a_cut_shows_only_given_pictures(texture):
    a, b = texture(1) * 0.3, texture(2) * 0.3 + 0.7
    pair = prepare_pair(a, b)
    assert pair.report.decision == "hold" and "cut" in pair.report.reason
    assert [pair.at(t) is a for t in (0.1, 0.4, 0.5, 0.9)] == [True, True, False, False]
    assert pair.at(0.9) is b


def test_a_cut_between_two_pictures_of_the_same_colours(texture):
    """What two takes of one street have in common is their colours, not one detail."""
    lost = [100 * torch.randn(96, 128, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    report = prepare_pair(texture(1), texture(2), motion=Motion(*lost, coverage(*lost))).report
    assert report.decision == "hold" and report.change < 0.5
    assert "a cut: only" in report.reason and "of what changed" in report.reason


def test_smooth_surfaces_whose_motion_is_unclear_are_no_reason_to_dissolve(texture):
    """A wide empty wall agrees with any motion; the thing in front of it is what moves."""
    a, b = torch.full((96, 128, 3), 0.5), torch.full((96, 128, 3), 0.5)
    a[30:60, 20:60] = texture(3)[:30, :40]
    b[30:60, 30:70] = texture(3)[:30, :40]
    there, back = torch.full((96, 128, 2), 5.0), torch.full((96, 128, 2), 5.0)
    there[30:60, 10:70], back[30:60, 10:80] = torch.tensor([10.0, 0.0]), torch.tensor([-10.0, 0.0])
    report = prepare_pair(a, b, motion=Motion(there, back, coverage(there, back))).report
    assert report.coverage < 0.55 and report.decision not in ("dissolve", "hold")
    assert "of what changed" in report.reason


def test_too_far_apart_is_dissolved_and_said(texture):
    a, b = texture(1), texture(2)  # the same colours elsewhere
    pair = prepare_pair(a, b)
    assert pair.report.decision == "dissolve" and pair.report.coverage < 0.55
    assert torch.allclose(pair.at(0.25), a * 0.75 + b * 0.25, atol=1e-6)


def test_shaded_pictures_of_which_a_part_is_explained_are_not_dissolved_as_a_whole(texture):
    """A fifth of the change is a thing that moves; the rest is faded by `project` where it is."""
    a, b = texture(1), texture(2)
    a[:40, :80], b[:40, 4:84] = texture(3)[:40, :80], texture(3)[:40, :80]
    lost = [100 * torch.randn(96, 128, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    lost[0][:40, :80], lost[1][:40, :84] = torch.tensor([4.0, 0.0]), torch.tensor([-4.0, 0.0])
    report = prepare_pair(a, b, motion=Motion(*lost, coverage(*lost))).report
    assert report.decision == "project" and report.coverage < 0.55 and "of what changed" in report.reason


def test_equal_pictures_are_not_estimated(texture):
    def never(a, b):
        raise AssertionError

    a = texture(1)
    pair = prepare_pair(a, a.clone(), estimator=never)
    assert pair.report.decision == "duplicate" and torch.equal(pair.at(0.3), a)


def test_sequence_counts_and_keeps_given_pictures(cartoon):
    pictures = [cartoon(40), cartoon(46), cartoon(46), cartoon(52)]
    made = list(multiplied_by(3, pictures))
    assert len(made) == 10
    assert [item.time for item in made] == pytest.approx([number / 3 for number in range(10)])
    assert all(made[3 * number].picture is picture for number, picture in enumerate(pictures))
    assert made[4].report.decision == "duplicate" and made[3].report is None
    same = zip(multiplied_by(1, pictures), pictures, strict=True)
    assert all(item.picture is picture for item, picture in same)


def test_sequence_reads_pictures_when_needed(cartoon):
    read = []

    def pictures():
        for x in range(1000):
            read.append(x)
            yield cartoon(40 + x % 3)

    made = pictures_at(pictures(), frame_times(1000, 1, 2))
    assert read == []
    for _ in range(5):
        next(made)
    assert len(read) == 4  # times 0, ½, 1, 1½, 2: the picture at 2 is handed on once its successor is there


@pytest.mark.parametrize("name", EASINGS)
def test_easings_go_from_0_to_1_without_turning_back(name):
    values = [EASINGS[name](step / 20) for step in range(21)]
    assert values[0] == pytest.approx(0) and values[-1] == pytest.approx(1) and values == sorted(values)


def test_easing_moves_the_picture_in_time(cartoon):
    a, b = cartoon(40), cartoon(52)
    eased = list(multiplied_by(4, [a, b], "ease in and out", "dissolve"))
    share = EASINGS["ease in and out"](0.25)
    assert torch.allclose(eased[1].picture, torch.lerp(a, b, share)) and eased[1].time == 0.25


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_what_is_no_picture_is_refused(texture, name):
    bad = NOT_PICTURES[name]
    for call in (lambda: prepare_pair(texture(0), bad), lambda: list(multiplied_by(2, [texture(0), bad])),
                 lambda: estimate_motion(texture(0), bad)):
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value) and len(str(caught.value)) > 20


@pytest.mark.parametrize("t", [-0.1, 1.0001, math.nan, math.inf, "0.5", None, True])
def test_time_outside_is_refused(texture, t):
    with pytest.raises(InputError, match="between 0"):
        prepare_pair(texture(0), texture(1), "dissolve").at(t)


@pytest.mark.parametrize("multiplier", [0, -1, 65, 10**9, 64.1, math.nan, math.inf])
def test_absurd_multiplier_is_refused(multiplier):
    with pytest.raises(InputError, match="Node: target_fps '.*': (is more than 64 times|is no frame rate; it must)"):
        frame_times(2, 1, multiplier, "Node")


def test_unknown_settings_are_refused_at_once(texture):
    with pytest.raises(InputError, match="linear"):
        pictures_at([], [], "bouncy")
    with pytest.raises(InputError, match="project"):
        pictures_at([], [], mode="magic")
    with pytest.raises(InputError, match="project"):
        prepare_pair(texture(0), texture(1), "magic")
    flow = torch.zeros(9, 9, 2)
    with pytest.raises(InputError, match=r"motion '\[9, 9, 2\]': does not fit"):
        prepare_pair(texture(0), texture(1), motion=Motion(flow, flow, 1.0))


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_is_no_sequence(texture, count):
    with pytest.raises(InputError, match="at least two"):
        multiplied_by(2, [texture(0)] * count)


def test_error_in_a_sequence_names_the_pictures(texture):
    with pytest.raises(InputError, match="pictures 2 and 3: second picture '96x128x4': .*over a plain background"):
        list(multiplied_by(2, [texture(0), texture(0), NOT_PICTURES["alpha"]]))
    with pytest.raises(InputError, match="pictures 1 and 2: .*128x96"):
        list(multiplied_by(2, [texture(0), NOT_PICTURES["other size"]]))


def test_importing_the_face_does_not_import_opencv():
    code = ("import sys; sys.path.insert(0, 'tests'); import conftest; import kontinuity.flow; "
            "sys.exit('cv2' in sys.modules)")
    root = __file__.rsplit("tests", 1)[0]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

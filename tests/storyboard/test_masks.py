"""Panels whose masks say what may change and what must stay: outside, the picture they are made from, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kontinuity.common import InputError
from kontinuity.kontext import PictureScore
from kontinuity.kontext.identity.scores import FigureScore
from kontinuity.storyboard import Board, Sampling, parse_story, plan_panels, record, render, story_masks
from kontinuity.storyboard.plan.masks import mask_share, may_change, paste
from kontinuity.storyboard.production.records import picture_hash
from PIL import Image

MIA, TOM = (torch.rand(96, 64, 3, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
PICTURES = {"mia": MIA, "tom": TOM}
HEAD = "version: 1\nseed: 7\nsize: [64, 96]\ncharacters: {mia: , tom: }\npanels:\n"
FIRST = "id: a, prompt: first, characters: [mia]"
SECOND = "id: b, prompt: second, from: a, masks: {edit: face.png}"


def box(top, bottom, left, right, size=(96, 64)):
    white = torch.zeros(size, dtype=torch.bool)
    white[top:bottom, left:right] = True
    return white


FACE, EYES = box(10, 50, 10, 50), box(20, 30, 20, 40)


@pytest.fixture
def folder(tmp_path):
    for name, white in (("face", FACE), ("eyes", EYES), ("black", box(0, 0, 0, 0)),
                        ("small", box(0, 9, 0, 9, (48, 32))), ("all", box(0, 96, 0, 64))):
        save(tmp_path / f"{name}.png", white)
    return tmp_path


def save(path, white):
    Image.fromarray(white.numpy().astype(np.uint8) * 255).save(path)


def story_of(*panels):
    return parse_story(HEAD + "".join(f"- {{{panel}}}\n" for panel in panels), "s.yaml")


def results_of(story, folder, model, **options):
    jobs = plan_panels(Board(story, PICTURES, story_masks(story, folder, "s.yaml")), model, Sampling(2))
    return {result.job.panel_id: result for result in render(jobs, model, **options)}


def unmasked(*panels):
    """The pictures of the same panels without masks."""
    return story_of(*(panel.split(", masks")[0] for panel in panels))


# What may change --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("masks", "free"), [
    ("edit: face.png", FACE), ("keep: eyes.png", ~EYES), ("edit: face.png, keep: eyes.png", FACE & ~EYES)])
def test_outside_every_pixel_is_the_source_s(model, folder, masks, free):
    panels = FIRST, SECOND.replace("edit: face.png", masks)
    pictures, whole = results_of(story_of(*panels), folder, model), results_of(unmasked(*panels), folder, model)
    source, picture, result = pictures["a"].picture, pictures["b"].picture, whole["b"].picture
    assert torch.equal(source, whole["a"].picture)
    assert torch.equal(picture[~free], source[~free])
    changed = (picture != source).all(dim=2)
    assert torch.equal(changed, free)  # every pixel inside shows something of the result
    share = mask_share(pictures["b"].job.masks)
    assert torch.equal(picture[share == 1], result[share == 1]) and (share == 1).sum() > free.sum() // 2
    entry = record(pictures["b"], "fake")["masks"]
    assert set(entry) == {part.split(":")[0].strip() for part in masks.split(",")}
    if "edit" in entry:
        assert entry["edit"] == picture_hash(FACE[..., None].expand(-1, -1, 3).float())
    assert "masks" not in record(pictures["a"], "fake")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.02, 1), st.sampled_from([(96, 64), (17, 300), (1, 1), (512, 512)]))
def test_the_transition_lies_inside_whatever_the_mask(seed, amount, size):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 1 + size[0] // 16, 1 + size[1] // 16, generator=generator) < amount
    free = torch.nn.functional.interpolate(coarse.float(), size)[0, 0] > 0.5
    if not free.any():
        return
    share = mask_share({"edit": free})
    assert torch.equal(share > 0, free) and share.max() == 1 and (free.all() <= share.eq(1).all())
    picture, result = torch.rand(2, *size, 3, generator=generator)
    assert torch.equal(paste(picture, result, share)[~free], picture[~free])
    assert torch.equal(may_change({"edit": free, "keep": ~free}), free)


def test_the_transition_is_a_few_pixels_wide_and_not_at_the_picture_s_border():
    share = mask_share({"edit": box(0, 512, 0, 300, (512, 1024))})
    row = share[256]
    assert row[0] == 1 and (row[:296] == 1).all() and row[296:301].tolist() == pytest.approx([.8, .6, .4, .2, 0])
    assert torch.equal(share[0], row)
    assert mask_share({"edit": box(5, 8, 5, 8, (512, 512))})[6, 6] == 1  # a small area is not all edge


def test_a_reference_is_kept_where_the_masks_say(model, folder):
    story = story_of("id: a, prompt: x, characters: [mia], from: reference, masks: {keep: face.png}",
                     "id: b, prompt: y, from: a, masks: {edit: eyes.png}")
    first, second = (results_of(story, folder, model)[name].picture for name in "ab")
    assert torch.equal(first[FACE], MIA[FACE]) and (first[~FACE] != MIA[~FACE]).any(dim=1).all()
    assert torch.equal(second[~EYES], first[~EYES])


def test_passes_stay_inside_the_masks_too(model, folder):
    story = story_of(FIRST, "id: b, prompt: y, from: a, together: passes, masks: {edit: face.png}, "
                            "characters: {mia: , tom: {region: right}}")
    source, picture = (results_of(story, folder, model)[name].picture for name in "ab")
    free = FACE & box(0, 96, 32, 64)
    assert torch.equal(picture[~free], source[~free]) and (picture[free] != source[free]).any(dim=1).all()


def test_another_mask_changes_its_panel_and_those_made_from_it(model, folder):
    panels = (SECOND, FIRST, "id: c, prompt: third, from: b", "id: d, prompt: other, from: a", "id: e, prompt: alone, "
              "characters: [tom]")
    before = results_of(story_of(*panels), folder, model)
    save(folder / "face.png", box(10, 50, 10, 51))
    after = results_of(story_of(*panels), folder, model)
    same = {name for name in before if torch.equal(before[name].picture, after[name].picture)}
    assert same == {"a", "d", "e"}
    same = {name for name in before if record(before[name], "fake") == record(after[name], "fake")}
    assert same == {"a", "d", "e"}


def test_what_is_scored_is_what_is_kept(model, folder):
    seen = []

    def judge(panel_id, picture):
        seen.append((panel_id, picture))
        likeness = FigureScore(float(picture[FACE].mean()), None, None)
        return PictureScore("mean", {"mia": likeness}, 1) if panel_id == "b" else None

    story = story_of(FIRST, SECOND + ", candidates: 3")
    pictures = results_of(story, folder, model, judge=judge)
    source, picture = pictures["a"].picture, pictures["b"].picture
    scored = [shown for name, shown in seen if name == "b"]
    assert len(scored) == 3 == len({picture_hash(shown) for shown in scored})
    assert all(torch.equal(shown[~FACE], source[~FACE]) for shown in scored)
    assert torch.equal(picture, max(scored, key=lambda shown: shown[FACE].mean()))
    tried = pictures["b"].tried
    assert all(candidate.picture is shown for candidate, shown in zip(tried, scored, strict=True))


# Mask files -------------------------------------------------------------------------------------------------------


def test_files_of_many_kinds(folder):
    white = torch.zeros(96, 64)
    white[:, 32:] = 1
    grey = (white * 200 + 20).numpy().astype(np.uint8)
    Image.fromarray(grey).save(folder / "grey.jpg", quality=60)
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(grey > 100).save(folder / "bits.png")
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(folder / "opaque.png")
    for name in ("grey.jpg", "deep.png", "bits.png", "opaque.png"):
        masks = story_masks(story_of(FIRST, SECOND.replace("face.png", name)), folder, "s.yaml")
        assert torch.equal(masks["b"]["edit"], white > 0.5), name


@pytest.mark.parametrize(("name", "words"), [
    ("none.png", "does not exist; put the picture there"),
    ("folder", "is not a file"),
    ("text.png", "is not a picture Kontinuity reads (unknown format); save it as PNG or JPEG"),
    ("clear.png", "has transparent parts; save it without an alpha channel"),
    ("black.png", "has no white, which says what may change; paint those parts white on black"),
    ("out.png", "is a link that leaves the story's folder; copy the picture itself into the folder"),
    ("loop.png", "cannot be followed")])
def test_a_bad_file_is_refused_before_anything_is_planned(folder, name, words):
    story = folder / "story"
    story.mkdir()
    save(story / "black.png", box(0, 0, 0, 0))
    (story / "folder").mkdir()
    (story / "text.png").write_text("version: 1")
    Image.fromarray(np.full((96, 64, 4), 100, np.uint8)).save(story / "clear.png")
    (story / "out.png").symlink_to(folder / "face.png")
    (story / "loop.png").symlink_to(story / "loop.png")
    with pytest.raises(InputError) as caught:
        story_masks(story_of(FIRST, SECOND.replace("face.png", name)), story, "s.yaml")
    assert str(caught.value).startswith("s.yaml:7: panel 'b' masks edit '") and words in str(caught.value)
    assert name in str(caught.value)


def test_a_mask_that_keeps_nothing_is_refused(folder):
    with pytest.raises(InputError, match="panel 'b' masks keep 'black.png': has no white, which says what must stay"):
        story_masks(story_of(FIRST, SECOND.replace("edit: face", "keep: black")), folder, "s.yaml")


@pytest.mark.parametrize(("panel", "words"), [
    (SECOND.replace("face", "small"), "masks edit 'small.png': is 32x48, and the panel is 64x96; make the mask 64x96"),
    (SECOND.replace("edit: face", "keep: all"), "masks 'all.png': let nothing change; paint less of keep white"),
    (SECOND.replace("face.png", "eyes.png, keep: face.png"), "masks 'eyes.png, face.png': let nothing change"),
    (SECOND.replace("from: a", "characters: [mia]"), "masks 'face.png': keep pixels of a picture, and this panel is "
     "made anew; write `from:` with the panel that it changes, or `from: reference`"),
    (SECOND.replace("from: a", "size: [64, 64], from: a").replace("face.png", "square.png"),
     "size '64x64': is not that of panel 'a', and masks keep its pixels; give both one size"),
    (SECOND.replace("from: a", "characters: [mia, tom], from: reference"), "and this panel is made from 2 references"),
    (SECOND.replace("from: a", "characters: [], from: reference"), "and this panel is made from 0 references"),
    (SECOND.replace("from: a", "characters: [mia], together: passes, from: reference"), "from none in its first pass"),
    (SECOND.replace("from: a", "size: [64, 64], characters: [mia], from: reference").replace("face.png", "square.png"),
     "keep pixels of the reference, which is 64x96, and the panel is 64x64; give the panel the size"),
])
def test_a_mask_that_does_not_fit_is_refused_before_anything_is_sampled(model, folder, panel, words):
    save(folder / "square.png", box(0, 9, 0, 9, (64, 64)))
    with pytest.raises(InputError) as caught:
        results_of(story_of(FIRST, panel), folder, model)
    assert caught.value.where == "panel 'b'" and words in str(caught.value) and model.edited == []


def test_masks_are_not_forgotten(model):
    with pytest.raises(InputError, match="panel 'b': masks 'face.png': are not opened"):
        plan_panels(Board(story_of(FIRST, SECOND), PICTURES), model, Sampling())
    assert len(plan_panels(Board(story_of(FIRST, SECOND), PICTURES), model, Sampling(), only="a")) == 1


def test_one_file_of_many_panels_is_opened_once(folder, monkeypatch):
    from kontinuity.storyboard.plan import masks

    opened = []
    monkeypatch.setattr(masks, "open_beside", lambda home, name, *_, **__: opened.append(name) or torch.ones(96, 64, 3))
    story = story_of(FIRST, *(SECOND.replace("id: b", f"id: b{i}") for i in range(20)))
    assert len(story_masks(story, folder, "s.yaml")) == 20 and opened == ["face.png"]

"""Identity scores with encoders and finders that are known by heart."""

import json

import pytest
import torch
import torch.nn.functional as F
from kontinuity.common import Box, InputError
from kontinuity.kontext import FaceEncoder, FaceFinder, Scorer, load_encoder
from kontinuity.kontext.identity.finders import widened
from kontinuity.kontext.identity.scores import assign, crop, mirror_test


class Colours:
    """The mean colour, from its middle grey."""

    name = "colours"

    def embed(self, pictures):
        return F.normalize(torch.stack([picture.mean((0, 1)) - 0.4 for picture in pictures]), dim=1)


class Columns:
    """A figure in every column of 20 pixels that is not black."""

    name = "columns"

    def find(self, picture):
        width = picture.shape[1]
        return [Box(x / width, 0.0, (x + 20) / width, 1.0) for x in range(0, width, 20)
                if picture[:, x:x + 20].sum() > 0]


RED, GREEN, BLUE = (torch.eye(3)[i].expand(20, 20, 3) for i in range(3))
BLACK = torch.zeros(20, 20, 3)


def beside(*pictures):
    return torch.cat(pictures, 1)


@pytest.fixture
def scorer():
    return Scorer(Colours(), Columns())


def test_figures_go_to_their_characters_wherever_they_stand(scorer):
    cast = scorer.cast({"mia": [RED], "tom": [GREEN]})
    for picture, left in ((beside(GREEN, BLACK, RED), "tom"), (beside(RED, GREEN), "mia")):
        score = cast.score(picture)
        assert score.total == pytest.approx(1) and score.count_is_right
        assert score.figures[left].box[0] == 0
    swapped = cast.score(beside(BLUE, GREEN))
    assert swapped.figures["tom"].likeness == pytest.approx(1) and swapped.figures["mia"].likeness < 0.3


def test_the_best_of_a_characters_references_counts(scorer):
    assert scorer.cast({"mia": [BLUE, RED]}).score(RED).total == pytest.approx(1)
    assert scorer.cast({"mia": [BLUE]}).score(RED).total < 0.3


def test_too_many_and_too_few_figures_cost(scorer):
    cast = scorer.cast({"mia": [RED], "tom": [GREEN]})
    missing = cast.score(beside(RED, BLACK))
    assert missing.found == 1 and missing.count_is_right is False and missing.figures["tom"].box is None
    assert missing.total == pytest.approx(0.5)
    assert cast.score(beside(RED, GREEN, GREEN)).total == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)
    assert cast.score(BLACK).total == 0 and cast.score(BLACK).found == 0
    assert "1 of 2 figures" in str(missing) and "by colours" in str(missing)


def test_without_a_finder_nobody_counts():
    cast = Scorer(Colours()).cast({"mia": [RED], "tom": [GREEN]})
    whole = cast.score(RED)
    assert whole.count_is_right is None and whole.figures["mia"].likeness == pytest.approx(1)
    assert "count not checked" in str(whole)
    halves = {"mia": Box(0.5, 0.0, 1.0, 1.0), "tom": Box(0.0, 0.0, 0.5, 1.0)}
    assert cast.score(beside(GREEN, RED), halves).total == pytest.approx(1)
    assert cast.score(beside(RED, GREEN), halves).total < 0.3  # in each other's places: a region is whose it is


def test_a_region_says_whose_a_figure_is(scorer):
    cast = scorer.cast({"mia": [RED]})
    assert cast.score(beside(RED, BLACK), {"mia": Box(0.5, 0.0, 1.0, 1.0)}).total == 0
    assert cast.score(beside(BLACK, RED), {"mia": Box(0.5, 0.0, 1.0, 1.0)}).total == pytest.approx(1)


def test_assignment_is_the_best_together_not_one_after_the_other():
    likeness = torch.tensor([[0.9, 0.8], [0.8, 0.1]])
    assert assign(likeness, torch.ones(2, 2, dtype=torch.bool)) == [(0, 1), (1, 0)]
    assert assign(likeness, torch.tensor([[True, False], [True, False]])) == [(0, 0)]


def test_mirror_test_tells_a_copy():
    straight, mirrored = torch.eye(3)[:1], torch.eye(3)[1:2]
    assert mirror_test(straight[0], straight, mirrored) > 0.99
    assert mirror_test(mirrored[0], straight, mirrored) < 0.01
    assert mirror_test(straight[0], straight, straight) == pytest.approx(0.5)


def test_crops_are_square_and_repeat_the_edge():
    picture = torch.arange(8.0).view(1, 8, 1).expand(4, 8, 3)
    made = crop(picture, Box(0.75, 0.0, 1.0, 1.0))
    assert made.shape == (4, 4, 3) and made[0, :, 0].tolist() == [5, 6, 7, 7]
    assert crop(picture, Box(0.5, 0.5, 0.5, 0.5)).shape == (1, 1, 3)


@pytest.fixture
def folder(tmp_path):
    from transformers import ResNetConfig, ResNetModel

    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
                ).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    return tmp_path


def test_a_transformers_folder_gives_unit_vectors(folder):
    encoder = load_encoder(folder, "mine", "test")
    vectors = encoder.embed([torch.rand(40, 30, 3), torch.rand(16, 64, 3)])
    assert encoder.name == "mine" and vectors.shape == (2, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(encoder.embed([torch.ones(5, 5, 3)]), encoder.embed([torch.ones(9, 9, 3)]))


def test_clip_is_read_by_its_vision_half(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config={**small, "vocab_size": 10}, projection_dim=12,
                                 vision_config={**small, "image_size": 32, "patch_size": 16,
                                                "projection_dim": 12})).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"crop_size": {"height": 32, "width": 32}}')
    picture = torch.rand(32, 32, 3)
    with torch.no_grad():
        found = model.get_image_features(pixel_values=picture.permute(2, 0, 1)[None] * 2 - 1)
    wanted = F.normalize(found if torch.is_tensor(found) else found.pooler_output, dim=1)
    torch.testing.assert_close(load_encoder(tmp_path, "clip", "test").embed([picture]), wanted, rtol=1e-4, atol=1e-5)


def without_a_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("spoil, says", [
    (without_a_weight, "lacks weights"),
    (lambda folder: (folder / "config.json").unlink(), "config.json"),
    (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "safetensors"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "cannot be loaded"),
    (lambda folder: (folder / "preprocessor_config.json").write_text('{"size": 99999}'), "99999"),
])
def test_a_bad_folder_is_said(folder, spoil, says):
    spoil(folder)
    with pytest.raises(InputError, match=says):
        load_encoder(folder, "mine", "test")


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) % 128 + 128, len(value) // 128])
    return bytes([number << 3 | 2]) + length + value


def mean_colour_network(operator: bytes = b"GlobalAveragePool", sides: tuple[int, ...] = (1, 3, 112, 112)) -> bytes:
    """An ONNX file, byte by byte: pictures to their mean colours. (The onnx package is no dependency.)"""
    def tensor(name: bytes, shape: tuple[int, ...]) -> bytes:
        dims = b"".join(field(1, field(1, side)) for side in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    graph = b"".join(field(1, field(1, given) + field(2, made) + field(4, kind))
                     for given, made, kind in ((b"in", b"mean", operator), (b"mean", b"out", b"Flatten")))
    graph += field(2, b"g") + field(11, tensor(b"in", sides)) + field(12, tensor(b"out", (1, 3)))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def test_a_face_embedding_sees_rgb_from_minus_one_to_one(tmp_path):
    path = tmp_path / "face.onnx"
    path.write_bytes(mean_colour_network())
    encoder = FaceEncoder(path, "mine", "test")
    pictures = [torch.tensor([1.0, 0.5, 0.25]).expand(40, 60, 3), torch.tensor([0.0, 1.0, 0.5]).expand(112, 112, 3)]
    wanted = F.normalize(torch.tensor([[1.0, 0.0, -0.5], [-1.0, 1.0, 0.0]]), dim=1)
    torch.testing.assert_close(encoder.embed(pictures), wanted, rtol=1e-4, atol=1e-4)
    assert encoder.name == "mine"


@pytest.mark.parametrize("content", [b"no network", mean_colour_network(b"Nonsense")])
def test_a_file_that_is_no_face_embedding_is_said(tmp_path, content):
    (tmp_path / "face.onnx").write_bytes(content)
    with pytest.raises(InputError, match="is no face embedding.*AuraFace"):
        FaceEncoder(tmp_path / "face.onnx", "mine", "test")


def test_a_file_that_is_no_face_detector_is_said(tmp_path):
    (tmp_path / "face.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="YuNet"):
        FaceFinder(tmp_path / "face.onnx", "test")


def test_face_boxes_are_widened_inside_the_picture():
    assert widened(0.4, 0.4, 0.2, 0.2) == pytest.approx((0.35, 0.35, 0.65, 0.65))
    assert widened(0.0, 0.9, 0.2, 0.2) == pytest.approx((0.0, 0.85, 0.25, 1.0))

"""RIFE by file against a reference written as plain functions of the file's tensors; the model inside ``Between``."""

import pickle

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import InBetweenModel, frame_times, load_in_between, pictures_at, prepare_pair
from safetensors.torch import save_file
from torch.nn import functional as F

CHANNELS = (12, 10, 8, 8, 6)


def weights(channels=CHANNELS, head=4, seed=0) -> dict:
    """Random tensors under the names that Practical-RIFE's flownet.pkl has."""
    draw = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, *shape):
        fan = shape[1] * shape[2] * shape[3]
        state[f"module.{name}.weight"] = torch.randn(shape, generator=draw) * fan ** -0.5
        state[f"module.{name}.bias"] = torch.randn(shape[1] if "lastconv" in name or "cnn3" in name else shape[0],
                                                   generator=draw) * 0.1

    conv("encode.cnn0", 16, 3, 3, 3)
    conv("encode.cnn1", 16, 16, 3, 3)
    conv("encode.cnn2", 16, 16, 3, 3)
    conv("encode.cnn3", 16, head, 4, 4)
    for number, wide in enumerate(channels):
        conv(f"block{number}.conv0.0.0", wide // 2, (7 if number == 0 else 20) + 2 * head, 3, 3)
        conv(f"block{number}.conv0.1.0", wide, wide // 2, 3, 3)
        for layer in range(8):
            conv(f"block{number}.convblock.{layer}.conv", wide, wide, 3, 3)
            state[f"module.block{number}.convblock.{layer}.beta"] = torch.rand((1, wide, 1, 1), generator=draw)
        conv(f"block{number}.lastconv.0", wide, 52, 4, 4)
    return state


def reference(state: dict, a, b, t: float, scales=(16, 8, 4, 2, 1)):
    """RIFE 4.25 on pictures [1, 3, H, W] whose sides need no padding."""
    state = {name.removeprefix("module."): value for name, value in state.items()}

    def conv(x, name, stride=1):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        if weight.shape[2] == 4:
            return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
        return F.conv2d(x, weight, bias, stride=stride, padding=1)

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    def features(x):
        x = leaky(conv(x, "encode.cnn0", 2))
        return conv(leaky(conv(leaky(conv(x, "encode.cnn1")), "encode.cnn2")), "encode.cnn3")

    def fetch(x, flow):
        ys, xs = torch.meshgrid(*(torch.arange(side, dtype=x.dtype) for side in x.shape[2:]), indexing="ij")
        xs, ys = (xs + flow[:, 0]) / (x.shape[3] - 1) * 2 - 1, (ys + flow[:, 1]) / (x.shape[2] - 1) * 2 - 1
        return F.grid_sample(x, torch.stack([xs, ys], -1), padding_mode="border", align_corners=True)

    fa, fb = features(a), features(b)
    time = torch.full_like(a[:, :1], t)
    flow, mask, rest = torch.zeros_like(a[:, :1]).expand(-1, 4, -1, -1), None, None
    for number, scale in enumerate(scales):
        a_now, b_now = fetch(a, flow[:, :2]), fetch(b, flow[:, 2:])
        x = [a_now, b_now, fetch(fa, flow[:, :2]), fetch(fb, flow[:, 2:]), time]
        x = torch.cat(x if number == 0 else [*x, mask, rest], 1)
        x = F.interpolate(x, scale_factor=1 / scale, mode="bilinear")
        if number:
            x = torch.cat([x, F.interpolate(flow, scale_factor=1 / scale, mode="bilinear") / scale], 1)
        x = leaky(conv(leaky(conv(x, f"block{number}.conv0.0.0", 2)), f"block{number}.conv0.1.0", 2))
        for layer in range(8):
            name = f"block{number}.convblock.{layer}"
            x = leaky(conv(x, f"{name}.conv") * state[f"{name}.beta"] + x)
        x = F.pixel_shuffle(conv(x, f"block{number}.lastconv.0"), 2)
        x = F.interpolate(x, scale_factor=scale, mode="bilinear")
        flow, mask, rest = flow + x[:, :4] * scale, x[:, 4:5], x[:, 5:]
    share = torch.sigmoid(mask)
    return fetch(a, flow[:, :2]) * share + fetch(b, flow[:, 2:]) * (1 - share)


def as_images(*pictures):
    return (picture.permute(2, 0, 1)[None] for picture in pictures)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("rife") / "rife.safetensors"
    save_file(weights(), path)
    return InBetweenModel(load_in_between(path))


@pytest.mark.parametrize(("channels", "head", "scales", "size"), [
    (CHANNELS, 4, (16, 8, 4, 2, 1), (64, 128)),
    ((8, 8, 8, 8, 8), 16, (16, 8, 4, 2, 1), (64, 64)),  # the large variant's features
    ((8, 8, 8, 8, 24), 4, (32, 16, 8, 4, 1), (128, 128)),  # the lite variant looks from further away
], ids=["4.26", "large", "lite"])
def test_equals_the_reference(tmp_path, texture, channels, head, scales, size):
    state = weights(channels, head)
    torch.save(state | {"module.teacher.conv.weight": torch.zeros(1), "module.caltime.0.weight": torch.zeros(1)},
               tmp_path / "flownet.pkl")
    network = load_in_between(tmp_path / "flownet.pkl")
    a, b = as_images(texture(1, *size), texture(2, *size))
    for t in (0.5, 0.2):
        with torch.no_grad():
            ours, theirs = network.make(network.prepare(a, b), t), reference(state, a, b, t, scales)
        assert (ours - theirs).abs().max() < 1e-4
        assert (theirs - torch.lerp(a, b, t)).abs().mean() > 0.01  # the weights do something


def test_the_published_number_of_tensors():
    from kontinuity.flow.between.rife import IFNet

    with torch.device("meta"):
        assert len(IFNet(4, (192, 128, 96, 64, 32)).state_dict()) == 158  # of flownet.pkl without its training part


def test_any_size_is_padded_and_comes_back(model, texture):
    a, b = texture(1, 50, 71), texture(2, 50, 71)
    made = model.pair(a, b)(0.3)
    wide = [F.pad(image, (0, 57, 0, 14), "replicate") for image in as_images(a, b)]
    with torch.no_grad():
        whole = model.network.make(model.network.prepare(*wide), 0.3)
    assert made.shape == (50, 71, 3) and made.dtype == torch.float32
    assert torch.allclose(made, whole[0, :, :50, :71].permute(1, 2, 0).clamp(0, 1), atol=1e-5)


def test_a_pair_leaves_the_pictures_to_it_except_ends_copies_and_cuts(model, texture):
    a, b = texture(1, 64, 64), texture(1, 64, 64).roll(2, 1)
    pair, turned = prepare_pair(a, b, model=model), prepare_pair(b, a, model=model)
    assert pair.report.decision == "model" and pair.report.reason == "RIFE"
    assert pair.at(0) is a and pair.at(1) is b
    assert torch.equal(pair.at(0.25), turned.at(0.75))
    assert not torch.equal(pair.at(0.25), pair.at(0.5))
    assert not torch.allclose(pair.at(0.5), prepare_pair(a, b).at(0.5), atol=1e-3)
    assert prepare_pair(a, a.clone(), model=model).report.decision == "duplicate"
    dark, light = texture(1, 64, 64) * 0.3, 0.7 + texture(5, 64, 64) * 0.3
    assert prepare_pair(dark, light, model=model).report.decision == "hold"
    assert prepare_pair(a, b, "dissolve", model=model).report.decision == "dissolve"


def test_a_clip_is_made_by_it_and_the_device_is_asked_with_the_bytes(model, texture):
    asked = []

    def device(work_bytes):
        asked.append(work_bytes)
        return torch.device("cpu")

    clip = [texture(1, 32, 48).roll(shift, 1) for shift in (0, 1, 2)]
    made = list(pictures_at(clip, frame_times(3, 1, 3), model=InBetweenModel(model.network, device)))
    assert [item.report and item.report.decision for item in made] == [None, "model", "model"] * 2 + [None]
    assert asked == [model.network.work_bytes * 64 * 64] * 4
    with pytest.raises(InputError, match="bring them to one size"):
        prepare_pair(clip[0], texture(1, 48, 48), model=model)


def test_other_files_are_refused_with_the_tensor_and_what_to_use(tmp_path):
    def refused(state: dict, *texts: str) -> None:
        save_file(state, tmp_path / "bad.safetensors")
        with pytest.raises(InputError) as error:
            load_in_between(tmp_path / "bad.safetensors")
        assert all(text in str(error.value) for text in ("bad.safetensors", *texts)), str(error.value)

    state = weights()
    refused({name: value for name, value in state.items() if "block4" not in name}, "4 blocks", "use RIFE 4.25")
    refused({name: value for name, value in state.items() if "convblock.3.beta" not in name},
            "there is no blocks.0.convblock.3.beta", "use RIFE 4.25")
    refused({name: value for name, value in state.items() if "encode" not in name}, "there is no encode.cnn3.weight")
    refused(state | {"module.contextnet.weight": torch.zeros(1)}, "contextnet.weight is not part of it")
    refused(state | {"module.encode.cnn1.weight": torch.zeros(16, 16, 1, 1)}, "encode.cnn1.weight is [16, 16, 1, 1]")
    # sizes are believed only if everything fits: this one would need a terabyte
    huge = {"module.block0.conv0.1.0.weight": torch.zeros(1 << 19, 1, 1, 1)}
    refused(state | huge, "does not fit")
    refused({"a": torch.zeros(1)}, "neither RIFE nor FILM")
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(print))
    with pytest.raises(InputError, match="cannot be read as tensors"):
        load_in_between(tmp_path / "bomb.pkl")

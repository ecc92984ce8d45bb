"""RAFT by file: the right network for the file, the pictures as torchvision's own preset prepares them."""

import pickle

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import RaftFlow, estimate_motion, load_raft
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large, raft_small
from torchvision.transforms._presets import OpticalFlow


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """raft_small with random weights: the network and its file."""
    torch.manual_seed(0)
    network = raft_small(weights=None).eval()
    path = tmp_path_factory.mktemp("raft") / "raft_small.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def test_equals_torchvision_called_by_hand(small, texture):
    network, path = small
    a, b = texture(1, 128, 136), texture(2, 128, 136)
    ours = RaftFlow(load_raft(path), updates=3)(a, b)
    prepared = OpticalFlow()(a.permute(2, 0, 1)[None], b.permute(2, 0, 1)[None])
    with torch.no_grad():
        theirs = network(*prepared, num_flow_updates=3)[-1][0].permute(1, 2, 0)
    assert (ours - theirs).abs().max() < 1e-4 and ours.abs().max() > 1e-3
    assert ours.shape == (128, 136, 2)


def test_odd_small_and_large_pictures_come_back_at_their_size(small, texture, monkeypatch):
    estimator = RaftFlow(small[0], updates=1)
    assert estimator(texture(1, 50, 71), texture(2, 50, 71)).shape == (50, 71, 2)
    a, b = texture(1, 256, 256), texture(2, 256, 256)
    monkeypatch.setattr("kontinuity.flow.estimators.raft._MOST_PIXELS", 128 * 128)
    halved = estimator(a, b)

    def half(picture):
        return torch.nn.functional.interpolate(picture.permute(2, 0, 1)[None], (128, 128), mode="bilinear",
                                               antialias=True)[0].permute(1, 2, 0).contiguous()

    assert halved.shape == (256, 256, 2)
    # vectors grow with the picture
    assert halved.abs().mean() == pytest.approx(2 * estimator(half(a), half(b)).abs().mean().item(), rel=0.1)


def test_it_is_an_estimator_and_is_brought_to_its_device_before_each_use(small, texture):
    asked = []

    def device():
        asked.append(1)
        return torch.device("cpu")

    motion = estimate_motion(texture(1, 48, 48), texture(2, 48, 48), RaftFlow(small[0], device, 1), large_motion=False)
    assert motion.forward.shape == (48, 48, 2) and len(asked) == 2
    with pytest.raises(InputError, match="Node: second picture '64x48': .*; bring them to one size"):
        estimate_motion(texture(1, 48, 48), texture(1, 48, 64), RaftFlow(small[0]), where="Node")


def test_large_and_small_are_told_apart_and_plain_pth_files_are_read(small, tmp_path):
    torch.save(small[0].state_dict(), tmp_path / "small.pth")
    assert sum(p.numel() for p in load_raft(tmp_path / "small.pth").parameters()) < 2e6
    torch.save(raft_large(weights=None).state_dict(), tmp_path / "large.pth")
    large = load_raft(tmp_path / "large.pth")
    assert sum(p.numel() for p in large.parameters()) > 4e6 and not large.training


def test_other_files_are_refused(small, tmp_path):
    state = small[0].state_dict()

    def refused(name: str, text: str) -> None:
        with pytest.raises(InputError, match=text):
            load_raft(tmp_path / name)

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    refused("other.safetensors", "holds no RAFT of torchvision")
    save_file({"module.fnet.conv1.weight": torch.zeros(1)}, tmp_path / "princeton.safetensors")
    refused("princeton.safetensors", "names of the original release")
    save_file({name: value for name, value in state.items() if "mask" not in name and "hidden" not in name} | {
        "feature_encoder.convnormrelu.0.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "mixed.safetensors")
    refused("mixed.safetensors", "does not fit RAFT")
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    refused("cut.safetensors", "cannot be read as tensors")

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    refused("bomb.pth", "cannot be read as tensors")
    torch.save({"model": Bomb()}, tmp_path / "bomb.pt")
    refused("bomb.pt", "cannot be read as tensors")
    assert not (tmp_path / "exploded").exists()
    torch.save({"model": state}, tmp_path / "nested.pth")
    refused("nested.pth", "more than tensors")

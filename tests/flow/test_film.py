"""FILM by file against a reference written as plain functions of the file's tensors."""

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.flow import InBetweenModel, load_in_between
from safetensors.torch import save_file
from torch.nn import functional as F

FILTERS = 4
FLOW = (4, 6, 8, 10)  # widths of the networks that find flow, finest first


def weights(filters=FILTERS, flow=FLOW) -> dict:
    """Random tensors under the names and shapes of film_net_fp16.safetensors, with fewer channels."""
    draw = torch.Generator().manual_seed(0)
    state = {}

    def conv(name, before, after, size):
        state[f"{name}.weight"] = torch.randn((after, before, size, size), generator=draw) * 1.2 * (
            before * size * size) ** -0.5
        state[f"{name}.bias"] = torch.randn(after, generator=draw) * 0.1

    before = 3
    for depth in range(4):
        conv(f"extract.extract_sublevels.convs.{depth}.0.conv", before, filters << depth, 3)
        conv(f"extract.extract_sublevels.convs.{depth}.1.conv", filters << depth, filters << depth, 3)
        before = filters << depth
    known = [filters, 3 * filters, 7 * filters, 15 * filters]  # channels of a level's features
    for level, name in enumerate(("_predictors.2", "_predictors.1", "_predictors.0", "_predictor")):
        before, wide = 2 * known[level], flow[level]
        for number, (after, size) in enumerate(((wide, 3), (wide, 3), (wide, 3), (wide // 2, 1), (2, 1))):
            conv(f"predict_flow.{name}._convs.{number}.conv", before, after, size)
            before = after
    before = 2 * (known[3] + 5)
    for number, level in enumerate((3, 2, 1, 0)):
        after = filters << level
        conv(f"fuse.convs.{number}.0.conv", before, after, 2)
        conv(f"fuse.convs.{number}.1.conv", 2 * (known[level] + 5) + after, after, 3)
        conv(f"fuse.convs.{number}.2.conv", after, after, 3)
        before = after
    conv("fuse.output_conv", filters, 3, 1)
    return state


def reference(state: dict, a, b, t: float):
    """FILM on pictures [1, 3, H, W] whose sides are multiples of 64."""
    def conv(x, name, active=True):
        weight = state[f"{name}.weight"]
        x = F.pad(x, (0, 1, 0, 1)) if weight.shape[2] == 2 else x
        x = F.conv2d(x, weight, state[f"{name}.bias"], padding=1 if weight.shape[2] == 3 else 0)
        return F.leaky_relu(x, 0.2) if active else x

    def fetch(x, flow):
        ys, xs = torch.meshgrid(*(torch.arange(side, dtype=x.dtype) for side in x.shape[2:]), indexing="ij")
        xs, ys = (xs + flow[:, 0] + 0.5) / x.shape[3] * 2 - 1, (ys + flow[:, 1] + 0.5) / x.shape[2] * 2 - 1
        return F.grid_sample(x, torch.stack([xs, ys], -1), padding_mode="border", align_corners=False)

    def double(flow):
        return 2 * F.interpolate(flow, scale_factor=2, mode="bilinear")

    def pyramid(x):
        return [x] if x.shape[2] == a.shape[2] // 64 else [x, *pyramid(F.avg_pool2d(x, 2))]

    def seen(x, layers):
        """The features of one picture, as many layers deep."""
        found = []
        for depth in range(layers):
            name = f"extract.extract_sublevels.convs.{depth}"
            x = conv(conv(F.avg_pool2d(x, 2) if depth else x, f"{name}.0.conv"), f"{name}.1.conv")
            found.append(x)
        return found

    def features(pictures):
        trees = [seen(x, min(4, 7 - level)) for level, x in enumerate(pictures)]
        return [torch.cat([trees[level - depth][depth] for depth in range(min(3, level) + 1)], 1)
                for level in range(7)]

    def flows(first, second):
        flow, found = None, {}
        for level in (6, 5, 4, 3, 2, 1, 0):
            name = "predict_flow." + ("_predictor" if level > 2 else f"_predictors.{2 - level}")
            other = second[level] if flow is None else fetch(second[level], double(flow))
            x = torch.cat([first[level], other], 1)
            for number in range(5):
                x = conv(x, f"{name}._convs.{number}.conv", number < 4)
            flow = found[level] = x if flow is None else x + double(flow)
        return found

    pictures = [pyramid(a), pyramid(b)]
    known = [features(pictures[0]), features(pictures[1])]
    forward, backward = flows(*known), flows(*known[::-1])
    aligned = []
    for level in range(5):
        to_a, to_b = backward[level] * t, forward[level] * (1 - t)
        one, two = (torch.cat([pictures[side][level], known[side][level]], 1) for side in (0, 1))
        aligned.append(torch.cat([fetch(one, to_a), fetch(two, to_b), to_a, to_b], 1))
    x = aligned[4]
    for number, level in enumerate((3, 2, 1, 0)):
        x = conv(F.interpolate(x, scale_factor=2, mode="nearest"), f"fuse.convs.{number}.0.conv", False)
        x = conv(torch.cat([aligned[level], x], 1), f"fuse.convs.{number}.1.conv")
        x = conv(x, f"fuse.convs.{number}.2.conv")
    return conv(x, "fuse.output_conv", False)


def test_equals_the_reference(tmp_path, texture):
    state = weights()
    save_file(state, tmp_path / "film.safetensors")
    network = load_in_between(tmp_path / "film.safetensors")
    a, b = (texture(seed, 64, 128).permute(2, 0, 1)[None] for seed in (1, 2))
    with torch.no_grad():
        prepared = network.prepare(a, b)
        for t in (0.5, 0.2):
            ours, theirs = network.make(prepared, t), reference(state, a, b, t)
            assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
        assert prepared[0][2].abs().max() > 0.1  # it moves
        assert (network.make(prepared, 0.8) - ours).abs().max() > 1e-3


def test_half_precision_and_the_first_ports_names_are_read_and_sizes_are_kept(tmp_path, texture):
    state = weights()
    old = {name.replace(".conv.", ".0."): value for name, value in state.items()}  # as exported with --statedict
    torch.save({name: value.half() for name, value in old.items()}, tmp_path / "film_net_fp16.pt")
    network = load_in_between(tmp_path / "film_net_fp16.pt")
    assert network.name == "FILM" and next(network.parameters()).dtype == torch.float32
    made = InBetweenModel(network).pair(texture(1, 33, 70), texture(2, 33, 70))(0.5)
    assert made.shape == (33, 70, 3) and made.min() >= 0 and made.max() <= 1


def test_the_published_sizes_are_the_ones_that_fit():
    from kontinuity.flow.between.film import FilmNet

    with torch.device("meta"):
        published = FilmNet(64, (32, 64, 128, 256)).state_dict()
    assert len(published) == 82
    size = 68_882_302  # bytes of film_net_fp16.safetensors
    assert 0 < size - 2 * sum(value.numel() for value in published.values()) < 20_000  # its header


def test_other_files_are_refused_with_the_tensor_and_what_to_use(tmp_path):
    def refused(name: str, *texts: str) -> None:
        with pytest.raises(InputError) as error:
            load_in_between(tmp_path / name)
        assert all(text in str(error.value) for text in (name, *texts)), str(error.value)

    state = weights()
    save_file({name: value for name, value in state.items() if "fuse.convs.2.1.conv.bias" not in name},
              tmp_path / "cut.safetensors")
    refused("cut.safetensors", "there is no fuse.convs.2.1.conv.bias", "use film_net_fp16.safetensors")
    save_file({name: value for name, value in state.items() if "_predictors.1" not in name},
              tmp_path / "less.safetensors")
    refused("less.safetensors", "there is no predict_flow._predictors.1._convs.0.conv.weight")

    class Program(torch.nn.Module):
        def forward(self, x):
            return x

    torch.jit.script(Program()).save(str(tmp_path / "film_net_fp32.pt"))
    refused("film_net_fp32.pt", "TorchScript", "as .safetensors or as a plain state dict")

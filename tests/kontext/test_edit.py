"""What an edit promises beside parity: repeatable, cancellable, counted, cached, several references."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from kontinuity.common import InputError
from kontinuity.kontext import Conditions, KontextModel, Resident, StepInfo
from kontinuity.kontext.references import reference_ids, token_ids


class SpyPlacement:
    """A Placement that writes down what it is asked."""

    def __init__(self):
        self.uses = []

    def room(self):
        return None

    def use(self, component, activation_bytes):
        self.uses.append((component, activation_bytes))
        return torch.device("cpu")


@pytest.fixture
def spy(model):
    model.placement = SpyPlacement()
    return model.placement


def test_the_picture(model, request_for):
    out = model.edit(request_for(width=64, height=128))
    assert out.shape == (128, 64, 3) and out.dtype == torch.float32 and out.device.type == "cpu"
    assert out.is_contiguous() and 0 <= out.min() and out.max() <= 1 and out.std() > 0.01
    assert not out.requires_grad and not out.is_inference()


def test_same_request_same_bits(model, request_for):
    first = model.edit(request_for())
    torch.manual_seed(99)  # the global generator plays no part
    assert torch.equal(model.edit(request_for()), first)


@pytest.mark.parametrize("change", [
    {"seed": 8}, {"prompt": "he runs"}, {"guidance": 3.0}, {"steps": 3}, {"references": ()}])
def test_every_field_matters(model, request_for, change):
    assert not torch.equal(model.edit(request_for(**change)), model.edit(request_for()))


def test_large_seeds_differ(model, request_for):
    assert not torch.equal(model.edit(request_for(seed=2**64 - 1)), model.edit(request_for(seed=2**63)))


def test_two_references(model, request_for, picture):
    a, b = picture(seed=1), picture(144, 64, seed=2)
    one = model.edit(request_for(references=(a,)))
    offset = model.edit(request_for(references=(a, b)))
    index = model.edit(request_for(references=(a, b), reference_method="index"))
    swapped = model.edit(request_for(references=(b, a)))
    for x, y in ((one, offset), (one, index), (offset, index), (offset, swapped)):
        assert not torch.equal(x, y)


@pytest.mark.parametrize("method", ["offset", "index"])
def test_the_transformer_sees_these_ids_and_types(model, request_for, picture, method):
    seen = {}
    transformer = model.components["transformer"]
    handle = transformer.register_forward_pre_hook(lambda m, a, kwargs: seen.update(kwargs), with_kwargs=True)
    try:
        model.edit(request_for(references=(picture(seed=1), picture(144, 64, seed=2)), width=64, height=96, steps=1,
                               reference_method=method))
    finally:
        handle.remove()
    expected = torch.cat([token_ids(6, 4), *reference_ids([(6, 6), (4, 9)], method)])
    assert torch.equal(seen["img_ids"], expected)
    assert seen["hidden_states"].shape == (1, 24 + 36 + 36, 64)
    assert seen["encoder_hidden_states"].shape == (1, 32, 32) and (seen["txt_ids"] == 0).all()
    assert seen["guidance"].tolist() == [2.5]
    assert all(seen[k].dtype == torch.float32 for k in ("img_ids", "txt_ids", "timestep", "guidance"))


def test_no_guidance_for_a_transformer_without_its_embedding(model):
    from kontinuity.kontext.backends.transformer import make_velocity
    from kontinuity.kontext.networks import FluxTransformer, TransformerConfig

    torch.manual_seed(0)
    bare = FluxTransformer(TransformerConfig(
        num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=1, joint_attention_dim=8,
        pooled_projection_dim=8, guidance_embeds=False, axes_dims_rope=(4, 6, 6))).eval()
    conditions = Conditions((torch.zeros(1, 3, 8), torch.zeros(1, 8)), references=(), reference_method="offset",
                            guidance=2.5, sigmas=torch.tensor([1.0, 0.0]))
    velocity = make_velocity(bare, conditions, (4, 4), torch.device("cpu"))
    with torch.no_grad():
        assert velocity(torch.zeros(1, 16, 4, 4), torch.ones(1)).shape == (1, 16, 4, 4)


def test_on_step_is_called_after_each_step(model, request_for):
    infos = []
    model.edit(request_for(width=64, height=96, steps=5), infos.append)
    assert [i.step for i in infos] == [1, 2, 3, 4, 5] and {i.steps for i in infos} == {5}
    assert all(i.latents.shape == (1, 16, 12, 8) and i.latents.dtype == torch.float32 for i in infos)


def test_a_callback_changes_nothing(model, request_for):
    assert torch.equal(model.edit(request_for(), lambda info: None), model.edit(request_for()))


def test_cancel_passes_through_and_the_next_edit_works(model, request_for):
    expected = model.edit(request_for(steps=4))

    class Cancelled(BaseException):
        pass

    calls = []

    def cancel(info):
        calls.append(info.step)
        if info.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.edit(request_for(steps=4), cancel)
    assert calls == [1, 2]
    assert torch.equal(model.edit(request_for(steps=4)), expected)


def test_preview(model):
    info = StepInfo(1, 2, torch.linspace(-3, 3, 16 * 12 * 8).reshape(1, 16, 12, 8))
    assert model.preview(info) is None  # no factors
    factors = [[0.0, 0.0, 0.0] for _ in range(16)]
    factors[3] = [1.0, 0.0, -1.0]
    model.settings = replace(model.settings, latent_rgb={"factors": factors, "bias": [0.0, 1.0, 0.0]})
    preview = model.preview(info)
    assert preview.shape == (12, 8, 3) and preview.dtype == np.uint8
    expected = ((info.latents[0, 3].clamp(-1, 1) + 1) * 127.5).round()
    assert np.array_equal(preview[..., 0], expected.numpy().astype(np.uint8))
    assert (preview[..., 1] == 255).all()


def test_prompts_and_references_are_computed_once(model, spy, request_for, picture):
    first = model.edit(request_for())
    assert [c for c, _ in spy.uses] == ["text_encoders", "vae", "transformer", "vae"]
    spy.uses.clear()
    again = model.edit(request_for(references=(picture().clone(),)))  # equal content, another tensor
    assert [c for c, _ in spy.uses] == ["transformer", "vae"]
    assert torch.equal(again, first)
    spy.uses.clear()
    model.edit(request_for(references=(picture(seed=6),), prompt="he runs"))
    assert [c for c, _ in spy.uses] == ["text_encoders", "vae", "transformer", "vae"]


def test_a_picture_changed_in_place_is_encoded_again(model, request_for, picture):
    reference = picture()
    first = model.edit(request_for(references=(reference,)))
    reference[:48] = 0
    assert not torch.equal(model.edit(request_for(references=(reference,))), first)


def test_changed_settings_do_not_meet_old_results(model, request_for):
    first = model.edit(request_for())
    model.settings = replace(model.settings, min_text_tokens=64)
    assert not torch.equal(model.edit(request_for()), first)


def test_prepare_encodes_everything_before_the_first_panel(model, spy, request_for, picture):
    requests = [request_for(), request_for(prompt="he runs"), request_for(references=(picture(seed=6),))]
    expected = [model.edit(request) for request in requests]
    model._cache = type(model._cache)(model._cache.limit)
    spy.uses.clear()
    model.prepare(requests)
    assert [c for c, _ in spy.uses] == ["text_encoders"] * 2 + ["vae"] * 2
    spy.uses.clear()
    assert all(torch.equal(model.edit(r), e) for r, e in zip(requests, expected, strict=True))
    assert [c for c, _ in spy.uses] == ["transformer", "vae"] * 3


def test_prepare_stops_where_it_would_push_out_what_it_made(model, spy, request_for, monkeypatch):
    model.edit(request_for())
    one = model._cache.bytes
    monkeypatch.setattr("kontinuity.kontext.model.CACHE_BYTES", 2 * one)
    model._cache = type(model._cache)(2 * one)
    spy.uses.clear()
    model.prepare([request_for(prompt=word) for word in ("a", "the", "she", "he", "waves", "runs", "beach")])
    made = sum(c == "text_encoders" for c, _ in spy.uses)
    assert 1 < made < 7 and model._cache.bytes <= 2 * one
    for word in ("a", "the", "she")[:made]:
        spy.uses.clear()
        model.edit(request_for(prompt=word))
        assert "text_encoders" not in [c for c, _ in spy.uses]


def test_activation_estimates_grow_with_the_work(model, spy, request_for, picture):
    model.edit(request_for(references=()))
    model.edit(request_for(width=128))
    estimates = {}
    for component, size in spy.uses:
        assert isinstance(size, int) and size > 0
        estimates.setdefault(component, []).append(size)
    assert estimates["transformer"][1] > estimates["transformer"][0]


def test_check_touches_no_component(model, spy, request_for):
    model.check(request_for())
    with pytest.raises(InputError):
        model.edit(request_for(prompt=""))
    assert spy.uses == []


def test_token_count_includes_the_end_mark(model):
    assert model.token_count("she waves") == 3


def test_pieces_tell_what_cannot_be_read(model):
    prompt = "she 海 \ud83d waves"
    unknown = [prompt[piece.start:piece.end] for piece in model.t5_tokens(prompt) if not piece.known]
    assert unknown == ["海", "\ud83d"]
    assert model.clip_token_count("she") == 5  # three letters and both marks


def test_works_inside_and_after_inference_mode(loaded, request_for):
    model = KontextModel(name="t", backend=loaded.backend, schedule=loaded.schedule,
                         settings=replace(loaded.settings, reference_area=96 * 96))
    with torch.inference_mode():  # as ComfyUI runs nodes; the caches keep what was made here
        inside = model.edit(request_for())
    assert torch.equal(model.edit(request_for()), inside)


def test_bfloat16(tiny_model_folder, request_for):
    from kontinuity.kontext import load_folder

    model = load_folder(tiny_model_folder, dtype=torch.bfloat16)
    model.settings = replace(model.settings, reference_area=96 * 96)
    exact = load_folder(tiny_model_folder)
    exact.settings = model.settings
    infos = []
    out = model.edit(request_for(), infos.append)
    assert out.dtype == infos[-1].latents.dtype == torch.float32
    difference = (out - exact.edit(request_for())).abs().mean()
    assert 0 < difference < 0.02


@pytest.mark.parametrize(("dtype", "remedy"), [
    (torch.float32, "float32; lower the strength of its LoRAs"),
    (torch.bfloat16, "bfloat16; load it with dtype float32, or lower"),
    (torch.float16, "float16; load it with dtype bfloat16 or float32, or lower")])
def test_broken_numbers_are_reported(model, request_for, monkeypatch, dtype, remedy):
    """With a way out that is not the one already taken."""
    monkeypatch.setattr(type(model.backend), "dtype", dtype)
    vae = model.components["vae"]
    weight = vae.decoder.conv_out.bias
    kept = weight.clone()
    weight.fill_(float("nan"))
    try:
        with pytest.raises(RuntimeError, match=f"NaN or infinite pixels in {remedy}"):
            model.edit(request_for())
    finally:
        weight.copy_(kept)


def test_resident_moves_each_component_once():
    class Part(torch.nn.Module):
        moves = 0

        def to(self, *args, **kwargs):
            self.moves += 1
            return super().to(*args, **kwargs)

    parts = {"vae": Part(), "transformer": Part()}
    placement = Resident(parts, "cpu")
    assert [placement.use("vae", 1) for _ in range(3)] == [torch.device("cpu")] * 3
    assert (parts["vae"].moves, parts["transformer"].moves) == (1, 0)


def test_requests_cannot_be_changed(request_for):
    with pytest.raises(FrozenInstanceError):
        request_for().seed = 1

"""Edits with fewer weights on the card than there are: the same bits, counted bytes, nothing left behind."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from kontinuity.kontext import Limited, load_folder
from kontinuity.kontext.backends.modules import ModuleBackend
from kontinuity.kontext.memory.offload import weight_bytes
from kontinuity.kontext.memory.placement import resident_parts
from kontinuity.kontext.memory.plan import Residency, TransformerSizes, plan
from kontinuity.kontext.networks import FluxTransformer


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def own(request, tiny_model_folder):
    """A model of its own, for its weights are moved about, with two double and four single blocks."""
    model = load_folder(tiny_model_folder, dtype=request.param)
    config = replace(model.components["transformer"].config, num_layers=2, num_single_layers=4)
    torch.manual_seed(0)
    transformer = FluxTransformer(config).to(request.param).requires_grad_(False)
    model.backend = ModuleBackend(model.components | {"transformer": transformer.eval()},
                                    model.backend.clip_tokenizer, model.backend.t5_tokenizer)
    model.settings = replace(model.settings, reference_area=96 * 96, min_text_tokens=32)
    return model


class Counting(Limited):
    """Counts what is on the device (which is the CPU here) at every use."""

    def __init__(self, *args):
        super().__init__(*args)
        self.peaks = []

    def use(self, component, activation_bytes, away=()):
        device = super().use(component, activation_bytes, away)
        self.peaks.append(self.weights_there + activation_bytes)
        return device


def limits(model) -> dict[str, tuple[int, int]]:
    """Limits at which the tiny transformer gets a table, and how many of its six blocks are offloaded."""
    transformer = model.components["transformer"]
    sizes = TransformerSizes.of(transformer)
    tokens = 32 + 2 * 36
    work = 17 * tokens * transformer.inner_dim * transformer.dtype.itemsize
    table, some = (sizes.need(Residency(True, away), 3, work) for away in ((), (2, 3, 4)))
    assert some < table < sizes.total + work
    return {"table": (table, 0), "some": (some, 3), "leanest": (1, 6)}


@pytest.mark.parametrize("case", ["table", "some", "leanest"])
def test_the_same_bits_with_less_on_the_card(own, request_for, case):
    own.placement = Limited(own.components, "cpu", 10**9)
    expected = own.edit(request_for(steps=3))
    other = own.edit(request_for(steps=3, guidance=4.0))
    limit, offloaded = limits(own)[case]
    own.placement = Counting(own.components, "cpu", limit)
    assert torch.equal(own.edit(request_for(steps=3)), expected)
    residency = own.backend.between_edits.residency
    assert residency.table and len(residency.away) == offloaded
    assert torch.equal(own.edit(request_for(steps=3, guidance=4.0)), other)
    assert torch.equal(own.edit(request_for(steps=3)), expected)
    if case != "leanest":  # which no component fits
        transformers = [peak for peak in own.placement.peaks if peak <= limit]
        assert len(transformers) >= 3
    own.placement = Limited(own.components, "cpu", 10**9)
    own.backend.between_edits.residency = Residency()
    assert torch.equal(own.edit(request_for(steps=3)), expected)


def test_what_a_lora_adds_beside_the_layers_is_there_too(own, request_for):
    """A LoRA's branches are forward hooks: on layers that the table replaces, and in blocks that are offloaded."""
    transformer = own.components["transformer"]
    layers = [transformer.transformer_blocks[0].norm1.linear, transformer.single_transformer_blocks[3].proj_mlp]
    own.placement, own.backend.between_edits.residency = Limited(own.components, "cpu", 10**9), Residency()
    bare = own.edit(request_for())
    hooks = [layer.register_forward_hook(lambda _module, _inputs, output: output * 1.1) for layer in layers]
    plain = own.edit(request_for())
    own.placement = Limited(own.components, "cpu", 1)
    lean = own.edit(request_for())
    for hook in hooks:
        hook.remove()
    assert torch.equal(lean, plain) and not torch.equal(plain, bare)
    assert torch.equal(own.edit(request_for()), bare)


def test_what_was_chosen_stays_while_it_fits(own, request_for):
    own.backend.between_edits.residency = Residency()
    limit = limits(own)["some"][0]
    own.placement = Counting(own.components, "cpu", limit)
    own.edit(request_for(steps=3))
    chosen = own.backend.between_edits.residency
    own.edit(request_for(steps=2, references=()))  # more would fit now, but weights would have to move
    assert own.backend.between_edits.residency == chosen
    own.edit(request_for(steps=3, width=192, height=192))
    assert len(own.backend.between_edits.residency.away) > len(chosen.away)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_cancel_at_any_step_leaves_nothing_on_the_card(own, request_for, step):
    class Cancelled(BaseException):
        pass

    own.placement = Limited(own.components, "cpu", 1)
    expected = own.edit(request_for(steps=3))
    names = list(own.components["transformer"].state_dict())

    def cancel(info):
        if info.step == step:
            raise Cancelled

    with pytest.raises(Cancelled):
        own.edit(request_for(steps=3), cancel)
    assert own.backend.between_edits.prefetchers.device_bytes == 0
    assert list(own.components["transformer"].state_dict()) == names  # its own modulation layers are back
    assert not own.components["transformer"]._forward_pre_hooks
    assert torch.equal(own.edit(request_for(steps=3)), expected)


def test_out_of_memory_inside_a_block_leaves_nothing_and_the_next_edit_works(own, request_for):
    own.placement = Limited(own.components, "cpu", 1)
    expected = own.edit(request_for())
    block = own.components["transformer"].single_transformer_blocks[1]

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = block.proj_mlp.register_forward_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        own.edit(request_for())
    handle.remove()
    assert own.backend.between_edits.prefetchers.device_bytes == 0
    assert torch.equal(own.edit(request_for()), expected)


def test_limited_keeps_to_its_limit_and_sends_the_longest_unused_away():
    parts = {name: torch.nn.Linear(10, size, bias=False) for name, size in (("a", 10), ("b", 20), ("c", 30))}
    placement = Counting(parts, "cpu", 2200)  # bytes: 400, 800, 1200
    for name in "abcab":
        placement.use(name, 50)
    assert placement.peaks == [450, 1250, 2050, 1650, 1250]
    assert list(placement._there) == ["a", "b"]
    placement.use("a", 0)
    placement.use("c", 700)  # alone just below the limit
    assert list(placement._there) == ["c"]
    placement.clear()
    assert placement.weights_there == 0


def test_modules_that_are_away_are_not_moved():
    moved = []

    class Part(torch.nn.Linear):
        def _apply(self, fn, recurse=True):
            moved.append(self)
            return super()._apply(fn, recurse)

    model = torch.nn.ModuleDict({"x": torch.nn.Sequential(Part(2, 2), Part(2, 2)), "y": Part(3, 3)})
    away = {model["x"][1]}
    assert resident_parts(model, away) == [model["x"][0], model["y"]]
    placement = Limited({"transformer": model}, "cpu", 10**6)
    placement.use("transformer", 0, away)
    assert placement.weights_there == weight_bytes(model["x"][0]) + weight_bytes(model["y"])
    moved.clear()
    placement.use("transformer", 0, set(away))
    assert moved == []  # nothing to do
    placement.use("transformer", 0)
    assert model["x"][1] in moved and placement.weights_there == weight_bytes(model)


def test_weights_beside_what_is_away_are_refused():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.own = torch.nn.Linear(2, 2), torch.nn.Parameter(torch.zeros(1))

    odd = Odd()
    with pytest.raises(ValueError, match="weights of its own"):
        resident_parts(odd, {odd.inner})


def test_a_large_picture_is_decoded_in_tiles_only_when_it_must(own, request_for, monkeypatch):
    monkeypatch.setattr("kontinuity.kontext.memory.vae.TILE", 64)
    monkeypatch.setattr("kontinuity.kontext.backends.modules.TILE", 64)
    request = request_for(width=160, height=96)
    own.placement = Limited(own.components, "cpu", 10**9)
    whole = own.edit(request)
    made = plan(own.components, 10**9, 160, 96)
    assert not made.tiles
    weights = weight_bytes(own.components["vae"])
    own.placement = Limited(own.components, "cpu", weights + 8 * 160 * 96 * 8 * own.backend.dtype.itemsize - 1)
    tiled = own.edit(request)
    assert not torch.equal(tiled, whole) and (tiled - whole).abs().mean() < 0.1


def test_a_model_that_nobody_holds_is_gone(tiny_model_folder, request_for):
    """As when another flavour replaces it: no cache, hook, prefetcher or table keeps it alive."""
    model = load_folder(tiny_model_folder)
    model.settings = replace(model.settings, reference_area=96 * 96, min_text_tokens=32)
    model.placement = Limited(model.components, "cpu", 1)
    model.edit(request_for())
    parts = [weakref.ref(part) for part in (model, *model.components.values(), model.backend, model.placement,
                                            model.components["transformer"].transformer_blocks[0].attn.to_q.weight)]
    del model
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)

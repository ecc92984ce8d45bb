"""The stack of accelerators: the order, the bytes, and a transformer that is as it was, whatever happened inside."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from kontinuity.kontext import Limited, Resident, load_folder, read_lora
from kontinuity.kontext.backends.modules import ModuleBackend
from kontinuity.kontext.fast.accelerator import Edit
from kontinuity.kontext.fast.loras import Loras
from kontinuity.kontext.fast.modulation import ModulationAhead, ModulationTable
from kontinuity.kontext.fast.offloaded import OffloadedBlocks
from kontinuity.kontext.fast.stack import accelerators, installed
from kontinuity.kontext.flux import modulation_layers, transformer_blocks
from kontinuity.kontext.lora import Branches
from kontinuity.kontext.memory.between_edits import BetweenEdits
from kontinuity.kontext.memory.plan import Residency, TransformerSizes
from kontinuity.kontext.networks import FluxTransformer
from kontinuity.kontext.sampling import Conditions
from lora_files import diffusers_layers, peft, seeded, write

LEAN = Residency(True, (0, 3, 5))


class Stopped(BaseException):
    """As KeyboardInterrupt or ComfyUI's interruption: no Exception."""


class Recorded:
    """An accelerator that notes what is done with it, and fails where it is told to."""

    def __init__(self, name, log, fails=""):
        self.name, self.log, self.fails = name, log, fails

    def bytes(self, edit):
        return 1

    @contextmanager
    def installed(self, edit):
        if self.fails == "install":
            raise Stopped
        self.log.append(f"+{self.name}")
        try:
            yield
        finally:
            self.log.append(f"-{self.name}")
            if self.fails == "undo":
                raise Stopped


def run(*, fails=("", "", ""), inside=lambda: None):
    log = []
    stack = [Recorded(name, log, how) for name, how in zip("abc", fails, strict=True)]
    try:
        with installed(stack, Edit({}, None)):
            log.append("loop")
            inside()
    except Stopped:
        log.append("stopped")
    return "".join(log)


def test_installed_in_order_and_undone_in_reverse():
    def stop():
        raise Stopped

    assert run() == "+a+b+cloop-c-b-a"
    assert run(inside=stop) == "+a+b+cloop-c-b-astopped"
    assert run(fails=("install", "", "")) == "stopped"
    assert run(fails=("", "", "install")) == "+a+b-b-astopped"
    assert run(fails=("", "undo", "")) == "+a+b+cloop-c-b-astopped"


def test_the_declared_order():
    """LoRAs hang on the layers that the table calls and takes out; the rest of the blocks is what is offloaded."""
    kinds = [type(accelerator) for accelerator in accelerators(Branches(), BetweenEdits())]
    assert kinds == [Loras, ModulationAhead, OffloadedBlocks]


@pytest.fixture
def own(tiny_model_folder):
    """A model of its own with two double and four single blocks."""
    model = load_folder(tiny_model_folder)
    config = replace(model.components["transformer"].config, num_layers=2, num_single_layers=4)
    torch.manual_seed(0)
    transformer = FluxTransformer(config).requires_grad_(False).eval()
    model.backend = ModuleBackend(model.components | {"transformer": transformer}, model.backend.clip_tokenizer,
                                  model.backend.t5_tokenizer)
    model.settings = replace(model.settings, reference_area=96 * 96, min_text_tokens=32)
    return model


@pytest.fixture
def style(own, tmp_path):
    """A LoRA on every layer, modulation layers included."""
    layers = diffusers_layers(own.components["transformer"])
    return read_lora(write(tmp_path / "style.safetensors", peft(seeded(layers))))


def snapshot(transformer) -> tuple:
    """Everything an accelerator could leave behind: modules, hooks, weights and where these are."""
    modules = [(name, id(module), len(module._forward_hooks), len(module._forward_pre_hooks),
                "forward" in vars(module)) for name, module in transformer.named_modules()]
    weights = [(name, id(tensor), tensor.data_ptr(), tensor.device) for name, tensor in
               transformer.state_dict(keep_vars=True).items()]
    return modules, weights


def conditions_of(transformer, steps=3) -> Conditions:
    generator = torch.Generator().manual_seed(0)
    config = transformer.config
    prompt = tuple(torch.randn(*shape, generator=generator) for shape in (
        (1, 32, config.joint_attention_dim), (1, config.pooled_projection_dim)))
    return Conditions(prompt, (), "offset", 2.5, torch.linspace(1, 0, steps + 1))


def test_bytes_are_what_is_held_and_what_the_planner_counts(own, style, monkeypatch):
    transformer, between = own.components["transformer"], BetweenEdits()
    edit = Edit(own.components, conditions_of(transformer), LEAN, torch.device("cpu"))
    loras, modulation, offloaded = stack = accelerators(own.adapted([(style, 1.0)]).backend.branches, between)
    tables = []
    compute = ModulationTable.compute
    monkeypatch.setattr(ModulationTable, "compute", lambda table, steps: (compute(table, steps), tables.append(table)))
    with torch.no_grad(), installed(stack, edit):
        assert between.prefetchers.device_bytes == offloaded.bytes(replace(edit)) > 0
        assert tables[0].bytes == modulation.bytes(edit) > 0
    assert between.prefetchers.device_bytes == 0
    sizes, work = TransformerSizes.of(transformer), 10**9  # of the loop, so that making the table is less
    assert sizes.transient(LEAN, 3, work) == modulation.bytes(edit) + offloaded.bytes(edit) + work
    resident = replace(edit, residency=Residency())
    assert modulation.bytes(resident) == offloaded.bytes(resident) == 0 < loras.bytes(resident) == loras.bytes(edit)


def test_what_does_not_apply_changes_nothing(own):
    transformer = own.components["transformer"]
    before = snapshot(transformer)
    edit = Edit(own.components, conditions_of(transformer), Residency(), torch.device("cpu"))
    with installed(accelerators(Branches(), BetweenEdits()), edit):
        assert snapshot(transformer) == before


@pytest.mark.parametrize("room", [None, 1])
def test_loras_upon_loras_with_all_accelerators_leave_nothing(own, style, request_for, room):
    """Nested LoRAs, resident and with everything away: the pictures of before, each time."""
    transformer = own.components["transformer"]
    twice = own.adapted([(style, 0.5)]).adapted([(style, -0.2)])
    expected = own.edit(request_for()), twice.edit(request_for())
    assert not torch.equal(*expected)
    place = (lambda: Resident(own.components, "cpu")) if room is None else lambda: Limited(own.components, "cpu", room)
    own.placement = twice.placement = place()
    assert twice.backend.between_edits is own.backend.between_edits  # the weights are the same
    twice.edit(request_for())  # packs what is away
    before = snapshot(transformer)
    for model, picture in ((own, expected[0]), (twice, expected[1]), (own, expected[0])):
        assert torch.equal(model.edit(request_for()), picture)
        assert snapshot(transformer) == before
    with twice.backend.branches.on(own.components, "transformer"):
        assert torch.equal(twice.edit(request_for()), expected[1])  # a block inside a block adds nothing
    assert snapshot(transformer) == before


@pytest.mark.parametrize("where", ["modulation layer", "block", "step", "table", "prefetcher"])
def test_an_exception_anywhere_leaves_the_transformer_as_it_was(own, style, request_for, where, monkeypatch):
    transformer = own.components["transformer"]
    adapted = own.adapted([(style, 0.5)])
    adapted.placement = Limited(own.components, "cpu", 1)
    expected = adapted.edit(request_for())
    before = snapshot(transformer)

    def stop(*_):
        raise Stopped

    hooked = {"modulation layer": list(modulation_layers(transformer).values())[4],
              "block": transformer_blocks(transformer)[3].attn.to_q}.get(where)
    handle = hooked.register_forward_hook(stop) if hooked is not None else None
    with monkeypatch.context() as patched:
        if where == "table":  # after the first of its swaps
            patched.setattr("kontinuity.kontext.fast.modulation._Row", stop)
        if where == "prefetcher":
            patched.setattr("kontinuity.kontext.memory.offload.Prefetcher.attached", stop)
        with pytest.raises(Stopped):
            adapted.edit(request_for(), stop if where == "step" else None)
    if handle is not None:
        handle.remove()
    assert snapshot(transformer) == before
    assert own.backend.between_edits.prefetchers.device_bytes == 0
    assert torch.equal(adapted.edit(request_for()), expected)

"""The planner's arithmetic at the true shapes of FLUX.1 Kontext (meta device), and its choices."""

import pytest
import torch
from dry_run import peak_bytes
from hypothesis import given
from hypothesis import strategies as st
from kontinuity.kontext import flux as architecture
from kontinuity.kontext import text
from kontinuity.kontext.attention.plan import PlannedAttention
from kontinuity.kontext.flux import activation_bytes, transformer_blocks
from kontinuity.kontext.memory.offload import prefetcher_bytes, weight_bytes
from kontinuity.kontext.memory.plan import (
    GIB,
    PRESETS,
    Phase,
    Residency,
    TransformerSizes,
    choose_residency,
    peak_of,
    plan,
)
from kontinuity.kontext.memory.vae import TILE, vae_bytes

ONE_REFERENCE = 512 + 4096 + 4096  # tokens
GB = 10**9


@pytest.fixture(scope="module")
def flux():
    return architecture.components()


@pytest.fixture(scope="module")
def sizes(flux):
    return TransformerSizes.of(flux["transformer"])


def run_transformer(transformer, text_tokens: int, picture_tokens: int, **options):
    meta, dtype = {"device": "meta"}, transformer.dtype
    inputs = {"hidden_states": torch.empty(1, picture_tokens, 64, dtype=dtype, **meta),
              "encoder_hidden_states": torch.empty(1, text_tokens, 4096, dtype=dtype, **meta),
              "pooled_projections": torch.empty(1, 768, dtype=dtype, **meta),
              "img_ids": torch.empty(picture_tokens, 3, **meta), "txt_ids": torch.empty(text_tokens, 3, **meta)}
    return lambda: transformer(timestep=torch.empty(1, **meta), guidance=torch.empty(1, **meta), **inputs, **options)


@pytest.mark.parametrize("text, picture", [(512, 8192), (512, 1024), (128, 12288)])
def test_the_transformers_work_is_predicted_within_five_percent(text, picture):
    transformer = architecture.transformer(num_layers=1, num_single_layers=1)  # each block is as wide as all others
    counted = peak_bytes(run_transformer(transformer, text, picture), [transformer])
    assert counted <= activation_bytes(transformer, text + picture) <= 1.05 * counted


@pytest.mark.parametrize("regions", [1, 2, 3])
def test_an_attention_plan_takes_no_more_than_the_worst_moment_elsewhere(regions):
    transformer = architecture.transformer(num_layers=1, num_single_layers=1)
    groups = torch.arange(512 + 8192) * (2 * regions) // 8704 % (regions + 1)  # not all in one stretch
    table = torch.full((regions + 1, regions + 1), -torch.inf).fill_diagonal_(-0.5)
    table[-1] = 0  # one of the groups sees everything
    attend = PlannedAttention(groups, table, "meta")
    counted = peak_bytes(run_transformer(transformer, 512, 8192, attend=attend), [transformer])
    assert counted <= activation_bytes(transformer, 8704)


@pytest.mark.parametrize("work", ["encode", "decode"])
def test_the_vaes_work_is_not_below_its_tensors(flux, work):
    """Beside them there is the convolutions' workspace, which only a GPU shows."""
    vae, size = flux["vae"], 1024
    x = torch.empty(1, 3, size, size, dtype=vae.dtype, device="meta")
    z = torch.empty(1, 16, size // 8, size // 8, dtype=vae.dtype, device="meta")

    def compute(tile=None):
        return vae.encode(x, tile) if work == "encode" else vae.decode(z, tile)

    whole = peak_bytes(compute, [vae])
    assert 2 * whole < vae_bytes(vae, size, size) <= 4 * whole
    tiled = peak_bytes(lambda: compute(TILE), [vae])
    assert tiled < 0.35 * whole
    assert tiled < vae_bytes(vae, size, size, tiled=True) < 0.3 * vae_bytes(vae, size, size)


def test_the_text_encoders_work_is_not_below_its_tensors(flux):
    t5 = flux["text_encoders"]["t5"]
    counted = peak_bytes(lambda: t5(torch.zeros(1, 512, dtype=torch.long, device="meta"))[0], [t5])
    assert counted < text.activation_bytes(flux["text_encoders"], 512) < 3 * counted


def test_sizes_add_up(flux, sizes):
    assert len(sizes.blocks) == 57 and sizes.doubles == 19 and len(sizes.modulation) == 1 + 38 + 38 + 1
    assert sizes.total == weight_bytes(flux["transformer"]) == pytest.approx(23.80 * GB, rel=1e-3)
    assert sum(sizes.modulation) == pytest.approx(6.56 * GB, rel=1e-3)
    other = sizes.total - sum(sizes.blocks) - sum(sizes.modulation)
    assert 0 < other < 0.05 * GB  # embedders and the output layer
    assert 28 * sizes.table_row == pytest.approx(0.059 * GB, rel=0.02)
    assert sizes.resident(Residency(table=True)) == pytest.approx(17.24 * GB, rel=1e-3)


def test_offloaded_blocks_are_counted_with_their_places(flux, sizes):
    residency = Residency(True, (3, 30, 50))
    blocks = [transformer_blocks(flux["transformer"])[i] for i in residency.away]
    bare = sizes.transient(Residency(True), 28, GIB)
    modulation = sum(t.numel() * 2 for b in blocks for n, t in b.named_parameters() if "linear" in n)
    gone = sizes.resident(Residency(True)) - sizes.resident(residency)
    assert gone == sum(map(weight_bytes, blocks)) - modulation
    places = sizes.transient(residency, 28, GIB) - bare
    assert places == 2 * sizes.packed[3]
    assert places < prefetcher_bytes(blocks)  # which would bring the modulation layers too


def test_the_table_needs_its_layers_on_the_card_for_a_moment(sizes):
    no_work = sizes.transient(Residency(True), 28, 0)
    assert no_work == 28 * sizes.table_row + 2 * sizes.largest_layer


# Bytes computed from the shapes, not measured on a card.
@pytest.mark.parametrize("card, table, away", [
    ("80 GB", False, 0), ("48 GB", False, 0), ("32 GB", False, 0), ("24 GB", True, 0), ("16 GB", True, 12),
    ("12 GB", True, 31), ("8 GB", True, 45)])
def test_which_card_holds_what(flux, card, table, away):
    made = plan(flux, PRESETS[card], 1024, 1024, [(1024, 1024)])
    assert made.fits and not made.tiles and made.peak <= made.room
    assert made.residency.table == table and len(made.residency.away) == away


def test_half_the_weights_need_half_the_room(flux):
    """fp8 files: what is offloaded in bf16 at 16 GB stays."""
    half = {**flux, "transformer": architecture.transformer(dtype=torch.bfloat16)}
    for linear in [m for m in half["transformer"].modules() if isinstance(m, torch.nn.Linear)]:
        linear.weight = torch.nn.Parameter(linear.weight.to(torch.float8_e4m3fn), requires_grad=False)
    made = plan(half, PRESETS["16 GB"], 1024, 1024, [(1024, 1024)])
    assert made.residency.away == () and made.fits


def test_more_pictures_more_bytes(flux):
    def work(width, *references):
        return [phase.work for phase in plan(flux, None, width, width, references).phases
                if phase.component == "transformer"][0]

    assert work(512) < work(1024) < work(1024, (1024, 1024)) < work(1024, (1024, 1024), (1024, 512))
    assert plan(flux, None, 512, 512).peak < plan(flux, None, 1024, 1024).peak
    assert plan(flux, None, 1024, 1024).residency == Residency()


def test_too_small_is_said(flux):
    made = plan(flux, 3 * GIB // 2, 1024, 1024, [(1024, 1024)])
    assert not made.fits and made.tiles
    assert len(made.residency.away) == 57
    large = plan(flux, PRESETS["16 GB"], 2048, 2048)
    assert large.tiles and large.fits


@given(st.integers(1, 40), st.integers(1, 40))
def test_more_room_never_brings_more(a, b):
    sizes = TransformerSizes(total=40 * 100 + 5 * 60 + 7, blocks=(200,) * 10 + (100,) * 20,
                             packed=(202,) * 10 + (101,) * 20, doubles=10, modulation=(60,) * 5, largest_layer=61,
                             table_row=1)
    small, large = sorted((a * 100, b * 100))
    one, two = (choose_residency(sizes, room, 10, 90) for room in (small, large))
    assert sizes.resident(one) <= sizes.resident(two)
    for residency, room in ((one, small), (two, large)):
        assert sizes.need(residency, 10, 90) <= room or len(residency.away) == 30
        assert not residency.away or residency.table
        assert len(set(residency.away)) == len(residency.away)


def test_what_is_away_is_spread_and_singles_go_first(sizes):
    def away(room):
        return choose_residency(sizes, room, 28, GIB).away

    some = away(16 * GIB)
    assert min(some) >= 19
    gaps = {b - a for a, b in zip(some, some[1:], strict=False)}
    assert max(gaps) - min(gaps) <= 1
    assert set(range(19, 57)) < set(away(8 * GIB))


@pytest.mark.parametrize("room, peak", [
    (None, 370),  # all three, and the VAE's work
    (370, 370),
    (369, 359),  # the text encoders leave for the last decode; before, all three were there
    (340, 270),  # ... for the transformer
    (209, 209)])  # one at a time
def test_peak_with_what_stays_until_its_room_is_wanted(room, peak):
    phases = [Phase("text_encoders", 100, 5), Phase("vae", 50, 20), Phase("transformer", 200, 9), Phase("vae", 50, 20)]
    assert peak_of(phases, room) == peak

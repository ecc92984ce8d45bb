"""The attention plan against its plain twin (all tokens by all tokens), and what strengths and regions make of it."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kontinuity.common import Box, InputError
from kontinuity.kontext import ReferenceStrength, Region, Regions
from kontinuity.kontext.attention.groups import Groups, attention_plan
from kontinuity.kontext.attention.plan import AttentionPlan, PlannedAttention
from kontinuity.kontext.attention.regions import tokens_inside
from test_requests import refusal
from torch.nn import functional as F

TOLERANCE = 1e-5
LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


def plain_twin(query, key, value, groups, table):
    """Scores of all tokens by all tokens, a number added to each."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3]) + table[groups][:, groups]
    return scores.softmax(dim=3) @ value


@st.composite
def planned(draw):
    """Groups of some tokens and a table in which every group sees itself."""
    count = draw(st.integers(1, 5))
    groups = torch.tensor(draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=24)))
    number = st.one_of(st.sampled_from([0.0, -torch.inf]), st.floats(-3, 1, width=32))
    table = torch.tensor(draw(st.lists(st.lists(number, min_size=count, max_size=count),
                                       min_size=count, max_size=count)))
    return groups, table.fill_diagonal_(draw(st.sampled_from([0.0, 0.5])))


@settings(max_examples=150, deadline=None)
@given(planned(), st.integers(0, 2**32))
def test_groups_one_after_another_are_all_tokens_by_all_tokens(plan, seed):
    groups, table = plan
    query, key, value = torch.randn(3, 1, 2, len(groups), 8, generator=torch.Generator().manual_seed(seed))
    attended = PlannedAttention(groups, table, "cpu")(query, key, value)
    assert (attended - plain_twin(query, key, value, groups, table)).abs().max() <= TOLERANCE


def test_no_matrix_of_all_tokens_is_made(monkeypatch):
    """Each call's bias is one row."""
    masks, usual = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention",
                        lambda *args, attn_mask=None: masks.append(attn_mask) or usual(*args, attn_mask=attn_mask))
    groups = torch.arange(4).repeat_interleave(50)
    table = torch.full((4, 4), -0.5).fill_diagonal_(0)
    table[0, 1] = -torch.inf
    PlannedAttention(groups, table, "cpu")(*torch.randn(3, 1, 2, 200, 8))
    assert [tuple(mask.shape) for mask in masks] == [(1, 1, 1, 150), *[(1, 1, 1, 200)] * 3]


def test_a_plan_for_other_tokens_is_no_plan():
    with pytest.raises(RuntimeError, match="over 5 tokens, planned for 4"):
        PlannedAttention(torch.zeros(4, dtype=torch.int64), torch.ones(1, 1), "cpu")(*torch.randn(3, 1, 1, 5, 8))


def plan_of(strengths=(), regions=None, steps=4, references=(3,), phrases=()):
    return attention_plan(strengths, regions, text_tokens=[2, *phrases], rows=2, columns=4,
                          reference_tokens=list(references), sigmas=torch.linspace(1, 0, steps + 1))


def test_a_strength_is_the_log_of_how_much_a_reference_counts():
    plan = plan_of([ReferenceStrength(0.5)])
    assert plan.groups.tolist() == [0, 0, *[1] * 8, 2, 2, 2]
    assert len({id(table) for table in plan.tables}) == 1
    wanted = torch.zeros(3, 3)
    wanted[:, 2] = math.log(0.5)
    assert torch.equal(plan.tables[0], wanted)


def test_a_strength_counts_in_its_steps_only():
    plan = plan_of([ReferenceStrength(0, start=0.25, end=0.75)])
    assert [table is not None for table in plan.tables] == [False, True, True, False]
    assert plan.at(1.0, torch.device("cpu")) is None and plan.at(0.49, torch.device("cpu")) is not None
    assert plan.at(0.5, torch.device("cpu")) is plan.at(0.75, torch.device("cpu"))  # made ready once


@pytest.mark.parametrize("strengths", [(), [ReferenceStrength()], [ReferenceStrength(1, 0.2, 0.5)]])
def test_strength_one_is_no_plan(strengths):
    assert plan_of(strengths) is None


def test_tokens_belong_to_the_region_that_holds_their_middle():
    mask = torch.zeros(32, 64, dtype=torch.bool)
    mask[:, 7:24] = True  # nine of the first token's sixteen columns, and half of the second's
    assert tokens_inside(mask, 2, 4).tolist() == [True, False, False, False] * 2
    assert tokens_inside(Box(0, 0, 0.4, 0.5), 2, 4).tolist() == [True, True, False, False, *[False] * 4]


def seen(plan: AttentionPlan, groups: Groups, step: int) -> dict[str, set[str]]:
    """Who sees whom in a step, by name."""
    names = {groups.prompt: "prompt", groups.nobody: "nobody"}
    for number in range(groups.regions):
        names |= {groups.phrase(number): f"phrase {number}", groups.area(number): f"area {number}"}
    names |= {groups.reference(index): f"reference {index}" for index in range(groups.references)}
    table = plan.tables[step]
    return {names[a]: {names[b] for b in names if table[a, b] > -torch.inf} for a in names}


def test_a_region_sees_its_own_words_and_references_throughout_and_the_rest_later():
    regions = Regions((Region(Box(0, 0, 0.25, 1), "one", (0,)), Region(Box(0.75, 0, 1, 1), "two", (1, 2))), alone=0.5)
    plan, groups = plan_of(regions=regions, references=(3, 3, 5), phrases=(2, 2)), Groups(2, 3)
    early, late = seen(plan, groups, 0), seen(plan, groups, 2)
    assert early["area 1"] == {"area 1", "phrase 1", "reference 1", "reference 2"}
    assert late["area 1"] == early["area 1"] | {"prompt", "nobody", "area 0"}
    assert not {f"reference {i}" for i in range(3)} & (early["nobody"] | late["nobody"])
    assert not {"phrase 0", "phrase 1"} & (early["nobody"] | late["nobody"])
    assert {"area 0", "area 1"} <= late["nobody"] and not {"area 0", "area 1"} & early["nobody"]
    for step in (early, late):
        assert {group for group in step if "phrase 1" in step[group]} == {"phrase 1", "area 1"}
        assert step["phrase 1"] == {"phrase 1", "prompt"}
        assert step["reference 2"] == {"reference 1", "reference 2", "area 1", "prompt"}
        assert step["prompt"] == set(step) - {"phrase 0", "phrase 1"}
    assert plan.groups.bincount(minlength=groups.count).tolist() == [2, 2, 2, 4, 2, 2, 3, 3, 5]


# In an edit ----------------------------------------------------------------------------------------------------------


def latents(model, request):
    infos = []
    picture = model.edit(request, infos.append)
    return infos[-1].latents, picture


@pytest.fixture
def calls(monkeypatch):
    """"plain" or "planned" for each attention of the transformer."""
    from kontinuity.kontext.backends import transformer

    said, plain, planned = [], transformer.plain_attention, PlannedAttention.__call__
    monkeypatch.setattr(transformer, "plain_attention", lambda *args: said.append("plain") or plain(*args))
    monkeypatch.setattr(PlannedAttention, "__call__", lambda *args: said.append("planned") or planned(*args))
    return said


def test_strength_one_is_plain_kontext_to_the_bit(model, request_for, picture, calls):
    two = request_for(references=(picture(), picture(144, 64, seed=2)))
    plain = latents(model, two)
    count = len(calls)
    same = latents(model, replace(two, strengths=(ReferenceStrength(), ReferenceStrength(1.0, 0.5, 1))))
    assert all(map(torch.equal, plain, same))
    assert calls == ["plain"] * 2 * count


def test_strength_zero_leaves_the_reference_out_to_the_bit(model, request_for, picture):
    one, other = picture(), picture(144, 64, seed=2)
    without = latents(model, request_for(references=(other,)))
    zero = latents(model, request_for(references=(one, other), strengths=(ReferenceStrength(0), ReferenceStrength())))
    assert all(map(torch.equal, without, zero))
    none = latents(model, request_for(references=(one,), strengths=(ReferenceStrength(0),)))
    assert torch.equal(none[0], latents(model, request_for(references=()))[0])


def test_strength_zero_in_all_but_no_step_is_nearly_the_same(model, request_for, picture):
    """Its tokens are there, and nobody sees them."""
    out, plain = (latents(model, request_for(references=references))[0] for references in ((), (picture(),)))
    hidden = latents(model, request_for(strengths=(ReferenceStrength(0, 0, 0.999),)))[0]
    assert (hidden - out).abs().max() <= TOLERANCE < (plain - out).abs().max() / 100


def test_a_very_small_strength_comes_near_zero(model, request_for):
    out, near, half, plain = (latents(model, request_for(strengths=(ReferenceStrength(value),)))[0]
                              for value in (0, 1e-6, 0.5, 1))
    assert (near - out).abs().max() < 0.01 * (plain - out).abs().max()
    assert 0 < (half - out).abs().mean() < (plain - out).abs().mean()


def test_a_strength_in_some_steps_changes_what_comes_after_them_only(model, request_for, calls):
    seen = {name: [] for name in ("plain", "late")}
    model.edit(request_for(steps=4), lambda info: seen["plain"].append(info.latents))
    count = len(calls)
    model.edit(request_for(steps=4, strengths=(ReferenceStrength(0.3, start=0.5),)),
               lambda info: seen["late"].append(info.latents))
    same = [torch.equal(a, b) for a, b in zip(seen["plain"], seen["late"], strict=True)]
    assert same == [True, True, False, False]
    assert calls[count:] == ["plain"] * (count // 2) + ["planned"] * (count // 2)


def test_regions_have_words_of_their_own(model, request_for, picture):
    two = (picture(), picture(seed=2))
    regions = Regions((Region(LEFT, "she waves", (0,)), Region(RIGHT, "he sits", (1,))))
    base = latents(model, request_for(references=two, regions=regions))[0]
    assert not torch.equal(base, latents(model, request_for(references=two))[0])
    for number, word in ((0, "she jumps"), (1, "he jumps")):
        changed = list(regions.regions)
        changed[number] = replace(changed[number], phrase=word)
        assert not torch.equal(base, latents(model, request_for(references=two, regions=Regions(tuple(changed))))[0])


def test_a_region_without_its_reference_still_stands(model, request_for, picture):
    regions = Regions((Region(LEFT, "she waves", (0,)), Region(RIGHT, "he sits", (1,))))
    request = request_for(references=(picture(), picture(seed=2)), regions=regions,
                          strengths=(ReferenceStrength(0), ReferenceStrength()))
    assert [region.references for region in request.without_absent().regions.regions] == [(), (0,)]
    model.edit(request)


@pytest.mark.parametrize(("changes", "field", "words"), [
    ({"strengths": (ReferenceStrength(2.1),)}, "strength", "0..2"),
    ({"strengths": (ReferenceStrength(-0.1),)}, "strength", "0..2"),
    ({"strengths": (ReferenceStrength(float("nan")),)}, "strength", "0..2"),
    ({"strengths": (ReferenceStrength(True),)}, "strength", "0..2"),
    ({"strengths": (ReferenceStrength(1, -0.1),)}, "start of the strength", "0..1"),
    ({"strengths": (ReferenceStrength(1, 0, 1.5),)}, "end of the strength", "0..1"),
    ({"strengths": (ReferenceStrength(1, 0.5, 0.5),)}, "start of the strength", "not before its end"),
    ({"strengths": (ReferenceStrength(),) * 2}, "strengths", "not one for each"),
    ({"regions": Regions((Region(LEFT, " ", (0,)),))}, "region 1 phrase", "empty"),
    ({"regions": Regions((Region(LEFT, "she waves " * 300, (0,)),))}, "region 1 phrase", "tokens"),
    ({"regions": Regions((Region(LEFT, "she", (1,)),))}, "region 1 references", "none of the 1"),
    ({"regions": Regions((Region(LEFT, "she", ()),))}, "regions", "belongs to no region"),
    ({"regions": Regions((Region(Box(0.5, 0, 1.2, 1), "she", (0,)),))}, "region 1", "not inside"),
    ({"regions": Regions((Region(Box(-0.1, 0, 0.2, 1), "she", (0,)),))}, "region 1", "not inside"),
    ({"regions": Regions((Region(Box(0.5, 0, 0.5, 1), "she", (0,)),))}, "region 1", "not inside"),
    ({"regions": Regions((Region(Box(0.01, 0, 0.02, 1), "she", (0,)),))}, "region 1", "too small"),
    ({"regions": Regions((Region(LEFT, "she", (0,)), Region(Box(0.4, 0, 1, 1), "he", ())))}, "region 2",
     "overlaps region 1"),
    ({"regions": Regions((Region(torch.ones(32, 32, dtype=torch.bool), "she", (0,)),))}, "region 1", "bool mask"),
    ({"regions": Regions((Region(torch.ones(96, 96), "she", (0,)),))}, "region 1", "bool mask"),
    ({"regions": Regions((Region(LEFT, "she", (0,)),), alone=1.5)}, "alone", "0..1"),
])
def test_refusals(model, request_for, changes, field, words):
    error = refusal(model, request_for(**changes))
    assert error.field == field and words in str(error)


def test_several_references_are_named_by_number(model, request_for, picture):
    with pytest.raises(InputError, match="strength of reference 2 '3'"):
        model.check(request_for(references=(picture(),) * 2,
                                strengths=(ReferenceStrength(), ReferenceStrength(3))))

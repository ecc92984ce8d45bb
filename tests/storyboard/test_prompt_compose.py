"""Instructions put together from parts: what they say, and that the checker has nothing against them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kontinuity.demo_model.toonworld.instructions import instruction
from kontinuity.demo_model.toonworld.world import Shot
from kontinuity.storyboard.prompts import check_prompt, compose
from kontinuity.storyboard.story.change import Change

MIA = {"mia": "a woman with short black hair"}
TWO = {**MIA, "tom": "the man with the grey beard"}
NOBODY_KNOWN = {"mia": ""}


@pytest.mark.parametrize(("change", "traits", "said"), [
    (Change(), MIA, ""),
    (Change(scene="a beach", action="waving", shot="full body"), MIA,
     "Change the background to a beach, the woman with short black hair is waving, full body. "
     "Keep the same face, hair and clothes."),
    (Change(scene="a beach", action="waving"), TWO,
     "Change the background to a beach, the woman with short black hair and the man with the grey beard are waving. "
     "Keep the same face, hair and clothes."),
    (Change(scene="a beach", action="waving"), {"a": "", "b": ""},
     "Change the background to a beach, the characters are waving. Keep the same face, hair and clothes."),
    (Change(action="is waving"), MIA,
     "The woman with short black hair is waving. Keep the same face, hair and clothes."),
    (Change(action="looks out of the window"), MIA,
     "The woman with short black hair looks out of the window. Keep the same face, hair and clothes."),
    (Change(scene="a forest"), {}, "Change the background to a forest. Keep the same composition."),
    (Change(recolour={"the jacket": "green"}, keep=("the same pose", "the red scarf")), MIA,
     "Change the colour of the jacket to green. Keep the same pose and the red scarf."),
    (Change(recolour={"hair": "red"}), MIA, "Change the colour of hair to red. Keep the same face and clothes."),
    (Change(add=("a dog", "a red ball"), remove=("the car",)), {},
     "Add a dog and a red ball. Remove the car. Keep the same composition."),
    (Change(text={"OPEN": "CLOSED", "": "Bar", "2024": ""}), {},
     "Replace 'OPEN' with 'CLOSED', in the same lettering. Add the text 'Bar'. Remove the text '2024'. "
     "Keep the same composition."),
    (Change(style="pencil sketch with cross-hatching", angle="low angle"), MIA,
     "Low angle. Change the style to pencil sketch with cross-hatching. Keep the same face, hair and clothes."),
])
def test_what_is_said(change, traits, said):
    assert compose(change, traits) == said
    assert check_prompt(said, traits=traits) == []


def test_the_demo_model_gets_the_sentence_it_was_taught():
    change = Change(scene="a beach", action="waving", shot="full body")
    assert compose(change, NOBODY_KNOWN) == instruction(Shot("beach", "waving", "full body"), 0)


PART = st.sampled_from(["", "a hill at night", "a kitchen", "jumping", "looking up", "close-up", "a red ball"])


@settings(max_examples=60, deadline=None)
@given(st.builds(Change, scene=PART, action=PART, shot=PART, angle=PART, style=PART, keep=st.lists(PART, max_size=2),
                 add=st.lists(PART, max_size=3), remove=st.lists(PART, max_size=2),
                 recolour=st.dictionaries(PART.filter(bool), PART.filter(bool), max_size=2)),
       st.sampled_from([{}, MIA, TWO, NOBODY_KNOWN]))
def test_every_instruction_is_one_clean_line(change, traits):
    said = compose(change, traits)
    assert said == " ".join(said.split()) and ".." not in said and " ." not in said and " ," not in said
    assert [item for item in check_prompt(said, traits=traits) if item.rule != "many-changes"] == []
    assert not said or "eep " in said

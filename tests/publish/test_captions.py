"""The captions of panels, as they stand under the pictures."""

from kontinuity.publish import panel_caption
from kontinuity.storyboard import parse_story

STORY = """\
version: 1
characters: {mia: {name: Mia Lind}, tom: }
panels:
  - {id: none, prompt: x, characters: []}
  - id: talk
    prompt: x
    characters: [mia]
    captions:
      - Later that day.
      - {text: "Wait\\nfor me!", speaker: mia}
      - {text: Oh no!, speaker: tom, kind: thought}
      - {text: Where is he?, kind: thought}
      - {text: drip, kind: sound}
      - {text: You are late., speaker: A VOICE, kind: narration}
      - {text: "  "}
      - {text: "\u4f60\u597d", speaker: "\u5c0f\u660e"}
"""


def test_captions():
    story = parse_story(STORY)
    assert panel_caption(story, story.panels[0]) == "none"
    assert panel_caption(story, story.panels[1]).splitlines() == [
        "talk", "Later that day.", "Mia Lind: Wait for me!", "tom: (Oh no!)", "(Where is he?)", "[drip]",
        "A VOICE: You are late.", "小明: 你好"]

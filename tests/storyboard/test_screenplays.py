"""Fountain as people write it: speakers, headings, notes, title pages, lyrics."""

import pytest
from kontinuity.storyboard.story.importers import import_fountain
from kontinuity.storyboard.story.importers.headings import read_heading
from kontinuity.storyboard.story.importers.speakers import read_cue

SCENE = "INT. STUDY - NIGHT\n\n"


def panels(text):
    return import_fountain(text, "f").data["panels"]


@pytest.mark.parametrize(("cue", "extensions"), [
    ("NORA (O.S.) (CONT'D)", ["O.S."]), ("NORA (V.O.)(CONT'D)", ["V.O."]), ("NORA (CONT'D) (O.S.)", ["O.S."]),
    ("NORA (cont’d) (o.s.) ^", ["o.s."]), ("NORA (V.O., CONT'D)", ["V.O."]), ("NORA (CONT'D; O.C.)", ["O.C."]),
    ("NORA (V.O) (filtered)", ["V.O", "filtered"]), ("NORA (beat) (OS)", ["beat", "OS"]), ("NORA (O. S.)", ["O. S."]),
    ("@Nora (V/O)", ["V/O"]), ("NORA^ (O.S.)", ["O.S."]), ("NORA (O.S.", ["O.S."]), ("NORA V.O.", ["V.O."]),
    ("NORA (OFF)", ["OFF"]), ("NORA (off-screen)", ["off-screen"]), ("NORA (on the radio)", ["on the radio"]),
    ("NORA [V.O.]", ["V.O."]), ("**NORA** (V.O.)", ["V.O."]), ("NORA\n(V.O.)", ["V.O."]), ("NORA (O.S.):", ["O.S."])])
def test_who_is_only_heard_is_not_in_the_picture(cue, extensions):
    found = import_fountain(f"{SCENE}A desk.\n\n{cue}\nI am upstairs.\n\nNORA\nNow I am here.", "f")
    assert [about["name"].upper() for about in found.data["characters"].values()] == ["NORA"]
    unseen, = import_fountain(f"{SCENE}A desk.\n\n{cue}\nI am upstairs.", "f").data["panels"]
    assert unseen["characters"] == [] and unseen["captions"][0]["kind"] == "narration"
    assert unseen["captions"][0]["text"] == "I am upstairs."
    assert unseen["notes"].split("\n") == [f"{unseen['captions'][0]['speaker']} ({text})" for text in extensions]


@pytest.mark.parametrize("cue", ["NORA (CONT'D)", "NORA (into phone)", "NORA (off Tom's look)", "NORA ^", "@Nora",
                                 "NORA:", "NORA (beat) (CONT'D)", "NORA (voices near)", "_NORA_", "NORA [[close]]"])
def test_who_is_seen_is_in_the_picture(cue):
    panel, = panels(f"{SCENE}A desk.\n\n{cue}\nI am here.")
    assert panel["characters"] in (["NORA"], ["Nora"]) and "kind" not in panel["captions"][0]
    assert "CONT" not in panel.get("notes", "")


def test_who_speaks_together_is_each_of_them():
    """If each of them speaks alone too; SALT & PEPPER may be one name."""
    found = import_fountain(
        "A.\n\nMIRA & TOM\nHi.\n\nMira and Tom go.\n\nMIRA\nHi.\n\nTOM\nHi.\n\nSALT & PEPPER\nHi.", "f")
    one, two = found.data["panels"]
    assert [*found.data["characters"]] == ["MIRA", "TOM", "SALT-PEPPER"] and one["characters"] == ["MIRA", "TOM"]
    assert one["captions"] == [{"text": "Hi.", "speaker": "MIRA & TOM"}]
    assert two["characters"] == ["MIRA", "TOM", "SALT-PEPPER"]


def test_a_name_with_dots_is_no_extension():
    assert read_cue("DR. O.S. MILLER").name == "DR. O.S. MILLER"


@pytest.mark.parametrize(("written", "number", "text", "place", "time", "inside"), [
    ("1. INT. CABIN - NIGHT", "1", "INT. CABIN - NIGHT", "CABIN", "NIGHT", "interior"),
    ("1 INT. CABIN - NIGHT", "1", "INT. CABIN - NIGHT", "CABIN", "NIGHT", "interior"),
    ("12A EXT. CABIN", "12A", "EXT. CABIN", "CABIN", "", "exterior"),
    ("A12 EXT. CABIN", "A12", "EXT. CABIN", "CABIN", "", "exterior"),
    ("1) INT. CABIN", "1", "INT. CABIN", "CABIN", "", "interior"),
    ("(1) INT. CABIN", "1", "INT. CABIN", "CABIN", "", "interior"),
    ("#1# INT. CABIN", "1", "INT. CABIN", "CABIN", "", "interior"),
    ("1.2 INT. CABIN", "1.2", "INT. CABIN", "CABIN", "", "interior"),
    ("SCENE 5 - INT. CABIN - DAY", "5", "INT. CABIN - DAY", "CABIN", "DAY", "interior"),
    ("INT. CABIN - DAY #7#", "7", "INT. CABIN - DAY", "CABIN", "DAY", "interior"),
    ("3 INT. CABIN - DAY #7#", "7", "INT. CABIN - DAY", "CABIN", "DAY", "interior"),
    ("2 EXT. ISLAND - DAWN 2", "2", "EXT. ISLAND - DAWN", "ISLAND", "DAWN", "exterior"),
    ("2 INT. ROOM 2", "2", "INT. ROOM 2", "ROOM 2", "", "interior"),
    ("INT. ROOM 2 - DAY", "", "INT. ROOM 2 - DAY", "ROOM 2", "DAY", "interior"),
    ("I/E CAR - DAY", "", "I/E CAR - DAY", "CAR", "DAY", ""), ("I./E. CAR", "", "I./E. CAR", "CAR", "", ""),
    ("E/I. CAR", "", "E/I. CAR", "CAR", "", ""), ("INT./EXT. CAR", "", "INT./EXT. CAR", "CAR", "", ""),
    ("EXT/INT CAR", "", "EXT/INT CAR", "CAR", "", ""), ("INT. / EXT. CAR", "", "INT. / EXT. CAR", "CAR", "", ""),
    ("EST. CITY - DAY", "", "EST. CITY - DAY", "CITY", "DAY", "exterior"),
    ("INT - HOUSE", "", "INT - HOUSE", "HOUSE", "", "interior"),
    ("EXT - HOUSE - DAY", "", "EXT - HOUSE - DAY", "HOUSE", "DAY", "exterior"),
    ("INT: HOUSE - DAY", "", "INT: HOUSE - DAY", "HOUSE", "DAY", "interior"),
    ("INT.HOUSE - DAY", "", "INT.HOUSE - DAY", "HOUSE", "DAY", "interior"),
    ("INT. HOUSE—DAY", "", "INT. HOUSE—DAY", "HOUSE", "DAY", "interior"),
    ("INT. X-RAY ROOM -- DAY", "", "INT. X-RAY ROOM -- DAY", "X-RAY ROOM", "DAY", "interior"),
    ("int. house - kitchen - day", "", "int. house - kitchen - day", "house - kitchen", "day", "interior"),
    ("**INT. HOUSE - DAY**", "", "INT. HOUSE - DAY", "HOUSE", "DAY", "interior")])
def test_headings(written, number, text, place, time, inside):
    found = import_fountain(f"{written}\n\nA candle.", "f").data
    (name, scene), = found["scenes"].items()
    assert name == (number.replace(".", "-") or "s1") and scene["heading"] == text
    heading = read_heading(written.strip("*"))
    assert (heading.number, heading.text, heading.place, heading.time, heading.inside) == (
        number, text, place, time, inside)
    assert found["panels"][0]["prompt"] == (
        f"A candle. Setting: {', '.join(filter(None, [place, time.lower(), inside]))}.")


@pytest.mark.parametrize("text", [
    "# Act\nINT. HOUSE - DAY\n= She hides.\n\nA candle.", "= Before.\nINT. HOUSE - DAY\n\nA candle.",
    "===\nINT. HOUSE - DAY\nA candle.", "[[a note]]\nINT. HOUSE - DAY\n\nA candle.", "INT. HOUSE - DAY\nA candle.",
    "/* cut */\nINT. HOUSE - DAY\n\nA candle.", "> CUT TO:\nINT. HOUSE - DAY\n\nA candle.",
    "Title: X\nAuthor: Y\nINT. HOUSE - DAY\n\nA candle.", "Title: X\nINT. HOUSE - DAY\n\nA candle.",
    "INT. HOUSE - DAY\n\nA candle.\n# Act two",
    "INT. HOUSE - DAY\n[[a note]]\n\nA candle."])
def test_what_touches_a_heading(text):
    found = import_fountain(text, "f").data
    assert [scene["heading"] for scene in found["scenes"].values()] == ["INT. HOUSE - DAY"]
    assert [panel["prompt"] for panel in found["panels"]] == ["A candle. Setting: HOUSE, day, interior."]


def test_headings_right_under_each_other_and_under_text():
    found = import_fountain("INT. A\nEXT. B\nA boat.\nINT. C\n\nMIRA\nHi.\nEXT. D\n\nA sea.", "f").data
    assert [scene["heading"] for scene in found["scenes"].values()] == ["INT. A", "EXT. B", "INT. C", "EXT. D"]
    assert [panel["scene"] for panel in found["panels"]] == ["s2", "s3", "s4"]


@pytest.mark.parametrize("text", ["Est-ce que Mira dort ?", "Interesting.", "...and the boat leaves.",
                                  "Gulls.\nInt. is no heading here.", "!INT. HOUSE", "10 INT'L FLIGHTS leave.", ". x"])
def test_what_is_no_heading(text):
    assert "scenes" not in import_fountain(text, "f").data


@pytest.mark.parametrize(("text", "notes", "prompt"), [
    ("A boat [[rent it\nfrom the office,\nblue]] leaves.", "rent it from the office, blue", "A boat leaves."),
    ("A boat. [[see [1] and [2]]]", "see [1] and [2]", "A boat."), ("A boat. [[[aside]]]", "[aside]", "A boat."),
    ("A boat. [[a /* cut\n\n*/ b]] It leaves.", "a b", "A boat. It leaves."),
    ("A boat.\n[[one]]\nIt leaves.", "one", "A boat. It leaves."), ("[[one]]\nA boat.", "one", "A boat.")])
def test_notes_are_in_no_prompt(text, notes, prompt):
    panel, = panels(text)
    assert (panel["notes"], panel["prompt"]) == (notes, prompt)


def test_a_boneyard_parts_only_what_it_parted():
    """Alone on its rows it is nothing, or an empty row if it holds one; the rows are named."""
    found = import_fountain("MIRA\n/* old\nline */\nNew line.\n/* cut\n\nTOM\nHi. */\nShe turns.", "f")
    one, two = found.data["panels"]
    assert one["captions"] == [{"text": "New line.", "speaker": "MIRA"}] and two["prompt"] == "She turns."
    assert found.left_out == ("lines 2-3, 5-8: what is put away in /* */",)


@pytest.mark.parametrize("page", [
    "Title: The Lamp\nAuthor: A. W.", "\n\nTitle: The Lamp\nAuthor: A. W.", "[[draft]]\nTitle: The Lamp\nAuthor: A. W.",
    "/* old */\n\nTitle: The Lamp\nAuthor: A. W.", "Title:\n\t_**The Lamp**_\nAuthor:\n    A. W.",
    "Título: The Lamp\nDirección:\n    A. W.", "Titre : The Lamp\nRéalisé par : A. W.", "Título: The Lamp\nAño: A. W.",
    "标题：The Lamp\n作者：A. W.", "Titel: The Lamp\nFörfattare: A. W.", "Title: The Lamp\n\nAuthor: A. W.",
    "Title:\nThe Lamp\nAuthor: A. W.", "TITLE: The Lamp\nAUTHOR: A. W.", "Episode no. 3: A. W.\nTitle: The Lamp",
    "Title: The\n  Lamp\n[[draft]]\nContact:\n  A. W."])
def test_title_pages(page):
    found = import_fountain(f"{page}\n\nINT. CABIN - NIGHT\n\nA candle.", "f")
    assert found.data["title"] == "The Lamp" and len(found.data["panels"]) == 1
    assert [report for report in found.left_out if report.startswith("title page, ") and "A. W." in report]


def test_a_title_page_of_keys_nobody_knows():
    found = import_fountain("Série: Le Phare\nÉquipe:\n    Ann\n    Bo\n\nA candle.", "f")
    assert found.left_out == ("title page, série: Le Phare", "title page, équipe: Ann Bo")
    assert [panel["prompt"] for panel in found.data["panels"]] == ["A candle."]


@pytest.mark.parametrize("text", ["FADE IN:\n\nA candle.", "Suddenly: a bang.\n\nA candle.",
                                  "MIRA: Hi\nTOM: Ho\n\nA candle.",
                                  "Mira: Hello.\nTom: Bye.\n\nA candle.", "SLOW FADE IN:\nOUR HERO:\n\nA candle."])
def test_a_first_row_that_is_no_title_page(text):
    found = import_fountain(text, "f")
    assert "title" not in found.data and not [report for report in found.left_out if "title page" in report]


@pytest.mark.parametrize("transition", ["CUT TO:", "FADE OUT.", "FADE TO BLACK.", "CUT TO BLACK.",
                                        "SMASH CUT TO BLACK.", "> FADE OUT.", "**CUT TO:**", "DISSOLVE TO:"])
def test_transitions(transition):
    panel, = panels(f"A boat.\n\n{transition}\n")
    assert panel["transition"] == transition.strip("*> .:").lower()


def test_lyrics_without_a_cue_are_captions():
    song, wind = panels("INT. CABIN\n\nMira lights a candle.\n~Little light\n~stay\n\nWind.")
    assert (song["prompt"], song["captions"]) == (
        "Mira lights a candle. Setting: CABIN, interior.", [{"text": "Little light\nstay", "kind": "narration"}])
    alone, = panels("INT. CABIN\n\n~Little light\n~*stay*")
    assert "light" not in alone["prompt"] and alone["captions"] == song["captions"] and "captions" not in wind


@pytest.mark.parametrize(("speech", "captions", "notes"), [
    ("*(whispering)*\nQuiet.\n(then)\nNow.", ["Quiet.", "Now."], "MIRA (whispering)\nMIRA (then)"),
    ("_(softly)_\nQuiet.", ["Quiet."], "MIRA (softly)"), ("**(softly)**\nQuiet.", ["Quiet."], "MIRA (softly)"),
    ("(*softly*)\nQuiet.", ["Quiet."], "MIRA (softly)"), ("(whispering\nto Tom)\nQuiet.", ["Quiet."],
                                                         "MIRA (whispering to Tom)"),
    ("    (softly)\n    Quiet.", ["Quiet."], "MIRA (softly)"), ("(or so) it is\nsaid.", ["(or so) it is\nsaid."], None),
    ("(no end\nQuiet.", ["(no end\nQuiet."], None), ("Quiet. [[close\nup]]\nNow.", ["Quiet.\nNow."], "close up"),
    ("Quiet.\n= a synopsis", ["Quiet."], None), ("~La la\n~la", ["La la\nla"], None)])
def test_dialogue(speech, captions, notes):
    panel, = panels(f"INT. CABIN\n\nMIRA\n{speech}\n")
    assert [caption["text"] for caption in panel["captions"]] == captions and panel.get("notes") == notes


def test_a_capital_row_over_notes_alone_is_nobody():
    assert "characters" not in import_fountain("THE END\n[[music]]\n\nA candle.", "f").data


def test_rows_that_stand_for_themselves_end_a_paragraph():
    found = import_fountain("INT. A\n\nA boat.\n> THE END <\n# Act two\n= She leaves.\n===\nA sea.\n> FADE OUT.", "f")
    assert [panel["prompt"].split(".")[0] for panel in found.data["panels"]] == ["A boat", "THE END", "A sea"]
    assert found.data["scenes"]["s1"]["notes"] == "She leaves." and found.data["panels"][2]["transition"] == "fade out"
    assert found.left_out == ("line 5: section 'Act two'",)


@pytest.mark.parametrize("cue", ["NARRATOR", "TOM'S VOICE", "NORA (OOV)", "NORA (aus dem Off)", "NORA (voz en off)",
                                 "NORA (RADIO)", "@诺拉 (画外音)", "NORA (VOICE)"])
def test_voices_are_not_in_the_picture(cue):
    panel, = panels(f"{SCENE}A desk. Tom's voice echoes.\n\n{cue}\nHello.")
    assert panel["characters"] == [] and panel["captions"][0]["kind"] == "narration"


def test_all_and_both_are_no_characters():
    found = import_fountain(f"{SCENE}A desk.\n\nNORA\nHi.\n\nBOTH\nBye.\n\nALL\nBye.", "f").data
    assert [*found["characters"]] == ["NORA"] and found["panels"][0]["captions"][1]["speaker"] == "BOTH"


def test_no_full_stop_behind_one():
    assert panels(f"{SCENE}李雷坐下。")[0]["prompt"] == "李雷坐下。 Setting: STUDY, night, interior."


def test_escaped_marks_in_emphasis():
    assert panels("The keypad: **\\*9765\\***")[0]["prompt"] == "The keypad: *9765*"

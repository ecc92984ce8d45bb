"""CSV shot lists as people write them: titles, empty cells, merged cells, durations, speeches."""

import pytest
from kontinuity.storyboard.story.importers import import_csv
from kontinuity.storyboard.story.importers.durations import is_time_of_day, rate_of, seconds
from kontinuity.storyboard.story.importers.shot_columns import columns
from kontinuity.storyboard.story.importers.speakers import read_speech


def read(*rows):
    return import_csv("\n".join(rows).encode(), "s.csv")


def panels(*rows):
    return read(*rows).data["panels"]


@pytest.mark.parametrize("cell", [
    "N/A", "n/a", "N / A", "n.a.", "NA", "none", "None", "NONE", "nobody", "no one", "-", "–", "—", "--", "---",
    "―", "...",
    "…", ".", "?", "/", "(none)", "nil", "null", "nothing", "TBD", "tba", "T.B.C.", "keine", "niemand", "k.A.", "aucun",
    "personne", "ninguno", "nadie", "nessuno", "нет", "无", "なし", "No characters"])
def test_nobody_is_no_character(cell):
    found = read("Scene,Description,Cast", f"1,A boat,{cell}").data
    assert found["panels"][0]["characters"] == [] and "characters" not in found


@pytest.mark.parametrize(("cell", "names"), [
    ("Mia/N/A", ["Mia"]), ("N/A, Mia", ["Mia"]), ("Mia, TBD", ["Mia"]), ("Mia & Tom", ["Mia", "Tom"]),
    ("Mia / Tom", ["Mia", "Tom"]), ("Mia and Tom + Ann", ["Mia", "Tom", "Ann"]), ("- Mia\n- Tom", ["Mia", "Tom"]),
    ("1. Mia\n2) Tom", ["Mia", "Tom"]), ("Mia (tired, wet), Tom", ["Mia (tired, wet)", "Tom"]),
    ("Mia w/ Tom", ["Mia", "Tom"]),
    ("Mia; Tom;", ["Mia", "Tom"]), ("Mia et Tom", ["Mia", "Tom"]), ("Na", []), ("Nathan", ["Nathan"]),
    ("Anna/Al", ["Anna", "Al"]), ("Andy", ["Andy"]), ("E.T.", ["E.T."])])
def test_casts(cell, names):
    found = read("Scene,Description,Cast", f'1,A boat,"{cell}"').data
    assert [about["name"] for about in found.get("characters", {}).values()] == names
    assert len(found["panels"][0]["characters"]) == len(names)


def test_who_is_only_heard_is_not_in_the_picture():
    panel, = panels("Scene,Description,Cast", '1,A boat,"Mia, Tom (V.O.)"')
    assert panel["characters"] == ["Mia"] and panel["notes"] == "Tom (V.O.)"


def test_empty_cells_of_every_kind_fill_nothing():
    found = read("Scene,Description,Cast,Location,Shot Size,Dialogue,Duration,Notes,Seed,VO,Transition,Lens",
                 "-,A boat,-,N/A,none,—,n/a,-,-,N/A,-,-")
    assert found.data["panels"] == [{"id": "shot-001", "prompt": "A boat.", "characters": [], "notes": "Lens: -"}]
    assert "locations" not in found.data and "scenes" not in found.data
    open_yet, = panels("Scene,Description,Cast,Location", "1,A boat,TBD,tba")
    assert open_yet["notes"] == "Cast: TBD\nLocation: tba" and "location" not in open_yet
    assert [report for report in read("Scene,Description", "1,TBD",
    "2,x").left_out if "line 2, without a des" in report]
    said, = panels("Scene,Description,Dialogue", '1,A boat,"...\nNa?"')
    assert [caption["text"] for caption in said["captions"]] == ["...", "Na?"]


@pytest.mark.parametrize(("title", "field", "unit"), [
    ("duration_sec", "duration", 1), ("Duration (s)", "duration", 1), ("Duration [sec]", "duration", 1),
    ("DURATION_SECONDS", "duration", 1), ("Duration in seconds", "duration", 1), ("Duration (min)", "duration", 60),
    ("Dauer (Sek.)", "duration", 1), ("duration_ms", "duration", 0.001), ("Shot Duration", "duration", 1),
    ("Length (s)", "duration", 1), ("Frames", "duration", None), ("Duration (frames)", "duration", None), ("Durée",
    "duration", 1),
    ("Est. Duration", "duration", 1), ("Duration (hh:mm:ss)", "duration", 1), ("Cast Members", "characters", 1),
    ("Character(s)", "characters", 1), ("Character Names", "characters", 1), ("Characters in Shot", "characters", 1),
    ("Cast / Talent", "characters", 1), ("Main Cast", "characters", 1), ("Scene Description", "prompt", 1),
    ("Shot Description", "prompt", 1), ("Description of Action", "prompt", 1), ("Image Prompt", "prompt", 1),
    ("Description (EN)", "prompt", 1), ("Visual", "prompt", 1), ("Scene Location", "location", 1), ("Descripción",
    "prompt", 1),
    ("Director's Notes", "notes", 1), ("Notes for editor", "notes", 1), ("Type of shot", "shot", 1), ("Shot Type",
    "shot", 1),
    ("Scene No.", "scene", 1), ("Scene #", "scene", 1), ("Panel No.", "id", 1), ("V.O.", "voice", 1), ("Voice-Over",
    "voice", 1),
    ("Dialogue / VO", "dialogue", 1), ("#", "shot number", 1)])
def test_titles(title, field, unit):
    column, = columns([title]).values()
    assert (column.field, column.unit) == (field, unit)


@pytest.mark.parametrize("title", [
    "Negative Prompt", "Camera Movement", "camera_move", "Start Time", "Time of Day", "Focal Length",
    "Number of characters",
    "Type of light", "Camera Description", "Character Description", "Transition Duration", "On-Screen Text",
    "Status", "File size",
    "Total duration", "Location type", "Sound", "Time in"])
def test_titles_that_are_something_else(title):
    assert columns([title]) == {}


def test_of_two_titles_for_a_field_the_plainer_wins():
    assert {index: column.field for index, column in columns(["Bild", "Scene Description", "Description"]).items()} == {
        2: "prompt"}
    assert [*columns(["Video", "Shot Description"])] == [1] and [*columns(["Prompt", "Description"])] == [0]


@pytest.mark.parametrize(("text", "length"), [
    ("5", 5), ("5s", 5), ("5 s", 5), ("5 sec.", 5), ("5 Sekunden", 5), ("2 min", 120), ("2m", 120), ("1:30", 90),
    ("0:05", 5),
    ("00:01:30", 90), ("1.5", 1.5), ("1,5", 1.5), ("2,5 s", 2.5), ("1m30s", 90), ("1 min 30 sec", 90), ("1'30\"", 90),
    ("500 ms", 0.5), ("48 frames", 2), ("48f", 2), ("2s 12f", 2.5), ("00:00:02:12", 2.5), ("00:00:02;12", 2.5),
    ("~5s", 5),
    ("ca. 5 s", 5), ("1:30 min", 90), ("0:00-0:05", 5), ("0:05 – 0:09", 4), ("00:08:30", 510), ("1 hour", 3600),
    ("3秒", 3),
    ("2 minutes and 5 seconds", 125), ("5:59", 359),
    ("08:30", None), ("14:00", None), ("8:30 am", None), ("8 pm", None), ("8.30 Uhr", None), ("23:59", None),
    ("6:00", None),
    ("1:75", None), ("soon", None), ("5-7 s", None), ("5 bananas", None), ("-5", None), ("", None), ("0:09-0:05", None),
    ("00:00:02:24", None), ("1 " * 5000, None), (":" * 5000, None)])
def test_lengths(text, length):
    assert seconds(text) == (None if length is None else pytest.approx(length))


def test_units_and_rates():
    assert seconds("90", 60) == 5400 and seconds("48", None) == 2 and seconds("50", None, 25) == 2
    assert rate_of(["00:00:02:12"]) == 24 and rate_of(["00:00:01:24"]) == 25 and rate_of(["00:00:01:29"]) == 30
    assert rate_of(["00:00:01;02"]) == 30 and rate_of([]) == 24
    assert is_time_of_day("8 o'clock") and not is_time_of_day("5") and not is_time_of_day("1:30")
    found = read("Scene,Description,Frames (25 fps)", "1,A boat,50")
    assert found.data["panels"][0]["duration"] == 2 and "at 25 frames a second" in found.left_out[-1]
    assert panels("Scene,Description,duration_ms", "1,A boat,1500")[0]["duration"] == 1.5


def test_times_of_day_are_no_durations_and_are_said():
    found = read("Scene,Description,Duration", "1,A boat,08:30", "2,A sea,3", "3,A pier,soon")
    assert [panel.get("duration") for panel in found.data["panels"]] == [None, 3, None]
    assert found.data["panels"][0]["notes"] == "duration: 08:30"
    assert [report for report in found.left_out if report.startswith("lines 2, 4: ") and "08:30, soon" in report]


@pytest.mark.parametrize("times", [("08:30", "09:15"), ("8:30 am", "3 pm"), ("0:00", "0:05"), ("0:05", "0:09", "0:14"),
                                   ("00:00:00:00", "00:00:05:12")])
def test_a_time_that_is_a_point_in_time(times):
    found = read("Time,Video,Audio", *(f"{time},A boat,Music" for time in times))
    assert [panel.get("duration") for panel in found.data["panels"]] == [None] * len(times)
    assert found.data["panels"][1]["notes"] == f"Time: {times[1]}" and "points in time" in found.left_out[0]


@pytest.mark.parametrize(("times", "lengths"), [(("0:04", "0:03"), [4, 3]), (("3", "4", "5"), [3, 4, 5]),
                                                (("0:00-0:05", "0:05-0:09"), [5, 4])])
def test_a_time_that_is_a_length(times, lengths):
    assert [panel["duration"] for panel in panels("Time,Video", *(f"{time},A boat" for time in times))] == lengths


def test_merged_cells_go_on_and_are_said():
    found = read("Scene,Location,Shot,Description,Cast", "1,Pier,1,A,Mia", ",,2,B,", ",,3,C,", "2,,1,D,", ",Cabin,2,E,",
                 "2,,3,F,", "-,,4,G,", ",,5,H,")
    assert [(panel["id"], panel.get("scene"), panel.get("location"), panel["characters"])
            for panel in found.data["panels"]] == [
        ("1-1", "1", "Pier", ["Mia"]), ("1-2", "1", "Pier", []), ("1-3", "1", "Pier", []), ("2-1", "2", None, []),
        ("2-2", "2", "Cabin", []), ("2-3", "2", "Cabin", []), ("4", None, None, []), ("5", None, None, [])]
    assert found.left_out == (
        "the empty cells of 'Scene' on lines 3-4, 6: they were read as the scene above them, as in merged cells",
        "the empty cells of 'Location' on lines 3-4, 7: they were read as the location above them, as in merged cells")


@pytest.mark.parametrize(("titles", "banner"), [("Scene,Shot,Description", "SCENE 2 - CABIN,,"),
                                                ("Shot,Scene,Description", "Scene 2: Cabin,,"),
                                                ("Shot,Scene,Description", ",2,")])
def test_a_row_over_the_shots_of_a_scene(titles, banner):
    found = read(titles, "1,1,A", banner, *([",1,B"] if titles.startswith("Scene") else ["1,,B"]))
    one, two = found.data["panels"]
    assert one["scene"] == "1" and two["scene"].startswith(("SCENE-2", "Scene-2", "2"))
    assert [report for report in found.left_out if "line 3, without a description" in report]


def test_the_header_again():
    found = read("Scene,Description,Cast", "1,A,Mia", "Scene,Description,Cast", "SCENE,DESCRIPTION,CAST,", "2,B,Tom")
    assert [panel["prompt"] for panel in found.data["panels"]] == ["A.", "B."]
    assert found.left_out == ("lines 3-4: the header again",) and set(found.data["characters"]) == {"Mia", "Tom"}


@pytest.mark.parametrize("title", ["Prompt", "Description", '"Description"', "Beschreibung", "Action"])
def test_a_list_of_one_column(title):
    found = panels(title, "A boat, red; old | here", "", '"Mira waves, and\ngoes"', "A \"big\" sea")
    assert [panel["prompt"] for panel in found] == [
        "A boat, red; old | here.", "Mira waves, and goes.", 'A "big" sea.']


@pytest.mark.parametrize("titles", ["Description,Lens", "Lens,Beschreibung", "Frame no. x,Description"])
def test_a_description_is_enough(titles):
    found = panels("A film,", titles, *(["A boat,35"] if titles.startswith("D") else ["35,A boat"]))
    assert found[0]["prompt"] == "A boat." and "35" in found[0]["notes"]


@pytest.mark.parametrize(("text", "speaker", "said", "kind"), [
    ("We leave at 10:30 tomorrow", None, None, "speech"), ("Ratio is 2:1", None, None, "speech"),
    ("Around ten: we go", None, None, "speech"),
    ("https://example.org is here", None, None, "speech"), ("One thing is clear: we go", None, None, "speech"),
    ("Remember: never go", None, None, "speech"), ("C:\\films", None, None, "speech"), ("MIRA:", None, None, "speech"),
    ("Yes, Tom: we go", None, None, "speech"), ("MIRA: Hi", "MIRA", "Hi", "speech"), ("MIRA:Hi", "MIRA", "Hi",
    "speech"),
    ("Mira: Meet me at 7:30.", "Mira", "Meet me at 7:30.", "speech"), ("MIRA (V.O.): I waited.", "MIRA",
    "I waited.", "narration"),
    ("MIRA (softly): Hi", "MIRA", "Hi", "speech"), ("DR. MÜLLER: Hi", "DR. MÜLLER", "Hi", "speech"),
    ("VO: Long ago", None, "Long ago", "narration"),
    ("SFX: BANG", None, "BANG", "sound"), ("Narrator: Long ago", "Narrator", "Long ago", "narration"), ("MIRA： 你好",
    "MIRA", "你好", "speech"),
    ("Old Man: Hi", "Old Man", "Hi", "speech")])
def test_speeches(text, speaker, said, kind):
    speech = read_speech(text, ())
    assert (speech.cue and speech.cue.name, speech.text, speech.kind) == (speaker, said or text, kind)


def test_where_names_are_known_others_are_none():
    assert read_speech("Old Man: Hi", {"mia"}).cue is None and read_speech("mia: Hi", {"mia"}).cue.name == "mia"
    assert read_speech("OLD MAN: Hi", {"mia"}).cue.name == "OLD MAN"


def test_cells_beyond_the_titles_are_said():
    found = read("Scene,Description,Cast", "1,A boat, red and old,Mia", "2,A sea,Tom,,")
    assert found.data["panels"][0]["notes"] == "column 4: Mia" and len(found.data["panels"]) == 2
    assert [report for report in found.left_out if report.startswith("line 2: 4 cells under 3 titles")]
    assert not [report for report in found.left_out if report.startswith("line 3")]


def test_a_number_that_no_id_can_hold_is_in_the_notes():
    one, two = panels("ID,Shot,Description", "海滩,7,A beach", "pier,8,A pier")
    assert one["notes"] == "ID: 海滩\nShot: 7" and two["notes"] == "Shot: 8" and two["id"] == "pier"


@pytest.mark.parametrize(("cell", "names", "notes"), [
    ("#N/A", [], None), ("#REF!", [], None), ("N\\A", [], None), ("Mia (N/A)", ["Mia"], None), ("(Tom)", ["Tom"], None),
    ("none (landscape)", [], "Cast: none (landscape)"), 
    ("n/a - establishing shot", [], "Cast: none - establishing shot"),
    ("TBC (Mia?)", [], "Cast: TBC (Mia?"), ("Narrator, Mia", ["Mia"], "Cast: Narrator"), ("VO", [], "Cast: VO"),
    ("all", [], "Cast: all"), ('["Mia", "Tom"]', ["Mia", "Tom"], None), ("@Mia | Tom?", ["Mia", "Tom"], None),
    ("-Mia\n-Tom", ["Mia", "Tom"], None), ("Mia e Tom", ["Mia", "Tom"], None), ("Mia, etc.", ["Mia"], None),
    ("Mia (https://notion.so/M-1), Tom (https://notion.so/T-2)", ["Mia", "Tom"],
     "Cast: (https://notion.so/M-1) (https://notion.so/T-2)")])
def test_casts_that_name_more_than_people(cell, names, notes):
    quoted = cell.replace('"', '""')
    panel, = panels("Scene,Description,Cast", f'1,A boat,"{quoted}"')
    assert panel["characters"] == names and (panel.get("notes") or "").startswith(notes or "")
    assert notes or "notes" not in panel


@pytest.mark.parametrize("titles", [
    "镜号,场景,画面内容,人物,对白,时长", "Кадр,Сцена,Описание,Персонажи,Диалог,Длительность",
    "カット,シーン,内容,人物,セリフ,秒数",
    "N°,Scène,Omschrijving,Personages,Dialoog,Duur", "№,Escena,Descripción,Personajes,Diálogo,Duración",
    "Einst.-Nr.,Szene,Bildinhalt,Darsteller,Dialog,Dauer (Sek.)"])
def test_titles_in_other_languages(titles):
    panel, = panels(titles, "1,2,A boat,Mia,MIA: Hi,5")
    assert panel == {"id": "2-1", "prompt": "A boat.", "scene": "2", "characters": ["Mia"], "duration": 5,
                     "captions": [{"text": "Hi", "speaker": "MIA"}]}


@pytest.mark.parametrize(("title", "cell", "length"), [
    ("Length (mm:ss)", "10:30", 630), ("Length", "8:30 min", 510), ("Length", "8:30 h", None), ("Length", "1'30", 90),
    ("Length", ".5", 0.5), ("Length", "5 sec (approx)", 5)])
def test_lengths_that_title_or_unit_make_sure(title, cell, length):
    assert panels(f"Scene,Description,{title}", f'1,A boat,{cell}')[0].get("duration") == length


def test_speech_in_rows_of_its_own_belongs_to_the_shot_above():
    found = read("Scene,Shot,Description,Dialogue", "1,1,They talk,MIRA: Hi", ",,,TOM: Ho",
                  "1,2,Sea,", "2,3,,MIRA: Lost")
    one, two = found.data["panels"]
    assert [caption["text"] for caption in one["captions"]] == ["Hi", "Ho"] and "captions" not in two
    assert found.left_out[0].startswith("line 5, without a description")


def test_a_blank_before_a_quotation_mark():
    assert panels("Scene, Description, Cast", '1, "A boat, red", "Mia, Tom"')[0]["characters"] == ["Mia", "Tom"]


def test_a_time_that_is_no_length_is_no_duration():
    found = read("Scene,Time,Description", "1,Day,A boat")
    assert found.data["panels"][0]["notes"] == "Time: Day"


def test_who_a_voice_over_belongs_to():
    assert read_speech("VO (Mira): hi", ()).cue.name == "Mira"
    assert read_speech("SFX (soft): bang", ()).text == "bang (soft)"
    assert read_speech("Wait: what?", ()).cue is None and read_speech("Rule 1: never run", ()).cue is None

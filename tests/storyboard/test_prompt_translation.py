"""Prompts become English: dictionaries by their content, models by their mechanics (a tiny random Marian)."""

import random
import socket
import time
import unicodedata

import pytest
import torch
from kontinuity.common import InputError
from kontinuity.storyboard import panel_prompt, parse_story
from kontinuity.storyboard.prompts import (
    Dictionary,
    ModelTranslator,
    read_dictionary,
    translate_change,
    translate_story,
)
from kontinuity.storyboard.story.change import Change

CHINESE = Dictionary({"把背景换成": "Change the background to", "海滩": "a beach", "海": "the sea",
                      "日落时的海滩": "a beach at sunset", "女人": "the woman", "挥手": "is waving"})


@pytest.mark.parametrize(("text", "english"), [
    ("把背景换成海滩，女人挥手。", "Change the background to a beach, the woman is waving."),
    ("把背景换成日落时的海滩", "Change the background to a beach at sunset"),  # the longest, not 海滩
    ("海", "the sea"),
    ("把背景换成 a forest", "Change the background to a forest"),
    ("a red hat", "a red hat"),
    ("山和海滩", "山和 a beach"),  # what is unknown stays
    ("", ""),
])
def test_chinese(text, english):
    assert CHINESE(text).replace("山和a", "山和 a") == english


def test_words_of_other_scripts_are_whole_words():
    russian = Dictionary({"кот": "a cat", "на пляже": "on the beach", "который": "which"})
    assert russian("Кот  на  пляже, которого нет") == "a cat on the beach, которого нет"
    assert Dictionary({"chat": "cat"})("un chat, chateau") == "un cat, chateau"


@pytest.mark.parametrize(("phrases", "text", "english"), [
    ({"Straße": "street", "weißes Hemd": "white shirt"}, "Ein Hund auf der Straße, ein weißes Hemd.",
     "Ein Hund auf der street, ein white shirt."),
    ({"Straße": "street"}, "STRASSE strasse STRAẞE Straßen", "street street street Straßen"),
    ({"Gasse": "lane"}, "Gaße GASSE", "lane lane"),
    ({"ὀδός": "street"}, "ὈΔΌΣ ὀδός ὀδόσ", "street street street"),
    ({"ﬁsh": "x", "ŉ man": "a man"}, "ﬁsh fish FISH, ŉ man 'n man", "x x x, a man a man"),
    ({"l'eau": "water"}, "l’eau L'EAU", "water water"),
    ({"ներև": "below"}, "ՆԵՐԵՒ ներեւ", "below below"),
    ({"kapı": "door"}, "KAPI Kapı kapı kapi", "door door door kapi"),
    ({"İstanbul": "the city"}, "İSTANBUL istanbul Istanbul i\u0307stanbul ıstanbul",
     "the city the city the city the city ıstanbul"),
    ({"sinir": "nerve", "sınır": "border"}, "sinir sınır SİNİR SINIR", "nerve border nerve border"),
    ({"Polish": "from Poland", "polish": "shine"}, "Polish polish", "from Poland shine"),
])
def test_capitals_ligatures_and_kinds_of_i(phrases, text, english):
    assert Dictionary(phrases)(text) == english


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("of_text", ["NFC", "NFD"])
def test_accents_match_however_they_are_written_and_the_rest_stays(form, of_text):
    phrases = {"café": "bar", "Ngày": "day", "가방": "bag", "ガラス": "glass"}
    made = Dictionary({unicodedata.normalize(form, phrase): word for phrase, word in phrases.items()})
    assert made(unicodedata.normalize(of_text, "CAFÉ Ngày 가방")) == "bar day bag"
    rest = unicodedata.normalize(of_text, "İŉﬁ Straße été naïve cafés 각 й")
    assert made(rest) == rest and made(f"{rest} ngày") == f"{rest} day"
    assert made("ｶﾞﾗｽ") == "glass"  # half-width


def test_no_match_begins_or_ends_between_a_letter_and_its_marks():
    assert Dictionary({"क": "k", "가": "go", "и": "and", "ก": "g", "e": "x"})("का 각 й กิ é") == "का 각 й กิ é"
    half = unicodedata.normalize("NFD", "각 é")
    assert Dictionary({"가": "go", "e": "x"})(half) == half


def test_marks_in_great_number_take_no_time():
    start = time.monotonic()
    text = "a" + "\u0301\u0323" * 100_000
    assert Dictionary({"b": "x"})(text) == text
    assert time.monotonic() - start < 10  # normalised in one piece, it would take more than a minute


def test_the_longest_phrase_is_found_as_by_trying_all_of_them():
    chance = random.Random(0)

    def word(most: int) -> str:
        return "".join(chance.choices("我你他", k=chance.randint(1, most)))

    for _ in range(200):
        phrases = {word(5): str(number) for number in range(chance.randint(0, 12))}
        text = word(40)
        plain, start = [], 0
        while start < len(text):
            longest = max((one for one in phrases if text.startswith(one, start)), key=len, default="")
            plain.append(f" {phrases[longest]} " if longest else text[start])
            start += len(longest) or 1
        assert Dictionary(phrases)(text) == " ".join("".join(plain).split()), (phrases, text)


@pytest.mark.parametrize(("phrases", "text"), [
    ({"我" * length + "你": "x" for length in range(1, 801)}, "我" * 20_000),
    ({"我" + "他" * length: "x" for length in range(1, 801)}, "我你" * 10_000),
    ({"a": "x"}, "b" + " " * 30_000 + "b"),
])
def test_many_lengths_and_long_gaps_take_little_time(phrases, text):
    """Trying length by length took more than 10 s here."""
    start = time.process_time()
    assert Dictionary(phrases)(text) == " ".join(text.split())
    assert time.process_time() - start < 8


def test_english_stands_apart_from_letters_that_end_in_a_mark():
    assert Dictionary({"အနီ": "red"})("ဦးထုပ်အနီ") == "ဦးထုပ် red"
    assert Dictionary({"แดง": "red"})("สีแดง") == "สี red"


def test_meta_characters_and_chains():
    assert Dictionary({"a.b": "x", "(c)": "y"})("a.b axb (c)") == "x axb y"
    assert Dictionary({"a": "b", "b": "c"})("a b") == "b c"  # what was translated is not translated again


def test_a_dictionary_file(tmp_path):
    path = tmp_path / "my.dictionary.yaml"
    path.write_text("海滩: a beach\n'no: yes': really\n", "utf-8")
    assert read_dictionary(path)("海滩 no: yes") == "a beach really"


@pytest.mark.parametrize(("text", "message"), [
    (b"- a\n", "is no dictionary"), (b"a: [b]\n", "my.dictionary.yaml:1"), (b"x: y\na:\n", "my.dictionary.yaml:2"),
    (b"\xff: a", "is not UTF-8"), (b"a: b\na: c", "is written twice"), (b"a: !!python/object:os.x b", "YAML tag")])
def test_a_faulty_dictionary_file(tmp_path, text, message):
    path = tmp_path / "my.dictionary.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_dictionary(path)


def test_a_change_is_translated_part_by_part():
    change = Change(scene="海滩", keep=("女人",), recolour={"海": "red"}, text={"海滩": "海"}, shot="close-up")
    assert translate_change(change, CHINESE) == Change(
        scene="a beach", keep=("the woman",), recolour={"the sea": "red"}, text={"海滩": "海"}, shot="close-up")


def test_a_story_is_translated_with_all_that_becomes_a_prompt():
    story = parse_story("""
version: 1
style: 海
characters: {mia: {traits: 女人}}
locations: {shore: 海滩}
panels:
  - {id: a, change: {action: 挥手}, location: shore}
  - {id: b, prompt: 海滩, from: a}
  - {id: c, prompt: a red hat, characters: []}
""")
    english, written = translate_story(story, CHINESE)
    said = {panel.id: panel_prompt(english, panel) for panel in english.panels}
    assert said["a"] == ("Change the background to a beach, the woman is waving. Change the style to the sea. "
                         "Keep the same face, hair and clothes.")
    assert said["b"] == "a beach Change the style to the sea."
    assert written["b"] == "海滩 Change the style to 海." and "女人" in written["a"] and set(written) == {"a", "b", "c"}
    assert english.panel("b") is english.panels[1]  # no old panel is left anywhere
    assert english.line("panels", 0, "id") == story.line("panels", 0, "id")
    plain = parse_story("version: 1\npanels: [{id: c, prompt: a red hat}]")
    assert translate_story(plain, CHINESE) == (plain, {})


WORDS = ["海滩", "女人", "a", "beach", "woman", "the"]


def marian(folder, tokens=("<pad>", "</s>", "<unk>")):
    """A tiny random Marian with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*tokens, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
                            additional_special_tokens=list(tokens[3:])).save_pretrained(folder)
    torch.manual_seed(0)
    model = MarianMTModel(MarianConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=600, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=None))
    model.generation_config.bad_words_ids = [[0]]
    model.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was reached for")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_model_translates_the_same_every_time_without_network(tmp_path, no_network):
    translate = ModelTranslator(marian(tmp_path / "zh-en"))
    first = translate("女人 海滩")
    assert first == translate("女人 海滩") == ModelTranslator(tmp_path / "zh-en")("女人 海滩")
    assert first == " ".join(first.split()) and set(first.split()) <= set(WORDS)
    assert "</s>" not in first and "<pad>" not in first


def test_a_model_of_many_languages_is_told_source_and_target(tmp_path, no_network):
    folder = marian(tmp_path / "many", ("<pad>", "</s>", "<unk>", "zho_Hans", "eng_Latn"))
    translate = ModelTranslator(folder, "zho_Hans")
    assert translate._options == {"forced_bos_token_id": 4} and translate._tokenizer.src_lang == "zho_Hans"
    translate("女人")
    with pytest.raises(InputError, match="language '': is not a language of this model"):
        ModelTranslator(folder)
    with pytest.raises(InputError, match="language 'klingon'"):
        ModelTranslator(folder, "klingon")


def test_folders_that_are_refused(tmp_path, no_network):
    with pytest.raises(InputError, match="holds no config.json"):
        ModelTranslator(tmp_path)
    folder = marian(tmp_path / "zh-en")
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds no safetensors weights"):
        ModelTranslator(folder)
    weights.write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be loaded"):
        ModelTranslator(folder)

"""Prompts in a real server: looked through before sampling, checked by a node, translated; and T5's vocabulary."""

import json
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

STORY = """\
version: 1
characters: {{mia: {{}}}}
panels:
  - {{id: one, prompt: "{one}"}}
  - {{id: two, prompt: "a red hat"}}
"""
TRANSLATE = "Kontinuity_TranslatePrompts"


def ui_of(server, result, node: str) -> dict:
    with urllib.request.urlopen(f"{server.url}/history/{result.prompt_id}", timeout=30) as answer:
        return json.load(answer)[result.prompt_id]["outputs"][node]


def check_graph(text="", story=None) -> dict:
    graph = {"1": {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "demo model (built in)"}},
             "2": {"class_type": "Kontinuity_CheckPrompts", "inputs": {"model": ["1", 0], "text": text}}}
    if story is not None:
        graph["3"] = {"class_type": "Kontinuity_LoadStoryboard", "inputs": {"text": story, "file": "use the text"}}
        graph["2"]["inputs"]["story"] = ["3", 0]
    return graph


def test_check_prompts_reports_all_panels_and_a_text(server, run):
    result, _ = run(check_graph("Put him on a beach.", STORY.format(one="没有 a beach")))
    assert result.status == "success", result.error
    report = ui_of(server, result, "2")["text"][0]
    assert report.startswith("3 prompts checked: 1 error, ")
    assert "panel 'one': error (unreadable) '没有'" in report and "text: warning (pronoun) 'him'" in report
    apart = '"a red hat", together: regions, characters: {mia: {action: 挥手}}'
    result, _ = run(check_graph(story=STORY.format(one="They meet.").replace('"a red hat"', apart)))
    assert "panel 'two', mia: error (unreadable) '挥手.'" in ui_of(server, result, "2")["text"][0]
    result, _ = run(check_graph())
    assert result.status == "error" and "no story is connected" in result.error


def test_an_unreadable_prompt_stops_before_sampling(server, run, board, edit):
    result, events = run(board(model="demo model (built in)", text=STORY.format(one="海滩")))
    assert result.status == "error" and "panel 'one': prompt '海滩'" in result.error and "unreadable" in result.error
    assert not [event for event in events if event.kind == "progress"]
    result, events = run(edit(model="demo model (built in)", instruction="a beach, 海滩"))
    assert result.status == "error" and "Kontext Edit: prompt '海滩'" in result.error
    assert not [event for event in events if event.kind == "progress"]


def test_warnings_are_shown_and_the_picture_is_made(server, run, board):
    result, _ = run(board(text=STORY.format(one="she waves on a beach"), filename_prefix="remarks/board"))
    assert result.status == "success", result.error
    shown = ui_of(server, result, "6")
    assert len(shown["images"]) == 2
    assert "panel 'one': warning (pronoun) 'she'" in shown["text"][0] and "panel 'two'" not in shown["text"][0]


def test_clean_prompts_show_nothing(server, run, edit):
    result, _ = run(edit(model="demo model (built in)", steps=1))
    assert result.status == "success" and ui_of(server, result, "4")["text"] == [""]


def test_the_demo_model_says_which_sentences_it_was_not_taught(server, run, edit):
    result, _ = run(edit(model="demo model (built in)", steps=1, instruction="Turn the person into a pirate ship."))
    assert result.status == "success", result.error
    assert "not taught the words of Kontext Edit" in ui_of(server, result, "4")["text"][0]
    result, _ = run(edit(steps=1, instruction="Turn the person into a pirate ship."))  # another model
    assert "not taught" not in ui_of(server, result, "4")["text"][0]


@pytest.fixture
def dictionary(server):
    path = server.base / "input" / "zh.dictionary.yaml"
    path.write_text("海滩: a beach\n女人: the woman\n挥手: waves\n", "utf-8")
    yield path.name
    path.unlink()


def test_the_english_text_is_used_and_both_are_recorded(server, run, board, dictionary):
    graph = board(text=STORY.format(one="海滩，女人挥手"), filename_prefix="translated/board")
    graph["9"] = {"class_type": TRANSLATE, "inputs": {
        "translator": dictionary, "language": "", "story": graph["6"]["inputs"]["story"], "source": "女人"}}
    graph["6"]["inputs"]["story"] = ["9", 0]
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert ui_of(server, result, "9")["text"] == ["one: a beach, the woman waves\ntwo: a red hat\nthe woman"]
    one, two = (json.loads(Image.open(server.base / "output" / "translated" / f"board_00001_{name}.png")
                           .text["kontinuity"]) for name in ("one", "two"))
    assert (one["prompt"], one["prompt_as_written"]) == ("a beach, the woman waves", "海滩，女人挥手")
    assert two["prompt"] == "a red hat" and "prompt_as_written" not in two


def test_dictionaries_are_no_stories_and_a_gone_one_is_said(server, run, dictionary):
    with urllib.request.urlopen(f"{server.url}/object_info/Kontinuity_LoadStoryboard", timeout=30) as answer:
        assert dictionary not in answer.read().decode()
    graph = {"1": {"class_type": TRANSLATE, "inputs": {"translator": "../x.dictionary.yaml", "language": "",
                                                       "source": "a"}}}
    result, _ = run(graph)
    assert result.status != "success" and "x.dictionary.yaml" in result.error


def test_a_marian_folder_with_sentencepiece(server, run, tmp_path):
    """The files of OPUS-MT: source.spm, target.spm, vocab.json, safetensors."""
    marian(server.base / "models" / "translation" / "opus-mt-tiny", tmp_path)
    graph = {"1": {"class_type": TRANSLATE, "inputs": {"translator": "translation/opus-mt-tiny", "language": "",
                                                       "source": "la femme sur la plage"}}}
    result, _ = run(graph)
    assert result.status == "success", result.error
    assert isinstance(ui_of(server, result, "1")["text"][0], str)


def marian(folder: Path, scratch: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    import torch
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir(parents=True, exist_ok=True)
    lines = "la femme sur la plage\nthe woman on the beach\nun chapeau rouge\na red hat\n"
    (scratch / "text.txt").write_text(lines * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(scratch / "text.txt"), model_prefix=str(scratch / "m"), vocab_size=40,
        hard_vocab_limit=False, minloglevel=2)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes((scratch / "m.model").read_bytes())
    pieces = [line.split("\t")[0] for line in (scratch / "m.vocab").read_text("utf-8").splitlines()][3:]
    vocabulary = {word: i for i, word in enumerate(["</s>", "<unk>", *pieces, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "fr", "target_lang": "en"}))
    torch.manual_seed(0)
    pad = len(vocabulary) - 1
    MarianMTModel(MarianConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=600,
        pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad)).save_pretrained(folder)


def test_the_hundred_prompts_with_the_vocabulary_of_flux(comfyui):
    """T5 v1.1's own tokenizer, which ComfyUI ships."""
    from kontinuity.kontext import text as reading
    from kontinuity.storyboard.prompts import check_prompt
    from transformers import T5TokenizerFast

    t5 = T5TokenizerFast.from_pretrained(comfyui / "comfy" / "text_encoders" / "t5_tokenizer", local_files_only=True)
    reader = SimpleNamespace(t5_tokens=lambda prompt: reading.t5_tokens(t5, prompt), clip_token_count=lambda _: 0)
    prompts = yaml.safe_load((Path(__file__).parents[1] / "storyboard" / "prompts.yaml").read_text("utf-8"))
    for prompt in prompts["clean"]:
        assert check_prompt(prompt, reader) == []
    for prompt in [prompt for entry in prompts["planted"] for prompt in entry.values()]:
        assert not {item.rule for item in check_prompt(prompt, reader)} & {"unreadable", "unknown-word", "too-long"}

    def found(prompt):
        return [(item.severity, item.text) for item in check_prompt(prompt, reader) if item.rule == "unreadable"]

    assert found("海滩 at noon, 女人 挥手") == [("error", "海滩"), ("error", "女人 挥手")]
    assert found("背景を海に変える") and found("배경을 해변으로") and found("ชายหาด") and found("शहर")
    assert ("error" in dict(found("Девушка на пляже улыбается")))
    assert found("a café, crème brûlée in Übersee") == []
    assert found("jalapeño in Łódź {now}") == [("warning", "jalapeño"), ("warning", "Łódź {now}")]

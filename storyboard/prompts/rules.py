"""The rules for an instruction that FLUX.1 Kontext can follow: what each looks for, why, and who says so.

docs/prompts.md is made from this table (`python -m kontinuity.storyboard.prompts.rules > docs/prompts.md`).
"""

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"

_GUIDE = "BFL's prompting guide as carried in ComfyUI's documentation (tutorials/flux/flux-1-kontext-dev)"


@dataclass(frozen=True)
class Rule:
    """One rule. `bad` is a prompt it finds (None where that takes a model's tokenizer), `good` the same said well."""

    name: str
    severity: str
    finds: str
    reason: str
    source: str
    bad: str | None
    good: str


_ALL = (
    Rule("unreadable", ERROR, "words that the model's T5 tokenizer turns into unknown tokens (a warning where only an "
         "accent or a symbol is lost)",
         "the model sees nothing where the word stands",
         "huggingface/transformers#21836; ComfyUI's tutorial: only English is supported; asked of the tokenizer itself",
         None, "Change the background to a beach."),
    Rule("too-long", ERROR, "more than 512 T5 tokens",
         "what comes after 512 tokens is cut off", "BFL's guide; diffusers' FluxKontextPipeline", None,
         "Change the background to a beach."),
    Rule("clip-length", NOTE, "more than 77 CLIP tokens",
         "CLIP, which sets the overall look, reads the first 77 tokens only; T5 reads them all",
         "CLIP's text model has 77 positions", None, "Change the background to a beach."),
    Rule("unknown-word", NOTE, "words that the tokenizer spells letter by letter",
         "a model with a small vocabulary, such as the demo model, has never seen the word",
         "the demo model's training (demo_model/training/text.py)", None, "Change the background to a beach."),
    Rule("pronoun", WARNING, "he, she, they, me ... before anybody has been named",
         "the model cannot know who is meant; visible traits tell it", _GUIDE,
         "Put him on a beach.",
         "Change the background to a beach while keeping the man with the grey beard in the exact same position."),
    Rule("name", NOTE, "a character's name as the only description",
         "the model has never heard the name; it knows what it can see", _GUIDE,
         "Mia is waving.", "The woman with short black hair is waving."),
    Rule("negative", WARNING, "no, not, don't, without, never, avoid",
         "there is no negative prompt: what is named may appear, \"do not enlarge eyes\" can enlarge them",
         "the storyboard handbook's notes on BFL's guide; FLUX.1 is guidance-distilled and runs at CFG 1",
         "Change the background to a beach, do not change the face.",
         "Change the background to a beach, keep the face exactly the same."),
    Rule("transform", WARNING, "transform, morph, turn ... into, of a person",
         "it licenses a new identity; \"change\" and \"replace\" keep it", _GUIDE,
         "Transform the person into a Viking.",
         "Change the clothes to those of a Viking warrior while keeping the same facial features."),
    Rule("people", WARNING, "more than three people",
         "identities mix and the number comes out wrong",
         "ViStoryBench: the right number of characters in at most 76.6 % of pictures; a tester's report: over three, "
         "consistency is lost",
         "Add five soldiers.", "Add two soldiers."),
    Rule("contact", WARNING, "holding, grabbing, hugging, carrying, sitting on ...",
         "hands pass through things, bodies merge, limbs bend",
         "a tester's report (\"Person holding a cup is risky, person waving is safe\"; overlapping poses confuse it); "
         "action is Kontext dev's weakest edit, 2.56 of 5 in ImgEdit-Bench",
         "The man is hugging the woman.", "The man is standing side by side with the woman, both smiling."),
    Rule("vague", NOTE, "make it better, make it a sketch",
         "a style needs its name and its marks, an improvement needs saying what", _GUIDE,
         "Make it a sketch.",
         "Change the style to a pencil sketch with natural graphite lines, cross-hatching and visible paper texture."),
    Rule("quotes", WARNING, "lettering without quotation marks",
         "the model draws the letters it finds in quotes", _GUIDE,
         "Add a sign that says welcome home.", "Add a sign that says 'welcome home'."),
    Rule("video", WARNING, "camera moves, slow motion, clips",
         "the model makes one still picture", "FLUX.1 Kontext is an image model (its paper: video is future work)",
         "The camera pans across the room.", "Wide shot of the whole room."),
    Rule("syntax", WARNING, "(word:1.3), <lora:...>, --ar 16:9",
         "it is read as plain text, brackets and numbers and all",
         "measured: ComfyUI's text node reads such weights, FLUX's own pipelines do not",
         "A (red hat:1.3) on the head.", "A bright red hat on the head."),
    Rule("many-changes", NOTE, "four changes or more in one instruction",
         "one edit at a time is followed better: first the background, then the action", _GUIDE,
         "Change the background to a beach, add a palm, replace the hat with a cap and make the shirt red.",
         "Change the background to a beach and add a palm."),
)
RULES = {rule.name: rule for rule in _ALL}


def markdown() -> str:
    """docs/prompts.md."""
    rows = "\n".join(
        f"| `{rule.name}` | {rule.severity} | {rule.finds} | {rule.reason} | {rule.source} |" for rule in _ALL)
    examples = "\n".join(f"| `{rule.name}` | {rule.bad} | {rule.good} |" for rule in _ALL if rule.bad)
    return f"""\
# Instructions that FLUX.1 Kontext can follow

Before anything is sampled, **Render Storyboard** and **Kontext Edit** look through every instruction. An *error* stops
the run, a *warning* or a *note* is logged and shown on the node, and the picture is made all the same: you may know
better. **Check Prompts** does nothing but this look, before a long run. Text inside quotation marks is lettering and is
left alone.

(This page is made from the code: `python -m kontinuity.storyboard.prompts.rules`.)

## The rules

| rule | severity | looks for | reason | source |
|---|---|---|---|---|
{rows}

## Examples

| rule | found | better |
|---|---|---|
{examples}

## What it does not see

It compares words and does not understand sentences. It does not know every word for a person, so a pronoun after an
unknown one may be found without need; "the woman holding the umbrella" is found although the umbrella may be in the
picture already. It reads English only.

## How a panel's `change:` becomes an instruction

The parts are put together in one order: scene and action, shot and angle, colours, things added, removed, lettering,
style, and at the end what stays. People are named by their visible traits, the verbs are *change, replace, add,
remove*, and something is always kept. A panel's own `prompt:` is used as it is written.
"""


def main() -> None:
    """Print docs/prompts.md."""
    print(markdown(), end="")


if __name__ == "__main__":
    main()

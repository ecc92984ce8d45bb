"""The look at prompts that every sampling takes first: errors stop it, the rest is said."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..story.models import Panel, Story
from ..story.resolved import resolve
from .check import Finding, Reader, check_prompt, raise_errors, report
from .instruction import region_phrase
from .rules import WARNING

log = logging.getLogger("kontinuity")


@dataclass(frozen=True)
class PromptToCheck:
    """A prompt, who asks for it ("panel 'beach'"), and the visible traits of the characters in its picture by name, ""
    where they are unknown. One that is not `whole` says of one character alone who that is and what they do."""

    where: str
    prompt: str
    traits: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True

    def findings(self, reader: Reader | None) -> list[Finding]:
        """What the rules find in it; see check_prompt."""
        return check_prompt(self.prompt, reader, self.traits)


def said_apart(story: Story, panel: Panel) -> list[PromptToCheck]:
    """What is said of each newcomer of a panel alone, for panels whose characters are made one by one, in regions or
    passes."""
    resolved = resolve(story, panel)
    return [PromptToCheck(f"{resolved.where}, {name}", region_phrase(resolved, name), story.traits([name]), whole=False)
            for name in resolved.newcomers]


# Who knows more of a model's words than its tokenizer does: lines on the prompts that are about to be sampled.
Advice = Callable[[Sequence[PromptToCheck]], Sequence[str]]


def check_before_sampling(prompts: Sequence[PromptToCheck], reader: Reader, advice: Advice | None = None) -> str:
    """Look prompts through. Returns what there is to say of them, on several lines, "" if that is nothing; findings are
    logged as well.

    Raises InputError for the first error in any of them.
    """
    checked = [(prompt.where, prompt.findings(reader)) for prompt in prompts]
    for where, findings in checked:
        raise_errors(findings, where)
    for where, findings in checked:
        for finding in findings:
            log.log(logging.WARNING if finding.severity == WARNING else logging.INFO, "%s: %s", where, finding)
    remarks = [report(checked)] if any(findings for _, findings in checked) else []
    return "\n".join([*remarks, *(advice(prompts) if advice else ())])

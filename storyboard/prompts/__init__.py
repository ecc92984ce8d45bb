"""Instructions: put together from parts, looked through before sampling, translated into English."""

from .check import Finding, check_prompt, raise_errors, report
from .compose import compose
from .rules import RULES, Rule
from .translate import Dictionary, ModelTranslator, Translate, read_dictionary, translate_change, translate_story

__all__ = [
    "RULES", "Dictionary", "Finding", "ModelTranslator", "Rule", "Translate", "check_prompt", "compose",
    "raise_errors", "read_dictionary", "report", "translate_change", "translate_story",
]

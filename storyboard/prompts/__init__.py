"""Instructions: put together from parts, looked through before sampling, translated into English."""

from .before_sampling import Advice, PromptToCheck, check_before_sampling, said_apart
from .check import Finding, check_prompt, raise_errors, report
from .compose import compose
from .instruction import figure_prompt, panel_prompt, place_prompt, region_phrase, whole_prompt
from .rules import RULES, Rule
from .translate import Dictionary, ModelTranslator, Translate, read_dictionary, translate_change, translate_story

__all__ = [
    "RULES", "Advice", "Dictionary", "Finding", "ModelTranslator", "PromptToCheck", "Rule", "Translate",
    "check_before_sampling", "check_prompt", "compose", "figure_prompt", "panel_prompt", "place_prompt",
    "raise_errors", "read_dictionary", "region_phrase", "report", "said_apart", "translate_change", "translate_story",
    "whole_prompt",
]

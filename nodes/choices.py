"""Combos that list files, in our own words."""

from __future__ import annotations

from inspect import Parameter, Signature


def own_choices(*names: str) -> classmethod:
    """The `validate_inputs` of a node that tells its users itself what is wrong with the values of these combos.

    Later ComfyUI compares a combo's value with its options and says no more than "Value not in list", except of inputs
    that a node's `validate_inputs` takes by name. What a file is, and what to do about it, `execute` says.
    """
    def validate_inputs(cls, **_) -> bool:
        return True

    validate_inputs.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)
                                               for name in ("cls", *names)])
    return classmethod(validate_inputs)

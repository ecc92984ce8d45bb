"""Widgets that several nodes share, and combos that list files, in our own words."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any

from comfy_api.latest import io

from ..kontext import MAX_GUIDANCE, MAX_SEED, MAX_SIDE, MAX_STEPS, MAX_STRENGTH, MULTIPLE


def seed_input(tooltip: str) -> io.Int.Input:
    """All the seeds an edit takes."""
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip)


def steps_input(tooltip: str) -> io.Int.Input:
    """Sampling steps."""
    return io.Int.Input("steps", default=20, min=1, max=MAX_STEPS, tooltip=tooltip)


def guidance_input(followed: str) -> io.Float.Input:
    """FLUX's guidance; `followed` is what the node calls the text: prompt or instruction."""
    return io.Float.Input("guidance", default=2.5, min=0.0, max=MAX_GUIDANCE, step=0.1,
                          tooltip=f"How strictly the {followed} is followed. 2.5 suits FLUX.1 Kontext; the demo model "
                                  "ignores it.")


def side_input(name: str, other: str) -> io.Int.Input:
    """A side of the result in pixels, 0 for the picture's own shape; `other` is the other side."""
    return io.Int.Input(name, default=0, min=0, max=MAX_SIDE, step=MULTIPLE,
                        tooltip=f"Of the result, in pixels, a multiple of {MULTIPLE}. 0 follows the picture's shape; "
                                f"if {other} is 0 too, at the area the model works best at.")


def strength_input(added: str = "") -> io.Float.Input:
    """How strongly a picture is looked at; what is `added` ends its tooltip."""
    return io.Float.Input("strength", default=1.0, min=0.0, max=MAX_STRENGTH, step=0.05, optional=True,
                          tooltip="How strongly the picture is looked at: 1 as the model is, more for a tighter hold "
                                  f"on its looks, less for more freedom, 0 leaves it out.{added}")


def filename_prefix_input(default: str, go: str = "it goes", added: str = "A counter is") -> io.String.Input:
    """Where a node saves in the output folder; what `go` and what is `added` are said in its tooltip."""
    return io.String.Input("filename_prefix", default=f"kontinuity/{default}",
                           tooltip=f"Where {go} in the output folder; subfolders are allowed. {added} added.")


def own_choices(*names: str) -> Any:
    """The `validate_inputs` of a node that tells its users itself what is wrong with the values of these combos.

    Later ComfyUI compares a combo's value with its options and says no more than "Value not in list", except of inputs
    that a node's `validate_inputs` takes by name. What a file is, and what to do about it, `execute` says.
    """
    def validate_inputs(cls, **_) -> bool:
        return True

    taken = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("cls", *names)])
    setattr(validate_inputs, "__signature__", taken)  # noqa: B010 - a function has it only when it is set
    return classmethod(validate_inputs)

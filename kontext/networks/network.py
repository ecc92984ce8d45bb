"""What the transformer and the autoencoder have in common: a config, as config.json has it, and a dtype."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import nn


class Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Config = TypeVar("Config", bound=Dataclass)
AnyNetwork = TypeVar("AnyNetwork", bound="Network")


class Network(nn.Module):
    """Made from a config of its `config_type`, a dataclass with the fields of diffusers' config.json."""

    config_type: ClassVar[type]

    @classmethod
    def from_config(cls: type[AnyNetwork], values: Mapping[str, object]) -> AnyNetwork:
        """From a folder's config.json. Raises: ValueError for a config that makes no such network."""
        return cls(from_dict(cls.config_type, values))

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())


def from_dict(kind: type[Config], values: Mapping[str, object]) -> Config:
    """The fields of `kind` that are in `values`, lists as tuples; what else is there is left out.

    Raises:
        ValueError: a field is of another kind than its default (a text for a number, say).
    """
    chosen = {}
    for field in fields(kind):
        if field.name in values:
            value = values[field.name]
            value = tuple(value) if isinstance(value, list) else value
            if field.default is not None and not _alike(value, field.default):
                raise ValueError(f"{field.name} is {value!r}, where {field.default!r} would be usual")
            chosen[field.name] = value
    return kind(**chosen)


def _alike(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, tuple) and bool(value) and all(_alike(item, default[0]) for item in value)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)

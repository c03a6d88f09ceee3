"""The built-in models of a task, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Protocol

from torch import nn


class Zoo(Protocol):
    """Models of torchvision's, by its own names. Asking anything imports torchvision (4 s)."""

    def names(self) -> tuple[str, ...]:
        """Return the names, sorted."""

    def parameters(self, name: str) -> tuple[Parameter, ...]:
        """Return the arguments that a spec can give to the model `name`."""

    def build(self, name: str, in_channels: int | None, **arguments: Any) -> nn.Module:
        """Return the model without weights, for images of so many channels."""


@dataclass(frozen=True)
class Catalogue:
    """What a task's `model.name` can be, besides `package.module:callable`."""

    what: str
    """What one of them is called: "classifier"."""
    own: Mapping[str, Callable[..., nn.Module]]
    """heliostat's. A builder gets what it names of num_classes, in_channels and size, (height,
    width) in pixels."""
    others: Zoo | None = None

    def names(self) -> tuple[str, ...]:
        """Return every name, heliostat's own first."""
        return (*self.own, *(self.others.names() if self.others else ()))

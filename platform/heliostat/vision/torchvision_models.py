"""torchvision's image classifiers, by their own names.

torchvision is imported where it is needed: it costs 4 s (it pulls `torch._dynamo`), which a job
with a model of heliostat's or of the user's own should not pay.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from torch import Tensor, nn

# With auxiliary heads a model gives a tuple of logits while it trains; and without an explicit
# `init_weights` these two warn that their default will change.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}

# Arguments that the classes require, and for which the builders have a default of their own.
_DEFAULTED_BY_BUILDERS = ("dropout", "image_size", "input_size", "representation_size")


def names() -> tuple[str, ...]:
    """Return the names of torchvision's classifiers, sorted."""
    models = _torchvision()
    return tuple(models.list_models(module=models))


def parameters(name: str) -> tuple[Parameter, ...]:
    """Return the arguments that a spec can give to the model `name`.

    torchvision's builders take `**kwargs` for a class, so what they take is read off the class.
    """
    network = inspect.signature(_torchvision().get_model_builder(name)).return_annotation
    return tuple(p for p in inspect.signature(network).parameters.values() if _is_plain(p))


def build(name: str, in_channels: int | None, **arguments: Any) -> nn.Module:
    """Return torchvision's model `name` without weights, for images of 1 or 3 channels.

    One channel is repeated three times, rather than the first convolution replaced, so that the
    network stays torchvision's own. Raises ValueError, and what torchvision raises.
    """
    if in_channels not in (None, 1, 3):
        raise ValueError(f"it reads images of 1 or 3 channels, not {in_channels}")
    settings = {**_DEFAULTS.get(name, {}), **arguments}
    net: nn.Module = _torchvision().get_model(name, weights=None, **settings)
    return GreyAsRgb(net) if in_channels == 1 else net


class GreyAsRgb(nn.Module):
    """A network for three channels, given (n, 1, H, W)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Any:
        """Return what the network gives for the image repeated in three channels."""
        return self.net(images.expand(-1, 3, -1, -1))


def _torchvision() -> Any:
    from torchvision import models

    return models


def _is_plain(parameter: Parameter) -> bool:
    """Tell whether a spec can give it: a number, not a class, a callable or a list of blocks."""
    if parameter.name in _DEFAULTED_BY_BUILDERS:
        return True
    return isinstance(parameter.default, int | float)

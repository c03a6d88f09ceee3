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

# What a model that is made for one size of images calls it: a side, or (height, width).
_SIZED_BY = ("image_size", "input_size")
_SIZE = Parameter("size", Parameter.KEYWORD_ONLY, default=None)


def names() -> tuple[str, ...]:
    """Return the names of torchvision's classifiers, sorted."""
    models = _torchvision()
    return tuple(models.list_models(module=models))


def parameters(name: str) -> tuple[Parameter, ...]:
    """Return the arguments that a spec can give to the model `name`.

    torchvision's builders take `**kwargs` for a class, so what they take is read off the class. A
    model that is made for one size of images also takes `size`, (height, width) in pixels.
    """
    network = inspect.signature(_torchvision().get_model_builder(name)).return_annotation
    taken = inspect.signature(network).parameters.values()
    plain = tuple(_optional(p) for p in taken if _is_plain(p))
    return (*plain, _SIZE) if any(p.name in _SIZED_BY for p in plain) else plain


def build(
    name: str, in_channels: int | None, size: tuple[int, int] | None = None, **arguments: Any
) -> nn.Module:
    """Return torchvision's model `name` without weights, for images of 1 or 3 channels.

    One channel is repeated three times, rather than the first convolution replaced, so that the
    network stays torchvision's own. `size`, the images', is for a model that is made for one,
    where no argument of its own says it. Raises ValueError, and what torchvision raises.
    """
    if in_channels not in (None, 1, 3):
        raise ValueError(f"it reads images of 1 or 3 channels, not {in_channels}")
    settings = {**_DEFAULTS.get(name, {}), **arguments}
    net: nn.Module
    if size is None or any(argument in arguments for argument in _SIZED_BY):
        net = _torchvision().get_model(name, weights=None, **settings)
    else:
        net = _built_for(name, size, settings)
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


def _built_for(name: str, size: tuple[int, int], settings: Mapping[str, Any]) -> nn.Module:
    """Return the model for images of `size`; ValueError where it isn't made for such."""
    height, width = size
    if any(p.name == "input_size" for p in parameters(name)):
        sized: dict[str, Any] = {"input_size": (height, width)}
    elif height == width:
        sized = {"image_size": height}
    else:
        raise ValueError(f"it takes square images, not {height}x{width}; set data.image_size")
    try:
        net: nn.Module = _torchvision().get_model(name, weights=None, **sized, **settings)
    except (ValueError, AssertionError) as refusal:
        why = str(refusal).splitlines()[0].rstrip("!.")
        raise ValueError(
            f"it cannot be made for images of {height}x{width} ({why}); set data.image_size"
        ) from refusal
    return net


def _optional(parameter: Parameter) -> Parameter:
    """Return a parameter that may be left out, even where the class requires it."""
    required = parameter.default is Parameter.empty
    return parameter.replace(default=None) if required else parameter


def _is_plain(parameter: Parameter) -> bool:
    """Tell whether a spec can give it: a number, not a class, a callable or a list of blocks."""
    if parameter.name in _DEFAULTED_BY_BUILDERS:
        return True
    return isinstance(parameter.default, int | float)

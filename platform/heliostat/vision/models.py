"""Models by name: heliostat's own, torchvision's classifiers, or a callable of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter
from typing import Any

from torch import nn

from heliostat.vision import arguments, imports, torchvision_models
from heliostat.vision.cnn_small import cnn_small
from heliostat.vision.mistakes import UnknownName, WrongValue
from heliostat.vision.resnet9 import resnet9

OWN: Mapping[str, Callable[..., nn.Module]] = {"cnn_small": cnn_small, "resnet9": resnet9}

# What heliostat's and torchvision's builders raise for a value that makes no network. (The
# user's own callable is not guarded so: its exceptions are the user's to see whole.)
_REFUSALS = (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError)


def names() -> tuple[str, ...]:
    """Return every built-in name, heliostat's own first. Imports torchvision (4 s)."""
    return (*OWN, *torchvision_models.names())


def check(name: str, args: Mapping[str, Any]) -> None:
    """Raise what `build` would for an unknown name or for arguments that the model doesn't take.

    No data is needed for that. Imports the user's module, and raises what that raises.
    """
    _, parameters = _found(name, None)
    arguments.bind(f"model {name}", parameters, args, dict.fromkeys(_OFFERED))


def build(
    name: str,
    args: Mapping[str, Any],
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """Return the model `name` with fresh weights from torch's global generator.

    `name` is one of `names()` or `package.module:callable`. `num_classes` and `in_channels` are
    the data's; they are passed where the callable takes them and `args` doesn't give them.

    Raises UnknownName (a LookupError), WrongArguments (a TypeError) or WrongValue (a ValueError).
    ImportError and whatever else comes out of the user's module is left as it is.
    """
    offered = dict(zip(_OFFERED, (num_classes, in_channels), strict=True))
    known = {key: value for key, value in offered.items() if value is not None}
    builder, parameters = _found(name, in_channels)
    bound = arguments.bind(f"model {name}", parameters, args, known)
    return _users(name, builder, bound) if imports.is_path(name) else _own(name, builder, bound)


_OFFERED = ("num_classes", "in_channels")


def _found(
    name: str, in_channels: int | None
) -> tuple[Callable[..., Any], Sequence[Parameter] | None]:
    """Return what makes the model, and what a spec can give it."""
    if imports.is_path(name) or name in OWN:
        builder = OWN[name] if name in OWN else imports.load(name, "model")
        return builder, arguments.parameters_of(builder)
    if name in torchvision_models.names():
        builder = partial(torchvision_models.build, name, in_channels)
        return builder, torchvision_models.parameters(name)
    raise UnknownName(
        f"no model {name!r}{imports.nearest(name, names())}; valid: {', '.join(OWN)},"
        f" a torchvision classifier, or package.module:callable of your own"
    )


def _users(name: str, builder: Callable[..., Any], bound: Mapping[str, Any]) -> nn.Module:
    net = builder(**bound)
    if not isinstance(net, nn.Module):
        raise WrongValue(f"model {name} gave a {type(net).__name__}, not a torch.nn.Module")
    return net


def _own(name: str, builder: Callable[..., nn.Module], bound: Mapping[str, Any]) -> nn.Module:
    try:
        return builder(**bound)
    except _REFUSALS as refusal:
        raise WrongValue(f"model {name}: {refusal}") from refusal

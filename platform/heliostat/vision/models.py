"""Models by name: heliostat's own, torchvision's classifiers, or a callable of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
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
    _check_classes(name, args, num_classes)
    offered = {"num_classes": num_classes, "in_channels": in_channels}
    offered_now = {key: value for key, value in offered.items() if value is not None}
    if imports.is_path(name):
        return _users(name, args, offered_now)
    return _built_in(name, args, offered_now)


def _check_classes(name: str, args: Mapping[str, Any], num_classes: int | None) -> None:
    given = args.get("num_classes")
    if isinstance(given, int) and num_classes is not None and given < num_classes:
        raise WrongValue(
            f"model {name}: num_classes is {given}, but the data has {num_classes} classes;"
            f" leave it out to take the data's"
        )


def _users(name: str, args: Mapping[str, Any], offered: Mapping[str, Any]) -> nn.Module:
    target = imports.load(name, "model")
    net = target(**arguments.bind(f"model {name}", arguments.parameters_of(target), args, offered))
    if not isinstance(net, nn.Module):
        raise WrongValue(f"model {name} gave a {type(net).__name__}, not a torch.nn.Module")
    return net


def _built_in(name: str, args: Mapping[str, Any], offered: Mapping[str, Any]) -> nn.Module:
    builder: Callable[..., nn.Module]
    if name in OWN:
        builder, parameters = OWN[name], arguments.parameters_of(OWN[name])
    elif name in torchvision_models.names():
        builder = partial(torchvision_models.build, name, offered.get("in_channels"))
        parameters = torchvision_models.parameters(name)
    else:
        raise UnknownName(
            f"no model {name!r}{imports.nearest(name, names())}; valid: {', '.join(OWN)},"
            f" a torchvision classifier, or package.module:callable of your own"
        )
    bound = arguments.bind(f"model {name}", parameters, args, offered)
    try:
        return builder(**bound)
    except _REFUSALS as refusal:
        raise WrongValue(f"model {name}: {refusal}") from refusal

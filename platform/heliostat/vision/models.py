"""Models by name: heliostat's own, torchvision's, or a callable of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter
from typing import Any

from torch import nn

from heliostat.vision import arguments, imports, keras_model, torchvision_models
from heliostat.vision.catalogue import Catalogue
from heliostat.vision.cnn_small import cnn_small
from heliostat.vision.cnn_tutorial import cnn_32, cnn_64
from heliostat.vision.mistakes import UnknownName, WrongValue
from heliostat.vision.resnet9 import resnet9
from heliostat.vision.resnet_cifar import resnet18_cifar, resnet34_cifar, resnet50_cifar

CLASSIFIERS = Catalogue(
    "classifier",
    {
        "cnn_small": cnn_small,
        "cnn_32": cnn_32,
        "cnn_64": cnn_64,
        "resnet9": resnet9,
        "resnet18_cifar": resnet18_cifar,
        "resnet34_cifar": resnet34_cifar,
        "resnet50_cifar": resnet50_cifar,
    },
    torchvision_models,
)

# What heliostat's and torchvision's builders raise for a value that makes no network. (The
# user's own callable is not guarded so: its exceptions are the user's to see whole.)
_REFUSALS = (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError)


def names() -> tuple[str, ...]:
    """Return every classifier's name, heliostat's own first. Imports torchvision (4 s)."""
    return CLASSIFIERS.names()


def check(name: str, args: Mapping[str, Any], catalogue: Catalogue = CLASSIFIERS) -> None:
    """Raise what `build` would for an unknown name or for arguments that the model doesn't take.

    No data is needed for that. Imports the user's module, and raises what that raises.
    """
    _, parameters = _found(name, None, catalogue)
    arguments.bind(f"model {name}", parameters, args, dict.fromkeys(_OFFERED))


def build(
    name: str,
    args: Mapping[str, Any],
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    size: tuple[int, int] | None = None,
    catalogue: Catalogue = CLASSIFIERS,
) -> nn.Module:
    """Return the model `name` with fresh weights from torch's global generator.

    `name` is one of the catalogue's or `package.module:callable`. `num_classes`, `in_channels`
    and `size` (height, width) are the data's; they are passed where the callable takes them and
    `args` doesn't give them.

    A Keras model of the user's comes as a module from images to logits (`keras_model.wrap`).

    Raises UnknownName (a LookupError), WrongArguments (a TypeError) or WrongValue (a ValueError).
    ImportError and whatever else comes out of the user's module is left as it is.
    """
    offered = dict(zip(_OFFERED, (num_classes, in_channels, size), strict=True))
    known = {key: value for key, value in offered.items() if value is not None}
    builder, parameters = _found(name, in_channels, catalogue)
    bound = arguments.bind(f"model {name}", parameters, args, known)
    if imports.is_path(name):
        return _users(name, builder, bound, in_channels, size)
    return _own(name, builder, bound)


_OFFERED = ("num_classes", "in_channels", "size")


def _found(
    name: str, in_channels: int | None, catalogue: Catalogue
) -> tuple[Callable[..., Any], Sequence[Parameter] | None]:
    """Return what makes the model, and what a spec can give it."""
    if name in catalogue.own:
        return catalogue.own[name], arguments.parameters_of(catalogue.own[name])
    if imports.is_path(name):
        with keras_model.on_torch(f"model {name}"):
            builder = imports.load(name, "model")
        return builder, arguments.parameters_of(builder)
    zoo = catalogue.others
    if zoo is not None and name in zoo.names():
        return partial(zoo.build, name, in_channels), zoo.parameters(name)
    known = ", ".join(catalogue.own)
    theirs = f", a torchvision {catalogue.what}" if zoo else ""
    raise UnknownName(
        f"no model {name!r}{imports.nearest(name, catalogue.names())};"
        f" valid: {known}{theirs}, or package.module:callable of your own"
    )


def _users(
    name: str,
    builder: Callable[..., Any],
    bound: Mapping[str, Any],
    in_channels: int | None,
    size: tuple[int, int] | None,
) -> nn.Module:
    with keras_model.on_torch(f"model {name}"):
        net = builder(**bound)
    if keras_model.is_keras(net):
        return keras_model.wrap(f"model {name}", net, in_channels, size)
    if not isinstance(net, nn.Module):
        raise WrongValue(f"model {name} gave a {type(net).__name__}, not a torch.nn.Module")
    return net


def _own(name: str, builder: Callable[..., nn.Module], bound: Mapping[str, Any]) -> nn.Module:
    try:
        return builder(**bound)
    except _REFUSALS as refusal:
        raise WrongValue(f"model {name}: {refusal}") from refusal

"""Tasks by name: a built-in one, or a class of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from heliostat.vision import arguments, imports, models
from heliostat.vision.catalogue import Catalogue
from heliostat.vision.classification import Classification
from heliostat.vision.detection import CATALOGUE as DETECTORS
from heliostat.vision.detection import Detection
from heliostat.vision.generation import CATALOGUE as GENERATORS
from heliostat.vision.generation import Generation
from heliostat.vision.mistakes import UnknownName
from heliostat.vision.normalize import pipeline
from heliostat.vision.segmentation import CATALOGUE as SEGMENTERS
from heliostat.vision.segmentation import Segmentation
from heliostat.vision.task import Task
from heliostat.vision.translation import CATALOGUE as TRANSLATORS
from heliostat.vision.translation import Translation


@dataclass(frozen=True)
class BuiltIn:
    """A task that heliostat brings."""

    task: Callable[..., Task]
    models: Catalogue


BUILT_IN: Mapping[str, BuiltIn] = {
    "classification": BuiltIn(Classification, models.CLASSIFIERS),
    "detection": BuiltIn(Detection, DETECTORS),
    "segmentation": BuiltIn(Segmentation, SEGMENTERS),
    "generation": BuiltIn(Generation, GENERATORS),
    "translation": BuiltIn(Translation, TRANSLATORS),
}


def names() -> tuple[str, ...]:
    """Return the built-in names."""
    return tuple(BUILT_IN)


def check(name: str, args: Mapping[str, Any], *offered: str) -> None:
    """Raise what `build` would for an unknown name, or for arguments that it doesn't take."""
    _bound(name, args, dict.fromkeys(offered))


def build(name: str, args: Mapping[str, Any], **offered: Any) -> Task:
    """Return the task `name`: one of `names()`, or `package.module:Class`.

    `offered` is what the data knows (`classes`); a task gets what its constructor names.

    Raises UnknownName (a LookupError), or WrongArguments (a TypeError) where the constructor
    doesn't take `args` or needs more than is offered. What the user's own code raises is left as
    it is.
    """
    factory, bound = _bound(name, args, offered)
    task: Task = factory(**bound)
    return task


def reads(name: str, args: Mapping[str, Any]) -> str:
    """Return what a task reads: "labels" (or boxes, or masks), "images" alone, or "domains".

    A task's class may say so by `reads`, a text or a function of the task's arguments. Raises
    UnknownName.
    """
    said = getattr(_factory(name), "reads", "labels")
    return str(said(args) if callable(said) else said)


def gives(name: str) -> str:
    """Return what a task's registered model gives for an input.

    "probabilities" of the classes; or what the task's class says by `gives`: "objects", "mask"
    (a map of classes), "generated" (an image made of a seed) or "image". Raises UnknownName.
    """
    return str(getattr(_factory(name), "gives", "probabilities"))


def takes_each_size(name: str) -> bool:
    """Tell whether a task's registered model takes images of any size, so one at a time.

    A task's class says so by `each_own_size`. Raises UnknownName.
    """
    return bool(getattr(_factory(name), "each_own_size", False))


def catalogue(name: str) -> Catalogue:
    """Return the models that a task can have; a task of the user's own has the classifiers."""
    return BUILT_IN[name].models if name in BUILT_IN else models.CLASSIFIERS


def check_model(task: str, name: str, args: Mapping[str, Any]) -> None:
    """Raise what `models.check` does; UnknownName says so where it is another task's model."""
    try:
        models.check(name, args, catalogue(task))
    except UnknownName as unknown:
        for other, built_in in BUILT_IN.items():
            if other != task and not imports.is_path(name) and name in built_in.models.names():
                raise UnknownName(f"{name} is a model for {other}, not for {task}") from unknown
        raise


def assemble(task: Task, net: nn.Module, mean: Any, std: Any) -> nn.Module:
    """Return the module that takes inputs as they come from the data.

    `mean` and `std` are a number per channel on the scale 0..1, or None. A task may have an
    `assemble(net, mean, std)` of its own.
    """
    own = getattr(task, "assemble", None)
    whole: nn.Module = own(net, mean, std) if own else pipeline(net, mean, std)
    return whole


def check_samples(task: Task, inputs: Any, targets: Any) -> None:
    """Raise WrongTargets where the data is not what the task learns from.

    A task may have a `check_samples(inputs, targets)` of its own, and is given a batch of two.
    One whose `one_size` is true takes no batch of images that differ in size: reading says so.
    """
    own = getattr(task, "check_samples", None)
    if own is not None:
        own(inputs, targets)


def _bound(
    name: str, args: Mapping[str, Any], offered: Mapping[str, Any]
) -> tuple[Callable[..., Task], dict[str, Any]]:
    """Return what makes the task, and what it is given."""
    factory = _factory(name)
    parameters = arguments.parameters_of(factory)
    return factory, arguments.bind(f"task {name}", parameters, args, offered)


def _factory(name: str) -> Callable[..., Task]:
    if imports.is_path(name):
        found: Callable[..., Task] = imports.load(name, "task")
        return found
    if name in BUILT_IN:
        return BUILT_IN[name].task
    raise UnknownName(
        f"no task {name!r}{imports.nearest(name, names())}; valid: {', '.join(names())},"
        f" or package.module:Class of your own"
    )

"""Tasks by name: a built-in one, or a class of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heliostat.vision import arguments, imports
from heliostat.vision.classification import Classification
from heliostat.vision.mistakes import UnknownName
from heliostat.vision.task import Task

BUILT_IN: Mapping[str, Callable[..., Task]] = {"classification": Classification}


def names() -> tuple[str, ...]:
    """Return the built-in names."""
    return tuple(BUILT_IN)


def check(name: str, *offered: str) -> None:
    """Raise what `build` would for an unknown name, or a constructor that needs more."""
    _bound(name, dict.fromkeys(offered))


def build(name: str, **offered: Any) -> Task:
    """Return the task `name`: one of `names()`, or `package.module:Class`.

    `offered` is what the data knows (`classes`); a task gets what its constructor names.

    Raises UnknownName (a LookupError), or WrongArguments (a TypeError) where the constructor
    needs more than is offered. What the user's own code raises is left as it is.
    """
    factory, bound = _bound(name, offered)
    task: Task = factory(**bound)
    return task


def _bound(name: str, offered: Mapping[str, Any]) -> tuple[Callable[..., Task], dict[str, Any]]:
    """Return what makes the task, and what it is given."""
    if imports.is_path(name):
        factory = imports.load(name, "task")
    elif name in BUILT_IN:
        factory = BUILT_IN[name]
    else:
        raise UnknownName(
            f"no task {name!r}{imports.nearest(name, names())}; valid: {', '.join(names())},"
            f" or package.module:Class of your own"
        )
    return factory, arguments.bind(f"task {name}", arguments.parameters_of(factory), {}, offered)

"""Arguments from a spec, bound to a callable before it is called.

Binding first is what tells a wrong argument in the spec from a TypeError inside the user's code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any

from heliostat.vision.mistakes import WrongArguments

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def parameters_of(target: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    """Return what `target` takes, or None where Python cannot tell (some C functions)."""
    try:
        return tuple(inspect.signature(target).parameters.values())
    except ValueError:
        return None


def bind(
    what: str,
    parameters: Sequence[Parameter] | None,
    given: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the keyword arguments for a call.

    `given` is what the spec says and has to be taken. `offered` comes from the data and is passed
    only to a parameter of that very name (`**kwargs` doesn't count) that was not given.
    Raises WrongArguments that begins with `what`, for example "model resnet9".
    """
    if parameters is None:
        return dict(given)
    named = {p.name: p for p in parameters if p.kind in _BY_NAME}
    unknown = [name for name in given if name not in named]
    if unknown and not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        raise WrongArguments(f"{what} takes no {_quoted(unknown)}; {_takes(named)}")
    arguments = {name: value for name, value in offered.items() if name in named} | dict(given)
    missing = [n for n, p in named.items() if p.default is Parameter.empty and n not in arguments]
    if missing:
        raise WrongArguments(f"{what} needs the {_quoted(missing)}; {_takes(named)}")
    return arguments


def _quoted(names: Sequence[str]) -> str:
    return ("argument " if len(names) == 1 else "arguments ") + ", ".join(map(repr, names))


def _takes(named: Mapping[str, Parameter]) -> str:
    return f"it takes {', '.join(named)}" if named else "it takes none"

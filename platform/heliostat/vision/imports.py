"""The user's own objects, by `package.module:name`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from heliostat.vision.mistakes import UnknownName


def is_path(name: str) -> bool:
    """Tell whether `name` means an object of the user's, not a built-in one."""
    return ":" in name


def load(path: str, what: str) -> Any:
    """Import and return the callable at `path`; `what` ("model") is for the message.

    Raises UnknownName where the path is malformed, there is no such module, or it lacks the name.
    Whatever the module itself raises while it is imported, ImportError included, is left as it is.
    """
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise UnknownName(f"{what} {path!r} is not of the form package.module:name")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # another module, which the user's own wants to import
        raise UnknownName(
            f"{what} {path}: no module named {error.name!r} beside the spec or installed"
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            file = getattr(module, "__file__", None) or "built in"
            raise UnknownName(
                f"module {module_name} ({file}) has no {attribute!r}{nearest(part, public)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise UnknownName(f"{what} {path} is a {type(found).__name__}, not a class or function")
    return found


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `; nearest: a, b` with the valid names most like `name`, or nothing."""
    close = difflib.get_close_matches(name, list(valid), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""

"""Keyword arguments that a spec gives to a thing of the user's, or of torchvision."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from heliostat.spec.problems import InputError, Key


def check_arguments(name: str, make: Any, args: Mapping[str, Any], *, key: Key) -> None:
    """Raise InputError at `key` where `make`, which the user calls `name`, does not take `args`."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # not callable in a way Python can describe: the call itself will say
    try:
        signature.bind(**args)
    except TypeError as error:
        valid = ", ".join(signature.parameters) or "none"
        raise InputError.of(f"{name}: {error}", key=key, valid=valid) from error

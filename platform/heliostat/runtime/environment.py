"""The spec's `env` in a process that runs the user's code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from heliostat.runtime.home import home
from heliostat.spec import InputError, Secret


def apply(env: Mapping[str, str | Secret]) -> None:
    """Set the variables; a secret's value is read here, on the machine that needs it.

    `{secret: NAME}` is the content of `HELIO_HOME/secrets/NAME`. Raises InputError where there is
    no such file. No value is printed, logged or stored.
    """
    for name, value in env.items():
        os.environ[name] = _secret(name, value) if isinstance(value, Secret) else value


def check(env: Mapping[str, str | Secret]) -> None:
    """Raise InputError for a secret that this machine does not have."""
    for name, value in env.items():
        if isinstance(value, Secret):
            _secret(name, value)


def _secret(name: str, reference: Secret) -> str:
    path = home() / "secrets" / Path(reference.secret).name
    try:
        return path.read_text().strip()
    except OSError as error:
        raise InputError.of(
            f"there is no secret {reference.secret!r}", key=("env", name), valid=f"the file {path}"
        ) from error

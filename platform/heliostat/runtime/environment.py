"""The spec's `env` in a process that runs the user's code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from heliostat.runtime.home import home
from heliostat.spec import InputError, Secret


def apply(env: Mapping[str, str | Secret]) -> None:
    """Set the variables; a secret's value is read here, on the machine that needs it.

    `{secret: NAME}` is the content of `HELIO_HOME/secrets/NAME`, else the value of the variable
    `HELIO_SECRET_NAME` (in capitals; what is no letter or digit is `_`), which is how a cluster
    hands secrets to its processes. Raises InputError where there is neither. No value is
    printed, logged or stored.
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
        variable = _variable(reference.secret)
        if variable in os.environ:
            return os.environ[variable].strip()
        raise InputError.of(
            f"there is no secret {reference.secret!r}",
            key=("env", name),
            valid=f"the file {path}, or the variable {variable}",
        ) from error


def _variable(secret: str) -> str:
    return "HELIO_SECRET_" + re.sub(r"[^A-Z0-9]", "_", secret.upper())

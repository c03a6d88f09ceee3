"""HELIO_HOME: the folder where a machine keeps what heliostat remembers."""

from __future__ import annotations

import os
from pathlib import Path

from heliostat.spec import InputError


def home() -> Path:
    """Return `HELIO_HOME` (default `~/.heliostat`), made if missing; InputError if unwritable."""
    path = Path(os.environ.get("HELIO_HOME") or "~/.heliostat").expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError.of(
            f"HELIO_HOME ({path}) cannot be written: {error.strerror}",
            valid="set HELIO_HOME to a folder that can be",
        ) from error
    return path


def jobs_folder() -> Path:
    """Return the folder that holds a folder for each job."""
    return home() / "jobs"

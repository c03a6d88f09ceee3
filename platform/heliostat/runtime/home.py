"""HELIO_HOME: the folder where a machine keeps what heliostat remembers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from heliostat.spec import InputError


def home() -> Path:
    """Return `HELIO_HOME` (default `~/.heliostat`), made if missing; InputError if unwritable."""
    path = Path(os.environ.get("HELIO_HOME") or "~/.heliostat").expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError.of(
            f"HELIO_HOME ({path}) cannot be written: {error.strerror}",
            valid="set HELIO_HOME to a folder that can be",
        ) from error
    return path


def storage() -> str | None:
    """Return `HELIO_STORAGE`: a folder that all machines mount, made absolute, or an `s3://` URI.

    There the files of jobs lie whose workers run on other machines than their driver.
    """
    named = os.environ.get("HELIO_STORAGE")
    if not named:
        return None
    return named.rstrip("/") if "://" in named else str(Path(named).expanduser().absolute())


def scratch_folder() -> Path:
    """Return a folder of this machine for what workers write before it is in the storage."""
    return _writable() / "scratch"


def models_folder() -> Path:
    """Return the folder of this machine's copies of registered models."""
    return _writable() / "cache" / "models"


def _writable() -> Path:
    """Return HELIO_HOME, or another folder on a machine that only lends its processors."""
    try:
        return home()
    except InputError:
        return Path(tempfile.gettempdir()) / f"heliostat-{os.getuid()}"


def jobs_folder() -> Path:
    """Return the folder that holds a folder for each job."""
    return home() / "jobs"

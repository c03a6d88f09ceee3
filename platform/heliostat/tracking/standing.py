"""A process that was left running in the background, as a file tells. Imports no mlflow.

`helio up` and `helio join` write these files, `HELIO_HOME/cluster/ray.json` and `mlflow.json`.
They hold no secret.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

# psutil counts from the machine's clock, which may be set a little while the process runs.
_SAME_SECONDS = 2.0

Option = str | int | None


@dataclass(frozen=True)
class Standing:
    """A process in the background: how it is found again, and what it was started with."""

    address: str
    """What people and clients are told."""
    pid: int
    """It leads a session of its own, in which its children are."""
    created: float
    """When the process was made, Unix seconds: another process may get the same number later."""
    started: str
    """The same for a person, ISO 8601, UTC."""
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def lives(self) -> bool:
        """Whether the process is still there."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.created) < _SAME_SECONDS
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def write(self, file: Path) -> None:
        """Write the file whole or not at all, readable by its owner alone."""
        new = file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            json.dump(asdict(self), output, indent=2)
        new.replace(file)


def read(file: Path) -> Standing | None:
    """Return what the file tells, whether or not it still lives; None where there is no file."""
    try:
        return Standing(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def living(file: Path) -> Standing | None:
    """Return what the file tells of a process that lives; else None."""
    found = read(file)
    return found if found and found.lives else None

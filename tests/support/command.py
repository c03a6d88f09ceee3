"""The command line as a user types it, over a HELIO_HOME of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "jobs" / "digits"


Here = Callable[..., dict[str, Any]]
"""Types `helio … --json` in this process; returns its document."""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        value: dict[str, Any] = json.loads(self.out)
        return value


@dataclass(frozen=True)
class Helio:
    """The command line over a HELIO_HOME of its own, as a user types it."""

    home: Path
    env: Mapping[str, str]

    def command(self, *args: str | Path) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "heliostat.cli", *map(str, args)]

    def __call__(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*args),
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Any:
        """Start a command and return its process."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # So it is for what a shell started in the background, and children inherit it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(
            self.command(*args),
            env={**self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def folder(self, job: str) -> Path:
        """Return a job's folder."""
        return self.home / "jobs" / job

    @property
    def tracking(self) -> str:
        """The embedded MLflow store."""
        return f"sqlite:///{self.home}/mlflow.db"


def make_helio(home: Path) -> Helio:
    """Return the command line over `home`, away from whatever the machine's own settings say."""
    ours = {"HELIO_HOME": str(home), "PYTHONPATH": str(ROOT / "platform")}
    away = ("RAY_", "MLFLOW_", "HELIO_", "PYTEST_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(away)}
    return Helio(home, {**inherited, **ours})


def sets(values: Sequence[str]) -> list[str]:
    """Return the values as `--set` options."""
    return [word for value in values for word in ("--set", value)]

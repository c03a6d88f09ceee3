from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heliostat.cli.main import main
from heliostat.cli.services import Services


@dataclass(frozen=True)
class Answered:
    """What a command did."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Read:
    """Stands where a spec's document would."""

    path: Path
    overrides: list[str] = field(default_factory=list)
    spec: Any = None


Helio = Callable[..., Answered]


@pytest.fixture
def helio(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Helio:
    """Return a function that runs one command with the given services in place of the real."""
    for name in ("HELIO_CLUSTER", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def type_in(*argv: str, **services: Any) -> Answered:
        known: Any = {
            "load": lambda path, overrides: Read(path, list(overrides)),
            "cluster_here": lambda: None,
            **services,
        }
        status = main(argv, Services(**known))
        return Answered(status, *capfd.readouterr())

    return type_in

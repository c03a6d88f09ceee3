"""One finished digits job for all tests that look at what it left; real Ray, real MLflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from command import DIGITS, Helio, Here, make_helio, sets
from heliostat.cli.main import main


@pytest.fixture(scope="session")
def helio(tmp_path_factory: pytest.TempPathFactory) -> Helio:
    """One HELIO_HOME for the session."""
    return make_helio(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def digits(helio: Helio) -> dict[str, Any]:
    """The outcome of `helio run jobs/digits/train.yaml` with two workers, three epochs."""
    done = helio("run", DIGITS / "train.yaml", "--json", *sets(["epochs=3"]))
    assert done.status == 0, done.err
    return done.document


@pytest.fixture
def here(helio: Helio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Type `helio … --json` in this process, which pays for its imports once; it must succeed."""
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HELIO_HOME", str(helio.home))

    def typed(*args: str | Path, settings: Sequence[str] = ()) -> dict[str, Any]:
        status = main([*map(str, args), *sets(settings), "--json"])
        out, err = capfd.readouterr()
        assert status == 0, err
        document: dict[str, Any] = json.loads(out)
        return document

    return typed

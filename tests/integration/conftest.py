"""One finished digits job for all tests that look at what it left; real Ray, real MLflow."""

from __future__ import annotations

from typing import Any

import pytest

from command import DIGITS, Helio, make_helio, sets


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

"""A HELIO_HOME of its own for what is killed here."""

from __future__ import annotations

import pytest

from command import Helio, make_helio


@pytest.fixture(scope="module")
def helio(tmp_path_factory: pytest.TempPathFactory) -> Helio:
    """One HELIO_HOME for the tests of a file."""
    return make_helio(tmp_path_factory.mktemp("home"))

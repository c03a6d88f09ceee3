"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Names of the surroundings that would lead a test to somebody's real server or cluster.
_SURROUNDINGS = ("HELIO_CLUSTER", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RAY_ADDRESS")

_LONGEST = ("chaos", "cluster", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: of two workers none is then alone with them at the end."""
    items.sort(key=lambda item: item.path.relative_to(ROOT / "tests").parts[0] not in _LONGEST)


@pytest.fixture
def helio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HELIO_HOME of the test's own, also for the processes that it starts."""
    home = tmp_path / "helio-home"
    monkeypatch.setenv("HELIO_HOME", str(home))
    for name in _SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def shared_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real data: HELIO_TEST_DATA, or ../shared/data beside the project.

    A test that asks for it is skipped, by name, where it is absent.
    """
    folder = Path(os.environ.get("HELIO_TEST_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"{request.node.name} needs real data: {folder} is not there")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch's: threads that wait for one another are slower than one, on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

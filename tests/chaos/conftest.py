"""Jobs that are disturbed, what they would have come to, and a table of what it has cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("disturbed")

from chaos_table import Costs, Survived, table  # noqa: E402
from command import Helio, make_helio  # noqa: E402
from disturbed import Disturbed, Outcome, Reference, reference_of  # noqa: E402
from warm import Cold, Warm  # noqa: E402

_COSTS: Costs = defaultdict(list)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take what a test's faults have cost, from whichever process of pytest's ran it."""
    if report.when == "teardown":
        for fault, outcomes in report.user_properties:
            if isinstance(outcomes, list):
                _COSTS[fault].extend(Outcome(**outcome) for outcome in outcomes)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what the faults have cost."""
    if _COSTS:
        terminalreporter.section("what was survived")
        for line in table(_COSTS):
            terminalreporter.write_line(line)


@pytest.fixture
def survived(record_property: Callable[[str, object], None]) -> Survived:
    """Put a fault's costs into the table."""
    return lambda fault, outcomes: record_property(fault, [asdict(each) for each in outcomes])


@pytest.fixture(scope="module")
def helio(tmp_path_factory: pytest.TempPathFactory) -> Helio:
    """One HELIO_HOME for the tests of a file."""
    return make_helio(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Jobs in a process of their own, without Ray, over one HELIO_HOME for the session."""
    folder = tmp_path_factory.mktemp("local")
    warm = Warm(make_helio(folder / "home"), folder / "said")
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def undisturbed(warm: Warm) -> Reference:
    """The job in one process, which nobody disturbs."""
    return reference_of(Disturbed.begin(warm, warm.helio.home, "--local"))


@pytest.fixture
def begin(warm: Warm, undisturbed: Reference) -> Callable[..., Disturbed]:
    """Start a job in a process of its own."""
    return lambda *args, **env: Disturbed.begin(warm, warm.helio.home, "--local", *args, env=env)


@pytest.fixture(scope="session")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Cold:
    """Jobs on Ray, over one HELIO_HOME for the session."""
    folder = tmp_path_factory.mktemp("ray")
    return Cold(make_helio(folder / "home"), folder / "said")


@pytest.fixture(scope="session")
def undisturbed_on_ray(cold: Cold) -> Reference:
    """The job on two workers of Ray's, which nobody disturbs."""
    return reference_of(Disturbed.begin(cold, cold.helio.home, *TWO))


@pytest.fixture
def begin_on_ray(
    cold: Cold, undisturbed_on_ray: Reference, tmp_path: Path
) -> Callable[..., Disturbed]:
    """Start a job on two workers; the number of the process of rank N stands in `tmp_path/N`."""

    def begin(*args: str, **env: str) -> Disturbed:
        pids = {"CHAOS_PIDS": str(tmp_path), **env}
        return Disturbed.begin(cold, cold.helio.home, *TWO, *args, env=pids)

    return begin


TWO = ("--set", "resources.workers=2")


@pytest.fixture
def stands(tmp_path: Path) -> Path:
    """The file by which a process says that it stands still."""
    return tmp_path / "stands"

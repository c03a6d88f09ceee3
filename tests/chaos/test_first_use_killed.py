"""The first job of all in a HELIO_HOME, killed while MLflow's tables are made there."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference
from warm import Warm


@pytest.mark.slow
def test_a_home_whose_first_job_is_killed_while_mlflows_tables_are_made_is_no_ruin(
    warm: Warm, undisturbed: Reference, tmp_path: Path, survived: Survived
) -> None:
    home = tmp_path / "home"
    env = {"HELIO_HOME": str(home)}
    job = Disturbed.begin(warm, home, "--local", env=env)
    job.wait(lambda: bytes_of_tables(home) > 200_000, "some of MLflow's tables")
    assert not job.recorded, "they were all made before the kill"
    (recorder,) = [p for p in job.processes() if "heliostat.runtime.recorder" in p.cmdline()]
    assert job.kill(recorder.pid)
    job.go_on_to_the_end()
    survived("kill -9 while MLflow's tables are made", job.assert_nothing_lost(undisturbed))


def bytes_of_tables(home: Path) -> int:
    files = (*home.glob("mlflow.db"), *home.glob(".mlflow.db.part"))
    return sum(file.stat().st_size for file in files)

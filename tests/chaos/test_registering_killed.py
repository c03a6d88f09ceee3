"""A job whose recorder is killed while it tells MLflow of the model."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference

MOMENTS = {
    "while the model is uploaded": (
        "SELECT count(*) FROM logged_models m JOIN tags t ON t.run_uuid = m.source_run_id"
        " WHERE t.key = 'heliostat.job' AND t.value = ?"
    ),
    "once there is a version, before its alias": (
        "SELECT count(*) FROM model_versions m JOIN tags t ON t.run_uuid = m.run_id"
        " WHERE t.key = 'heliostat.job' AND t.value = ?"
    ),
}


@pytest.mark.parametrize("driver_too", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "moment",
    [
        "while the model is uploaded",
        pytest.param("once there is a version, before its alias", marks=pytest.mark.slow),
    ],
)
def test_a_job_killed_while_it_registers_its_model_registers_it_once(
    moment: str,
    driver_too: bool,
    begin: Callable[..., Disturbed],
    undisturbed: Reference,
    survived: Survived,
) -> None:
    job = begin()
    job.wait(lambda: (job.ended or {}).get("status") == "FINISHED", "the end of training")
    with sqlite3.connect(f"file:{job.database}?mode=ro", uri=True) as database:
        there = lambda: database.execute(MOMENTS[moment], [job.id]).fetchone()[0]  # noqa: E731
        job.wait(there, moment)
        recorder = recorder_of(job)
        if driver_too:
            assert job.kill(recorder.pid)
        else:
            job.fire()
            recorder.kill()
    database.close()
    assert not job.recorded.get("complete"), "the recorder was done before it was killed"
    if driver_too:
        job.go_on()
    assert job.command.wait() == 0, job.command.err
    who = "driver and recorder" if driver_too else "recorder"
    survived(f"kill -9 of {who}, {moment}", job.assert_nothing_lost(undisturbed))


def recorder_of(job: Disturbed) -> psutil.Process:
    """Return the process that tells MLflow of the job."""
    (found,) = [p for p in job.processes() if "heliostat.runtime.recorder" in p.cmdline()]
    assert str(Path(job.home, "jobs", job.id)) in found.cmdline()
    return found

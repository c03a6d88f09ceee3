"""A job's folder under two drivers, one after the other or at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.runtime.job import Job
from heliostat.spec import InputError

CLAIMING = """
import sys
from pathlib import Path
from heliostat.runtime.job import Job
Job("job", Path(sys.argv[1])).claim()
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("job", tmp_path)


@pytest.fixture
def other_driver(job: Job) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives the job."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMING, str(job.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_a_job_has_one_driver_at_a_time(job: Job, other_driver: subprocess.Popen[str]) -> None:
    with pytest.raises(InputError, match="job is running"):
        job.claim()
    other_driver.kill()
    other_driver.wait()
    job.claim()
    assert job.claimed_by == os.getpid()


def test_what_was_said_of_a_driver_that_died_does_not_end_the_next_ones_job(
    job: Job, other_driver: subprocess.Popen[str]
) -> None:
    other_driver.kill()
    other_driver.wait()
    job.claim()
    job.end(driver=other_driver.pid, status="FAILED", error=None, metrics={})
    assert job.ended is None
    job.end(status="FINISHED", error=None, metrics={})
    assert job.ended is not None
    assert job.ended["status"] == "FINISHED"


def test_a_job_that_nobody_claimed_is_ended_by_whoever_watched_it(job: Job) -> None:
    job.end(driver=12345, status="FAILED", error=None, metrics={})
    assert job.ended is not None

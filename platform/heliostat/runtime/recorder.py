"""The recorder: a process beside a job that ships its journal to MLflow and keeps the run true.

    python -m heliostat.runtime.recorder JOB_FOLDER --uri TRACKING_URI --driver PID

It ends when the job has ended (`ended.json`) and MLflow holds everything, or when MLflow stayed
away too long: the journal then keeps the rest for `helio sync`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from heliostat.runtime.job import Job
from heliostat.runtime.job_recorder import JobRecorder
from heliostat.runtime.living import runs
from heliostat.runtime.search_recorder import SearchRecorder
from heliostat.runtime.settling import settle_dead
from heliostat.spec import InputError
from heliostat.tracking.server import TrackingAway
from heliostat.training.storage import write_json

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
"""How long after the job's end an absent MLflow is waited for."""


def recorder_of(job: Job, uri: str) -> JobRecorder | SearchRecorder:
    """Return what tells MLflow at `uri` of a job of this kind."""
    kind = SearchRecorder if job.facts["kind"] == "tune" else JobRecorder
    return kind(job, uri)


def record(
    job: Job,
    uri: str,
    *,
    driver_lives: Callable[[], bool],
    driver: int | None = None,
) -> bool:
    """Record the job until it has ended and all of it is told; False where MLflow stayed away.

    Ends as well once the job goes on under another than `driver` (a process), which starts a
    recorder of its own.
    """

    def superseded() -> bool:
        return driver is not None and job.claimed_by not in (None, driver)

    recorder = recorder_of(job, uri)
    give_up: float | None = None
    opened = False
    while True:
        driverless = not driver_lives()
        if superseded():
            return True
        ended = job.ended or (_ended_silently(job, driver) if driverless else None)
        try:
            if not opened:
                recorder.open()
                opened = True
                settle_dead(uri)
            if ended:
                recorder.close(ended)
                return True
            recorder.ship()
        except TrackingAway as away:
            print(f"MLflow is away: {away}", flush=True)
            if ended:
                give_up = give_up or time.monotonic() + PATIENCE_SECONDS
                if time.monotonic() > give_up:
                    return False
        _wait(job, POLL_SECONDS)


def _ended_silently(job: Job, driver: int | None) -> dict[str, Any] | None:
    """End a job whose driver is gone without a word (killed, or out of memory)."""
    error = {"verdict": "driver_lost", "message": "the driver process died"}
    job.end(driver=driver, status="FAILED", error=error, metrics={})
    return job.ended


def _wait(job: Job, seconds: float) -> None:
    """Wait, but not beyond the job's end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and job.ended is None:
        time.sleep(0.1)


def main() -> None:
    """Run the recorder of the job folder that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--driver", type=int, required=True)
    arguments = parser.parse_args()
    # The workers come first: what MLflow shows may be a second older for it.
    os.nice(19)
    # Ray Jobs send it to all that a driver started; who ends the job is the driver, and this
    # process writes it down.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job = Job(arguments.folder.name, arguments.folder)
    driver = psutil.Process(arguments.driver) if psutil.pid_exists(arguments.driver) else None
    # The recorder of a driver that died may be at its last words still: one after the other.
    lock = (job.folder / "recorder.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        record(
            job,
            arguments.uri,
            driver_lives=lambda: driver is not None and runs(driver),
            driver=arguments.driver,
        )
    except InputError as error:
        write_json(job.folder / "recorded.json", {**job.recorded, "problem": str(error)})


if __name__ == "__main__":
    main()
